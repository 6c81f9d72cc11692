"""
From a bearer credential to a principal: API keys, and end users' tokens.

A text that is no key by its own checksum, or no token by its signature, costs no look-up. What was
looked up is remembered for a few seconds, so a revocation is effective within five on every
process. Which scopes a route needs is the API's.
"""

from __future__ import annotations

import asyncio
import hmac
from datetime import datetime
from ipaddress import IPv6Address, ip_address
from typing import Final

import structlog

from genjobs.application.remembering import Remembered
from genjobs.domain.credentials import (
    TOKEN_LIFE,
    TOKEN_SCOPES,
    IssuerKey,
    KeyRecord,
    KeyText,
    TokenClaims,
    TokenHead,
    UserStanding,
)
from genjobs.domain.errors import RateLimited, Unauthenticated, Unavailable
from genjobs.domain.ids import TenantId
from genjobs.domain.ports import Clock, KeyDirectory, TenantDirectory, TokenCodec
from genjobs.domain.rates import Buckets, Rate
from genjobs.domain.tenancy import Owner, Principal, Scope

#: Below the five seconds within which a revocation must be effective.
_REMEMBERED_SECONDS: Final = 4.0
_MOST_REMEMBERED: Final = 10_000
#: Credentials of one client address that are refused, before no more are looked at.
FAILURES: Final = Rate(per_second=0.5, burst=30)
#: How often it is noted which keys were used.
_NOTE_EVERY: Final = 30.0  # seconds
_NOTE_SECONDS: Final = 5.0

_log = structlog.get_logger(__name__)


class Authenticate:
    """The ``Authenticator`` port, over keys and tokens."""

    def __init__(
        self, *, keys: KeyDirectory, tenants: TenantDirectory, codec: TokenCodec, clock: Clock
    ) -> None:
        self._directory = keys
        self._codec = codec
        self._clock = clock
        self._keys = Remembered[str, KeyRecord | None](
            keys.find_key, clock, seconds=_REMEMBERED_SECONDS, most=_MOST_REMEMBERED
        )
        self._issuer_keys = Remembered[TokenHead, IssuerKey | None](
            keys.find_issuer_key, clock, seconds=_REMEMBERED_SECONDS, most=_MOST_REMEMBERED
        )
        self._standings = Remembered[Owner, UserStanding](
            tenants.standing, clock, seconds=_REMEMBERED_SECONDS, most=_MOST_REMEMBERED
        )
        self._failures = Buckets(FAILURES)
        self._used: dict[str, tuple[TenantId, datetime]] = {}

    async def authenticate(self, token: str, *, client: str | None = None) -> Principal:
        """See the port."""
        text = KeyText.parse(token) if token.startswith("gj_") else None
        if text is not None:
            record, fresh = self._keys.peek(text.id)
            if self._fits(text, record):
                # Known to be right when it was looked at last, so no guess: what others at this
                # address tried is not held against it.
                return self._admit(record if fresh else await self._keys.get(text.id), text)
        network = _network(client)
        if network is not None:
            wait = self._failures.wait(network, self._clock.monotonic())
            if wait > 0 and (token.startswith("gj_") or not self._is_signed(token)):
                raise RateLimited(
                    "Too many credentials of this address were refused.", retry_after=wait
                )
        try:
            if token.startswith("gj_"):
                return self._admit(await self._keys.get(text.id) if text else None, text)
            return await self._end_user(token)
        except Unauthenticated:
            if network is not None:
                self._failures.take(network, self._clock.monotonic())
            raise

    def _is_signed(self, token: str) -> bool:
        """Whether it needs no look-up to tell that a token was signed by one who may."""
        now = self._clock.now()
        try:
            if self._codec.read_own(token, now=now) is not None:
                return True
            key, _ = self._issuer_keys.peek(self._codec.head(token))
            return key is not None and self._codec.read(token, key, now=now) is not None
        except Unauthenticated:
            return False

    def _fits(self, text: KeyText, record: KeyRecord | None) -> bool:
        """Whether the record is that of this very key, and valid."""
        # The digest is compared also when there is no such key: one answer, in one time.
        expected = record.secret_sha256 if record else bytes(32)
        return (
            hmac.compare_digest(expected, text.digest())
            and record is not None
            and record.live is text.live
            and record.valid(self._clock.now())
        )

    def _admit(self, record: KeyRecord | None, text: KeyText | None) -> Principal:
        if text is None or not self._fits(text, record) or record is None:
            raise Unauthenticated
        self._used[record.id] = (record.tenant_id, self._clock.now())
        return Principal(tenant_id=record.tenant_id, key_id=record.id, scopes=record.scopes)

    async def _end_user(self, token: str) -> Principal:
        now = self._clock.now()
        claims = self._codec.read_own(token, now=now)
        if claims is not None:
            record = await self._keys.get(claims.key_id or "")
            if record is None or not record.valid(now) or record.tenant_id != claims.tenant_id:
                raise Unauthenticated
            key_id, granted = record.id, record.scopes | {Scope.JOBS_READ}
        else:
            head = self._codec.head(token)
            key = await self._issuer_keys.get(head)
            if key is None or key.revoked_at is not None:
                raise Unauthenticated
            claims = self._codec.read(token, key, now=now)
            if claims.tenant_id != key.tenant_id:
                raise Unauthenticated
            key_id, granted = f"{key.issuer}:{key.kid}", key.scopes
        return await self._bounded(claims, key_id, granted, now)

    async def _bounded(
        self, claims: TokenClaims, key_id: str, granted: frozenset[Scope], now: datetime
    ) -> Principal:
        """Return the principal of a proven token, with no more than a token may have."""
        if claims.expires_at - claims.issued_at > TOKEN_LIFE or claims.expires_at <= now:
            raise Unauthenticated
        owner = Owner(tenant_id=claims.tenant_id, user_id=claims.user_id)
        standing = await self._standings.get(owner)
        if standing.tokens_since is not None and claims.issued_at < standing.tokens_since:
            raise Unauthenticated
        scopes = claims.scopes & granted & TOKEN_SCOPES
        if not standing.browser_writes:
            scopes -= {Scope.JOBS_WRITE}
        return Principal(
            tenant_id=claims.tenant_id, key_id=key_id, scopes=scopes, user_id=claims.user_id
        )

    async def note_use(self) -> None:
        """Write down which keys were used since the last time; kept for later in an outage."""
        used, self._used = self._used, {}
        noted = False
        try:
            async with asyncio.timeout(_NOTE_SECONDS):
                await self._directory.touch(used)
            noted = True
        except (Unavailable, TimeoutError):
            _log.warning("keys.use_not_noted", keys=len(used))
        finally:
            if not noted:  # when this was cancelled too
                self._used = {**used, **self._used}

    async def keep_noting(self) -> None:
        """Note the use of keys now and then, until cancelled."""
        while True:
            await asyncio.sleep(_NOTE_EVERY)
            await self.note_use()


def _network(client: str | None) -> str | None:
    """Return what counts as one client: an IPv4 address, or an IPv6 /64, which one host has."""
    if client is None:
        return None
    try:
        address = ip_address(client.partition("%")[0])
    except ValueError:
        return client
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:  # what a socket for both calls an IPv4 client
            return str(address.ipv4_mapped)
        return str(IPv6Address(int(address) >> 64 << 64))
    return str(address)
