"""The folders of a ComfyUI on this machine: what is read, refused and removed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from genjobs.adapters.comfyui.files import ComfyUIFolders
from genjobs.domain.errors import EngineFailed, NoOutput

#: A folder that is a link every other moment.
_TURN = """
import os, sys
mine, secret = sys.argv[1:]
print(flush=True)
while True:
    os.rename(mine, mine + "_aside")
    os.symlink(secret, mine)
    os.unlink(mine)
    os.rename(mine + "_aside", mine)
"""
_MINE, _THEIRS = "genjobs/1", "genjobs/2"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    for kind in ("input", "output", "temp"):
        for folder in (_MINE, _THEIRS):
            (tmp_path / kind / folder).mkdir(parents=True)
    (tmp_path / "output" / _THEIRS / "b.png").write_bytes(b"theirs")
    return tmp_path


async def content_of(base: Path, filename: str) -> bytes:
    async with ComfyUIFolders(base).open(_MINE, filename) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def _bytes(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def test_file_is_read_in_bounded_chunks(base: Path) -> None:
    (base / "output" / _MINE / "a.png").write_bytes(b"x" * 2_500_000)
    async with ComfyUIFolders(base).open(_MINE, "a.png") as chunks:
        sizes = [len(chunk) async for chunk in chunks]
    assert sizes == [1024 * 1024, 1024 * 1024, 2_500_000 - 2 * 1024 * 1024]


async def test_link_to_another_renders_file_is_not_followed(base: Path) -> None:
    (base / "output" / _MINE / "a.png").symlink_to(base / "output" / _THEIRS / "b.png")
    with pytest.raises(NoOutput):
        await content_of(base, "a.png")


async def test_link_in_a_circle_is_no_output(base: Path) -> None:
    (base / "output" / _MINE / "a.png").symlink_to("a.png")
    with pytest.raises(NoOutput):
        await content_of(base, "a.png")


async def test_pipe_is_no_output_and_is_not_waited_for(base: Path) -> None:
    os.mkfifo(base / "output" / _MINE / "a.png")
    async with asyncio.timeout(5):
        with pytest.raises(NoOutput):
            await content_of(base, "a.png")


async def test_folder_that_becomes_a_link_between_two_looks_leads_nowhere(base: Path) -> None:
    """A node may do so for as long as it runs, and the worker may read more than nodes."""
    mine, secret = base / "output" / _MINE, base / "secret"
    secret.mkdir()
    (secret / "a.png").write_bytes(b"secret")
    (mine / "a.png").write_bytes(b"mine")
    turning = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-c", _TURN, str(mine), str(secret)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert turning.stdout is not None
        await turning.stdout.readline()
        for _ in range(5000):
            with contextlib.suppress(NoOutput):
                assert await content_of(base, "a.png") == b"mine"
    finally:
        turning.kill()
        await turning.wait()


async def test_removal_follows_no_link_above_the_renders_folder(base: Path) -> None:
    elsewhere = base / "elsewhere"
    (elsewhere / Path(_MINE).name).mkdir(parents=True)
    for kind in ("output", "temp"):
        shutil.rmtree(base / kind / "genjobs")
        (base / kind / "genjobs").symlink_to(elsewhere)
    with pytest.raises(EngineFailed):
        await ComfyUIFolders(base).remove(_MINE, [("genjobs", Path(_MINE).name)])
    assert (elsewhere / Path(_MINE).name).exists()


async def test_folder_in_place_of_a_file_is_no_output(base: Path) -> None:
    (base / "output" / _MINE / "a.png").mkdir()
    with pytest.raises(NoOutput):
        await content_of(base, "a.png")


@pytest.mark.parametrize("filename", ["../x.png", "/x.png", "", "..", "a/b.png"])
async def test_input_is_staged_under_one_path_part_only(base: Path, filename: str) -> None:
    with pytest.raises(EngineFailed):
        await ComfyUIFolders(base).stage(_MINE, filename, _bytes(b"x"))
    assert not (base / "input" / "genjobs" / "x.png").exists()


async def test_input_is_staged_in_the_renders_folder(base: Path) -> None:
    name = await ComfyUIFolders(base).stage(_MINE, "input_0.png", _bytes(b"a", b"b"))
    assert (name, (base / "input" / name).read_bytes()) == (f"{_MINE}/input_0.png", b"ab")


async def test_removal_takes_every_folder_of_the_render_and_no_other(base: Path) -> None:
    await ComfyUIFolders(base).remove(_MINE)
    await ComfyUIFolders(base).remove(_MINE)

    assert not any((base / kind / _MINE).exists() for kind in ("input", "output", "temp"))
    assert all((base / kind / _THEIRS).exists() for kind in ("input", "output", "temp"))


async def test_what_cannot_be_removed_does_not_keep_the_rest(base: Path) -> None:
    (base / "input" / _MINE).rmdir()
    (base / "input" / _MINE).symlink_to(base / "input" / _THEIRS)
    with pytest.raises(EngineFailed):
        await ComfyUIFolders(base).remove(_MINE)

    assert not (base / "output" / _MINE).exists()
    assert (base / "input" / _THEIRS).exists()
