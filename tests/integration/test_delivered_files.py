"""
Nothing of the workflow is in delivered files, of whichever node saved them.

On the simulator always, on a real ComfyUI if given; start that one without ``--disable-metadata``,
or there is nothing to take out.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests import environment
from tests.integration.site import Site, open_site
from tests.postgres import Database

SECRET = "a prompt that nobody else may read"
_PREFIX = {"filename_prefix": "x"}
_PNG = {"format": "png", "format.bit_depth": "16-bit", "format.input_color_space": "sRGB"}
_EXR = {"format": "exr", "format.bit_depth": "32-bit float", "format.input_color_space": "sRGB"}
_VIDEO = {"video": ["video", 0], "format": "auto", "codec": "auto"}
_WEBM = {"images": ["1", 0], "fps": 8.0, "crf": 32.0}
#: The node that saves, its inputs, and whether the simulator has it.
SAVING: dict[str, tuple[str, dict[str, Any], bool]] = {
    "png": ("SaveImage", {"images": ["1", 0]}, True),
    "animated webp": (
        "SaveAnimatedWEBP",
        {
            "images": ["1", 0],
            "fps": 6.0,
            "lossless": True,
            "quality": 80,
            "method": "default",
        },
        True,
    ),
    "animated png": (
        "SaveAnimatedPNG",
        {"images": ["1", 0], "fps": 6.0, "compress_level": 4},
        False,
    ),
    "16 bit png": ("SaveImageAdvanced", {"images": ["1", 0], **_PNG}, False),
    "exr": ("SaveImageAdvanced", {"images": ["1", 0], **_EXR}, False),
    "mp4": ("SaveVideo", _VIDEO, False),
    "vp9": ("SaveWEBM", {**_WEBM, "codec": "vp9"}, False),
    "av1": ("SaveWEBM", {**_WEBM, "codec": "av1"}, False),
    "flac": ("SaveAudio", {"audio": ["audio", 0]}, False),
    "mp3": ("SaveAudioMP3", {"audio": ["audio", 0], "quality": "V0"}, False),
    "opus": ("SaveAudioOpus", {"audio": ["audio", 0], "quality": "128k"}, False),
}


def graph(class_type: str, inputs: dict[str, Any], *, sound: bool) -> dict[str, Any]:
    """Return a workflow that holds a secret and saves what does not depend on it."""
    nodes: dict[str, Any] = {
        "1": {
            "class_type": "EmptyImage",
            "inputs": {"width": 64, "height": 64, "batch_size": 4, "color": 255},
        },
        # A text that is no part of the saved file, yet of the graph.
        "2": {"class_type": "PreviewAny", "inputs": {"source": SECRET}},
        "9": {"class_type": class_type, "inputs": {**inputs, **_PREFIX}},
    }
    if sound:
        nodes["audio"] = {
            "class_type": "EmptyAudio",
            "inputs": {"duration": 1.0, "sample_rate": 48_000, "channels": 2},
        }
        nodes["video"] = {
            "class_type": "CreateVideo",
            "inputs": {"images": ["1", 0], "fps": 8.0, "audio": ["audio", 0]},
        }
    return nodes


def texts(content: bytes) -> bytes:
    """Return a file with all that is deflated in it unpacked after it."""
    found = content
    for start in re.finditer(rb"\x78[\x01\x5e\x9c\xda]", content):
        try:
            found += zlib.decompressobj().decompress(content[start.start() :])
        except zlib.error:
            continue
    return found


async def delivers_no_text(site: Site, workflow: dict[str, Any]) -> None:
    submitted = await site.submit(workflow)
    assert submitted.status_code == 202, submitted.text
    job: dict[str, Any] = await site.final(submitted.json()["id"])
    assert job["status"] == "completed", job
    saved = [output for output in job["outputs"] if output["node_id"] == "9"]
    assert saved
    for output in saved:
        content = texts((await site.http.get(output["url"])).content)
        for word in (SECRET, "class_type", "EmptyImage"):
            assert word.encode() not in content
            assert word.encode("utf-16-le") not in content


@pytest.fixture
async def site(database: Database, tmp_path: Path) -> AsyncIterator[Site]:
    """Hold a site on the simulator."""
    async with open_site(database, tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("name", [name for name, (*_, simulated) in SAVING.items() if simulated])
async def test_nothing_of_the_workflow_is_delivered(site: Site, name: str) -> None:
    class_type, inputs, _ = SAVING[name]
    await delivers_no_text(site, graph(class_type, inputs, sound=False))


@pytest.mark.skipif(environment.COMFYUI_URL is None, reason="GENJOBS_TEST_COMFYUI_URL is not set")
@pytest.mark.parametrize("name", SAVING)
async def test_nothing_of_the_workflow_is_delivered_from_comfyui(
    database: Database, tmp_path: Path, name: str
) -> None:
    class_type, inputs, _ = SAVING[name]
    async with open_site(
        database,
        tmp_path,
        comfyui_url=environment.COMFYUI_URL,
        comfyui_directory=environment.COMFYUI_DIRECTORY,
    ) as site:
        await delivers_no_text(site, graph(class_type, inputs, sound=True))
