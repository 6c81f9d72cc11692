"""The doctor and the database: each failure is made on a real server."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from genjobs.adapters.postgres import migrate
from genjobs.adapters.postgres.tenancy import PostgresTenancy
from genjobs.domain.diagnosis import Finding, Outcome
from genjobs.domain.errors import Unavailable
from genjobs.domain.plans import DefaultLimits
from tests.doctoring import codes, findings, outcomes
from tests.postgres import Database, fresh_database


async def looked(database: Database, **urls: str) -> list[Finding]:
    wanted = {"api": database.api, "worker": database.worker, "owner": database.owner} | urls
    return await findings(
        "database",
        database_url=wanted["api"],
        worker_database_url=wanted["worker"],
        owner_database_url=wanted["owner"],
    )


@asynccontextmanager
async def login(database: Database, options: str) -> AsyncIterator[str]:
    """Make a login for a moment; yield the database's URL for it."""
    name = f"genjobs_test_login_{uuid.uuid4().hex[:8]}"
    await database.execute(f"CREATE ROLE {name} LOGIN {options}")
    try:
        yield database.api.replace("genjobs_api@", f"{name}@")
    finally:
        await database.execute(f"DROP ROLE {name}")


@asynccontextmanager
async def changed(database: Database, change: str, back: str) -> AsyncIterator[None]:
    await database.execute(change)
    try:
        yield
    finally:
        await database.execute(back)


async def test_healthy_database_has_no_findings(database: Database) -> None:
    found = await looked(database)
    assert codes(found) == {}
    assert set(outcomes(found).values()) == {Outcome.OK}
    assert set(outcomes(found)) == {
        *(f"database.{role}" for role in ("api", "worker", "owner")),
        *(f"database.{role}.pooler" for role in ("api", "worker", "owner")),
        *("database.version", "database.clock", "database.revision"),
    }


async def test_logins_in_each_others_places_are_told(database: Database) -> None:
    found = codes(
        await looked(database, api=database.worker, worker=database.api, owner=database.api)
    )
    assert found == {
        "database.api": "role_wrong",
        "database.worker": "role_wrong",
        "database.owner": "owner_may_not_create",
    }


async def test_logins_that_pass_the_walls_are_told(database: Database) -> None:
    found = codes(await looked(database, api=database.admin, worker=database.owner))
    assert found == {"database.api": "role_too_powerful", "database.worker": "role_too_powerful"}
    async with login(database, "BYPASSRLS IN ROLE genjobs_api") as url:
        assert codes(await looked(database, api=url)) == {"database.api": "role_too_powerful"}
        # As a provider's console makes logins: members of an administrator's role.
        powerful = url.split("//")[1].split("@")[0]
        async with login(database, f"IN ROLE genjobs_api, {powerful}") as member:
            found = codes(await looked(database, api=member))
            assert found == {"database.api": "role_too_powerful"}
    async with login(database, "IN ROLE genjobs_api, genjobs_worker") as url:
        assert codes(await looked(database, api=url)) == {"database.api": "role_wrong"}
    async with login(database, "IN ROLE genjobs_worker") as url:
        assert codes(await looked(database, worker=url)) == {}


async def test_owner_that_bypasses_is_told_and_does(database: Database) -> None:
    found = await looked(database, owner=database.admin)
    assert codes(found) == {"database.owner": "owner_bypasses"}
    assert outcomes(found)["database.owner"] is Outcome.WARNING


async def test_lost_rights_and_a_lost_wall_are_told(database: Database) -> None:
    where = "FUNCTION genjobs.create_job"
    async with changed(
        database,
        f"REVOKE EXECUTE ON {where} FROM genjobs_api",
        f"GRANT EXECUTE ON {where} TO genjobs_api",
    ):
        assert codes(await looked(database)) == {"database.api": "role_reaches_too_little"}
    async with changed(
        database,
        "ALTER TABLE genjobs.jobs DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE genjobs.jobs ENABLE ROW LEVEL SECURITY",
    ):
        assert codes(await looked(database)) == {"database.api": "row_security_inactive"}


async def test_schema_of_another_version_is_told(database: Database) -> None:
    [(now,)] = await database.execute("SELECT version_num FROM genjobs.alembic_version")
    back = f"UPDATE genjobs.alembic_version SET version_num = '{now}'"
    for other, code in (("0006", "revision_behind"), ("9999", "revision_ahead")):
        change = f"UPDATE genjobs.alembic_version SET version_num = '{other}'"
        async with changed(database, change, back):
            assert codes(await looked(database)) == {"database.revision": code}
    [(digest,)] = await database.execute(
        "SELECT obj_description('genjobs'::regnamespace, 'pg_namespace')"
    )
    comment = "COMMENT ON SCHEMA genjobs IS"
    async with changed(database, f"{comment} 'sha256:other'", f"{comment} '{digest}'"):
        assert codes(await looked(database)) == {"database.revision": "schema_code_differs"}


async def test_database_before_its_first_migration_is_told_and_mended(server: str) -> None:
    async with fresh_database(server) as database:
        found = await looked(database)
        assert codes(found) == {
            "database.api": "not_migrated",
            "database.worker": "not_migrated",
            "database.revision": "not_migrated",
        }
        await migrate.upgrade(database.owner)
        assert codes(await looked(database)) == {}


async def test_database_that_cannot_be_entered_is_told_and_the_rest_is_looked_at(
    database: Database, closed_port: int
) -> None:
    found = await looked(
        database,
        api=database.api.replace("genjobs_api@", "genjobs_test_nobody@"),
        worker=database.worker.replace(database.name, "genjobs_test_none"),
        owner=f"postgresql+asyncpg://o:not-to-be-shown@127.0.0.1:{closed_port}/d",
    )
    assert codes(found) == {
        "database.api": "database_login_refused",
        "database.worker": "database_missing",
        "database.owner": "database_unreachable",
        "database.revision": "database_unreachable",
    }
    assert "not-to-be-shown" not in repr(found)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://a:not-to-be-shown@h/d",
        "postgresql+asyncpg://a:not-to-be-shown/and@h:5432/d",  # a password to be percent-encoded
        "postgresql+asyncpg://a:not-to-be-shown@h:port/d",
        "postgresql+asyncpg://a:not-to-be-shown@[h/d",
    ],
)
async def test_url_that_is_none_is_told(database: Database, url: str) -> None:
    found = await looked(database, worker=url)
    assert codes(found) == {"database.worker": "settings_refused"}
    assert "not-to-be-shown" not in repr(found)


@pytest.mark.parametrize("query", ["ssl=require", "sslmode=require&channel_binding=require"])
async def test_owners_url_may_be_written_as_providers_write_it(
    closed_port: int, query: str
) -> None:
    url = f"postgresql+asyncpg://o:secret@127.0.0.1:{closed_port}/d?{query}"
    with pytest.raises(Unavailable, match="cannot be reached"):
        await PostgresTenancy(url, DefaultLimits()).list_tenants()
    with pytest.raises(Unavailable, match="ConnectionRefusedError"):
        await migrate.upgrade(url)


async def test_upgrade_that_is_refused_says_why(database: Database) -> None:
    """By the API's login, which may make nothing."""
    with pytest.raises(Unavailable, match="refused the upgrade: permission denied"):
        await migrate.upgrade(database.api)
