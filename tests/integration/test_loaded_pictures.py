"""
What LoadImage yields is the same with and without our ingest, and so are the bytes it reads.

Each picture is given to the engine as it is, and by URL through everything: fetcher, inspector,
artifact store, staging. On the simulator always, on a real ComfyUI if given.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import random
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from PIL import Image

from genjobs.domain.catalogue import NodeCatalogue
from genjobs.domain.errors import GenjobsError
from genjobs.domain.ids import ExecutionId
from genjobs.domain.media import SNIFF_BYTES, sniff
from genjobs.domain.ports import WorkflowEngine
from genjobs.domain.scrubbing import Scrubber
from genjobs.domain.workflow import parse_workflow
from tests import environment
from tests.attack_server import answer
from tests.integration.site import Site, open_site
from tests.media_files import animated, encoded, picture, png, png_header
from tests.postgres import Database

_ORIENTATION = 0x0112
#: Node id to the files that it saved, or the code of what went wrong.
Yield = dict[str, list[bytes]] | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A picture, and what of it must arrive for the comparison to mean anything."""

    content: bytes
    frames: int = 1
    #: Whether it has a mask; None where ComfyUI and its simulator differ.
    mask: bool | None = False


def _saved(name: str, made: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    made.save(file, name, **options)
    return file.getvalue()


def _transparent(mode: str) -> Image.Image:
    made = picture("RGBA")
    made.putalpha(Image.linear_gradient("L").resize(made.size))
    return made.convert(mode)


def _palette(transparency: int | bytes) -> bytes:
    return _saved("PNG", picture().quantize(16), transparency=transparency)


def _turned(name: str, orientation: int, **options: Any) -> bytes:
    made = picture(size=(48, 32))
    exif = made.getexif()
    exif[_ORIENTATION] = orientation
    return _saved(name, made, exif=exif, **options)


def _deep(colour: int, channels: int) -> bytes:
    """Return a PNG of 16 bits a channel, in which the lower 8 matter."""
    noise = random.Random(2)
    lines = b"".join(b"\x00" + noise.randbytes(40 * channels * 2) for _ in range(30))
    return png(png_header(40, 30, 16, colour), (b"IDAT", zlib.compress(lines)))


SAMPLES: dict[str, Sample] = {
    "rgba png": Sample(content=_saved("PNG", _transparent("RGBA")), mask=True),
    "grey and alpha png": Sample(content=_saved("PNG", _transparent("LA")), mask=True),
    "palette and one transparent colour": Sample(content=_palette(3), mask=True),
    "palette and alpha": Sample(content=_palette(bytes(range(0, 256, 16))), mask=True),
    "rgb and one transparent colour": Sample(content=encoded("PNG", "RGB", transparency=(0, 0, 0))),
    "one bit png": Sample(content=encoded("PNG", "1")),
    "rgba webp": Sample(content=_saved("WEBP", _transparent("RGBA"), lossless=True), mask=True),
    "rgba avif": Sample(content=_saved("AVIF", _transparent("RGBA")), mask=None),
    "grey jpeg": Sample(content=encoded("JPEG", "L")),
    "cmyk jpeg": Sample(content=encoded("JPEG", "CMYK")),
    "progressive jpeg": Sample(content=encoded("JPEG", "RGB", progressive=True)),
    "16 bit grey": Sample(content=_deep(0, 1)),
    "16 bit rgb": Sample(content=_deep(2, 3)),
    "16 bit rgba": Sample(content=_deep(6, 4), mask=True),
    "animated gif": Sample(content=animated("GIF"), frames=3),
    "animated webp": Sample(content=animated("WEBP", lossless=True), frames=3),
    "animated png": Sample(content=animated("PNG"), frames=3),
    "turned png": Sample(content=_turned("PNG", 6)),
    "turned webp": Sample(content=_turned("WEBP", 8, lossless=True)),
    **{
        f"jpeg of orientation {value}": Sample(content=_turned("JPEG", value))
        for value in range(1, 9)
    },
}


def graph(*, deep: bool) -> dict[str, dict[str, object]]:
    """Return a workflow that saves the picture and its mask, in 16 bits too if it can."""
    saved = {"filename_prefix": "x"}
    nodes: dict[str, dict[str, object]] = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "x.png"}},
        "2": {"class_type": "MaskToImage", "inputs": {"mask": ["1", 1]}},
        "picture": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], **saved}},
        "mask": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], **saved}},
    }
    if deep:
        nodes["deep"] = {
            "class_type": "SaveImageAdvanced",
            "inputs": {
                **saved,
                "images": ["1", 0],
                "format": "png",
                "format.bit_depth": "16-bit",
                "format.input_color_space": "sRGB",
            },
        }
    return nodes


