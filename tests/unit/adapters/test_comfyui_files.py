"""The folders of a ComfyUI on this machine: what is read, refused and removed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from genjobs.adapters.comfyui.files import ComfyUIFolders
from genjobs.domain.errors import EngineFailed, NoOutput

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
