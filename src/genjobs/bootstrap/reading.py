"""From adapters to an API that only reads jobs, for end users; it holds nothing that writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genjobs.application.authenticate import Authenticate
from genjobs.application.end_users import EndUsersOnly
from genjobs.application.genjobs import Reads
from genjobs.application.query import GetJob, GetOutput, LinkSigner, ListJobs
from genjobs.bootstrap.adapters import Adapters
from genjobs.domain.rates import Rate

if TYPE_CHECKING:
    from genjobs.api.context import ReaderContext


async def build_reader_context(adapters: Adapters) -> ReaderContext:
    """Return what the reading API serves from; the worker's role is not used."""
    from genjobs.api.context import ReaderContext
    from genjobs.api.throttle import Throttle

    jobs, artifacts, clock = await adapters.jobs(), await adapters.artifacts(), adapters.clock()
    signer = LinkSigner(artifacts=artifacts, clock=clock, life=adapters.settings.link_life())
    get_job = GetJob(jobs=jobs, signer=signer)
    rate = rate_of(adapters.settings.user_requests_per_second)
    return ReaderContext(
        genjobs=Reads(
            get_job=get_job,
            get_output=GetOutput(get_job=get_job),
            list_jobs=ListJobs(jobs=jobs, signer=signer),
            # When keys were used is not noted here: none is taken, and reads write nothing.
            authenticator=EndUsersOnly(
                Authenticate(
                    keys=await adapters.keys(),
                    tenants=await adapters.tenants(),
                    codec=adapters.token_reader(),
                    clock=clock,
                )
            ),
            jobs=jobs,
            artifacts=artifacts,
        ),
        clock=clock,
        throttle=Throttle(clock=clock, keys=rate, end_users=rate),
    )


def rate_of(per_second: float) -> Rate:
    """Return a rate of which two seconds' worth may come at once."""
    return Rate(per_second=per_second, burst=max(1, round(2 * per_second)))