async def loaded(engine: WorkflowEngine, content: bytes, *, deep: bool) -> Yield:
    """Return what the engine alone makes of a picture."""

    async def chunks() -> AsyncIterator[bytes]:
        yield content

    execution_id = ExecutionId(uuid4())
    name = f"raw{sniff(content[:SNIFF_BYTES]).extension}"
    workflow = parse_workflow(graph(deep=deep), NodeCatalogue())
    found: dict[str, list[bytes]] = {}
    try:
        rendered = await engine.render(
            execution_id,
            workflow,
            {"x.png": await engine.stage(execution_id, name, chunks())},
            on_progress=lambda _: None,
            stop=asyncio.Event(),
        )
        for file in rendered.outputs:
            async with engine.read(file) as stream:
                found.setdefault(file.node_id, []).append(
                    scrubbed(b"".join([chunk async for chunk in stream]))
                )
    except GenjobsError as error:
        return error.code
    finally:
        await engine.discard(execution_id)
    return found


def scrubbed(content: bytes) -> bytes:
    """Return a file as it is delivered."""
    scrubber = Scrubber(sniff(content[:SNIFF_BYTES]))
    return scrubber.feed(content) + scrubber.finish()


async def delivered(site: Site, content: bytes, *, deep: bool) -> Yield:
    """Return what a job by URL delivers of the same picture."""
    site.server.on("/picture", answer(content))
    submitted = await site.submit(graph(deep=deep), x="http://example.com/picture")
    assert submitted.status_code == 202, submitted.text
    job = await site.final(submitted.json()["id"])
    if job["status"] != "completed":
        error: dict[str, str] = job["error"]  # type: ignore[assignment]
        return error["code"]
    found: dict[str, list[bytes]] = {}
    outputs: list[dict[str, str]] = job["outputs"]  # type: ignore[assignment]
    for output in outputs:
        content = (await site.http.get(output["url"])).content
        found.setdefault(output["node_id"], []).append(content)
    return found


async def same_with_and_without_ingest(site: Site, sample: Sample, *, deep: bool) -> None:
    alone = await loaded(site.engine, sample.content, deep=deep)
    through = await delivered(site, sample.content, deep=deep)

    assert isinstance(alone, dict), alone
    assert through == alone
    assert len(alone["picture"]) == sample.frames
    with Image.open(io.BytesIO(alone["mask"][0])) as mask:
        assert sample.mask is None or (mask.getextrema() != ((0, 0),) * 3) is sample.mask
    stored = {
        hashlib.sha256(path.read_bytes()).digest()
        for path in (site.data / "artifacts").rglob("*")
        if path.is_file()
    }
    assert hashlib.sha256(sample.content).digest() in stored


@pytest.fixture
async def site(database: Database, tmp_path: Path) -> AsyncIterator[Site]:
    """Hold a site on the simulator."""
    async with open_site(database, tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
async def test_load_image_yields_the_same(site: Site, sample: Sample) -> None:
    await same_with_and_without_ingest(site, sample, deep=False)


@pytest.mark.skipif(environment.COMFYUI_URL is None, reason="GENJOBS_TEST_COMFYUI_URL is not set")
@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
async def test_load_image_of_comfyui_yields_the_same(
    database: Database, tmp_path: Path, sample: Sample
) -> None:
    async with open_site(
        database,
        tmp_path,
        comfyui_url=environment.COMFYUI_URL,
        comfyui_directory=environment.COMFYUI_DIRECTORY,
    ) as site:
        await same_with_and_without_ingest(site, sample, deep=True)
