"""
Keys, tokens and user ids do not get to where they have no business.

The shipped processes run with all that they can log; everything that the API answers well or badly
is asked of it, it is made to crash, and then what was said and stored is searched.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from genjobs.adapters.local.embedded_postgres import EmbeddedUrls, embedded_postgres
from genjobs.adapters.postgres.pool import connect_arguments
from genjobs.domain.credentials import KeyText
from genjobs.testing import a_workflow
from tests.e2e.processes import Command, base_url, client, final, running, servers_of

pytestmark = pytest.mark.e2e

USER = "leak.user:7f3a@site"
OTHER = "leak.other:81cc@site"
TOKEN_KEY = "leak-token-key-5b1e6c0f-a-secret-of-this-test"
SIGNING_KEY = "leak-signing-key-0d9a77-a-secret-of-this-test"
ISSUER = "https://leak.test"


@dataclass(slots=True)
class Findings:
    """What was said, and by whom."""

    #: Never to be found anywhere, by what they are.
    secrets: dict[str, str] = field(default_factory=dict)
    #: Everything processes wrote, but the key that a command has to show.
    logs: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)
    commands: set[str] = field(default_factory=set)

    def add_key(self, what: str, text: str) -> str:
        """Note a key, and its secret on its own."""
        parsed = KeyText.parse(text)
        assert parsed is not None
        self.secrets[what] = text
        self.secrets[f"secret of {what}"] = parsed.secret
        return text

    def add_token(self, what: str, text: str) -> str:
        """Note a token, and its signature on its own."""
        self.secrets[what] = text
        self.secrets[f"signature of {what}"] = text.rpartition(".")[2]
        return text

    def note(self, answer: httpx.Response) -> httpx.Response:
        """Note what the API said."""
        self.statuses.add(answer.status_code)
        if answer.status_code >= 400:
            self.problems.append(f"{answer.headers} {answer.text}")
        return answer


@contextmanager
def watched_commands(findings: Findings) -> Iterator[None]:
    """Note the command line of every process of this machine, again and again."""
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                for file in ("cmdline", "comm"):
                    try:
                        text = (process / file).read_bytes()
                    except OSError:
                        continue
                    findings.commands.add(text.replace(b"\0", b" ").decode("utf-8", "replace"))
            time.sleep(0.05)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()


@dataclass(slots=True)
class Place:
    """The processes under test and how to speak with them."""

    data: Path
    settings: dict[str, str]
    findings: Findings
    commands: int = 0

    async def command(self, *arguments: str, stdin: str = "") -> Any:
        """Run an administrating command; only a new key may be on its standard output."""
        async with running(self.data, *arguments, "--json", **self.settings) as command:
            code = await command.ends()
        assert code == 0, "".join(command.lines)
        self.commands += 1
        shown = json.loads(command.out)
        if "key" in shown:
            self.findings.add_key(f"key {self.commands}", shown["key"])
            shown_safely = {**shown, "key": ""}
        else:
            shown_safely = shown
        what = f"command {self.commands} {arguments[:2]}"
        self.findings.logs[what] = json.dumps(shown_safely) + "".join(command.lines)
        return shown

    async def told(self, user: str, *arguments: str) -> None:
        """Run an administrating command that reads a user's id from its standard input."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "genjobs", *arguments),
            env={"PATH": "/usr/bin:/bin", "GENJOBS_DATA_DIRECTORY": str(self.data)} | self.settings,
            cwd=self.data,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate(f"{user}\n".encode())
        assert process.returncode == 0, out.decode()
        self.findings.logs[f"command {arguments[:2]} of a user"] = out.decode()


