"""
What a text in a workflow may not hold: addresses, paths, control characters.

This says what a text looks like; which input may hold what is the catalogue's. Judging an address
that genjobs itself would fetch is in ``url_policy``.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

#: Schemes that some library of ComfyUI's or of its nodes opens; ``://`` counts with any.
_SCHEMES: Final = (
    "https?|ftps?|sftp|ssh|file|data|blob|javascript|s3|gs|gcs|az|abfss?|hf|hdfs|smb|nfs|rtsps?|"
    "rtmps?|rtp|udp|tcp|tls|hls|concat|concatf|subfile|cache|crypto|pipe|fd|async|unix|jar|git|"
    "ldaps?|gopher|dict|telnet|ws|wss|ipfs|ipns|magnet|lavfi|movie|amovie"
)
_ADDRESS: Final = re.compile(rf"://|(?:^|[^a-z0-9])(?:{_SCHEMES}):|^\W*(?://|\\\\)")
#: ``embedding:name`` in a prompt makes ComfyUI load a file of that name.
_EMBEDDING: Final = re.compile(r"embedding:\s*([^\s,)(]*)")
_DRIVE: Final = re.compile(r"^[a-z]:")
_ANNOTATED: Final = re.compile(r"\[\s*(?:input|output|temp)\s*\]\s*$")


def _folded(text: str) -> str:
    """
    Return the text as the laxest reader would take it.

    Look-alike characters become what they stand for (NFKC), and what is not seen (control and
    format characters, white space within) is gone, as URL parsers drop it, too.
    """
    wide = unicodedata.normalize("NFKC", text)
    return "".join(
        char for char in wide if not char.isspace() and unicodedata.category(char)[0] != "C"
    ).casefold()


def has_address(text: str) -> bool:
    """Return whether the text holds a URL or a network path, however it is written."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return bool(_ADDRESS.search(plain) or _ADDRESS.search(_folded(text)))


def has_control(text: str) -> bool:
    """Return whether the text holds control characters other than line breaks and tabs."""
    return any(unicodedata.category(char) == "Cc" and char not in "\n\r\t" for char in text)


def model_name_fault(name: str) -> str | None:
    """Return why this cannot be the name of an installed model, None when it can."""
    plain = _folded(name)
    if has_control(name) or any(char in "\n\r\t" for char in name):
        return "a control character"
    if has_address(name):
        return "an address"
    if "\\" in plain:
        return "a backslash; folders are divided by /"
    if plain.startswith(("/", "~")) or _DRIVE.match(plain):
        return "an absolute path"
    if any(part in {"", ".", ".."} for part in plain.split("/")):
        return "a path that leaves its folder"
    if _ANNOTATED.search(plain):
        return "a folder in brackets"
    return None


def choice_fault(text: str) -> str | None:
    """Return why this cannot be a choice or a short text, None when it can."""
    plain = _folded(text)
    if has_control(text):
        return "a control character"
    if has_address(text):
        return "an address"
    if plain.startswith(("/", "~/", "\\")) or _DRIVE.match(plain):
        return "an absolute path"
    if any(part == ".." for part in re.split(r"[/\\]", plain)):
        return "a path that leaves its folder"
    if _ANNOTATED.search(plain):
        return "a folder in brackets"
    return None


def prompt_fault(text: str) -> str | None:
    """Return why this cannot be free text, None when it can; addresses are mere words in it."""
    if "\x00" in text:
        return "a NUL character"
    for match in _EMBEDDING.finditer(text.casefold()):
        name = match[1]
        leaves = ".." in re.split("[/:]", name)  # a weight follows a colon
        if name.startswith(("/", "~")) or name[1:3] == ":/" or "\\" in name or leaves:
            return "an embedding with a path"
    return None
