"""The contract of the media inspector."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from genjobs.domain.errors import MediaContentRefused, MediaTypeRefused, Unavailable
from genjobs.domain.media import PNG
from genjobs.domain.media_limits import MediaLimits
from genjobs.domain.ports import MediaFacts, MediaInspector
from genjobs.testing.factories import png_bytes

_OF_NO_TYPE = (
    b"",
    b"\x89PNG",
    b"hello",
    b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    b"<!DOCTYPE html><script>alert(1)</script>",
    b"%PDF-1.7\n",
    b"%!PS-Adobe-3.0 EPSF-3.0\n",
    b"8BPS\x00\x01",
    b"PK\x03\x04",
    b"#EXTM3U\n",
    b"\x00\x00\x01\x00\x01\x00",
    b"BM\x46\x00\x00\x00\x00\x00\x00\x00\x36\x00",
    b"II*\x00\x08\x00\x00\x00",
    b"glTF\x02\x00\x00\x00",
    b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic",
)


class MediaInspectorContract:
    """Needs the fixture ``inspector``, with the limits as they are by default."""

    @pytest.fixture
    def inspector(self) -> MediaInspector:
        """Return the inspector under test."""
        raise NotImplementedError

    async def test_picture_is_what_it_is(self, inspector: MediaInspector, tmp_path: Path) -> None:
        content = png_bytes(31, 17)
        path = tmp_path / "picture"
        path.write_bytes(content)

        assert await inspector.inspect(path) == MediaFacts(
            media_type=PNG, bytes=len(content), width=31, height=17, frames=1
        )
        assert path.read_bytes() == content

    async def test_name_says_nothing(self, inspector: MediaInspector, tmp_path: Path) -> None:
        path = tmp_path / "film.mp4"
        path.write_bytes(png_bytes())

        assert (await inspector.inspect(path)).media_type is PNG

    @pytest.mark.parametrize("content", _OF_NO_TYPE, ids=lambda content: repr(content[:12]))
    async def test_other_types_are_refused(
        self, inspector: MediaInspector, tmp_path: Path, content: bytes
    ) -> None:
        path = tmp_path / "picture.png"
        path.write_bytes(content)

        with pytest.raises(MediaTypeRefused) as refused:
            await inspector.inspect(path)
        assert str(tmp_path) not in refused.value.message

    async def test_broken_picture_is_refused(
        self, inspector: MediaInspector, tmp_path: Path
    ) -> None:
        whole = png_bytes(200, 200)
        for content in (whole[: len(whole) // 2], whole[:33], png_bytes(0, 5)):
            path = tmp_path / "picture"
            path.write_bytes(content)
            with pytest.raises(MediaContentRefused) as refused:
                await inspector.inspect(path)
            assert str(tmp_path) not in refused.value.message

    async def test_picture_of_too_many_pixels_is_refused_with_its_size(
        self, inspector: MediaInspector, tmp_path: Path
    ) -> None:
        content = bytearray(png_bytes())
        content[16:24] = (20_000).to_bytes(4, "big") * 2
        path = tmp_path / "picture"
        path.write_bytes(content)

        with pytest.raises(MediaContentRefused, match="20000 x 20000 pixels"):
            await inspector.inspect(path)

    async def test_file_of_too_many_bytes_is_refused(
        self, inspector: MediaInspector, tmp_path: Path
    ) -> None:
        path = tmp_path / "picture"
        path.write_bytes(png_bytes())
        limit = MediaLimits().bytes
        with path.open("r+b") as file:
            file.truncate(limit + 1)

        with pytest.raises(MediaContentRefused, match=str(limit)):
            await inspector.inspect(path)

    async def test_file_that_is_not_there_is_no_refusal(
        self, inspector: MediaInspector, tmp_path: Path
    ) -> None:
        with pytest.raises(Unavailable) as away:
            await inspector.inspect(tmp_path / "nothing")
        assert str(tmp_path) not in away.value.message

    async def test_many_at_once_have_each_its_own_answer(
        self, inspector: MediaInspector, tmp_path: Path
    ) -> None:
        paths = [tmp_path / str(n) for n in range(12)]
        for n, path in enumerate(paths):
            path.write_bytes(b"hello" if n % 3 == 0 else png_bytes(n, n))

        found = await asyncio.gather(*map(inspector.inspect, paths), return_exceptions=True)

        for n, facts in enumerate(found):
            if n % 3 == 0:
                assert isinstance(facts, MediaTypeRefused)
            else:
                assert isinstance(facts, MediaFacts)
                assert facts.width == n
