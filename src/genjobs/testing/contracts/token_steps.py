"""Steps that the suite of ``TokenCodec`` is made of."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from genjobs.domain.credentials import TokenClaims
from genjobs.domain.errors import Unauthenticated
from genjobs.domain.ports import TokenCodec
from genjobs.domain.tenancy import Scope
from genjobs.testing.clock import BEGINNING
from genjobs.testing.factories import a_tenant_id
from genjobs.testing.site_keys import SiteKey, a_site_key

NOW = BEGINNING + timedelta(days=1, milliseconds=250)
OLD, NEW = "o" * 40, "n" * 40
Make = Callable[[Sequence[str]], TokenCodec]
_TENANT = a_tenant_id()


def some_claims(now: datetime = NOW) -> TokenClaims:
    """Return claims of a token of our own."""
    return TokenClaims(
        tenant_id=_TENANT,
        user_id="u_1",
        scopes=frozenset({Scope.JOBS_READ}),
        issued_at=now,
        expires_at=now.replace(microsecond=0) + timedelta(minutes=15),
        token_id="jti-1",  # noqa: S106
        key_id="key-1",
    )


def refuse(read: Callable[..., object], *values: object, **named: object) -> None:
    """Assert that ``read`` says ``Unauthenticated`` and nothing of why."""
    with pytest.raises(Unauthenticated) as refused:
        read(*values, **named)
    assert str(refused.value) == str(Unauthenticated())
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def refuse_everywhere(codec: TokenCodec, token: str, key: SiteKey | None = None) -> None:
    """Assert that no reading of a token gives anything but ``Unauthenticated``."""
    public = (key or a_site_key(_TENANT)).public
    try:
        assert codec.read_own(token, now=NOW) is None
        codec.head(token)
    except Unauthenticated:
        pass
    refuse(codec.read, token, public, now=NOW)


def without_none(values: dict[str, Any]) -> dict[str, Any]:
    """Return the members that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def decoded(part: str) -> bytes:
    """Return what a part of a token encodes."""
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def encoded(data: bytes) -> str:
    """Return a part of a token."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
