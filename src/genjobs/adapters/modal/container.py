"""A container at Modal, from within: what it calls itself, and leaving the pool."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field

import modal
import structlog
from modal import experimental

from genjobs.adapters.modal.answers import REQUEST, bounded
from genjobs.domain.calls import call_id_of
from genjobs.domain.errors import Unavailable

_log = structlog.get_logger(__name__)


def own_call_id() -> str | None:
    """Return what the running call and its container are named; None outside of one."""
    container = os.environ.get("MODAL_TASK_ID", "")  # Modal's own variable, not a setting
    return call_id_of(container, modal.current_function_call_id() or "") or None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModalRetirement:
    """The ``Retirement`` port: the container gets no more calls, and ends after those it has."""

    #: Set when the worker shall give back what it has.
    retired: asyncio.Event = field(default_factory=asyncio.Event)

    async def retire(self, reason: str) -> bool:
        """See the port. Calls that come all the same are given back by a retired worker."""
        if self.retired.is_set():
            return False
        self.retired.set()
        _log.error("worker.retired", reason=reason)
        try:
            await bounded(experimental.stop_fetching_inputs.aio(), REQUEST)
        except Unavailable as exc:
            _log.error("worker.still_in_the_pool", reason=exc.message)
        return False
