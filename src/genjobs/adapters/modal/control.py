"""The last rung of a cancel at Modal: the container of a call is terminated."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

import modal

from genjobs.adapters.modal.answers import REQUEST, bounded, call_named, has_ended
from genjobs.domain.supervision import Termination

#: How long a terminated call may take to be seen ended, and between two looks.
_PATIENCE: Final = timedelta(seconds=10)
_LOOK: Final = timedelta(milliseconds=500)


class ModalWorkerControl:
    """
    The ``WorkerControl`` port; ``client`` None is the one of the environment.

    What is seen is the end of the call, for Modal says nothing of containers. It reschedules what
    ran beside it, and those starts are refused.
    """

    def __init__(
        self,
        client: modal.Client | None = None,
        *,
        patience: timedelta = _PATIENCE,
        request: timedelta = REQUEST,
    ) -> None:
        self._limit = request
        self._client = client
        self._patience = patience

    async def terminate(self, call_id: str) -> Termination:
        """See the port."""
        call = call_named(call_id, self._client)
        if call is None:
            return Termination.UNKNOWN
        if await has_ended(call, self._limit):
            return Termination.GONE
        await bounded(call.cancel.aio(terminate_containers=True), self._limit)
        now = asyncio.get_running_loop().time
        until = now() + self._patience.total_seconds()
        while not await has_ended(call, self._limit):
            if now() >= until:
                return Termination.UNKNOWN
            await asyncio.sleep(_LOOK.total_seconds())
        return Termination.TERMINATED
