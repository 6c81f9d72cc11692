"""The worker class at Modal: looked up when it is first needed, and anew after a failure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import modal

from genjobs.adapters.modal.answers import bounded
from genjobs.adapters.modal.place import ModalPlace
from genjobs.domain.errors import Unavailable


class WorkerClass:
    """A deployed class; ``client`` None is the one of the environment."""

    def __init__(self, place: ModalPlace, client: modal.Client | None, limit: timedelta) -> None:
        self._place = place
        self._client = client
        self._limit = limit
        self._handle: Any = None

    async def ask(self, request: Callable[[Any], Awaitable[Any]]) -> Any:
        """
        Return what is answered to a request that is made of the class's handle.

        Raises:
            Unavailable: Modal refuses, cannot be reached, or does not answer in time.
        """
        if self._handle is None:
            place = self._place
            # Nothing is asked yet: the handle does that on its own first use.
            self._handle = modal.Cls.from_name(place.app, place.worker, client=self._client)()
        try:
            return await bounded(request(self._handle), self._limit)
        except Unavailable:
            self._handle = None  # perhaps it was deployed anew
            raise
