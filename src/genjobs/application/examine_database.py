"""Judging the three logins of the database: what each is, may do, and is connected through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from genjobs.domain.diagnosis import Finding, failed, ok, skipped, warning
from genjobs.domain.ports import Clock, DatabaseExaminer, LoginFacts, NotReached, SchemaFacts

#: The oldest server, as ``server_version_num``.
_OLDEST: Final = 150000
#: How far this machine's clock may be from the server's, and how far at most.
_CLOSE: Final = timedelta(seconds=2)
_FAR: Final = timedelta(seconds=15)


class Role(StrEnum):
    """What a URL of the database is for."""

    API = "api"
    WORKER = "worker"
    OWNER = "owner"

    @property
    def setting(self) -> str:
        """The setting that holds the URL."""
        return "DATABASE_URL" if self is Role.API else f"{self.value.upper()}_DATABASE_URL"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamineLogin:
    """Looks at one URL."""

    role: Role
    examiner: DatabaseExaminer
    clock: Clock
    #: Whether the URL says that it leads through a transaction pooler.
    declared_pooled: bool
    #: Most connections that the whole deployment opens; None where nobody can tell.
    wanted_connections: int | None = None

    @property
    def name(self) -> str:
        """The check's name."""
        return f"database.{self.role.value}"

    async def __call__(self) -> Sequence[Finding]:
        """Return what is found of the login, its clock, its server and what is between."""
        begun = self.clock.now()
        facts = await self.examiner.login()
        if isinstance(facts, NotReached):
            return [failed(self.name, facts.code, f"GENJOBS_{self.role.setting}: {facts.seen}")]
        ended = self.clock.now()
        found = judge_login(self.name, self.role, facts)
        shared = await self.examiner.is_shared()
        found.append(judge_pooling(self.name, self.role, shared, declared=self.declared_pooled))
        if self.role is Role.API:
            found.append(judge_server(facts.server_version))
            found.append(judge_clock(facts.now, begun, ended))
        wanted = self.wanted_connections
        if self.role is Role.WORKER and wanted is not None:
            found.append(judge_connections(wanted, facts.most_connections, pooled=shared))
        return found


def judge_login(check: str, role: Role, facts: LoginFacts) -> list[Finding]:
    """Return what is wrong with a login, or that it is right."""
    found = _owner(check, facts) if role is Role.OWNER else _served(check, role, facts)
    return found or [ok(check, f"connected as {facts.login}, with the rights of the {role.value}")]


def _served(check: str, role: Role, facts: LoginFacts) -> list[Finding]:
    """Judge a login that serves: it is what its role is, and nothing that passes the walls."""
    login, found = facts.login, []
    powers = [
        power
        for power, has in (
            ("is a superuser", facts.superuser),
            ("bypasses row-level security", facts.bypasses_rls),
            ("may become a role that does", facts.may_become_powerful),
            ("owns our tables, or may become their owner", facts.owns_tables),
        )
        if has
    ]
    if powers:
        return [failed(check, "role_too_powerful", f"{login} {' and '.join(powers)}")]
    mine, other = (
        (facts.is_api, facts.is_worker) if role is Role.API else (facts.is_worker, facts.is_api)
    )
    if mine is None:
        return [failed(check, "not_migrated", f"there is no role genjobs_{role.value} yet")]
    if not mine:
        found.append(failed(check, "role_wrong", f"{login} is no member of genjobs_{role.value}"))
    if other:
        also = Role.WORKER if role is Role.API else Role.API
        found.append(failed(check, "role_wrong", f"{login} is a member of genjobs_{also.value}"))
    if found:
        return found
    acts = facts.makes_jobs if role is Role.API else facts.dispatches
    if acts is None:
        return [failed(check, "not_migrated", "the schema genjobs is not there, or not complete")]
    if not (acts and facts.reads_jobs):
        return [failed(check, "role_reaches_too_little", f"{login} may not do what it is for")]
    if role is Role.API and not facts.walled:
        return [failed(check, "row_security_inactive", f"{login} would see rows of all tenants")]
    return []


