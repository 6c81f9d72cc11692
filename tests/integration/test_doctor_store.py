"""The doctor and the stores: each failure is made on a store that answers as a real one does."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from genjobs.domain.diagnosis import Finding, Outcome
from tests.doctoring import codes, findings, outcomes
from tests.object_store.gate import Fault, Gate, Right
from tests.object_store.signatures import CREDENTIALS

STEPS = {
    f"store.{step}" for step in ("write", "read", "list", "signed_get", "signed_put", "delete")
}


async def looked(gate: Gate, **changed: str) -> list[Finding]:
    return await findings("store", **_settings(gate.place.endpoint, gate.place.bucket) | changed)


def _settings(endpoint: str, bucket: str) -> dict[str, str]:
    return {
        "artifacts_url": f"r2://account/{bucket}?endpoint={endpoint}",
        "r2_access_key_id": CREDENTIALS.access_key_id,
        "r2_secret_access_key": CREDENTIALS.secret_access_key,
    }


async def test_healthy_bucket_has_no_findings_but_its_missing_tls(gate: Gate) -> None:
    found = await looked(gate)
    assert codes(found) == {"store.tls": "store_unencrypted"}
    assert {name for name, how in outcomes(found).items() if how is Outcome.OK} == STEPS
    assert await gate.keys() == []


async def test_directory_has_no_findings_and_keeps_nothing(tmp_path: Path) -> None:
    found = await findings(
        "store", artifacts_url=f"file:{tmp_path / 'artifacts'}", data_directory=tmp_path
    )
    assert codes(found) == {}
    assert {name for name, how in outcomes(found).items() if how is Outcome.OK} == STEPS
    assert [path for path in (tmp_path / "artifacts").rglob("*") if path.is_file()] == []


async def test_token_that_may_not_delete_is_told_with_what_stays(gate: Gate) -> None:
    gate.gives(Right.NONE, "DeleteObjects")
    found = await looked(gate)
    assert codes(found) == {"store.delete": "store_not_deleted", "store.tls": "store_unencrypted"}
    [told] = [finding for finding in found if finding.check == "store.delete"]
    assert "AccessDenied" in told.seen
    assert any(key in told.seen for key in await gate.keys())


async def test_token_that_may_not_read_is_told_at_each_step_that_reads(gate: Gate) -> None:
    gate.gives(Right.NONE, "GetObject")
    found = codes(await looked(gate))
    assert found["store.read"] == "store_refused"
    assert found["store.signed_get"] == "signed_get_refused"
    assert "store.write" not in found
    assert await gate.keys() == []


async def test_signed_put_that_is_refused_is_told(gate: Gate) -> None:
    gate.right = lambda seen: Right.NONE if "/uploads/" in seen.target else None
    assert codes(await looked(gate))["store.signed_put"] == "signed_put_refused"
    assert await gate.keys() == []


async def test_bucket_that_is_open_to_all_is_told(gate: Gate) -> None:
    gate.gives(Right.EVERYBODY)
    found = codes(await looked(gate))
    assert found["store.signed_get"] == "tampered_url_accepted"
    assert await gate.keys() == []


@pytest.mark.parametrize(
    ("changed", "code", "word"),
    [
        ({"r2_secret_access_key": "not-to-be-shown"}, "store_refused", "SignatureDoesNotMatch"),
        ({"artifacts_url": "no-such-bucket"}, "store_bucket_missing", "NoSuchBucket"),
    ],
)
async def test_store_that_takes_nothing_is_told_once(
    gate: Gate, changed: dict[str, str], code: str, word: str
) -> None:
    if "artifacts_url" in changed:
        place = _settings(gate.place.endpoint, changed["artifacts_url"])
        changed = {"artifacts_url": place["artifacts_url"]}
    found = await looked(gate, **changed)
    assert codes(found) == {"store.write": code, "store.tls": "store_unencrypted"}
    assert word in repr(found)
    assert "not-to-be-shown" not in repr(found)
    skipped = {name for name, how in outcomes(found).items() if how is Outcome.SKIPPED}
    assert skipped == STEPS - {"store.write"}


async def test_file_of_a_write_that_looks_failed_is_removed(gate: Gate) -> None:
    gate.fails(Fault.LOSE_ANSWER, "PutObject")
    assert codes(await looked(gate))["store.write"] == "store_unreachable"
    assert "DeleteObjects" in gate.operations()
    assert await gate.keys() == []


async def test_store_that_is_away_is_told(closed_port: int) -> None:
    found = await findings("store", **_settings(f"https://127.0.0.1:{closed_port}", "bucket"))
    assert codes(found) == {"store.write": "store_unreachable", "store.tls": "store_unreachable"}


@asynccontextmanager
async def tls_server(folder: Path, life: timedelta) -> AsyncIterator[tuple[int, Path]]:
    """Serve TLS on loopback with a certificate of its own; yield the port and the certificate."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + life)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file, pem = folder / "certificate.pem", serialization.Encoding.PEM
    file.write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file, folder / "key.pem")

    async def end(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(end, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1], file


async def test_certificate_is_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for life, wanted in ((90, None), (3, "tls_expires_soon")):
        async with tls_server(tmp_path, timedelta(days=life)) as (port, certificate):
            settings = _settings(f"https://localhost:{port}", "bucket")
            unknown = codes(await findings("store.tls", **settings))
            assert unknown == {"store.tls": "tls_not_trusted"}
            with monkeypatch.context() as patched:
                patched.setenv("SSL_CERT_FILE", str(certificate))  # OpenSSL's own
                known = codes(await findings("store.tls", **settings))
            assert known.get("store.tls") == wanted