@asynccontextmanager
async def opened(data: Path, *, log_json: bool) -> AsyncIterator[tuple[Place, Command, Command]]:
    findings = Findings()
    findings.secrets |= {"token key": TOKEN_KEY, "signing key": SIGNING_KEY}
    key = KeyText.make(live=False, random=b"leak" * 10 + b"!!").reveal()
    settings = {
        "GENJOBS_LOG_LEVEL": "debug",
        "GENJOBS_LOG_JSON": str(log_json),
        "GENJOBS_API_KEY": findings.add_key("the settings' key", key),
        "GENJOBS_TOKEN_KEYS": json.dumps([TOKEN_KEY]),
        "GENJOBS_SIGNING_KEY": SIGNING_KEY,
        "GENJOBS_TRUSTED_PROXIES": "127.0.0.1",
        "GENJOBS_USER_REQUESTS_PER_SECOND": "1000",
    }
    place = Place(data, settings, findings)
    with watched_commands(findings):
        async with (
            running(data, "serve", "--port", "0", "--no-worker", **settings) as serve,
            running(data, "worker", **settings) as worker,
        ):
            yield place, serve, worker
            for name, command in (("serve", serve), ("worker", worker)):
                await command.stop()
                findings.logs[name] = "".join(command.lines) + command.out


