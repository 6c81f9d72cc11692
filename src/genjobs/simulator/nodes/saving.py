"""Output nodes: pictures, previews, animations, text."""

from __future__ import annotations

import json
import random
import string
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from genjobs.simulator.nodes.base import NodeContext, NodeResult, shown_file

Inputs = dict[str, Any]

_WEBP_METHODS = {"default": 4, "fastest": 0, "slowest": 6}


def save_image(inputs: Inputs, context: NodeContext) -> NodeResult:
    """Write PNG files into the output folder."""
    return _save(inputs, context, context.folders.output, "output", inputs["filename_prefix"])


def preview_image(inputs: Inputs, context: NodeContext) -> NodeResult:
    """Write PNG files into the temp folder."""
    suffix = "".join(random.choices(string.ascii_lowercase, k=5))  # noqa: S311 - a file name
    return _save(inputs, context, context.folders.temp, "temp", f"ComfyUI_temp_{suffix}")


def save_animated_webp(inputs: Inputs, context: NodeContext) -> NodeResult:
    """Write the batch as one animation."""
    images: list[Image.Image] = inputs["images"]
    place = context.folders.save_path(
        inputs["filename_prefix"], context.folders.output, images[0].width, images[0].height
    )
    path = place.file(0, "webp")
    images[0].save(
        path,
        save_all=True,
        append_images=images[1:],
        duration=int(1000 / inputs["fps"]),
        lossless=inputs["lossless"],
        quality=inputs["quality"],
        method=_WEBP_METHODS[inputs["method"]],
    )
    ui: dict[str, Any] = {"images": [shown_file(path, place.subfolder, "output")]}
    if len(images) > 1:
        ui["animated"] = [True]
    return NodeResult((images,), ui)


def preview_any(inputs: Inputs, _context: NodeContext) -> NodeResult:
    """Show any value as text; no file is written."""
    source = inputs["source"]
    if source is None or isinstance(source, str | int | float):
        text = str(source)
    else:
        try:
            text = json.dumps(source, indent=4)
        except TypeError:
            text = str(source)
    return NodeResult((text,), {"text": [text]})


def _save(inputs: Inputs, context: NodeContext, folder: Path, kind: str, prefix: str) -> NodeResult:
    images: list[Image.Image] = inputs["images"]
    place = context.folders.save_path(prefix, folder, images[0].width, images[0].height)
    info = PngInfo()
    if context.metadata:
        info.add_text("prompt", json.dumps(inputs["prompt"]))
        for name, value in (inputs["extra_pnginfo"] or {}).items():
            info.add_text(name, json.dumps(value))
    files = []
    for index, image in enumerate(images):
        path = place.file(index, "png")
        image.save(path, pnginfo=info, compress_level=4 if kind == "output" else 1)
        files.append(shown_file(path, place.subfolder, kind))
    return NodeResult((images,), {"images": files})
