"""The contract of ``TokenCodec``: which tokens are read, and that every other is refused alike."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
from datetime import timedelta
from typing import Any

import pytest

from genjobs.domain.credentials import ISSUER_ALGORITHMS
from genjobs.domain.ids import tenant_text
from genjobs.domain.ports import TokenCodec
from genjobs.domain.tenancy import Scope
from genjobs.testing.contracts.token_cases import (
    GARBAGE,
    ODD_DOCUMENTS,
    WRONG_CLAIMS,
    WRONG_HEADERS,
)
from genjobs.testing.contracts.token_steps import (
    NEW,
    NOW,
    OLD,
    Make,
    decoded,
    encoded,
    refuse,
    refuse_everywhere,
    some_claims,
    without_none,
)
from genjobs.testing.factories import a_tenant_id
from genjobs.testing.site_keys import a_site_key, by_secret, jws, of_algorithm


class TokenCodecContract:
    """Needs the fixture ``make``: secrets to a codec whose audience is ``genjobs``."""

    @pytest.fixture
    def make(self) -> Make:
        """Return what makes a codec of secrets, the newest first."""
        raise NotImplementedError

    @pytest.fixture
    def codec(self, make: Make) -> TokenCodec:
        """Return a codec with one secret."""
        return make([NEW])

    # -- our own ------------------------------------------------------------------------------

    def test_own_token_is_read_as_it_was_signed(self, codec: TokenCodec) -> None:
        claims = some_claims()
        assert codec.read_own(codec.sign(claims), now=NOW) == claims

    def test_own_keys_rotate(self, make: Make) -> None:
        token = make([OLD]).sign(some_claims())
        assert make([NEW, OLD]).read_own(token, now=NOW) == some_claims()
        refuse(make([NEW]).read_own, token, now=NOW)
        # The first signs: whoever has only the newer one reads it.
        assert make([NEW]).read_own(make([NEW, OLD]).sign(some_claims()), now=NOW) is not None

    def test_secret_and_its_digest_are_not_in_a_token(self, codec: TokenCodec) -> None:
        header, payload, _ = codec.sign(some_claims()).split(".")
        text = b"".join(map(decoded, (header, payload)))
        assert NEW.encode() not in text

    def test_own_token_of_another_secret_is_refused(self, codec: TokenCodec, make: Make) -> None:
        token = codec.sign(some_claims())
        head, payload, _ = token.split(".")
        for secret in ("x" * 40, "-", NEW.upper(), NEW + "x"):
            signature = by_secret(secret)(f"{head}.{payload}".encode())
            forged = f"{head}.{payload}.{encoded(signature)}"
            refuse(codec.read_own, forged, now=NOW)
        for kid in ("../../dev/null", "k1", "", "' OR 1=1 --", None, 1):
            forged = jws({"alg": "HS256", "kid": kid}, json.loads(decoded(payload)), by_secret(NEW))
            refuse(codec.read_own, forged, now=NOW)

    @pytest.mark.parametrize("case", [name for name in WRONG_HEADERS if name != "alg HS256"])
    def test_own_token_with_a_wrong_header_is_refused(self, codec: TokenCodec, case: str) -> None:
        header, payload, _ = codec.sign(some_claims()).split(".")
        changed = without_none({**json.loads(decoded(header)), **WRONG_HEADERS[case]})
        for sign in (by_secret(NEW), lambda _: b""):
            refuse(codec.read_own, jws(changed, decoded(payload), sign), now=NOW)

    @pytest.mark.parametrize("case", [name for name in WRONG_CLAIMS if "issuer" not in name])
    def test_own_token_with_a_wrong_claim_is_refused(self, codec: TokenCodec, case: str) -> None:
        header, payload, _ = codec.sign(some_claims()).split(".")
        changed = without_none({**json.loads(decoded(payload)), **WRONG_CLAIMS[case]})
        refuse(codec.read_own, jws(decoded(header), changed, by_secret(NEW)), now=NOW)

    def test_own_token_needs_the_key_that_it_was_made_with(self, codec: TokenCodec) -> None:
        header, payload, _ = codec.sign(some_claims()).split(".")
        for key in (None, "", 1, ["k"]):
            changed = {**json.loads(decoded(payload)), "key": key}
            refuse(codec.read_own, jws(decoded(header), changed, by_secret(NEW)), now=NOW)

    @pytest.mark.parametrize("text", GARBAGE)
    def test_garbage_is_refused(self, codec: TokenCodec, text: str) -> None:
        refuse_everywhere(codec, text)

    @pytest.mark.parametrize("payload", ODD_DOCUMENTS)
    def test_odd_payload_is_refused(self, codec: TokenCodec, payload: bytes) -> None:
        kid = json.loads(decoded(codec.sign(some_claims()).split(".")[0]))["kid"]
        refuse_everywhere(codec, jws({"alg": "HS256", "kid": kid}, payload, by_secret(NEW)))
        key = a_site_key(a_tenant_id())
        refuse_everywhere(codec, jws(key.header(), payload, key.sign), key)

    @pytest.mark.parametrize("header", ODD_DOCUMENTS)
    def test_odd_header_is_refused(self, codec: TokenCodec, header: bytes) -> None:
        key = a_site_key(a_tenant_id())
        refuse_everywhere(codec, jws(header, key.claims(NOW), key.sign), key)
        own = decoded(codec.sign(some_claims()).split(".")[1])
        refuse_everywhere(codec, jws(header, own, by_secret(NEW)))

    # -- a site's own -------------------------------------------------------------------------

    @pytest.mark.parametrize("algorithm", ISSUER_ALGORITHMS)
    def test_sites_token_is_read_with_its_public_key(
        self, codec: TokenCodec, algorithm: str
    ) -> None:
        key = a_site_key(a_tenant_id(), algorithm)
        token = key.token(NOW, scope="jobs:read jobs:write tenant:read nobody:knows")
        head = codec.head(token)
        claims = codec.read(token, key.public, now=NOW)

        assert codec.read_own(token, now=NOW) is None
        assert (head.issuer, head.kid) == (key.public.issuer, key.public.kid)
        assert head.tenant_id == claims.tenant_id == key.public.tenant_id
        assert (claims.user_id, claims.token_id, claims.key_id) == ("u_1", "token-1", None)
        assert claims.issued_at == NOW.replace(microsecond=0)
        assert claims.expires_at == NOW.replace(microsecond=0) + timedelta(minutes=10)
        assert claims.scopes == {Scope.JOBS_READ, Scope.JOBS_WRITE, Scope.TENANT_READ}
        for audience in (["genjobs"], ["other", "genjobs"]):
            codec.read(key.token(NOW, aud=audience), key.public, now=NOW)

    @pytest.mark.parametrize("algorithm", ISSUER_ALGORITHMS)
    def test_public_key_is_no_shared_secret(self, codec: TokenCodec, algorithm: str) -> None:
        key = a_site_key(a_tenant_id(), algorithm)
        pem = key.public.public_key
        der = base64.b64decode("".join(pem.split("\n")[1:-2]))
        for secret in (pem.encode(), pem.strip().encode(), der, b""):
            for name in ("HS256", algorithm):
                forged = jws(key.header(alg=name), key.claims(NOW), by_secret(secret))
                refuse(codec.read, forged, key.public, now=NOW)
        forged = jws(key.header(alg="HS256"), key.claims(NOW), by_secret(pem))
        for registered in ("HS256", "none", "PS256", ""):
            public = of_algorithm(key.public, registered)
            refuse(codec.read, forged, public, now=NOW)

    def test_key_is_held_to_its_own_algorithm(self, codec: TokenCodec) -> None:
        keys = [a_site_key(a_tenant_id(), algorithm) for algorithm in ISSUER_ALGORITHMS]
        for key in keys:
            for other in keys:
                if other is key:
                    continue
                by_other = jws(other.header(), key.claims(NOW), other.sign)
                refuse(codec.read, by_other, key.public, now=NOW)
                said = jws(key.header(alg=other.public.algorithm), key.claims(NOW), key.sign)
                refuse(codec.read, said, key.public, now=NOW)
                wrong = of_algorithm(key.public, other.public.algorithm)
                refuse(codec.read, key.token(NOW), wrong, now=NOW)

    def test_keys_that_a_header_brings_are_not_looked_at(self, codec: TokenCodec) -> None:
        key, other = a_site_key(a_tenant_id()), a_site_key(a_tenant_id(), "ES256")
        brought = {
            "jwk": {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"},
            "jku": "https://attacker.test/keys",
            "x5u": "https://attacker.test/cert",
            "x5c": ["AAAA"],
        }
        # They change nothing in a good token, and make no bad one good.
        codec.read(jws(key.header(**brought), key.claims(NOW), key.sign), key.public, now=NOW)
        bad = jws(key.header(**brought), key.claims(NOW), other.sign)
        refuse(codec.read, bad, key.public, now=NOW)

    @pytest.mark.parametrize(
        "kid", ["../../../etc/passwd", "' OR 1=1 --", "http://x.test/k", "k" * 200]
    )
    def test_kid_is_a_name_and_nothing_else(self, codec: TokenCodec, kid: str) -> None:
        key = a_site_key(a_tenant_id(), kid=kid)
        assert codec.head(key.token(NOW)).kid == kid

    @pytest.mark.parametrize("text", ["", "k" * 201, "k\x00", "k\ud800"])
    @pytest.mark.parametrize("where", ["kid", "iss"])
    def test_name_that_no_database_can_be_asked_for_is_refused(
        self, codec: TokenCodec, where: str, text: str
    ) -> None:
        key = a_site_key(a_tenant_id())
        header, claims = key.header(), key.claims(NOW)
        (header if where == "kid" else claims)[where] = text
        refuse(codec.head, jws(header, claims, key.sign))

    @pytest.mark.parametrize("case", [name for name in WRONG_HEADERS if "kid" not in name])
    def test_sites_token_with_a_wrong_header_is_refused(self, codec: TokenCodec, case: str) -> None:
        key = a_site_key(a_tenant_id())
        header = without_none({**key.header(), **WRONG_HEADERS[case]})
        for sign in (key.sign, lambda _: b"", by_secret(key.public.public_key)):
            token = jws(header, key.claims(NOW), sign)
            refuse(codec.read, token, key.public, now=NOW)

    @pytest.mark.parametrize("case", WRONG_CLAIMS)
    def test_sites_token_with_a_wrong_claim_is_refused(self, codec: TokenCodec, case: str) -> None:
        key = a_site_key(a_tenant_id())
        claims = without_none({**key.claims(NOW), **WRONG_CLAIMS[case]})
        refuse(codec.read, jws(key.header(), claims, key.sign), key.public, now=NOW)

    def test_tampered_token_is_refused(self, codec: TokenCodec) -> None:
        key = a_site_key(a_tenant_id())
        header, payload, signature = key.token(NOW).split(".")
        other = key.token(NOW, user_id="u_2").split(".")[1]
        for token in (
            f"{header}.{other}.{signature}",
            f"{header}.{payload}.",
            f"{header}.{payload}",
            f"{header}.{payload}.{signature[:-4]}",
            f"{header}.{payload}.{signature}.{signature}",
            f"{header}.{payload}.{signature[4:]}{signature[:4]}",
        ):
            refuse(codec.read, token, key.public, now=NOW)

    def test_of_a_claim_that_is_there_twice_one_counts_everywhere(self, codec: TokenCodec) -> None:
        mine, theirs = a_tenant_id(), a_tenant_id()
        key = a_site_key(mine)
        text = json.dumps(key.claims(NOW))
        for first, second in ((mine, theirs), (theirs, mine)):
            member = f'"tenant": "{tenant_text(first)}", "tenant": "{tenant_text(second)}"'
            payload = re.sub(r'"tenant": "[^"]*"', member, text).encode()
            token = jws(key.header(), payload, key.sign)
            assert codec.head(token).tenant_id == second
            assert codec.read(token, key.public, now=NOW).tenant_id == second

    def test_times_are_those_of_the_clock_that_is_given(self, codec: TokenCodec) -> None:
        key = a_site_key(a_tenant_id())
        at = NOW.timestamp()
        near: list[dict[str, Any]] = [{"iat": at + 9.9}, {"nbf": at + 9.9}, {"iat": at - 0.5}]
        far: list[dict[str, Any]] = [{"iat": at + 10.1}, {"nbf": at + 10.1}, {"nbf": at + 1e6}]
        for changes in near:
            codec.read(key.token(NOW, **changes), key.public, now=NOW)
        for changes in far:
            token = key.token(NOW, **changes)
            refuse(codec.read, token, key.public, now=NOW)
            codec.read(token, key.public, now=NOW + timedelta(days=365))

    def test_token_that_says_not_when_it_was_made_counts_as_old(self, codec: TokenCodec) -> None:
        key = a_site_key(a_tenant_id())
        exp = int((NOW + timedelta(minutes=10)).timestamp())
        claims = codec.read(key.token(NOW, iat=None, exp=exp), key.public, now=NOW)
        assert claims.issued_at == claims.expires_at - timedelta(hours=1)
        refuse(codec.read, key.token(NOW, iat=None, exp=exp + 86_400), key.public, now=NOW)

    def test_fractions_of_seconds_are_kept(self, codec: TokenCodec) -> None:
        made = NOW.replace(microsecond=123_456)
        claims = dataclasses.replace(some_claims(), issued_at=made)
        assert codec.read_own(codec.sign(claims), now=NOW) == claims
