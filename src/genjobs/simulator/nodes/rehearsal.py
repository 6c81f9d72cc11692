"""Nodes that exist in the simulator only, to rehearse failures, waits and big outputs."""

from __future__ import annotations

import io
import random
import struct
import time
import zlib
from typing import Any

from PIL import Image

from genjobs.simulator.nodes.base import NodeContext, NodeResult, shown_file
from genjobs.simulator.nodes.failures import NodeFailure

Inputs = dict[str, Any]

_CHUNK = 2**20
_PNG_END = 12  # bytes of the last chunk
_FILLER = b"IDAT"  # more than the picture needs: readers skip it, and it is delivered


def fail(inputs: Inputs, context: NodeContext) -> NodeResult:
    """Raise, with a server path in the message as real failures have."""
    path = context.folders.base / "models" / "rehearsal.safetensors"
    frames = ('  File "/comfy/custom_nodes/rehearsal/nodes.py", line 17, in fail\n',)
    raise NodeFailure("RuntimeError", f"{inputs['message']}: '{path}'", frames)


def sleep(inputs: Inputs, _context: NodeContext) -> NodeResult:
    """Pass the pictures on after a while; nothing can interrupt the wait."""
    time.sleep(inputs["seconds"])
    return NodeResult((inputs["image"],))


def large_file(inputs: Inputs, context: NodeContext) -> NodeResult:
    """
    Write a file of exactly so many bytes that no compression shrinks.

    It is a PNG (a small picture with much more data than its pixels need) or an MP4 (a file type
    box and one box of media data).
    """
    size, extension = inputs["bytes"], inputs["extension"]
    place = context.folders.save_path(inputs["filename_prefix"], context.folders.output, 0, 0)
    path = place.file(0, extension)
    picture = _picture() if extension == "png" else b""
    head = _mp4_head(size) if extension == "mp4" else picture[:-_PNG_END]
    left = size - (len(picture) + 12 if picture else len(head))
    if left < 0:
        raise ValueError(f"a {extension} file has at least {size - left} bytes")
    generator = random.Random(inputs["seed"])  # noqa: S311 - filler
    with path.open("wb") as file:
        file.write(head)
        if picture:
            file.write(struct.pack(">I", left) + _FILLER)
        checksum = zlib.crc32(_FILLER)
        while left > 0:
            chunk = generator.randbytes(min(_CHUNK, left))
            checksum = zlib.crc32(chunk, checksum)
            left -= file.write(chunk)
        if picture:
            file.write(struct.pack(">I", checksum) + picture[-_PNG_END:])
    return NodeResult((), {"images": [shown_file(path, place.subfolder, "output")]})


def _picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, "PNG")
    return buffer.getvalue()


def _mp4_head(size: int) -> bytes:
    kind = struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"isom", 512, b"isom", b"mp41")
    return kind + struct.pack(">I4sQ", 1, b"mdat", size - len(kind))
