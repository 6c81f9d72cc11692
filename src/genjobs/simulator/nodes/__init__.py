"""
What each node of the catalogue does.

One function per class: it takes the node's inputs by name and a context, and returns the output
slots and, for output nodes, what the client is shown. A picture batch (``IMAGE``) is a list of RGB
pictures, a ``MASK`` a list of greyscale ones.
"""

from __future__ import annotations

from genjobs.simulator.nodes import images, rehearsal, sampling, saving
from genjobs.simulator.nodes.base import NodeContext, NodeFunction, NodeResult

NODES: dict[str, NodeFunction] = {
    "EmptyImage": images.empty_image,
    "LoadImage": images.load_image,
    "ImageScale": images.image_scale,
    "ImageInvert": images.image_invert,
    "ImageBlend": images.image_blend,
    "ImageBlur": images.image_blur,
    "MaskToImage": images.mask_to_image,
    "SaveImage": saving.save_image,
    "PreviewImage": saving.preview_image,
    "SaveAnimatedWEBP": saving.save_animated_webp,
    "PreviewAny": saving.preview_any,
    "CheckpointLoaderSimple": sampling.load_checkpoint,
    "CLIPTextEncode": sampling.encode_text,
    "EmptyLatentImage": sampling.empty_latent,
    "KSampler": sampling.sample,
    "VAEDecode": sampling.decode,
    "SimulatorFail": rehearsal.fail,
    "SimulatorSleep": rehearsal.sleep,
    "SimulatorLargeFile": rehearsal.large_file,
}

__all__ = ["NODES", "NodeContext", "NodeFunction", "NodeResult"]
