"""What the executor hands to a node and takes from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genjobs.simulator.folders import Folders


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeContext:
    """What a node may use beside its inputs."""

    folders: Folders
    step_seconds: float
    previews: bool
    metadata: bool
    #: ``report(step, steps, jpeg)``: tell the client; raises when the prompt is interrupted.
    report: Callable[[int, int, bytes | None], None]


@dataclass(frozen=True, slots=True)
class NodeResult:
    """The output slots of a node and what the client is shown."""

    outputs: tuple[Any, ...]
    ui: dict[str, Any] | None = None


NodeFunction = Callable[[dict[str, Any], NodeContext], NodeResult]


def shown_file(path: Path, subfolder: str, kind: str) -> dict[str, str]:
    """Return an output file as the API names it."""
    return {"filename": path.name, "subfolder": subfolder, "type": kind}
