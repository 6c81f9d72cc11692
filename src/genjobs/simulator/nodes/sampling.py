"""
The text-to-picture nodes, without a model.

The sampler takes its steps one by one, in real time; the decoder draws noise that depends on what
a real model would depend on (seed, texts, settings), so equal jobs give equal pictures.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import time
from typing import Any

from PIL import Image

from genjobs.simulator.nodes.base import NodeContext, NodeResult
from genjobs.simulator.nodes.images import require_memory

Inputs = dict[str, Any]

#: Longest side of a preview picture, in pixels.
PREVIEW_PIXELS = 512


def load_checkpoint(inputs: Inputs, _context: NodeContext) -> NodeResult:
    """Name the model, text encoder and decoder of a checkpoint."""
    name = inputs["ckpt_name"]
    return NodeResult(({"model": name}, {"clip": name}, {"vae": name}))


def encode_text(inputs: Inputs, _context: NodeContext) -> NodeResult:
    """Bind a text to a text encoder."""
    return NodeResult(({"text": inputs["text"], **inputs["clip"]},))


def empty_latent(inputs: Inputs, _context: NodeContext) -> NodeResult:
    """Make blank latents: sizes in pixels, rounded down to eights as the real ones are."""
    width, height = inputs["width"] // 8 * 8, inputs["height"] // 8 * 8
    require_memory(width, height, inputs["batch_size"])
    return NodeResult(
        ({"width": width, "height": height, "batch": inputs["batch_size"], "noise": ""},)
    )


def sample(inputs: Inputs, context: NodeContext) -> NodeResult:
    """Take the steps, each reported and each a moment to be interrupted."""
    settings = {name: value for name, value in inputs.items() if name != "latent_image"}
    latent = inputs["latent_image"]
    text = json.dumps([settings, latent["noise"]], sort_keys=True, default=str)
    noise = hashlib.sha256(text.encode()).hexdigest()
    steps = inputs["steps"]
    for step in range(1, steps + 1):
        time.sleep(context.step_seconds)
        preview = _preview(latent, noise, step) if context.previews else None
        context.report(step, steps, preview)
    return NodeResult(({**latent, "noise": noise},))


def decode(inputs: Inputs, _context: NodeContext) -> NodeResult:
    """Draw one picture of noise per latent."""
    latent = inputs["samples"]
    size = (latent["width"], latent["height"])
    pictures = [_noise(size, f"{latent['noise']}/{index}") for index in range(latent["batch"])]
    return NodeResult((pictures,))


def _noise(size: tuple[int, int], seed: str) -> Image.Image:
    generator = random.Random(seed)  # noqa: S311 - reproducible noise is the point
    return Image.frombytes("RGB", size, generator.randbytes(size[0] * size[1] * 3))


def _preview(latent: dict[str, Any], noise: str, step: int) -> bytes:
    small = _noise((latent["width"] // 8, latent["height"] // 8), f"{noise}@{step}")
    factor = PREVIEW_PIXELS / max(small.size)
    size = (max(1, int(small.width * factor)), max(1, int(small.height * factor)))
    buffer = io.BytesIO()
    small.resize(size, Image.Resampling.BILINEAR).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()
