"""``genjobs doctor`` as a process: what it prints, how it ends, and what it never prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.processes import running
from tests.postgres import Database

pytestmark = pytest.mark.e2e


@pytest.fixture
def data(open_folder: Path) -> Path:
    return open_folder


async def test_broken_deployment_is_told_with_fixes_and_without_secrets(
    database: Database, data: Path, closed_port: int
) -> None:
    secret = "not-to-be-shown"
    settings = {
        "GENJOBS_DATABASE_URL": database.admin,
        "GENJOBS_WORKER_DATABASE_URL": database.worker,
        "GENJOBS_OWNER_DATABASE_URL": (
            f"postgresql+asyncpg://owner:{secret}@127.0.0.1:{closed_port}/genjobs"
        ),
        "GENJOBS_ARTIFACTS_URL": f"r2://account/bucket?endpoint=https://127.0.0.1:{closed_port}",
        "GENJOBS_R2_ACCESS_KEY_ID": secret,
        "GENJOBS_R2_SECRET_ACCESS_KEY": secret,
        "GENJOBS_TOKEN_KEYS": f'["{secret} {secret} {secret}"]',
        "GENJOBS_MODAL_PROXY_AUTH": "true",
        "GENJOBS_API_KEY": None,
    }
    async with running(data, "doctor", "--before-deploy", **settings) as doctor:
        assert await doctor.ends(60) == 1, doctor.lines
    lines = [line.strip() for line in doctor.out.splitlines()]
    for code in (
        *("role_too_powerful", "database_unreachable", "store_unreachable"),
        *("pins_unresolved", "proxy_auth_shuts_browsers"),
    ):
        assert any(line.startswith(f"{code}: ") for line in lines), code
    assert any(line.startswith("ok       database.worker ") for line in lines)
    assert any(line.startswith("skipped  modal ") for line in lines)
    assert " failed, " in doctor.lines[-1]
    assert secret not in doctor.out + "".join(doctor.lines)


async def test_settings_that_cannot_be_read_are_a_finding(data: Path) -> None:
    async with running(data, "doctor", "--json", GENJOBS_LEASE_SECONDS="nonsense") as doctor:
        assert await doctor.ends() == 1
    [found] = json.loads(doctor.out)
    assert (found["check"], found["code"]) == ("settings", "settings_refused")
    assert "GENJOBS_LEASE_SECONDS" in found["seen"]
