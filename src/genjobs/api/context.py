"""What a request carries through the API: its id, and the opened use cases. No HTTP rules here."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from fastapi import Request

from genjobs.api.throttle import Throttle
from genjobs.application.genjobs import Genjobs, Reads
from genjobs.domain.ports import Clock, SignedFiles

_request_id: ContextVar[str] = ContextVar("genjobs_request_id", default="")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderContext:
    """What the composition root hands to an API that only reads, once everything is open."""

    genjobs: Reads
    clock: Clock
    throttle: Throttle


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiContext(ReaderContext):
    """The same of the whole API."""

    genjobs: Genjobs
    #: Set when the API itself serves signed file URLs.
    signed_files: SignedFiles | None = None


def context_of(request: Request) -> ApiContext:
    """Return the context that the lifespan opened, for what only the whole API has."""
    context: ApiContext = request.app.state.context
    return context


def reader_of(request: Request) -> ReaderContext:
    """Return the context that the lifespan opened, for what every API has."""
    context: ReaderContext = request.app.state.context
    return context


def request_id() -> str:
    """Return the id of the request being served."""
    return _request_id.get()


def set_request_id(value: str) -> None:
    """Name the request being served."""
    _request_id.set(value)
