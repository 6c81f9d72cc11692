"""
What GPU containers are made of, as data: each thing exactly, or a reason why it is not known here.

Nothing in this file is a guess. What cannot be read from its source where this was written stands
as ``Unresolved``; an image with such a pin cannot be built.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Final


@dataclass(frozen=True, slots=True)
class Unresolved:
    """A pin whose value nobody has read from its source yet."""

    reason: str


Pin = str | Unresolved


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A git repository at one commit."""

    name: str
    url: Pin
    commit: Pin


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model file: where it comes from, and where it belongs below ComfyUI's ``models``."""

    path: str
    url: Pin
    sha256: Pin
    bytes: int
    licence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """All of it."""

    #: Version of Modal's image builder.
    image_builder: Pin
    #: Of CPU functions and of GPU workers: name, tag and digest.
    cpu_base: Pin
    gpu_base: Pin
    #: What installs packages in images.
    uv: Pin
    cuda: Pin
    torch: Pin
    torchvision: Pin
    torchaudio: Pin
    comfyui: Repository
    custom_nodes: tuple[Repository, ...] = ()
    models: tuple[Model, ...] = ()


_NO_REGISTRY: Final = Unresolved("digests of container images could not be read here")
_NO_WHEELS: Final = Unresolved("the index of CUDA wheels could not be read here")
_NO_HISTORY: Final = Unresolved("only the first 8 digits of v0.26.0, f6c162dd, were read here")

STACK: Final = Stack(
    image_builder="2026.10",  # the newest that modal 1.6.4 knows
    cpu_base=_NO_REGISTRY,
    gpu_base=_NO_REGISTRY,
    uv="0.13.9",  # as in requirements/bootstrap.txt
    cuda=_NO_WHEELS,
    torch=_NO_WHEELS,
    torchvision=_NO_WHEELS,
    torchaudio=_NO_WHEELS,
    comfyui=Repository(
        name="ComfyUI",
        url=Unresolved("where the project's repository is today was not read here"),
        commit=_NO_HISTORY,
    ),
)


def written(pin: Pin) -> str:
    """Return a pin as an image's recipe has it: one that is not resolved cannot be built."""
    return "UNRESOLVED" if isinstance(pin, Unresolved) else pin


def unresolved(stack: Stack = STACK) -> dict[str, str]:
    """Return each pin that is not resolved, with the reason."""
    return dict(_unresolved("", stack))


def _unresolved(name: str, part: object) -> Iterator[tuple[str, str]]:
    if isinstance(part, Unresolved):
        yield name, part.reason
    elif isinstance(part, tuple):
        for index, item in enumerate(part):
            yield from _unresolved(f"{name}[{index}]", item)
    elif isinstance(part, Stack | Repository | Model):
        for field in fields(part):
            inner = f"{name}.{field.name}" if name else field.name
            yield from _unresolved(inner, getattr(part, field.name))


#: Where ComfyUI's source is in the image, its base directory, and its models below that.
_SOURCE: Final = "/opt/comfyui"
_BASE: Final = "/var/lib/comfyui"
MODELS: Final = f"{_BASE}/models"
#: Whom its process runs as, and nothing else does.
_USER: Final = "comfyui"


def comfyui_commands(stack: Stack = STACK) -> tuple[str, ...]:
    """
    Return the commands that put ComfyUI and its nodes into an image, each at its commit.

    Its packages belong into ``.venv`` beside it and are not here: no file of hashed CUDA wheels
    exists yet.
    """
    commands = [f"useradd --system --no-create-home {_USER}", f"mkdir -p {_BASE}"]
    for repository, folder in (
        (stack.comfyui, _SOURCE),
        *((node, f"{_SOURCE}/custom_nodes/{node.name}") for node in stack.custom_nodes),
    ):
        url, commit = written(repository.url), written(repository.commit)
        commands.append(
            f"git init -q {folder} && cd {folder} && git fetch -q --depth 1 {url} {commit} "
            "&& git checkout -q FETCH_HEAD"
        )
    return tuple(commands)


def comfyui_settings(stack: Stack = STACK) -> dict[str, str | None]:
    """Return the settings by which a worker starts its ComfyUI."""
    names = " ".join(node.name for node in stack.custom_nodes)
    return {
        "GENJOBS_COMFYUI_WORKDIR": _SOURCE,
        "GENJOBS_COMFYUI_DIRECTORY": _BASE,
        "GENJOBS_COMFYUI_USER": _USER,
        "GENJOBS_COMFYUI_COMMAND": (
            f"{_SOURCE}/.venv/bin/python main.py --listen 127.0.0.1 --port {{port}} "
            "--base-directory {directory} --database-url sqlite:///:memory: --disable-api-nodes "
            "--disable-metadata --disable-all-custom-nodes"
            + (f" --whitelist-custom-nodes {names}" if names else "")
        ),
    }