async def use_everything(place: Place, url: str, tmp_path: Path) -> None:
    """Make credentials by commands, and ask the API for all that it has, well and badly."""
    tenant = await place.command("tenants", "create", "leaky")
    scopes = "jobs:write,jobs:read,tokens:write"
    made = await place.command("keys", "create", "--tenant", "leaky", "--scopes", scopes)
    dead = await place.command("keys", "create", "--tenant", "leaky", "--scopes", scopes)
    await place.command("plans", "set", "--tenant", "leaky", "pro", "browser_writes=true")
    await place.told(USER, "plans", "assign", "--tenant", "leaky", "--user", "-", "pro")
    await place.command("keys", "revoke", dead["id"])
    site = Ed25519PrivateKey.generate()
    public = tmp_path / "site.pub"
    public.write_bytes(
        site.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    await place.command(
        *("issuers", "add", "--tenant", "leaky", "--issuer", ISSUER, "--kid", "k1"),
        *("--algorithm", "EdDSA", "--public-key", str(public)),
    )
    findings = place.findings
    claims = {
        **{"iss": ISSUER, "aud": "genjobs", "sub": USER, "tenant": tenant["id"]},
        **{"scope": "jobs:read jobs:write", "jti": "1", "iat": datetime.now(UTC)},
        "exp": datetime.now(UTC) + timedelta(minutes=30),
    }
    kid = {"kid": "k1"}
    own = findings.add_token("the site's token", jwt.encode(claims, site, "EdDSA", headers=kid))
    wrong = findings.add_token(
        "a wrong token", jwt.encode({**claims, "aud": "other"}, site, "EdDSA", headers=kid)
    )
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as http:
        key = bearer(made["key"])
        body = {"user_id": USER, "workflow": a_workflow(), "metadata": {"order": "1"}}
        created = await http.post(
            "/v1/jobs", json=body, headers={**key, "Idempotency-Key": "leak-key"}
        )
        assert created.status_code == 202, created.text
        http.params = http.params.merge({"user_id": USER})
        http.headers.update(key)
        done = await final(http, created.json()["id"])
        assert done["status"] == "completed"
        link = done["outputs"][0]["url"]
        findings.secrets["a signed link"] = link.rpartition("/files/")[2]
        async with httpx.AsyncClient(trust_env=False) as stranger:
            assert (await stranger.get(link)).status_code == 200
            findings.note(await stranger.get(link[:-1]))
        wanted = {"user_id": USER, "ttl_seconds": 600, "scopes": ["jobs:read", "jobs:write"]}
        minted = await http.post("/v1/tokens", json=wanted)
        assert minted.status_code == 201, minted.text
        token = findings.add_token("a token", minted.json()["token"])

        routes = list(_routes((await http.get("/openapi.json")).json()))
        assert len(routes) >= 10
        tampered = made["key"][:-1] + ("A" if made["key"][-1] != "A" else "B")
        credentials = [made["key"], token, own, wrong, dead["key"], tampered, f"x{token}", "-"]
        foreign = "job_01m8e4mhw9ee8b3xz4kej82v0p"
        asked = [(done["id"], text) for text in credentials]
        asked += [
            (job, text) for job in (foreign, made["key"], USER) for text in (made["key"], token)
        ]
        for number, ((method, path), (job, text)) in enumerate(product(routes, asked)):
            target = path.replace("{job_id}", job)
            target = target.replace("{output_id}", done["outputs"][0]["id"])
            target = re.sub(r"{\w+}", text, target)
            for part in _bodies(method, body):
                headers = {
                    **bearer(text),
                    # Refused credentials of one address are bounded.
                    "X-Forwarded-For": f"198.51.{number // 250}.{number % 250}",
                    **part.pop("headers", {}),
                }
                answer = await http.request(method, target, headers=headers, **part)
                findings.note(answer)
        await _ask_badly(findings, http, body, made["key"])
    await place.told(USER, "tokens", "revoke", "--tenant", "leaky", "--user", "-")


async def _ask_badly(
    findings: Findings, http: httpx.AsyncClient, body: dict[str, Any], key: str
) -> None:
    for path in (f"/{key}", f"/v1/{USER}", f"/v1/jobs/{USER}?key={key}", f"/files/t/{key}/{USER}"):
        findings.note(await http.get(path))
    for changes in (
        {"user_id": USER + " "},
        {"user_id": USER * 20},
        {"user_id": [USER]},
        {"priority": USER},
        {"plan": USER},
        {"plan": "nothing"},
        {"media": [{"name": USER, "url": f"https://{key}:{USER}@10.0.0.1/{key}"}]},
        {"media": [{"name": "a.png", "data": key}]},
        {"metadata": {"a": [USER]}},
        {"workflow": {"1": {"class_type": "Nope", "inputs": {"user": USER}}}},
        {"workflow": USER},
        {"queue_timeout_seconds": -1},
    ):
        answer = await http.post("/v1/jobs", json=body | changes)
        assert answer.status_code in {413, 422}, answer.text
        findings.note(answer)
    same = {"Idempotency-Key": "leak-key"}
    changed = await http.post("/v1/jobs", json={**body, "priority": 1}, headers=same)
    assert findings.note(changed).json()["code"] == "idempotency_mismatch"
    for cursor in (USER, key):
        findings.note(await http.get("/v1/jobs", params={"cursor": cursor}))
        findings.note(await http.get("/v1/jobs", params={"status": cursor}))
        findings.note(await http.get("/v1/jobs", params={"created_after": cursor}))
    for method in ("PUT", "PATCH", "TRACE"):
        findings.note(await http.request(method, f"/v1/jobs/{USER}", content=key))


async def crash_everything(place: Place, urls: EmbeddedUrls, http: httpx.AsyncClient) -> None:
    """Let the database refuse a row, lack a function, and die."""
    admin = await asyncpg.connect(**connect_arguments(urls.admin) | {"database": "genjobs"})
    body = {"user_id": USER, "workflow": a_workflow()}
    note = place.findings.note
    try:
        # The database shows the row that it refuses to whoever sent it.
        await admin.execute("ALTER TABLE genjobs.jobs ADD CHECK (priority <> 7) NOT VALID")
        await admin.execute(
            "CREATE FUNCTION genjobs.fall() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "RAISE EXCEPTION 'fell' USING DETAIL = 'over ' || OLD.user_id; END $$"
        )
        await admin.execute(
            "CREATE TRIGGER fall BEFORE UPDATE ON genjobs.jobs FOR EACH ROW "
            "WHEN (OLD.priority = 8) EXECUTE FUNCTION genjobs.fall()"
        )
        await admin.execute("GRANT EXECUTE ON FUNCTION genjobs.fall TO PUBLIC")
        crashed = note(await http.post("/v1/jobs", json={**body, "priority": 7}))
        assert crashed.status_code == 500
        made = await http.post("/v1/jobs", json={**body, "priority": 8})
        assert note(await http.delete(f"/v1/jobs/{made.json()['id']}")).status_code == 500
        await admin.execute("ALTER FUNCTION genjobs.list_jobs RENAME TO list_of_jobs")
        assert note(await http.get("/v1/jobs")).status_code == 503
    finally:
        await admin.close()


def search(place: Place, dump: str) -> None:
    """Look for every secret everywhere, and for users where they may not be."""
    findings = place.findings
    problems = "\n".join(findings.problems)
    # Problem documents were had, of many kinds, and logs that tell of much.
    assert findings.statuses >= {200, 202, 400, 401, 404, 405, 415, 422, 500, 503}
    assert findings.logs["serve"].count("api.request") > 100
    assert "api.crashed" in findings.logs["serve"]
    assert "job.started" in findings.logs["worker"]
    assert "genjobs worker" in "\n".join(findings.commands)
    assert len(dump) > 10_000
    assert USER in dump  # it was the right database

    places = {
        **findings.logs,
        "problem documents": problems,
        "process list": "\n".join(findings.commands),
        "dump": dump,
    }
    for where, text in places.items():
        for what, secret in findings.secrets.items():
            assert secret not in text, _found(where, what, secret, text)
        if where == "dump":
            continue
        for user in (USER, OTHER):
            assert user not in text, _found(where, "a user's id", user, text)


def _found(where: str, what: str, secret: str, text: str) -> str:
    place = text.index(secret)
    return f"{what} in {where}: {text[max(0, place - 600) : place + 300]}"


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def _routes(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for path, operations in document["paths"].items():
        for method in operations:
            yield method.upper(), path


def _bodies(method: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    if method != "POST":
        return [{}]
    as_json = {"Content-Type": "application/json"}
    return [
        {"content": json.dumps(body), "headers": as_json},
        {"content": json.dumps({**body, "user_id": OTHER, "scopes": ["x"]}), "headers": as_json},
        {"content": json.dumps(body)[:-1], "headers": as_json},
        {"content": json.dumps(body), "headers": {"Content-Type": "text/plain"}},
    ]


@pytest.mark.parametrize(
    "log_json", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["json", "text"]
)
async def test_keys_tokens_and_users_are_nowhere_to_be_found(
    open_folder: Path, tmp_path: Path, log_json: bool
) -> None:
    async with AsyncExitStack() as stack:
        place, serve, worker = await stack.enter_async_context(
            opened(open_folder, log_json=log_json)
        )
        url = await base_url(serve)
        await worker.says("worker.started")
        await use_everything(place, url, tmp_path)
        urls = await stack.enter_async_context(embedded_postgres(open_folder / "postgres"))
        dump = await _dump(urls)
        async with client(url) as http:
            http.headers.update(bearer(place.settings["GENJOBS_API_KEY"]))
            http.params = http.params.merge({"user_id": USER})
            await crash_everything(place, urls, http)
            for server in servers_of(open_folder):
                os.kill(server, 9)
            gone = place.findings.note(await http.get("/v1/jobs"))
            assert gone.status_code == 503
        log = (open_folder / "postgres" / "cluster" / "server.log").read_text()
        place.findings.logs["the database's log"] = log
    search(place, dump)


async def _dump(urls: EmbeddedUrls) -> str:
    """Return all that the database holds, as its superuser copies it out."""
    admin = await asyncpg.connect(**connect_arguments(urls.admin) | {"database": "genjobs"})
    try:
        await admin.execute("SET bytea_output = escape")  # what is text in it stays readable
        tables = await admin.fetch(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname <> 'information_schema'"
        )
        copied = io.BytesIO()
        for schema, table in tables:
            copied.write(f"\n{schema}.{table}\n".encode())
            await admin.copy_from_table(table, schema_name=schema, output=copied)
        return copied.getvalue().decode("utf-8", "replace")
    finally:
        await admin.close()
