"""A small stack with open pins, and sources that know them."""

from __future__ import annotations

import dataclasses

from genjobs.domain.pins import (
    BaseImage,
    ImageRead,
    Model,
    ModelRead,
    Repository,
    Stack,
    Unresolved,
)
from genjobs.testing import MemoryPinSources

NOBODY = Unresolved("nobody read it")
IMAGE = ImageRead(digest="sha256:" + "a" * 64, python="3.11.13")
NEWER = ImageRead(digest="sha256:" + "b" * 64, python="3.11.14")
WEIGHTS = ModelRead(revision="c" * 40, sha256="d" * 64, bytes=7, licence="mit")
LATER = dataclasses.replace(WEIGHTS, revision="e" * 40, sha256="f" * 64, bytes=8)
BASE = BaseImage(name="python", tag="3.11", digest=NOBODY, python=NOBODY)
GIT = "https://git.example.com/"
STACK = Stack(
    image_builder="2026.10",
    python="3.11",
    uv="0.13.9",
    cuda="13.0.3.0",
    torch="2.13.0",
    torchvision="0.28.0",
    torchaudio="2.11.0",
    cpu_base=dataclasses.replace(BASE, tag="3.11-slim"),
    gpu_base=dataclasses.replace(BASE, tag="3.11-full"),
    comfyui=Repository(name="ComfyUI", url=GIT + "comfy", ref="refs/tags/v1", commit=NOBODY),
    custom_nodes=(
        Repository(name="Films", url=GIT + "films", ref="refs/heads/main", commit="1" * 40),
    ),
    models=(
        Model(
            path="checkpoints/tiny",
            repository="owner/tiny",
            file="tiny",
            revision=NOBODY,
            sha256=NOBODY,
            bytes=NOBODY,
            licence=NOBODY,
        ),
    ),
)
TINY = "models.checkpoints/tiny"


def sources_of_all() -> MemoryPinSources:
    sources = MemoryPinSources()
    sources.put_image("python", "3.11-slim", IMAGE)
    sources.put_image("python", "3.11-full", IMAGE)
    sources.commits[GIT + "comfy", "refs/tags/v1"] = "2" * 40
    sources.commits[GIT + "films", "refs/heads/main"] = "3" * 40
    sources.models["owner/tiny", "tiny"] = [WEIGHTS]
    return sources
