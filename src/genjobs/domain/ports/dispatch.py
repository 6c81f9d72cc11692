"""Ports to engines that have to be called: the calls themselves, and what is kept of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from genjobs.domain.attempts import Assignment


class Caller(Protocol):
    """
    Hands attempts to an engine that has to be called.

    Every method must come back in bounded time, and raises ``Unavailable`` when the platform does
    not do what it is asked.
    """

    async def call(self, assignment: Assignment) -> str:
        """
        Have some worker run the attempt, sooner or later; return what the platform names the call.

        Only ids may be handed over. After an error the call may have been made all the same: a
        worker that comes with an attempt that has been taken back is refused its start.
        """

    async def cancel(self, call_id: str) -> None:
        """
        Have the call not run, or interrupted if it runs; nobody else's.

        Harmless for calls that have ended, and for names that are not of this platform. Only a
        hint: nothing says when, or whether, the worker heard it.
        """


class CallLedger(Protocol):
    """
    What is kept of calls; beside ``JobLedger``, and fenced by (job, attempt) like it.

    Every method raises ``Unavailable`` when the database cannot be reached; each may be repeated.
    """

    async def note(self, assignment: Assignment, call_id: str) -> bool:
        """
        Keep what the call of an attempt is named; return whether it is still wanted.

        It is not when the attempt has ended, however it did, or a cancel is requested. What a
        worker that has started the attempt says of itself must stay.
        """

    async def withdraw(self, assignment: Assignment, *, now: datetime) -> bool:
        """
        Take an attempt back that nobody could be called for; return whether that was done.

        The slot must be freed and the job queued again at once, not charged. Nothing must change
        when a worker has started the attempt, or it has ended.
        """

    async def calls_of(self, attempts: Sequence[Assignment]) -> Sequence[str]:
        """Return the call ids of those of these attempts that have one, whatever became of them."""
