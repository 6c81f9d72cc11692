"""
What containers are made of, as values: each thing exactly, or the reason why nobody read it yet.

A pin is a value that names one content and no other: a digest, a full commit, an exact version. A
tag or a branch is only what is followed when pins are read anew. How pins are written down is in
``pin_file``, which of them are wrong in ``pin_rules``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Final, TypeVar

#: Where models come from.
HUB: Final = "https://huggingface.co"

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Unresolved:
    """A pin whose value nobody has read from its source yet."""

    reason: str

    def __str__(self) -> str:
        return f"UNRESOLVED({self.reason})"


Pin = str | Unresolved


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseImage:
    """An image of a registry."""

    #: As a Dockerfile names it; without a host it is one of Docker Hub's.
    name: str
    #: What is followed when the digest is read anew; never what is built from.
    tag: str
    #: Of the tag's index (or of its manifest, when it has no index): ``sha256:`` and 64 digits.
    digest: Pin
    #: The exact Python in it, as the image itself says.
    python: Pin

    def reference(self) -> Pin:
        """Return what ``FROM`` is given."""
        if isinstance(self.digest, Unresolved):
            return self.digest
        return f"{self.name}:{self.tag}@{self.digest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A git repository at one commit."""

    name: str
    url: str
    #: What is followed when the commit is read anew, in full: ``refs/tags/v1``.
    ref: str
    commit: Pin


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model file: where it comes from, and where it belongs below ComfyUI's ``models``."""

    path: str
    #: Owner and name at the hub, and the file's path in there.
    repository: str
    file: str
    #: A commit of the repository.
    revision: Pin
    sha256: Pin
    bytes: int | Unresolved
    #: As the repository's card names it.
    licence: Pin

    def url(self, hub: str = HUB) -> Pin:
        """Return where its content is; the revision makes it one content."""
        if isinstance(self.revision, Unresolved):
            return self.revision
        return f"{hub}/{self.repository}/resolve/{self.revision}/{self.file}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """All of it."""

    #: Version of Modal's image builder.
    image_builder: Pin
    #: Series of Python that the files of hashed requirements are resolved for.
    python: Pin
    #: What installs packages in images.
    uv: Pin
    #: What ComfyUI computes with.
    cuda: Pin
    torch: Pin
    torchvision: Pin
    torchaudio: Pin
    #: Of CPU functions and of GPU workers.
    cpu_base: BaseImage
    gpu_base: BaseImage
    comfyui: Repository
    custom_nodes: tuple[Repository, ...] = ()
    models: tuple[Model, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRead:
    """What a registry says about an image."""

    digest: str
    #: None: the image does not say.
    python: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRead:
    """What a hub of models says about a file."""

    revision: str
    sha256: str
    bytes: int
    #: None: the repository's card names none.
    licence: str | None


#: A part that is read from one source at once.
Part = BaseImage | Repository | Model


def parts(stack: Stack) -> dict[str, Part]:
    """Return what has a source of its own, by the names that people use for it."""
    return {
        "cpu_base": stack.cpu_base,
        "gpu_base": stack.gpu_base,
        "comfyui": stack.comfyui,
        **{f"custom_nodes.{node.name}": node for node in stack.custom_nodes},
        **{f"models.{model.path}": model for model in stack.models},
    }


def pins(stack: Stack) -> dict[str, object]:
    """Return every value of the stack by its name: ``comfyui.commit``."""
    return dict(_pins(stack))


def _pins(stack: Stack) -> Iterator[tuple[str, object]]:
    for field in fields(stack):
        value = getattr(stack, field.name)
        if not isinstance(value, Part | tuple):
            yield field.name, value
    for name, part in parts(stack).items():
        for field in fields(part):
            yield f"{name}.{field.name}", getattr(part, field.name)


def unresolved(stack: Stack) -> dict[str, str]:
    """Return each pin that is not resolved, with the reason."""
    return {
        name: value.reason for name, value in pins(stack).items() if isinstance(value, Unresolved)
    }


def resolved(value: _Value | Unresolved) -> _Value | None:
    """Return a pin's value, None while nobody has read it."""
    return None if isinstance(value, Unresolved) else value
