"""``genjobs keys``, ``issuers`` and ``tokens``: a secret is shown once, and never taken."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from genjobs.domain.credentials import KeyText
from genjobs.domain.tenancy import Owner, Scope
from tests.unit.cli.administrating import Shell

PRIVATE = Ed25519PrivateKey.generate()
PUBLIC_PEM = PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
ISSUER = "https://acme.test"


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    shell = Shell(capsys, monkeypatch)
    assert shell.run("tenants", "create", "acme").code == 0
    assert shell.run("tenants", "create", "other").code == 0
    return shell


def test_key_is_shown_once_and_stored_as_a_digest(shell: Shell) -> None:
    ran = shell.run(
        *("keys", "create", "--tenant", "acme", "--scopes", "jobs:write,jobs:read"),
        *("--name", "backend", "--expires-days", "90", "--json"),
    )
    text = KeyText.parse(ran.json["key"])
    assert text is not None
    assert text.live
    assert text.secret not in ran.err
    stored = shell.jobs.tenants.keys[text.id]
    assert stored.secret_sha256 == text.digest()
    assert stored.scopes == {Scope.JOBS_READ, Scope.JOBS_WRITE}
    assert stored.expires_at == shell.clock.now() + timedelta(days=90)
    assert {**ran.json, "key": ""} == {
        "key": "",
        "id": text.id,
        "tenant": "acme",
        "name": "backend",
        "live": True,
        "scopes": ["jobs:read", "jobs:write"],
        "expires_at": ran.json["expires_at"],
    }
    for listing in (("--json",), ()):
        assert text.secret not in shell.run("keys", "list", *listing).out


def test_without_json_the_key_is_all_of_the_output(shell: Shell) -> None:
    ran = shell.run("keys", "create", "--tenant", "acme", "--scopes", "jobs:read", "--test")
    text = KeyText.parse(ran.out.removesuffix("\n"))
    assert text is not None
    assert not text.live
    assert text.id in ran.err


def test_keys_are_listed_by_tenant_and_revoked_by_id(shell: Shell) -> None:
    made = [
        shell.done("keys", "create", "--tenant", tenant, "--scopes", "jobs:read")
        for tenant in ("acme", "other")
    ]
    assert [item["id"] for item in shell.done("keys", "list")] == [item["id"] for item in made]
    shell.clock.advance(timedelta(hours=1))
    shell.done("keys", "revoke", made[0]["id"])

    [key] = shell.done("keys", "list", "--tenant", "acme")
    assert key["id"] == made[0]["id"]
    assert key["revoked_at"] is not None
    assert shell.done("keys", "list", "--tenant", "other")[0]["revoked_at"] is None


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--scopes", "jobs:writ"), "'jobs:writ' is no scope here; there are jobs:read"),
        (("--scopes", ""), "no scope is named"),
        (("--scopes", "jobs:read", "--expires-days", "0"), "1 to 3650 days"),
        (("--scopes", "jobs:read", "--expires-days", "99999"), "1 to 3650 days"),
        (("--scopes", "jobs:read", "--name", "a\nb"), "a key's name"),
    ],
)
def test_key_that_cannot_be_made_is_told_in_one_line(
    shell: Shell, options: tuple[str, ...], why: str
) -> None:
    ran = shell.run("keys", "create", "--tenant", "acme", *options)
    assert (ran.code, ran.out) == (2, "")
    assert why in ran.err
    assert ran.err.count("\n") == 1
    assert shell.jobs.tenants.keys == {}


def test_whole_key_is_not_taken_and_not_repeated(shell: Shell) -> None:
    text = shell.done("keys", "create", "--tenant", "acme", "--scopes", "jobs:read")["key"]
    ran = shell.run("keys", "revoke", text)
    assert (ran.code, ran.out) == (2, "")
    assert text not in ran.err
    assert "by its id" in ran.err
    ran = shell.run("keys", "revoke", "0" * 12)
    assert (ran.code, ran.err) == (4, f"genjobs: There is no key '{'0' * 12}'.\n")


# -- a site's own keys ----------------------------------------------------------------------------


def add(shell: Shell, path: Path, **changes: str) -> tuple[str, ...]:
    given = {
        "tenant": "acme",
        "issuer": ISSUER,
        "kid": "k1",
        "algorithm": "EdDSA",
        "public-key": str(path),
        **changes,
    }
    options = [part for name, value in given.items() for part in (f"--{name}", value)]
    return ("issuers", "add", *options)


def test_public_key_is_registered_listed_and_revoked(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "site.pub"
    path.write_bytes(PUBLIC_PEM)
    assert shell.done(*add(shell, path))["scopes"] == ["jobs:read"]
    shell.done(*add(shell, path, kid="k2", scopes="jobs:read,jobs:write"))

    stored = shell.jobs.tenants.issuer_keys[ISSUER, "k1"]
    assert stored.public_key == PUBLIC_PEM.decode()
    listed = shell.done("issuers", "list", "--tenant", "acme")
    assert [(item["kid"], item["scopes"]) for item in listed] == [
        ("k1", ["jobs:read"]),
        ("k2", ["jobs:read", "jobs:write"]),
    ]
    assert shell.done("issuers", "list", "--tenant", "other") == []
    shell.done("issuers", "revoke", "--issuer", ISSUER, "--kid", "k1")
    assert "k2" in shell.run("issuers", "list").out
    assert shell.jobs.tenants.issuer_keys[ISSUER, "k1"].revoked_at is not None
    assert shell.jobs.tenants.issuer_keys[ISSUER, "k2"].revoked_at is None
    assert shell.run("issuers", "revoke", "--issuer", ISSUER, "--kid", "k3").code == 4


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"issuer": "genjobs"}, "this service itself"),
        ({"issuer": ""}, "the issuer is 1 to 200"),
        ({"kid": "a b"}, "the key id is 1 to 200"),
        ({"algorithm": "HS256"}, "must be one of EdDSA, ES256, RS256"),
        ({"algorithm": "none"}, "must be one of"),
        ({"algorithm": "ES256"}, "ES256 needs a key on the curve P-256"),
        ({"scopes": "tenant:read"}, "'tenant:read' is no scope here; there are jobs:read, jobs:w"),
        ({"public-key": "/nowhere/at.all"}, "cannot be read"),
    ],
)
def test_key_that_cannot_be_registered_is_told_in_one_line(
    shell: Shell, tmp_path: Path, changes: dict[str, str], why: str
) -> None:
    path = tmp_path / "site.pub"
    path.write_bytes(PUBLIC_PEM)
    ran = shell.run(*add(shell, path, **changes))
    assert (ran.code, ran.out) == (2, "")
    assert why in ran.err
    assert ran.err.count("\n") == 1
    assert shell.jobs.tenants.issuer_keys == {}


def test_private_key_is_refused(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "site.pem"
    private = PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(PUBLIC_PEM + private)
    ran = shell.run(*add(shell, path))
    assert ran.code == 2
    assert "private key" in ran.err
    assert private.decode().splitlines()[1] not in ran.err


# -- tokens ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("user", "stdin"), [("u_1", ""), ("-", "u_1\n")])
def test_tokens_of_a_user_are_revoked(shell: Shell, user: str, stdin: str) -> None:
    shell.done("tokens", "revoke", "--tenant", "acme", "--user", user, stdin=stdin)
    tenant = min(shell.jobs.tenants.tenant_notes)
    cutoffs = shell.jobs.tenants.token_cutoffs
    assert cutoffs == {Owner(tenant_id=tenant, user_id="u_1"): shell.clock.now()}
    assert shell.run("tokens", "revoke", "--tenant", "acme", "--user", "").code == 2
