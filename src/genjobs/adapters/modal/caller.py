"""Calls of GPU workers at Modal: spawned with ids only, cancelled by name."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import modal

from genjobs.adapters.modal.answers import REQUEST, bounded, call_named
from genjobs.adapters.modal.place import ModalPlace
from genjobs.adapters.modal.worker_class import WorkerClass
from genjobs.domain.attempts import Assignment


class ModalCaller:
    """The ``Caller`` port; ``client`` None is the one of the environment."""

    def __init__(
        self,
        place: ModalPlace,
        client: modal.Client | None = None,
        *,
        request: timedelta = REQUEST,
    ) -> None:
        self._limit = request
        self._client = client
        self._worker = WorkerClass(place, client, request)

    async def call(self, assignment: Assignment) -> str:
        """See the port. Arguments stay far below 8 KiB, over which Modal stores them first."""
        owner = assignment.owner
        tenant, job = UUID(str(owner.tenant_id)), UUID(str(assignment.job_id))
        spawned = await self._worker.ask(
            lambda worker: worker.run.spawn.aio(
                str(tenant), owner.user_id, str(job), assignment.attempt
            )
        )
        return str(spawned.object_id)

    async def cancel(self, call_id: str) -> None:
        """See the port: one input of its container is interrupted, its neighbours are not."""
        call = call_named(call_id, self._client)
        if call is not None:
            await bounded(call.cancel.aio(), self._limit)
