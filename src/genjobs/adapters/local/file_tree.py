"""
The folder that holds artifacts: keys as paths, files put in place at once, removal, sweeping.

Blocking functions only; ``artifact_store`` runs them in threads. A key becomes a path by adding a
suffix that no key can contain to its last part, so that a key may also be the start of another
one. Every path is walked folder by folder without following a symbolic link, so that nothing
outside the root can be reached whatever was put into it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path
from typing import Final

from genjobs.domain.artifacts import ArtifactKey, parse_key
from genjobs.domain.errors import Unavailable

SUFFIX: Final = ".bin"
#: Where files are while they are written; no key starts with it.
INCOMING: Final = ".writing"

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
#: How many files one call removes, to end well within the time limit of a call.
_BATCH: Final = 500
_NOT_EMPTY: Final = frozenset({errno.ENOTEMPTY, errno.EEXIST})


def key_parts(key: ArtifactKey) -> tuple[str, ...]:
    """Return the path of ``key`` below the root; ``ValueError`` when it is no key."""
    *folders, name = parse_key(key).split("/")
    return (*folders, name + SUFFIX)


class FileTree:
    """Files below ``root``; several processes may use the same one."""

    def __init__(self, root: Path) -> None:
        """Make the folders if needed, and remove what writers left that no longer live."""
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root = root.resolve(strict=True)
        (self.root / INCOMING).mkdir(mode=0o700, exist_ok=True)
        self._sweep()

    def create(self) -> tuple[str, int]:
        """
        Make an empty file among the incoming; return its name and an open descriptor.

        The descriptor holds a lock as long as its process lives, by which a sweep tells a file
        being written from one left over.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with self._folder((INCOMING,)) as folder:
            while True:
                name = secrets.token_hex(16)
                descriptor = os.open(name, flags, 0o600, dir_fd=folder)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
                    if os.fstat(descriptor).st_nlink:
                        return name, descriptor
                except OSError:
                    os.unlink(name, dir_fd=folder)
                    os.close(descriptor)
                    raise
                os.close(descriptor)  # a sweep was faster than the lock

    def place(self, name: str, key: ArtifactKey, *, replace: bool = True) -> None:
        """
        Move the incoming file to ``key`` and make that durable.

        What was there is replaced, or without ``replace`` kept: then ``FileExistsError``.
        """
        *folders, last = key_parts(key)
        made: list[int] = []
        with self._folder((INCOMING,)) as incoming:
            # Shared by writers: until the file is in its folder, nobody removes that as empty.
            fcntl.flock(incoming, fcntl.LOCK_SH)
            with self._folder(folders, made=made) as folder:
                if replace:
                    os.replace(name, last, src_dir_fd=incoming, dst_dir_fd=folder)
                else:
                    os.link(name, last, src_dir_fd=incoming, dst_dir_fd=folder)
                    os.unlink(name, dir_fd=incoming)
                fcntl.flock(incoming, fcntl.LOCK_UN)
                os.fsync(folder)
        for depth in reversed(made):
            # Removed again already: nothing to keep.
            with suppress(FileNotFoundError), self._folder(folders[:depth]) as parent:
                os.fsync(parent)

    def drop(self, name: str) -> None:
        """Remove an incoming file."""
        with suppress(FileNotFoundError), self._folder((INCOMING,)) as folder:
            os.unlink(name, dir_fd=folder)

    def open(self, key: ArtifactKey) -> int | None:
        """Return a descriptor to read the file from, None when there is no file."""
        *folders, last = key_parts(key)
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            with self._folder(folders) as folder:
                descriptor = os.open(last, flags, dir_fd=folder)
        except FileNotFoundError:
            return None
        try:
            _require_file(os.fstat(descriptor))
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def size(self, key: ArtifactKey) -> int | None:
        """Return the file's size in bytes, None when there is no file."""
        *folders, last = key_parts(key)
        try:
            with self._folder(folders) as folder:
                found = os.stat(last, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return None
        _require_file(found)
        return found.st_size

    def remove(self, keys: Sequence[ArtifactKey]) -> None:
        """Remove files and the folders that this empties."""
        paths = sorted(key_parts(key) for key in keys)
        for folders, group in groupby(paths, key=lambda parts: parts[:-1]):
            with suppress(FileNotFoundError), self._folder(folders) as folder:
                for parts in group:
                    with suppress(FileNotFoundError):
                        os.unlink(parts[-1], dir_fd=folder)
                os.fsync(folder)
            self._prune(folders)

    def remove_some(self, folders: Sequence[str]) -> tuple[int, bool]:
        """Remove a batch of what is below a folder; return how many keys, and if that was all."""
        left = [_BATCH]
        removed = 0
        with suppress(FileNotFoundError), self._folder(folders[:-1]) as parent:
            removed = self._clear(parent, folders[-1], left)
            os.fsync(parent)
        if left[0] > 0:
            self._prune(folders)
        return removed, left[0] > 0

    def entries(self, folders: Sequence[str]) -> list[tuple[str, float | None]]:
        """Return names in a folder: a file's with its time, another folder's with None."""
        found: list[tuple[str, float | None]] = []
        with (
            suppress(FileNotFoundError, NotADirectoryError),
            self._folder(folders) as folder,
            os.scandir(folder) as listing,
        ):
            for entry in listing:
                if entry.is_dir(follow_symlinks=False):
                    found.append((entry.name, None))
                    continue
                with suppress(FileNotFoundError):
                    about = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(about.st_mode):
                        found.append((entry.name, about.st_mtime))
        return found

    def check(self) -> None:
        """Raise ``OSError`` or ``Unavailable`` unless the root is there."""
        with self._folder((INCOMING,)):
            pass

    def _clear(self, parent: int, name: str, left: list[int]) -> int:
        removed = 0
        with _opened(os.open(name, _FOLDER, dir_fd=parent)) as folder:
            with os.scandir(folder) as listing:
                entries = list(listing)
            for entry in entries:
                if left[0] <= 0:
                    return removed
                with suppress(FileNotFoundError):  # somebody else removes the same files
                    if entry.is_dir(follow_symlinks=False):
                        removed += self._clear(folder, entry.name, left)
                        continue
                    os.unlink(entry.name, dir_fd=folder)
                    left[0] -= 1
                    removed += entry.name.endswith(SUFFIX)
            if not self._remove_empty(parent, name):  # somebody put a file into it
                os.fsync(folder)
        return removed

    def _prune(self, folders: Sequence[str]) -> None:
        for end in range(len(folders), 0, -1):
            with suppress(FileNotFoundError), self._folder(folders[: end - 1]) as parent:
                if not self._remove_empty(parent, folders[end - 1]):
                    return
                os.fsync(parent)

    def _remove_empty(self, parent: int, name: str) -> bool:
        """Remove a folder unless something is in it; return whether it is gone."""
        with self._folder((INCOMING,)) as incoming:
            fcntl.flock(incoming, fcntl.LOCK_EX)  # no writer is on its way into it
            try:
                os.rmdir(name, dir_fd=parent)
            except FileNotFoundError:
                return True
            except OSError as error:
                if error.errno in _NOT_EMPTY:
                    return False
                raise
            return True

    def _sweep(self) -> None:
        with self._folder((INCOMING,)) as folder:
            for name in os.listdir(folder):
                with suppress(FileNotFoundError, BlockingIOError):  # ended just now; being written
                    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK
                    with _opened(os.open(name, flags, dir_fd=folder)) as descriptor:
                        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        os.unlink(name, dir_fd=folder)

    @contextmanager
    def _folder(self, folders: Sequence[str], *, made: list[int] | None = None) -> Iterator[int]:
        """Open a folder; with ``made``, make what is missing and add the depths of that."""
        try:
            descriptor = os.open(self.root, _FOLDER)
        except OSError as error:  # the disk is gone, which is not the same as a missing file
            raise Unavailable from error
        try:
            for depth, folder in enumerate(folders):
                if made is not None:
                    with suppress(FileExistsError):
                        os.mkdir(folder, 0o700, dir_fd=descriptor)
                        made.append(depth)
                above, descriptor = descriptor, os.open(folder, _FOLDER, dir_fd=descriptor)
                os.close(above)
            yield descriptor
        finally:
            os.close(descriptor)


@contextmanager
def _opened(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _require_file(found: os.stat_result) -> None:
    """Raise ``OSError`` for a link, pipe or the like: none was put here by this store."""
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
