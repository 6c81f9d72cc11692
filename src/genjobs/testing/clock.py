"""Time and identifiers that a test decides."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from genjobs.domain.ids import uuid7

#: When fake time begins.
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


class FakeClock:
    """The ``Clock`` port; stands still until it is moved."""

    def __init__(self, now: datetime = BEGINNING) -> None:
        self._now = now
        self._elapsed = 0.0

    def now(self) -> datetime:
        """Return the time that was set."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds by which the clock was moved."""
        return self._elapsed

    def advance(self, by: timedelta) -> datetime:
        """Move time forward and return the new time."""
        if by < timedelta(0):
            raise ValueError("time does not go back")
        self._now += by
        self._elapsed += by.total_seconds()
        return self._now

    def jump(self, by: timedelta) -> datetime:
        """Set the time forward or back, as a correction of a clock does, and return it."""
        self._now += by
        return self._now


class SequentialIds:
    """The ``IdSource`` port; counts, so that two runs of a test see the same ids."""

    def __init__(self) -> None:
        self._count = 0

    def uuid7(self, at: datetime) -> UUID:
        """Return the next UUIDv7 of time ``at``."""
        self._count += 1
        return uuid7(at, self._count)

    def uuid4(self) -> UUID:
        """Return the next UUID that looks random."""
        self._count += 1
        return UUID(int=0x4 << 76 | 0b10 << 62 | self._count)
