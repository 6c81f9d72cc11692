"""
Listing the folder that holds artifacts, in the order of keys, a page at a time.

Names hold no character that sorts before a slash, so the order of keys is that of their parts, and
folders can be walked one after the other. Blocking, as ``file_tree`` is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from genjobs.adapters.local.file_tree import SUFFIX, FileTree
from genjobs.domain.artifacts import ArtifactKey, parse_key


def list_tree(
    tree: FileTree, folders: Sequence[str], after: str, limit: int
) -> list[tuple[ArtifactKey, float]]:
    """Return at most ``limit`` keys below ``folders`` behind ``after``, with their times."""
    return list(islice(_below(tree, tuple(folders), after), limit))


def _below(
    tree: FileTree, folders: tuple[str, ...], after: str
) -> Iterator[tuple[ArtifactKey, float]]:
    # A key that is also the start of others comes before them.
    entries = sorted(
        (name.removesuffix(SUFFIX) if time is not None else name, time is None, time)
        for name, time in tree.entries(folders)
        if time is None or name.endswith(SUFFIX)
    )
    for name, _, time in entries:
        path = (*folders, name)
        text = "/".join(path)
        if time is None:
            # Everything in it starts with its name: whatever sorts before that was passed.
            if f"{text}0" > after:  # "0" is the character after the slash
                yield from _below(tree, path, after)
        elif text > after:
            try:
                yield parse_key(text), time
            except ValueError:
                continue  # not put there by this store
