"""
The typed node catalogue: what genjobs knows of ComfyUI's node classes.

For each class: whether it is an output node, which of its inputs name files and of what kind, and
which name the place it saves to. A class that is not listed has no known file inputs. Facts are
those of ComfyUI v0.26.0's core nodes. Which classes a tenant may use is not decided here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from genjobs.domain.media import MediaKind


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeClass:
    """What is known of one node class."""

    #: Runs and reports results even though no other node depends on it.
    output: bool = False
    #: Input name to the kind of file it must name.
    files: Mapping[str, MediaKind] = field(default_factory=dict)
    #: Inputs that name the folder and file prefix the node saves under.
    prefixes: tuple[str, ...] = ()


_SAVES: Final = ("filename_prefix",)

_FILE_INPUTS: Final = {
    "LoadImage": {"image": MediaKind.IMAGE},
    "LoadImageMask": {"image": MediaKind.IMAGE},
    "LoadImageOutput": {"image": MediaKind.IMAGE},
    "LoadAudio": {"audio": MediaKind.AUDIO},
    "LoadVideo": {"file": MediaKind.VIDEO},
    "Load3D": {"model_file": MediaKind.MODEL},
    "Load3DAdvanced": {"model_file": MediaKind.MODEL},
    "LoadLatent": {"latent": MediaKind.FILE},
}

_SAVING: Final = [
    "SaveImage",
    "SaveImageAdvanced",
    "SaveAnimatedWEBP",
    "SaveAnimatedPNG",
    "SaveSVGNode",
    "SaveWEBM",
    "SaveVideo",
    "SaveAudio",
    "SaveAudioMP3",
    "SaveAudioOpus",
    "SaveAudioAdvanced",
    "SaveLatent",
    "SaveGLB",
    "CheckpointSave",
    "CLIPSave",
    "VAESave",
    "ModelSave",
    "ImageOnlyCheckpointSave",
    "LoraSave",
]

_OTHER_OUTPUTS: Final = [
    "PreviewImage",
    "MaskPreview",
    "PreviewAudio",
    "PreviewAny",
    "Preview3D",
    "Preview3DAdvanced",
    "PreviewGaussianSplat",
    "PreviewPointCloud",
    "ImageCompare",
    "SAM3_TrackPreview",
    "SaveLoRA",
    "LossGraphNode",
    "SaveImageDataSetToFolder",
    "SaveImageTextDataSetToFolder",
    "SaveTrainingDataset",
]

_PLAIN: Final = [
    "EmptyImage",
    "ImageScale",
    "ImageScaleBy",
    "ImageInvert",
    "ImageBlend",
    "ImageBlur",
    "ImageSharpen",
    "ImageBatch",
    "ImageCrop",
    "LoadImageMask",
    "KSampler",
    "KSamplerAdvanced",
    "CheckpointLoaderSimple",
    "CLIPTextEncode",
    "EmptyLatentImage",
    "VAEDecode",
    "VAEEncode",
    "VAELoader",
    "LoraLoader",
    "CreateVideo",
]

CORE_NODES: Final[Mapping[str, NodeClass]] = {
    **{name: NodeClass() for name in _PLAIN},
    **{name: NodeClass(files=files) for name, files in _FILE_INPUTS.items()},
    **{name: NodeClass(output=True) for name in _OTHER_OUTPUTS},
    **{name: NodeClass(output=True, prefixes=_SAVES) for name in _SAVING},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCatalogue:
    """The node classes that a deployment knows."""

    classes: Mapping[str, NodeClass] = field(default_factory=lambda: CORE_NODES)

    def get(self, class_type: str) -> NodeClass | None:
        """Return what is known of a class, None when nothing is."""
        return self.classes.get(class_type)

    def extended(self, classes: Mapping[str, NodeClass]) -> NodeCatalogue:
        """Return a catalogue with more classes; theirs win over those of the same name."""
        return NodeCatalogue(classes={**self.classes, **classes})
