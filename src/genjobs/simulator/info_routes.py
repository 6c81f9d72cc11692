"""Routes about the server itself: node definitions, features, memory."""

from __future__ import annotations

import os
import sys
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from genjobs.simulator.answers import json_answer
from genjobs.simulator.catalogue import Catalogue
from genjobs.simulator.folders import Folders
from genjobs.simulator.sockets import FEATURES

COMFYUI_VERSION = "0.26.0"


class InfoRoutes:
    """The endpoints that only tell."""

    def __init__(self, catalogue: Catalogue, folders: Folders) -> None:
        self._catalogue = catalogue
        self._folders = folders

    async def object_info(self, _request: Request) -> Response:
        """``GET /object_info``."""
        return json_answer({name: self._catalogue.object_info(name) for name in self._catalogue})

    async def object_info_of(self, request: Request) -> Response:
        """``GET /object_info/{class}``."""
        name = request.path_params["class_type"]
        known = name in self._catalogue
        return json_answer({name: self._catalogue.object_info(name)} if known else {})

    async def features(self, _request: Request) -> Response:
        """``GET /features``."""
        return json_answer(FEATURES)

    async def system_stats(self, _request: Request) -> Response:
        """``GET /system_stats``; the memory is this machine's, which has no GPU."""
        page = os.sysconf("SC_PAGE_SIZE")
        total = page * os.sysconf("SC_PHYS_PAGES")
        free = page * os.sysconf("SC_AVPHYS_PAGES")
        system: dict[str, Any] = {
            "os": sys.platform,
            "ram_total": total,
            "ram_free": free,
            "comfyui_version": COMFYUI_VERSION,
            "python_version": sys.version,
            "pytorch_version": "none",
            "embedded_python": False,
            "deploy_environment": "simulator",
            "argv": ["main.py", "--base-directory", str(self._folders.base)],
        }
        device = {
            "name": "cpu",
            "type": "cpu",
            "index": None,
            "vram_total": total,
            "vram_free": free,
            "torch_vram_total": total,
            "torch_vram_free": free,
        }
        return json_answer({"system": system, "devices": [device]})
