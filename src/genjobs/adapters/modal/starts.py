"""How containers of the workers started: what each says of itself, and what its log keeps."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import modal

from genjobs.adapters.modal.answers import REQUEST, bounded

#: The log event of a worker that is ready for calls.
READY: Final = "worker.ready"
_MOST: Final = 200


@dataclass(slots=True)
class _Loading:
    """In which container this process loaded its code; a snapshot carries that to others."""

    container: str | None = None


_loading: Final = _Loading()


def note_loading() -> None:
    """
    Remember the container that code is loaded in; called before a snapshot is taken.

    This is the one thing that a snapshot shall carry over: by it a restored process knows itself.
    """
    _loading.container = container()


def container() -> str | None:
    """Return what Modal calls this container; None outside of one."""
    return os.environ.get("MODAL_TASK_ID")  # Modal's own variable, not a setting


def is_restored() -> bool | None:
    """Whether code was loaded in another container than it runs in; None if nobody knows."""
    here = container()
    if here is None or _loading.container is None:
        return None
    return here != _loading.container


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStart:
    """What a worker said when it was ready."""

    container: str | None
    restored: bool | None
    #: From being woken to being ready: connections and ComfyUI.
    ready_seconds: float


async def starts_since(
    app: str, since: datetime, client: modal.Client | None = None
) -> Sequence[WorkerStart]:
    """
    Return the workers that became ready, by the app's log, the earliest first.

    Raises:
        Unavailable: Modal refuses or does not answer.
    """

    async def read() -> list[WorkerStart]:
        found = await modal.App.lookup.aio(app, client=client)
        entries = found.logs.fetch.aio(since=since, search_text=READY)
        starts: list[WorkerStart] = []
        async for entry in entries:
            for line in entry.message.splitlines():
                if (start := _start(line)) is not None and len(starts) < _MOST:
                    starts.append(start)
        return starts

    return await bounded(read(), 3 * REQUEST)


def _start(line: str) -> WorkerStart | None:
    """Return what a line of the log says, None when it says something else."""
    try:
        told: Any = json.loads(line)
    except ValueError:
        return None
    if not isinstance(told, dict) or told.get("event") != READY:
        return None
    where, restored, seconds = (
        told.get(name) for name in ("container", "restored", "ready_seconds")
    )
    if not isinstance(seconds, int | float):
        return None
    return WorkerStart(
        container=where if isinstance(where, str) else None,
        restored=restored if isinstance(restored, bool) else None,
        ready_seconds=float(seconds),
    )
