"""Ports to what keeps the engine running, and to the machine that the worker has to itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from genjobs.domain.ids import ExecutionId


class EngineKeeper(Protocol):
    """
    Whoever starts the engine's process again when it is gone.

    An engine that is only an address is kept by somebody else: ``owned`` is false, and it cannot
    be killed from here.
    """

    @property
    def owned(self) -> bool:
        """Whether the engine's process is this worker's own."""

    @property
    def life(self) -> int:
        """Which of its lives the process is in; grows when it is started anew, and never else."""

    @property
    def prepared(self) -> bool:
        """Whether this life of the process was begun before there was a device, and went on."""

    async def ready(self) -> None:
        """
        Return once the engine answers.

        Raises:
            EngineFailed: it does not, for longer than a start may take.
        """

    async def kill(self, life: int) -> datetime | None:
        """
        Kill the process of this life, and return when it was seen dead.

        It must be started anew by itself. When it has died before, nothing is killed and the time
        is that of its death. None when it is not owned.
        """


class Retirement(Protocol):
    """Takes a machine whose device is broken out of the pool."""

    async def retire(self, reason: str) -> bool:
        """
        See to it that no other job meets this engine as it is; return without waiting long.

        Return whether the engine may be used again here, being a new one by then.
        """


class CancelNotices(Protocol):
    """
    Direct word of cancels, sooner than the next heartbeat.

    Only a hint: notices may be lost, repeated or late, and say nothing that the answer to a
    heartbeat would not say.
    """

    async def listen(self, heard: Callable[[ExecutionId | None], None]) -> None:
        """
        Call ``heard`` for each running execution whose cancel is requested, until cancelled.

        With None: notices may have been missed, now that the connection is there (again). Must
        outlive outages of whatever carries the notices.
        """
