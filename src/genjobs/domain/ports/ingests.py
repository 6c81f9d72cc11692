"""Port to the ingests of all tenants."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from genjobs.domain.artifacts import InputFile
from genjobs.domain.attempts import Recorded, Rescue
from genjobs.domain.errors import JobFailure
from genjobs.domain.ids import ExecutionId
from genjobs.domain.ingests import Ingest, IngestExecution


class IngestLedger(Protocol):
    """
    The system's side of the ingests; any number of processes call it at once.

    Fencing: ``finish``, ``refuse``, ``retry`` and ``release`` must change nothing unless the
    execution holds the claim, and then answer ``STALE``. A repeat by the same execution must
    answer ``YOURS`` and change nothing; one that gave its claim back may be told ``STALE`` once
    another claim, a cancel or the deadline has come after it. ``YOURS`` in answer to ``finish``
    says that the inputs are the job's, so it must not be said for another end of the claim. All
    methods raise ``Unavailable`` when the database cannot be reached.
    """

    async def claim(self, executions: Sequence[ExecutionId], *, now: datetime) -> Sequence[Ingest]:
        """
        Claim due jobs, at most one for each execution offered.

        The users of all tenants take turns: nobody goes before one who came, and was served, before
        them. A user or tenant at its bound is passed over. Each claim has the next number and a
        lease.
        """

    async def heartbeat(
        self, executions: Sequence[IngestExecution], *, now: datetime
    ) -> frozenset[ExecutionId]:
        """Renew leases and return who still holds its claim; a cancelled job is held by none."""

    async def finish(
        self, execution: IngestExecution, inputs: Sequence[InputFile], *, now: datetime
    ) -> Recorded:
        """Add the inputs to the job, which is eligible from now on."""

    async def refuse(
        self, execution: IngestExecution, failure: JobFailure, *, now: datetime
    ) -> Recorded:
        """Fail the job."""

    async def retry(self, execution: IngestExecution, *, now: datetime) -> Recorded:
        """
        Give the claim back as a try that failed.

        It is due again after a pause; after the last try the job fails ``input_unavailable``.
        """

    async def release(self, execution: IngestExecution, *, now: datetime) -> Recorded:
        """Give the claim back: due at once, not counted as a try."""

    async def rescue(self, *, now: datetime, limit: int) -> Sequence[Rescue]:
        """
        Take at most ``limit`` claims whose lease has run out, as tries that failed.

        Jobs past their ingest deadline fail ``input_unavailable``, claimed or not.
        """

    async def backlog(self) -> int:
        """Return how many jobs wait for their media or are being fetched (at most 10,000)."""
