"""The contract of ``IngestLedger``: one end of a claim is not taken for another."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from genjobs.domain.attempts import Recorded
from genjobs.domain.errors import InputRefused
from genjobs.domain.ingests import IngestExecution
from genjobs.domain.lifecycle import JobStatus
from genjobs.testing.clock import BEGINNING as NOW
from genjobs.testing.contracts.ingest_backend import IngestBackend
from genjobs.testing.factories import an_input

_End = Callable[[IngestBackend, IngestExecution], Awaitable[Recorded]]
#: Every way in which a claim ends without its media.
_GIVEN_UP: dict[str, _End] = {
    "refused": lambda backend, claim: backend.ingests.refuse(claim, InputRefused(), now=NOW),
    "retry": lambda backend, claim: backend.ingests.retry(claim, now=NOW),
    "released": lambda backend, claim: backend.ingests.release(claim, now=NOW),
}


class IngestFencing:
    """Part of ``IngestLedgerContract``."""

    @pytest.fixture
    def backend(self) -> IngestBackend:
        """Return the backend under test."""
        raise NotImplementedError

    @pytest.mark.parametrize("end", _GIVEN_UP)
    async def test_claim_that_was_given_up_cannot_finish_any_more(
        self, backend: IngestBackend, end: str
    ) -> None:
        job = await backend.submitted()
        [ingest] = await backend.claim()
        assert await _GIVEN_UP[end](backend, ingest.execution) is Recorded.YOURS
        given_up = await backend.read(job)

        # YOURS would tell that what was stored under the claim is the job's; it is not.
        late = an_input(job.owner, job.id, index=1, name="late.png")
        finish = backend.ingests.finish(ingest.execution, [late], now=NOW)
        assert await finish is Recorded.STALE
        assert await backend.read(job) == given_up
        assert await _GIVEN_UP[end](backend, ingest.execution) is Recorded.YOURS

    @pytest.mark.parametrize("end", _GIVEN_UP)
    async def test_claim_that_finished_cannot_be_given_up(
        self, backend: IngestBackend, end: str
    ) -> None:
        job = await backend.submitted()
        [ingest] = await backend.claim()
        await backend.ingests.finish(ingest.execution, [], now=NOW)

        assert await _GIVEN_UP[end](backend, ingest.execution) is Recorded.STALE
        assert (await backend.read(job)).eligible

    @pytest.mark.parametrize("end", _GIVEN_UP)
    async def test_end_by_the_supervisor_is_not_the_claims(
        self, backend: IngestBackend, end: str
    ) -> None:
        job = await backend.submitted()
        [ingest] = await backend.claim()
        await backend.ingests.rescue(now=NOW + timedelta(minutes=15), limit=1)
        failed = await backend.read(job)

        assert failed.status is JobStatus.FAILED
        assert await _GIVEN_UP[end](backend, ingest.execution) is Recorded.STALE
        assert await backend.read(job) == failed
