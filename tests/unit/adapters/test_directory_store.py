"""What the directory store does beyond its contract: links, full disks, dead writers."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from genjobs.adapters.local.artifact_store import DirectoryArtifactStore
from genjobs.adapters.local.secret_file import load_or_create_secret
from genjobs.domain.artifacts import input_key
from genjobs.domain.errors import Unavailable
from genjobs.domain.ids import JobId
from genjobs.testing import SequentialIds, an_owner
from genjobs.testing.clock import BEGINNING

KEY = input_key(an_owner(), JobId(SequentialIds().uuid7(BEGINNING)), 0)


def store_in(root: Path) -> DirectoryArtifactStore:
    return DirectoryArtifactStore(root, signing_key=b"k" * 32, base_url="http://genjobs.test")


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def test_planted_link_does_not_lead_out(tmp_path: Path) -> None:
    store = store_in(tmp_path / "files")
    (tmp_path / "secret").write_text("secret")
    path = tmp_path / "files" / KEY
    path.parent.mkdir(parents=True)
    path.symlink_to(tmp_path / "secret")

    with pytest.raises(Unavailable):
        async with store.read(KEY):
            pass


async def test_disk_that_refuses_is_unavailable_and_leaves_nothing(tmp_path: Path) -> None:
    store = store_in(tmp_path / "files")
    await store.check()
    (tmp_path / "files" / "t").write_text("a file where a folder must be")

    with pytest.raises(Unavailable):
        await store.put(KEY, stream(b"x"), content_type="image/png")
    assert list((tmp_path / "files" / ".writing").iterdir()) == []


async def test_half_written_files_of_dead_writers_go(tmp_path: Path) -> None:
    writing = tmp_path / "files" / ".writing"
    writing.mkdir(parents=True)
    for name, age in (("old", 3 * 86400), ("new", 0)):
        (writing / name).write_text("half")
        os.utime(writing / name, (time.time() - age,) * 2)
    store_in(tmp_path / "files")
    assert [path.name for path in writing.iterdir()] == ["new"]


def test_secret_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "key"
    first = load_or_create_secret(path, lambda: "first")
    second = load_or_create_secret(path, lambda: "second")
    assert (first, second) == ("first", "first")
    assert path.stat().st_mode & 0o777 == 0o600
    assert [item.name for item in path.parent.iterdir()] == ["key"]
