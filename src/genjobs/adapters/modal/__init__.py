"""
Modal: calls of GPU workers, how many there are, and the end of those that do not answer.

The one home of Modal's package besides ``deploy/``; imported only where ``modal://`` is wanted.
"""

from __future__ import annotations

from genjobs.adapters.modal.caller import ModalCaller
from genjobs.adapters.modal.container import ModalRetirement, own_call_id
from genjobs.adapters.modal.control import ModalWorkerControl
from genjobs.adapters.modal.examination import ModalExaminer, has_token
from genjobs.adapters.modal.place import ModalPlace, parse_place
from genjobs.adapters.modal.pool import ModalPoolControl
from genjobs.adapters.modal.starts import (
    READY,
    WorkerStart,
    container,
    is_restored,
    note_loading,
    starts_since,
)

__all__ = [
    "READY",
    "ModalCaller",
    "ModalExaminer",
    "ModalPlace",
    "ModalPoolControl",
    "ModalRetirement",
    "ModalWorkerControl",
    "WorkerStart",
    "container",
    "has_token",
    "is_restored",
    "note_loading",
    "own_call_id",
    "parse_place",
    "starts_since",
]
