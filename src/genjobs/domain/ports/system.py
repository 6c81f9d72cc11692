"""Ports to the system: time, identifiers, credentials, wake-ups."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from genjobs.domain.attempts import Assignment
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
    """
    Word to those who take jobs or run them; what is lost of it only costs a polling interval.

    Workers that wait in this process are woken. An engine that has to be called is called, which
    goes on after the method has returned.
    """

    def wake(self) -> None:
        """Tell that a job may have become eligible or a slot free."""

    def recall(self, attempts: Sequence[Assignment]) -> None:
        """Tell that these attempts shall not go on, so that their calls may be cancelled."""

    async def wait(self, seconds: float) -> None:
        """Return on the next wake, or after ``seconds``."""