def _owner(check: str, facts: LoginFacts) -> list[Finding]:
    found = []
    if facts.owns_schema is False:
        found.append(failed(check, "owner_wrong", f"{facts.login} does not own the schema genjobs"))
    may = facts.creates_in_database or facts.owns_schema
    roles = facts.creates_roles or None not in (facts.is_api, facts.is_worker)
    if not facts.superuser and not (may and roles):
        what = "a schema in this database" if not may else "the roles genjobs_api, genjobs_worker"
        found.append(failed(check, "owner_may_not_create", f"{facts.login} may not create {what}"))
    if not found and (facts.superuser or facts.bypasses_rls):
        power = "is a superuser" if facts.superuser else "bypasses row-level security"
        found.append(warning(check, "owner_bypasses", f"{facts.login} {power}"))
    return found


def judge_server(version: int) -> Finding:
    """Return whether the server is new enough."""
    shown = f"Postgres {version // 10000}.{version % 10000}"
    if version < _OLDEST:
        return failed("database.version", "postgres_too_old", shown)
    return ok("database.version", shown)


def judge_clock(theirs: datetime, begun: datetime, ended: datetime) -> Finding:
    """Return how far two clocks are apart, by a reading of theirs between two of ours."""
    if begun <= theirs <= ended:
        apart = timedelta()
    else:
        apart = begun - theirs if theirs < begun else theirs - ended
    shown = f"this machine's clock is {apart.total_seconds():.1f} s from the server's"
    if apart > _FAR:
        return failed("database.clock", "clock_far", shown)
    if apart > _CLOSE:
        return warning("database.clock", "clock_differs", shown)
    return ok("database.clock", shown)


def judge_pooling(check: str, role: Role, shared: bool, *, declared: bool) -> Finding:
    """Return whether what is between is what the URL says."""
    name = f"{check}.pooler"
    if role is Role.OWNER:
        if shared or declared:
            return failed(name, "owner_pooled", "the URL leads through a transaction pooler")
        return ok(name, "direct")
    if shared and not declared:
        return failed(
            name, "pooler_not_declared", "one connection of the server served two of ours"
        )
    if declared and not shared:
        return warning(name, "pooler_not_seen", "no transaction pooler was seen at work")
    if not declared:
        return ok(name, "direct: statements are prepared once")
    ends = ", and cancels come with the heartbeat" if role is Role.WORKER else ""
    return ok(name, f"transaction pooler: nothing is prepared{ends}")


def judge_connections(wanted: int, most: int, *, pooled: bool) -> Finding:
    """Return whether the server lets in what the deployment may open."""
    name, shown = "database.connections", f"the deployment opens up to {wanted}"
    if pooled:
        return ok(name, f"{shown}, through a pooler")
    if wanted > most:
        return warning(name, "connections_too_few", f"{shown}, the server takes {most}")
    return ok(name, f"{shown} of {most}")


class Tls(StrEnum):
    """What a URL asks of the way to the server."""

    #: A socket or loopback: nothing leaves the machine.
    LOCAL = "local"
    REQUIRED = "required"
    #: Used if the server offers it, or not even then.
    OPTIONAL = "optional"


def judge_tls(check: str, tls: Tls) -> Finding:
    """Return whether the way to the server is encrypted whatever the server says."""
    name = f"{check}.tls"
    if tls is Tls.OPTIONAL:
        return warning(name, "database_tls_optional", "the URL does not ask for TLS")
    return ok(name, "on this machine" if tls is Tls.LOCAL else "asked for by the URL")


async def examine_schema(
    examiner: DatabaseExaminer, *, revision: str, code: str
) -> Sequence[Finding]:
    """Return whether the database has the schema of this version; ``Unavailable`` as the port."""
    return [judge_schema(await examiner.schema(), revision=revision, code=code)]


def judge_schema(seen: SchemaFacts, *, revision: str, code: str) -> Finding:
    """Return whether that is the schema of this version, by revision and digest of its code."""
    name = "database.revision"
    if seen.revision is None:
        return failed(name, "not_migrated", "there is no schema of ours")
    shown = f"the database is at {seen.revision}, this version needs {revision}"
    if seen.revision < revision:
        return failed(name, "revision_behind", shown)
    if seen.revision > revision:
        return warning(name, "revision_ahead", shown)
    if seen.code != code:
        return failed(name, "schema_code_differs", "functions and grants are another version's")
    return ok(name, f"{revision}, as this version needs it")


def without(role: Role) -> Finding:
    """Return that there is no URL to look at."""
    return skipped(f"database.{role.value}", f"GENJOBS_{role.setting} is not set")
