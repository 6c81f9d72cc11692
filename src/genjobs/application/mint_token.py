"""
Make a short-lived token for one end user, so that the site's browser can read that user's jobs.

How tokens are signed is the ``TokenCodec``'s; what they may do when used is decided again then,
in ``authenticate``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from genjobs.domain.credentials import TOKEN_LIFE, TOKEN_SCOPES, TokenClaims
from genjobs.domain.errors import InvalidRequest, PlanLimit, ScopeMissing
from genjobs.domain.ports import Clock, IdSource, TenantDirectory, TokenCodec
from genjobs.domain.tenancy import Principal, Scope

SHORTEST_LIFE: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class MintedToken:
    """A token, for its user's browser."""

    token: str
    expires_at: datetime
    scopes: frozenset[Scope]


@dataclass(frozen=True, slots=True, kw_only=True)
class MintToken:
    """The use case."""

    tenants: TenantDirectory
    codec: TokenCodec
    clock: Clock
    ids: IdSource

    async def __call__(
        self,
        principal: Principal,
        user_id: str | None,
        *,
        life: timedelta,
        scopes: frozenset[Scope] = frozenset({Scope.JOBS_READ}),
    ) -> MintedToken:
        """
        Return a token of ``user_id`` that lives for ``life``, an hour at most.

        Raises:
            InvalidRequest: the user, the life or the scopes are none that a token can have.
            ScopeMissing: the key itself may not do what the token shall.
            PlanLimit: the user's plan lets no token submit.
        """
        owner = principal.owner(user_id)
        if not SHORTEST_LIFE <= life <= TOKEN_LIFE:
            raise InvalidRequest(
                f"ttl_seconds must be from {SHORTEST_LIFE.total_seconds():.0f} to "
                f"{TOKEN_LIFE.total_seconds():.0f}.",
                pointer="/ttl_seconds",
            )
        if not scopes or scopes - TOKEN_SCOPES:
            allowed = ", ".join(sorted(TOKEN_SCOPES))
            raise InvalidRequest(f"A token may have the scopes {allowed}.", pointer="/scopes")
        if Scope.JOBS_WRITE in scopes:
            if Scope.JOBS_WRITE not in principal.scopes:
                raise ScopeMissing("A token may write only if the key may.")
            if not (await self.tenants.standing(owner)).browser_writes:
                raise PlanLimit("The user's plan lets no token submit.", pointer="/scopes")
        now = self.clock.now()
        claims = TokenClaims(
            tenant_id=owner.tenant_id,
            user_id=owner.user_id,
            scopes=scopes,
            issued_at=now,
            # Whole seconds, rounded down: never more than was asked for.
            expires_at=now.replace(microsecond=0) + life,
            token_id=str(self.ids.uuid4()),
            key_id=principal.key_id,
        )
        return MintedToken(
            token=self.codec.sign(claims), expires_at=claims.expires_at, scopes=scopes
        )
