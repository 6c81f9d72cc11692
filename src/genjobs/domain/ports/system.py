"""Ports to the system: time, identifiers, credentials, wake-ups."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol
from uuid import UUID

from genjobs.domain.tenancy import Principal


class Clock(Protocol):
    """The time; everything that compares times takes them from here."""

    def now(self) -> datetime:
        """Return the present time, aware, in UTC."""

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start that never go back."""


class IdSource(Protocol):
    """Where new identifiers come from."""

    def uuid7(self, at: datetime) -> UUID:
        """Return a new UUIDv7 of time ``at``; two calls never return the same."""

    def uuid4(self) -> UUID:
        """Return a new random UUID."""


class Authenticator(Protocol):
    """Turns a bearer credential into a principal."""

    async def authenticate(self, token: str, *, client: str | None = None) -> Principal:
        """
        Return who holds ``token``; secrets must be compared in constant time.

        ``client`` is the address that sent it, if it is known: the failures of one are bounded.

        Raises:
            Unauthenticated: the token is not a valid one; nothing says why.
            RateLimited: too many tokens of this client were refused.
            Unavailable: the keys cannot be read.
        """


class Signals(Protocol):
    """Wakes what waits for jobs, in this process; a lost wake-up only costs a polling interval."""

    def wake(self) -> None:
        """Tell every waiter that a job may have become eligible or a slot free."""

    async def wait(self, seconds: float) -> None:
        """Return on the next wake, or after ``seconds``."""
