"""Picture nodes done with Pillow: make, load, show masks, scale, invert, blend, blur."""

from __future__ import annotations

from itertools import cycle
from typing import Any

from PIL import Image, ImageChops, ImageFilter, ImageOps, ImageSequence

from genjobs.simulator.nodes.base import NodeContext, NodeResult
from genjobs.simulator.nodes.failures import NodeFailure

Inputs = dict[str, Any]
Batch = list[Image.Image]

#: Pixels of one batch above which allocation "fails", as it does on a machine without the memory.
MAX_BATCH_PIXELS = 2**30

_FILTERS = {
    "nearest-exact": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_BLENDS = {
    "normal": lambda _below, above: above,
    "multiply": ImageChops.multiply,
    "screen": ImageChops.screen,
    "overlay": ImageChops.overlay,
    "soft_light": ImageChops.soft_light,
    "difference": ImageChops.difference,
}
_LOAD_FRAMES = (
    '  File "/comfy/nodes.py", line 1720, in load_image\n',
    '  File "/comfy/comfy_api/latest/_input_impl/video_types.py", line 405, in get_components\n',
    '  File "av/container/core.py", line 578, in av.container.core.open\n',
    '  File "av/container/core.py", line 344, in av.container.core.Container.__cinit__\n',
    '  File "av/container/core.py", line 369, in av.container.core.Container.err_check\n',
    '  File "av/error.py", line 354, in av.error.err_check\n',
)


def require_memory(width: int, height: int, batch: int) -> None:
    """
    Refuse a batch no test machine should allocate, in the words of a CPU allocator.

    Raises:
        NodeFailure: a RuntimeError of torch.

    """
    if width * height * batch > MAX_BATCH_PIXELS:
        message = (
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate "
            f"memory: you tried to allocate {width * height * batch * 4} bytes. "
            "Error code 12 (Cannot allocate memory)"
        )
        frames = ('  File "/comfy/nodes.py", line 1955, in generate\n',)
        raise NodeFailure("RuntimeError", message, frames)


def empty_image(inputs: Inputs, _context: NodeContext) -> NodeResult:
    """Make one-coloured pictures."""
    width, height, batch = inputs["width"], inputs["height"], inputs["batch_size"]
    require_memory(width, height, batch)
    color = inputs["color"]
    rgb = ((color >> 16) & 255, (color >> 8) & 255, color & 255)
    return NodeResult(([Image.new("RGB", (width, height), rgb)] * batch,))


def load_image(inputs: Inputs, context: NodeContext) -> NodeResult:
    """Load the frames of a picture and, as masks, what of them is transparent."""
    path = context.folders.input_path(inputs["image"])
    images: Batch = []
    masks: Batch = []
    try:
        with Image.open(path) as opened:
            for frame in ImageSequence.Iterator(opened):
                picture = ImageOps.exif_transpose(frame)
                if picture.has_transparency_data:
                    picture = picture.convert("RGBA")
                if images and picture.size != images[0].size:
                    continue
                require_memory(picture.width, picture.height, len(images) + 1)
                images.append(picture.convert("RGB"))
                masks.append(_transparency(picture))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        message = f"[Errno 1094995529] Invalid data found when processing input: '{path}'"
        raise NodeFailure("av.error.InvalidDataError", message, _LOAD_FRAMES) from error
    return NodeResult((images, masks))


def _transparency(picture: Image.Image) -> Image.Image:
    if picture.mode != "RGBA":
        return Image.new("L", (64, 64), 0)
    return ImageOps.invert(picture.getchannel("A"))


def mask_to_image(inputs: Inputs, _context: NodeContext) -> NodeResult:
    """Show masks as grey pictures."""
    return NodeResult(([each.convert("RGB") for each in inputs["mask"]],))


def image_scale(inputs: Inputs, _context: NodeContext) -> NodeResult:
    """Scale to a size; a zero side follows the other."""
    images: Batch = inputs["image"]
    width, height = inputs["width"], inputs["height"]
    if width == 0 and height == 0:
        return NodeResult((images,))
    first = images[0]
    width = width or max(1, round(first.width * height / first.height))
    height = height or max(1, round(first.height * width / first.width))
    require_memory(width, height, len(images))
    method = _FILTERS[inputs["upscale_method"]]
    if inputs["crop"] == "center":
        scaled = [ImageOps.fit(each, (width, height), method) for each in images]
    else:
        scaled = [each.resize((width, height), method) for each in images]
    return NodeResult((scaled,))


def image_invert(inputs: Inputs, _context: NodeContext) -> NodeResult:
    """Invert the colours."""
    return NodeResult(([ImageOps.invert(each) for each in inputs["image"]],))


def image_blend(inputs: Inputs, _context: NodeContext) -> NodeResult:
    """Blend two batches; the second is fitted to the first."""
    blend = _BLENDS[inputs["blend_mode"]]
    blended = []
    for below, other in zip(inputs["image1"], cycle(inputs["image2"]), strict=False):
        above = other
        if above.size != below.size:
            above = ImageOps.fit(above, below.size, Image.Resampling.BICUBIC)
        blended.append(Image.blend(below, blend(below, above), inputs["blend_factor"]))
    return NodeResult((blended,))


def image_blur(inputs: Inputs, _context: NodeContext) -> NodeResult:
    """Blur with a Gaussian no wider than the radius."""
    blur = ImageFilter.GaussianBlur(min(inputs["sigma"], inputs["blur_radius"]))
    return NodeResult(([each.filter(blur) for each in inputs["image"]],))
