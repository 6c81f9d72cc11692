"""Where the worker's ComfyUI is, and what starts it if that is the worker's own business."""

from __future__ import annotations

import shlex
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from genjobs.domain.errors import ConfigurationError
from genjobs.settings.comfyui import ComfyUISettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ComfyUIPlace:
    """A ComfyUI, running or to be started."""

    url: str
    #: Its base directory, when it is on this machine.
    directory: Path | None
    #: What starts it; None when somebody else does.
    command: tuple[str, ...] | None = None
    #: Where to put what it prints.
    log: Path | None = None


def comfyui_place(settings: ComfyUISettings) -> ComfyUIPlace:
    """
    Return where ComfyUI is according to the settings; the simulator is a process of its own.

    Raises:
        ConfigurationError: the URL or the command is not usable.
    """
    url, directory = settings.comfyui_url, settings.comfyui_directory
    if url.startswith("simulator:"):
        directory, port = settings.data_directory / "comfyui", _free_port()
        module = (sys.executable, "-m", "genjobs.simulator", str(port), str(directory.absolute()))
        return ComfyUIPlace(url=f"http://127.0.0.1:{port}", directory=directory, command=module)
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError("comfyui_url must be simulator:// or http://host:port")
    if settings.comfyui_command is None:
        return ComfyUIPlace(url=url, directory=directory)
    try:
        parts = shlex.split(settings.comfyui_command)
        port = urlsplit(url).port or 80
    except ValueError as exc:
        raise ConfigurationError(f"comfyui_command or comfyui_url is not usable: {exc}") from None
    if not parts:
        raise ConfigurationError("comfyui_command is empty")
    if directory is None and any("{directory}" in part for part in parts):
        raise ConfigurationError("comfyui_command names {directory}: set comfyui_directory")
    where = str(directory.absolute()) if directory else ""
    return ComfyUIPlace(
        url=url,
        directory=directory,
        command=tuple(
            part.replace("{port}", str(port)).replace("{directory}", where) for part in parts
        ),
        log=settings.data_directory / "comfyui.log",
    )


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
