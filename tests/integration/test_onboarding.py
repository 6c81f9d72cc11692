"""From nothing to a served tenant by commands alone, and out again, on real Postgres."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import SecretStr

from genjobs import bootstrap
from genjobs.api.app import create_app
from genjobs.cli import main
from genjobs.domain.ids import TenantId, tenant_text
from genjobs.settings import Settings
from genjobs.testing import a_workflow
from tests.postgres import Database

#: Within these a revocation is promised to be effective.
SECONDS = 5.0
ISSUER = "https://site.test"


@pytest.fixture
def settings(database: Database, tmp_path: Path) -> Settings:
    return Settings(
        database_url=SecretStr(database.api),
        worker_database_url=SecretStr(database.worker),
        owner_database_url=SecretStr(database.owner),
        data_directory=tmp_path,
        token_keys=(SecretStr("signs tokens of this test and of nothing"),),
    )


@pytest.fixture
def command(settings: Settings, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    async def run(*arguments: str) -> Any:
        """Run a command that must end well; return its JSON."""
        with pytest.raises(SystemExit) as ended:
            await asyncio.to_thread(
                main,
                [*arguments, "--json"],
                administration=lambda _: bootstrap.open_administration(settings),
            )
        out, err = capsys.readouterr()
        assert not ended.value.code, err
        return json.loads(out)

    return run


@pytest.fixture
async def http(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with bootstrap.open_adapters(settings) as adapters:
        context = await bootstrap.build_context(adapters)
        app = create_app(lambda: None, version="0")  # type: ignore[arg-type,return-value]
        app.state.context = context
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield client


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


async def refused(http: httpx.AsyncClient, path: str, text: str) -> float:
    """Wait until a credential is refused; return the seconds that it took."""
    begun = time.monotonic()
    while (await http.get(path, headers=bearer(text))).status_code != 401:
        assert time.monotonic() - begun < SECONDS
        await asyncio.sleep(0.1)
    return time.monotonic() - begun


async def test_tenant_is_served_limited_and_cut_off(
    http: httpx.AsyncClient, command: Callable[..., Any], tmp_path: Path
) -> None:
    tenant = await command("tenants", "create", "acme")
    scopes = "jobs:write,jobs:read,tokens:write"
    made = await command("keys", "create", "--tenant", "acme", "--scopes", scopes)
    other = await command("keys", "create", "--tenant", "acme", "--scopes", scopes)
    key = bearer(made["key"])
    body = {"user_id": "u_1", "workflow": a_workflow()}

    created = await http.post("/v1/jobs", json=body, headers=key)
    assert created.status_code == 202, created.text
    path = created.headers["location"]
    assert (await http.get(path, params={"user_id": "u_1"}, headers=key)).status_code == 200

    # Limits and plans hold from the next submit on.
    await command("plans", "set", "--tenant", "acme", "free", "max_queued=1")
    await command("plans", "assign", "--tenant", "acme", "--user", "u_1", "free")
    full = await http.post("/v1/jobs", json=body, headers=key)
    assert (full.status_code, full.json()["code"]) == (429, "queue_full")
    await command("plans", "assign", "--tenant", "acme", "--user", "u_1", "--none")
    await command("tenants", "limits", "acme", "--set", "jobs_per_day=2")
    assert (await http.post("/v1/jobs", json=body, headers=key)).status_code == 202
    over = await http.post("/v1/jobs", json=body, headers=key)
    assert (over.status_code, over.json()["code"]) == (429, "quota_exceeded")

    # A token of ours, and one of the site's own.
    wanted = {"user_id": "u_1", "ttl_seconds": 600}
    token = (await http.post("/v1/tokens", json=wanted, headers=key)).json()["token"]
    later = (await http.post("/v1/tokens", json=wanted, headers=bearer(other["key"]))).json()
    site = Ed25519PrivateKey.generate()
    public = tmp_path / "site.pub"
    public.write_bytes(
        site.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    await command(
        *("issuers", "add", "--tenant", "acme", "--issuer", ISSUER, "--kid", "k1"),
        *("--algorithm", "EdDSA", "--public-key", str(public)),
    )
    now = datetime.now(UTC)
    claims = {
        "iss": ISSUER,
        "aud": "genjobs",
        "sub": "u_1",
        "tenant": tenant["id"],
        "scope": "jobs:read",
        "jti": "1",
        "iat": now,
        "exp": now + timedelta(minutes=5),
    }
    own = jwt.encode(claims, site, algorithm="EdDSA", headers={"kid": "k1"})
    for text in (token, later["token"], own):
        assert (await http.get(path, headers=bearer(text))).status_code == 200

    # Each is cut off on its own, and nothing else with it.
    await command("issuers", "revoke", "--issuer", ISSUER, "--kid", "k1")
    await command("keys", "revoke", made["id"])
    mine = f"{path}?user_id=u_1"
    took = await asyncio.gather(
        refused(http, path, own),
        refused(http, mine, made["key"]),
        refused(http, path, token),  # made by the key
    )
    assert max(took) < SECONDS
    assert (await http.get(path, headers=bearer(later["token"]))).status_code == 200
    await command("tokens", "revoke", "--tenant", "acme", "--user", "u_1")
    await refused(http, path, later["token"])
    assert (await http.get(mine, headers=bearer(other["key"]))).status_code == 200
    assert (await http.post("/v1/jobs", json=body, headers=key)).status_code == 401
    listed = {item["id"]: item for item in await command("keys", "list", "--tenant", "acme")}
    assert listed[made["id"]]["revoked_at"] is not None
    assert listed[other["id"]]["revoked_at"] is None


async def test_settings_tenant_gives_way_to_one_of_its_name(
    database: Database, settings: Settings, command: Callable[..., Any]
) -> None:
    taken = await command("tenants", "create", "default")
    for _ in range(2):
        await bootstrap.prepare_database(settings, database.owner)

    mine = tenant_text(TenantId(settings.tenant_id))
    listed = {item["name"]: item["id"] for item in await command("tenants", "list")}
    assert listed == {"default": taken["id"], f"default {mine}": mine}


async def test_commands_say_what_the_database_lacks(
    database: Database, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = database.owner.replace(database.name, f"{database.name}_none")
    unmigrated = database.admin.replace(f"/{database.name}", "/postgres")
    for url, code, why in (
        (None, 2, "GENJOBS_OWNER_DATABASE_URL is needed"),
        (missing, 3, "cannot be reached"),
        (unmigrated, 3, "genjobs db upgrade"),
        (database.api, 3, "refuses this role"),
    ):
        owner = None if url is None else SecretStr(url)
        changed = settings.model_copy(update={"owner_database_url": owner})
        with pytest.raises(SystemExit) as ended:
            await asyncio.to_thread(
                main,
                ["tenants", "create", "x"],
                administration=lambda _, changed=changed: bootstrap.open_administration(changed),
            )
        out, err = capsys.readouterr()
        assert (ended.value.code, out) == (code, "")
        assert why in err
        assert err.count("\n") == 1
