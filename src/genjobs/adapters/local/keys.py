"""The one bearer key that the settings hold."""

from __future__ import annotations

import hashlib
import hmac

from genjobs.domain.errors import Unauthenticated
from genjobs.domain.ids import TenantId
from genjobs.domain.tenancy import Principal, Scope


class SettingsAuthenticator:
    """The ``Authenticator`` port; keeps a digest of the key, never the key."""

    def __init__(self, key: str, tenant_id: TenantId, scopes: frozenset[Scope]) -> None:
        self._digest = _digest(key)
        self._principal = Principal(tenant_id=tenant_id, key_id="settings", scopes=scopes)

    async def authenticate(self, token: str) -> Principal:
        """Return the settings' principal, or raise ``Unauthenticated``."""
        if not hmac.compare_digest(_digest(token), self._digest):
            raise Unauthenticated
        return self._principal


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
