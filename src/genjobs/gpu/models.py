"""
Model files: fetched once, whole or not at all, proven by their hash.

They come from what is pinned in ``pins.toml``, never from customers. A download that breaks off is
continued by the next run; a file that is there with the right size and hash is left alone.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import structlog

from genjobs.domain.errors import ConfigurationError, Unavailable
from genjobs.domain.pins import HUB, Model, resolved

_CHUNK: Final = 4 * 1024 * 1024
#: Seconds: to connect, and without a byte.
_TIMEOUT: Final = httpx.Timeout(60, connect=20)
_PROVEN: Final = ".sha256"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """A model of which everything is known."""

    path: str
    url: str
    sha256: str
    bytes: int


def fetch_models(models: Sequence[Model], folder: Path, *, hub: str = HUB) -> int:
    """
    Make sure of all of them below ``folder``; return how many had to be fetched.

    Raises:
        ConfigurationError: one is not pinned, and then none was fetched; or a content is not what
            its pin says.
        Unavailable: a server does not answer, or answers with something else; what came is kept
            and continued by a repeat.
    """
    return sum(_fetch(wanted, folder) for wanted in _wanted(models, hub))


def _wanted(models: Sequence[Model], hub: str) -> list[_Wanted]:
    wanted, missing = [], []
    for model in models:
        url, sha256, size = resolved(model.url(hub)), resolved(model.sha256), resolved(model.bytes)
        # Nobody should come to use a model whose licence nobody has read.
        if url is None or sha256 is None or size is None or resolved(model.licence) is None:
            missing.append(model.path)
        else:
            wanted.append(_Wanted(path=model.path, url=url, sha256=sha256, bytes=size))
    if missing:
        raise ConfigurationError(
            f"models are not pinned yet: {', '.join(missing)}; genjobs pins resolve reads them"
        )
    return wanted


def _fetch(model: _Wanted, folder: Path) -> bool:
    target = folder / model.path
    if not target.resolve().is_relative_to(folder.resolve()):
        raise ConfigurationError(f"the model {model.path} lies outside of its folder")
    if _is_there(target, model.bytes, model.sha256):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    _download(model.url, part, model.bytes)
    found = _hash(part)
    if part.stat().st_size != model.bytes or found != model.sha256:
        part.unlink()
        raise ConfigurationError(f"the model {model.path} is not what its pin says")
    os.replace(part, target)
    target.with_name(target.name + _PROVEN).write_text(found)
    _log.info("model.fetched", path=model.path, bytes=model.bytes)
    return True


def _is_there(target: Path, size: int, sha256: str) -> bool:
    """Whether the file is there; hashed once, when it was fetched or when that is not known."""
    if not target.is_file() or target.stat().st_size != size:
        return False
    proven = target.with_name(target.name + _PROVEN)
    if not proven.is_file() or len(proven.read_text()) != len(sha256):
        proven.write_text(_hash(target))
    return proven.read_text() == sha256


def _download(url: str, part: Path, size: int) -> None:
    have = part.stat().st_size if part.is_file() else 0
    if have > size:
        part.unlink()
        have = 0
    if have == size:
        return
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        with httpx.stream(
            "GET", url, headers=headers, timeout=_TIMEOUT, follow_redirects=True
        ) as answer:
            if answer.status_code not in {200, 206}:
                raise Unavailable(f"A server of models answered {answer.status_code}.")
            goes_on = answer.status_code == 206
            with part.open("ab" if goes_on else "wb") as file:
                written = have if goes_on else 0
                for chunk in answer.iter_raw():  # as it comes: what breaks off is kept
                    written += len(chunk)
                    if written > size:
                        break  # the size already says that it is something else
                    file.write(chunk)
    except httpx.HTTPError as exc:
        raise Unavailable(f"A server of models: {type(exc).__name__}.") from exc
    if part.stat().st_size < size and written <= size:
        raise Unavailable("A server of models ended early.")


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
