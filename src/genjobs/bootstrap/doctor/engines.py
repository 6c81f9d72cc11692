"""The check of ComfyUI, where the settings name one that this machine can ask."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from genjobs.application.diagnose import Check
from genjobs.bootstrap.comfyui import comfyui_place
from genjobs.domain.diagnosis import Finding, failed, ok, skipped
from genjobs.domain.ports import NotReached
from genjobs.settings import Settings

_NAME = "comfyui"
_PATIENCE = timedelta(seconds=5)


def comfyui_check(settings: Settings) -> Check:
    """Return the check; a ComfyUI that a worker starts needs not be running now."""

    async def look() -> Sequence[Finding]:
        from genjobs.adapters.comfyui.examination import look_at

        if settings.dispatch_url.startswith("modal:"):
            return [skipped(_NAME, "it is inside the workers' containers")]
        if settings.comfyui_url.startswith("simulator:"):
            return [skipped(_NAME, "the simulator stands in, which workers start")]
        place = comfyui_place(settings)
        seen = await look_at(place.url, limit=_PATIENCE)
        if not isinstance(seen, NotReached):
            return [ok(_NAME, f"answers, version {seen}")]
        if place.command is None:
            return [failed(_NAME, seen.code, f"no answer: {seen.seen}")]
        if _program(place.command[0], settings.comfyui_workdir) is None:
            return [failed(_NAME, "comfyui_command_missing", f"there is no {place.command[0]}")]
        return [skipped(_NAME, "not running now; workers start it by GENJOBS_COMFYUI_COMMAND")]

    return Check(name=_NAME, look=look)


def _program(name: str, folder: Path | None) -> str | None:
    # As a process that is started in that folder finds it.
    beside = folder / name if folder and "/" in name else name
    return shutil.which(beside)
