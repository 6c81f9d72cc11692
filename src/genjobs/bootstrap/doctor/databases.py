"""The checks of the database: each of its three URLs, and the schema."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from genjobs.application.diagnose import Check
from genjobs.application.examine_database import (
    ExamineLogin,
    Role,
    Tls,
    examine_schema,
    judge_tls,
    without,
)
from genjobs.bootstrap.adapters import Adapters
from genjobs.bootstrap.preparing import DatabaseUrls
from genjobs.domain.diagnosis import Finding, failed
from genjobs.domain.errors import Unavailable
from genjobs.settings import Environment
from genjobs.settings.deployment import DeploymentSettings

#: Starting the embedded database is part of the first.
_LIMIT = timedelta(seconds=60)


def database_checks(adapters: Adapters, deployment: DeploymentSettings) -> list[Check]:
    """Return the checks, in the order in which one explains the next."""
    return [
        *(
            Check(
                name=f"database.{role.value}", look=_login(adapters, deployment, role), limit=_LIMIT
            )
            for role in Role
        ),
        Check(name="database.revision", look=_schema(adapters), limit=_LIMIT),
    ]


def most_connections(deployment: DeploymentSettings) -> int:
    """
    Return how many connections a deployment opens at most.

    An API container has two pools, others one, that of the API which only reads among them; a
    worker's cancels have a connection of their own; one supervisor and one ingester run at a time,
    two while one ends.
    """
    pool = deployment.pool_size
    pools_of_apis = 3 if deployment.proxy_auth else 2
    api = deployment.api_max_containers * pools_of_apis * pool
    workers = deployment.max_containers * (pool + 1)
    return api + workers + 2 * pool


def _login(
    adapters: Adapters, deployment: DeploymentSettings, role: Role
) -> Callable[[], Awaitable[Sequence[Finding]]]:
    async def look() -> Sequence[Finding]:
        from genjobs.adapters.postgres import carries_notices
        from genjobs.adapters.postgres.examination import PostgresExaminer, tls_of

        url = _of(await adapters.database_urls(), role)
        if url is None:
            return [without(role)]
        examine = ExamineLogin(
            role=role,
            examiner=PostgresExaminer(url),
            clock=adapters.clock(),
            declared_pooled=not carries_notices(url),
            wanted_connections=most_connections(deployment) if adapters.pushes else None,
        )
        found = list(await examine())
        if adapters.settings.env is Environment.PRODUCTION:
            found.append(judge_tls(examine.name, Tls(tls_of(url))))
        return found

    return look


def _schema(adapters: Adapters) -> Callable[[], Awaitable[Sequence[Finding]]]:
    async def look() -> Sequence[Finding]:
        from genjobs.adapters.postgres.examination import PostgresExaminer
        from genjobs.adapters.postgres.migrations import code_digest
        from genjobs.adapters.postgres.revision import HEAD

        urls = await adapters.database_urls()
        examiner = PostgresExaminer(urls.owner or urls.api)
        try:
            return await examine_schema(examiner, revision=HEAD, code=code_digest())
        except Unavailable as exc:
            return [failed("database.revision", "database_unreachable", exc.message)]

    return look


def _of(urls: DatabaseUrls, role: Role) -> str | None:
    return {Role.API: urls.api, Role.WORKER: urls.worker, Role.OWNER: urls.owner}[role]
