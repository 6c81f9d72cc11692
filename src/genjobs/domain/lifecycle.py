"""
The job lifecycle: states, events and the one transition table.

Docs are drawn from this table and every store is held to it. It says which steps exist, not when
they are due: deadlines are in ``deadlines``, who may take a step is in the ports' contracts.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from genjobs.domain.errors import IllegalTransition


class JobStatus(StrEnum):
    """Where a job is; why it failed is ``error.code``, never another state."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether the job never changes again."""
        return self in FINAL


FINAL: Final = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED})


class Phase(StrEnum):
    """What a running attempt is doing."""

    PREPARING = "preparing"
    WAITING = "waiting"
    RENDERING = "rendering"
    UPLOADING = "uploading"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseStep:
    """What a phase is, for people; the phases of an attempt follow each other in this order."""

    phase: Phase
    meaning: str
    #: Its deadline, and how the job goes on after it.
    limit: str
    #: What becomes of a job that is cancelled in it.
    cancelled: str
    on_cancel: str


PHASES: Final = (
    PhaseStep(
        phase=Phase.PREPARING,
        meaning="inputs are loaded",
        limit="prepare: charged, `input_unavailable` when no attempt is left",
        cancelled="cancelled",
        on_cancel="ends it at once",
    ),
    PhaseStep(
        phase=Phase.WAITING,
        meaning="another job of the worker renders",
        limit="wait: queued again, not charged",
        cancelled="cancelled",
        on_cancel="ends it at once",
    ),
    PhaseStep(
        phase=Phase.RENDERING,
        meaning="the job holds the renderer",
        limit="run: `run_timeout`; no progress: charged, tried again",
        cancelled="cancelled",
        on_cancel="stops the prompt; after the cancel grace ends the process",
    ),
    PhaseStep(
        phase=Phase.UPLOADING,
        meaning="outputs are stored",
        limit="upload: `output_not_stored`",
        cancelled="completed, too_late",
        on_cancel="comes too late",
    ),
)


class JobEvent(StrEnum):
    """What happens to a job."""

    INPUTS_READY = "inputs_ready"
    INPUTS_FAILED = "inputs_failed"
    DISPATCHED = "dispatched"
    START_MISSED = "start_missed"
    STARTED = "started"
    QUEUE_EXPIRED = "queue_expired"
    DEQUEUED = "dequeued"
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"
    RELEASED = "released"
    CRASHED = "crashed"
    CRASHED_FOR_GOOD = "crashed_for_good"
    SPARED = "spared"
    LOST = "lost"
    LOST_FOR_GOOD = "lost_for_good"
    LOST_WHILE_CANCELLING = "lost_while_cancelling"
    TERMINATED = "terminated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One allowed step."""

    source: JobStatus
    event: JobEvent
    target: JobStatus
    #: What the step means, for people.
    meaning: str


_Q, _R = JobStatus.QUEUED, JobStatus.RUNNING
_DONE, _FAILED, _CANCELLED = JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED


def _step(source: JobStatus, event: JobEvent, target: JobStatus, meaning: str) -> Transition:
    return Transition(source=source, event=event, target=target, meaning=meaning)


TRANSITIONS: Final = (
    _step(_Q, JobEvent.INPUTS_READY, _Q, "all inputs are stored: the job becomes eligible"),
    _step(_Q, JobEvent.INPUTS_FAILED, _FAILED, "an input was refused or not obtainable"),
    _step(_Q, JobEvent.DISPATCHED, _Q, "attempt n+1 takes a slot of the dispatch window"),
    _step(
        _Q, JobEvent.START_MISSED, _Q, "no worker came in time, or none can be called: not charged"
    ),
    _step(_Q, JobEvent.STARTED, _R, "a worker starts the dispatched attempt, once"),
    _step(_Q, JobEvent.QUEUE_EXPIRED, _FAILED, "queue deadline passed: queue_timeout"),
    _step(_Q, JobEvent.DEQUEUED, _CANCELLED, "cancelled before a worker started it"),
    _step(_R, JobEvent.COMPLETED, _DONE, "outputs are stored; a cancel came too late"),
    _step(_R, JobEvent.FAILED, _FAILED, "the attempt reported why it cannot succeed"),
    _step(_R, JobEvent.STOPPED, _CANCELLED, "cancel requested and the engine has stopped"),
    _step(_R, JobEvent.RELEASED, _Q, "preempted or given back: queued again, not charged"),
    _step(
        _R, JobEvent.CRASHED, _Q, "ComfyUI or a store failed, attempts left: queued after a pause"
    ),
    _step(_R, JobEvent.CRASHED_FOR_GOOD, _FAILED, "ComfyUI or a store failed, no attempt left"),
    _step(_R, JobEvent.SPARED, _Q, "worker lost or ended, another job's doing: not charged"),
    _step(_R, JobEvent.LOST, _Q, "lease lost, attempts left: queued after a pause"),
    _step(_R, JobEvent.LOST_FOR_GOOD, _FAILED, "lease lost, none left: worker_lost"),
    _step(_R, JobEvent.LOST_WHILE_CANCELLING, _CANCELLED, "cancel requested, then lease lost"),
    _step(_R, JobEvent.TERMINATED, _CANCELLED, "cancel not answered: its worker was ended"),
)

_TABLE: Final = {(step.source, step.event): step.target for step in TRANSITIONS}


def after(status: JobStatus, event: JobEvent) -> JobStatus:
    """
    Return the state that follows ``status`` on ``event``.

    Raises:
        IllegalTransition: the table has no such step; a final state has none at all.
    """
    target = _TABLE.get((status, event))
    if target is None:
        raise IllegalTransition(f"A {status.value} job cannot take the step {event.value}.")
    return target
