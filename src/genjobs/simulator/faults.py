"""
Faults a test can order from the simulator.

Holds the orders and their counting only; the module where a fault strikes asks for it. Every
fault is off by default and spends itself: a counted one at each strike, the others at the first.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

SocketAction = Literal["drop", "silence"]

#: Moments at which the simulator can be told to die.
DEATHS = ("request", "prompt", "step")


@dataclass(slots=True, kw_only=True)
class Faults:
    """
    Orders for the simulator; assign to the fields at any time, from any thread.

    The same fields can be set through ``POST /simulator/faults`` as a JSON object.
    """

    #: Break a socket instead of sending its nth message (1 is the status sent on connecting).
    drop_socket_at: int | None = None
    #: How many sockets are broken that way.
    drop_socket_times: int = 1
    #: From its nth message on a socket stays open and receives nothing more.
    silence_socket_at: int | None = None
    #: How many sockets fall silent that way.
    silence_socket_times: int = 1
    #: Next n valid ``POST /prompt`` are queued and answered with 500.
    queue_and_answer_500: int = 0
    #: From the next request or message on, nothing is answered, sent or run for so many seconds.
    freeze_seconds: float = 0.0
    #: Die at the next "request", once the next "prompt" is queued, or at the next "step" or node.
    die_at: str | None = None
    #: Next n cancels (jobs cancel, interrupt, queue delete) are accepted and do nothing.
    lose_cancels: int = 0
    #: Next n successful prompts report output files which are deleted before history is written.
    lose_outputs: int = 0
    #: Next n nodes fail for want of GPU memory, as PyTorch words it.
    fail_memory: int = 0
    #: Next n nodes fail with a GPU whose context is lost.
    fail_device: int = 0
    #: Next n prompts end without ever appearing in history.
    lose_histories: int = 0

    _thaw_at: float = field(default=0.0, repr=False, init=False)
    _lock: threading.Lock = field(
        default_factory=threading.Lock, repr=False, init=False, compare=False
    )

    def take(self, name: str) -> bool:
        """Spend one strike of the counted fault ``name``; false when none is left."""
        with self._lock:
            left = int(getattr(self, name))
            if left > 0:
                setattr(self, name, left - 1)
            return left > 0

    def take_death(self, moment: str) -> bool:
        """Return whether the simulator has to die at ``moment``, once."""
        with self._lock:
            strikes = self.die_at == moment
            if strikes:
                self.die_at = None
            return strikes

    def take_socket_action(self, message_number: int) -> SocketAction | None:
        """Return what happens to a socket about to be sent its message ``message_number``."""
        with self._lock:
            if self.drop_socket_at is not None and message_number >= self.drop_socket_at:
                self.drop_socket_times -= 1
                if self.drop_socket_times <= 0:
                    self.drop_socket_at, self.drop_socket_times = None, 1
                return "drop"
            if self.silence_socket_at is not None and message_number >= self.silence_socket_at:
                self.silence_socket_times -= 1
                if self.silence_socket_times <= 0:
                    self.silence_socket_at, self.silence_socket_times = None, 1
                return "silence"
            return None

    def frozen_seconds(self) -> float:
        """Return for how many seconds the server stays frozen; starts an ordered freeze."""
        with self._lock:
            now = time.monotonic()
            if self.freeze_seconds > 0:
                self._thaw_at = now + self.freeze_seconds
                self.freeze_seconds = 0.0
            return max(0.0, self._thaw_at - now)

    async def wait_until_thawed(self) -> None:
        """Hold the calling task for as long as the server is frozen."""
        seconds = self.frozen_seconds()
        if seconds > 0:
            await asyncio.sleep(seconds)

    def block_until_thawed(self) -> None:
        """Hold the calling thread for as long as the server is frozen."""
        seconds = self.frozen_seconds()
        if seconds > 0:
            time.sleep(seconds)

    def update(self, orders: Mapping[str, Any]) -> None:
        """
        Set the fields named in ``orders``; all of them or, with an error, none.

        Raises:
            ValueError: a name is no fault, or a value has the wrong type.

        """
        current = self.as_dict()
        for name, value in orders.items():
            if name not in current:
                raise ValueError(f"unknown fault {name!r}")
            if not _fits(name, value):
                raise ValueError(f"{name}: {value!r} does not fit")
        for name, value in orders.items():
            setattr(self, name, value)

    def clear(self) -> None:
        """Take every order back; who waits out a freeze already goes on waiting."""
        blank = Faults()
        self.update(blank.as_dict())
        self._thaw_at = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return the public fields as JSON values."""
        return {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if not each.name.startswith("_")
        }


def _fits(name: str, value: object) -> bool:
    if name == "die_at":
        return value is None or value in DEATHS
    if name == "freeze_seconds":
        return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    if value is None:
        return name in {"drop_socket_at", "silence_socket_at"}
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
