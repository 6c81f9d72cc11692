"""The system's clock and randomness, behind their ports."""

from __future__ import annotations

import secrets
import threading
import time
import uuid
from datetime import UTC, datetime

from genjobs.domain.ids import uuid7

_RANDOM_BITS = 74


class SystemClock:
    """The ``Clock`` port."""

    def now(self) -> datetime:
        """Return the present time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start that never go back."""
        return time.monotonic()


class SystemIds:
    """
    The ``IdSource`` port.

    Within one process, ids of the same millisecond grow: the random part is counted up, as
    RFC 9562 section 6.2 method 2 says, so that a listing shows jobs in the order of submits.
    For a time before the latest one, an id is of that time, and random.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latest = (-1, 0)

    def uuid7(self, at: datetime) -> uuid.UUID:
        """Return a new UUIDv7 of time ``at``; ``ValueError`` when it is naive or before 1970."""
        bits = secrets.randbits(_RANDOM_BITS - 1)  # room to count up: 2**41 steps
        fresh = uuid7(at, bits)
        millisecond = fresh.int >> 80
        with self._lock:
            latest, before = self._latest
            if millisecond == latest:
                bits = before + 1 + secrets.randbits(32)
            if millisecond >= latest:  # a clock set back must not make us forget
                self._latest = (millisecond, bits)
        return uuid7(at, bits)

    def uuid4(self) -> uuid.UUID:
        """Return a new random UUID."""
        return uuid.uuid4()
