"""
What GPU containers are made of, and the commands that make them of it.

The pins are data, in ``pins.toml`` beside this module; nothing in there is a guess, and a loose one
stops the import. What nobody has read from its source yet is ``Unresolved``: an image with such a
pin cannot be built.
"""

from __future__ import annotations

from importlib import resources
from typing import Final

from genjobs.domain import pins
from genjobs.domain.errors import ConfigurationError
from genjobs.domain.pin_file import read_pins
from genjobs.domain.pins import Model, Pin, Repository, Stack, Unresolved

__all__ = [
    "MODELS",
    "PINS",
    "REQUIREMENTS",
    "STACK",
    "Model",
    "Pin",
    "Repository",
    "Stack",
    "Unresolved",
    "comfyui_commands",
    "comfyui_package_commands",
    "comfyui_settings",
    "genjobs_commands",
    "refuse_other_builder",
    "unresolved",
    "uv_commands",
    "written",
]

#: The file of pins.
PINS: Final = resources.files("genjobs.gpu") / "pins.toml"
STACK: Final = read_pins(PINS.read_text("utf-8"))

#: Where the files of hashed requirements are in an image while it is built.
REQUIREMENTS: Final = "/opt/requirements"
_UV: Final = "/opt/uv"
#: Where ComfyUI's source is in the image, its base directory, and its models below that.
_SOURCE: Final = "/opt/comfyui"
_BASE: Final = "/var/lib/comfyui"
MODELS: Final = f"{_BASE}/models"
#: Whom its process runs as, and nothing else does.
_USER: Final = "comfyui"
#: ComfyUI's packages are beside it and shared with nothing: custom nodes want what they want.
_VENV: Final = f"{_SOURCE}/.venv"
#: Every file proven by its hash, and nothing built from source: a build would fetch what is not.
_INSTALL: Final = (
    f"{_UV}/bin/uv pip install --no-config --no-cache --no-deps --no-build --require-hashes "
    "--compile-bytecode"
)


def unresolved(stack: Stack = STACK) -> dict[str, str]:
    """Return each pin that is not resolved, with the reason."""
    return pins.unresolved(stack)


def written(pin: Pin) -> str:
    """Return a pin as an image's recipe has it: one that is not resolved cannot be built."""
    return "UNRESOLVED" if isinstance(pin, Unresolved) else pin


def refuse_other_builder(configured: str | None, stack: Stack = STACK) -> None:
    """
    Refuse to build with anything but the pinned version of Modal's image builder.

    Without a version of its own, the SDK would take whatever the workspace is set to.

    Raises:
        ConfigurationError: ``configured`` is another version, or none.
    """
    if configured != stack.image_builder:
        raise ConfigurationError(
            f"the image builder is {configured or 'left to the workspace'}, but the pinned one is "
            f"another: set MODAL_IMAGE_BUILDER_VERSION={stack.image_builder}"
        )


def uv_commands() -> tuple[str, ...]:
    """Return the commands that put uv into an image, by the hash that developers have it by."""
    return (
        f"python -m venv {_UV}",
        f"{_UV}/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-deps "
        f"--only-binary :all: --require-hashes -r {REQUIREMENTS}/bootstrap.txt",
    )


def genjobs_commands() -> tuple[str, ...]:
    """Return the command that installs what genjobs needs, into the Python that Modal runs."""
    return (f"{_INSTALL} --python $(command -v python) -r {REQUIREMENTS}/runtime.txt",)


def comfyui_package_commands() -> tuple[str, ...]:
    """Return the commands that put ComfyUI's packages beside where its source will be."""
    return (
        f"{_UV}/bin/uv venv --no-config --no-python-downloads --python $(command -v python) "
        f"{_VENV}",
        f"{_INSTALL} --python {_VENV}/bin/python -r {REQUIREMENTS}/comfyui.txt",
    )


def comfyui_commands(stack: Stack = STACK) -> tuple[str, ...]:
    """Return the commands that put ComfyUI and its nodes into an image, each at its commit."""
    commands = [f"useradd --system --no-create-home {_USER}", f"mkdir -p {_BASE}"]
    for repository, folder in (
        (stack.comfyui, _SOURCE),
        *((node, f"{_BASE}/custom_nodes/{node.name}") for node in stack.custom_nodes),
    ):
        commands.append(
            f"git init -q {folder} && cd {folder} && git fetch -q --depth 1 {repository.url} "
            f"{written(repository.commit)} && git checkout -q FETCH_HEAD"
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
