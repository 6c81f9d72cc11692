"""The pool of GPU workers at Modal: by what its autoscaler scales, read and set while it runs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import modal

from genjobs.adapters.modal.answers import REQUEST
from genjobs.adapters.modal.place import ModalPlace
from genjobs.adapters.modal.worker_class import WorkerClass
from genjobs.domain.capacity import LONGEST_SCALEDOWN, SHORTEST_SCALEDOWN, PoolSettings
from genjobs.domain.errors import Unavailable

#: What stands for "no maximum of its own": no pool of ours is ever told that many.
UNBOUNDED: Final = 1_000_000
#: How long Modal keeps an idle container that was deployed without a window.
_DEFAULT_WINDOW: Final = timedelta(seconds=60)


class ModalPoolControl:
    """
    The ``PoolControl`` port; ``client`` None is the one of the environment.

    What is told lasts until the next deployment, which resets it to what was deployed.
    """

    def __init__(
        self,
        place: ModalPlace,
        client: modal.Client | None = None,
        *,
        request: timedelta = REQUEST,
    ) -> None:
        self._worker = WorkerClass(place, client, request)

    async def settings(self) -> PoolSettings:
        """See the port; a pool without a maximum has ``UNBOUNDED``."""
        return _read(await self._ask("settings"))

    async def adjust(self, settings: PoolSettings) -> None:
        """
        See the port.

        Raises:
            Unavailable: as in the port, and when Modal's answer names other settings, as when a
                limit of the account is lower: then the pool has those.
        """
        told = await self._ask(
            "update",
            min_containers=settings.min_containers,
            max_containers=settings.max_containers,
            buffer_containers=settings.buffer_containers,
            scaledown_window=int(settings.scaledown_window.total_seconds()),
        )
        has = _read(told)
        if has != settings:
            raise Unavailable(f"Modal has the pool scale by other settings: {_words(has)}.")

    async def _ask(self, what: str, **values: int) -> Any:
        """Ask the autoscaler of the function that calls go to."""
        # Of the very handle that is called: an instance may have a pool of its own.
        return await self._worker.ask(
            lambda worker: getattr(worker.run.autoscaler, what).aio(**values)
        )


def _read(told: Any) -> PoolSettings:
    """Return what Modal says; what it leaves open has the value that Modal gives it."""
    most = told.max_containers or UNBOUNDED
    window = timedelta(seconds=told.scaledown_window or _DEFAULT_WINDOW.total_seconds())
    return PoolSettings(
        # A minimum that is not possible cannot be held either.
        min_containers=min(told.min_containers or 0, most),
        max_containers=most,
        buffer_containers=told.buffer_containers or 0,
        scaledown_window=min(max(window, SHORTEST_SCALEDOWN), LONGEST_SCALEDOWN),
    )


def _words(settings: PoolSettings) -> str:
    return (
        f"{settings.min_containers} to {settings.max_containers} containers, "
        f"{settings.buffer_containers} more, {settings.scaledown_window.total_seconds():.0f} s"
    )
