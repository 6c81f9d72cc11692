"""What Modal's answers mean: bounded in time, its errors translated, a call's end recognised."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any, Final, TypeVar

import grpclib
import modal
from modal import exception as vendor

from genjobs.domain.calls import call_of
from genjobs.domain.errors import Unavailable

_T = TypeVar("_T")
#: How long one request may take, the connection and the SDK's own repeats included.
REQUEST: Final = timedelta(seconds=10)

_CALL: Final = re.compile(r"fc-[A-Za-z0-9_-]{1,64}")
#: Modal could not be asked, or would not say: nothing is known of the call.
_NO_ANSWER: Final = (
    vendor.AuthError,
    vendor.ClientClosed,
    vendor.ConnectionError,
    vendor.InternalError,
    # A failure of Modal's own, after which the call may be tried again.
    vendor.InternalFailure,
    vendor.PermissionDeniedError,
    vendor.ResourceExhaustedError,
    vendor.ServiceError,
    vendor.UnimplementedError,
    vendor.VersionError,
    grpclib.exceptions.StreamTerminatedError,
    OSError,
)


async def bounded(request: Awaitable[_T], limit: timedelta) -> _T:
    """
    Return what Modal answers.

    Raises:
        Unavailable: it refuses, cannot be reached, or does not answer in time.
    """
    try:
        async with asyncio.timeout(limit.total_seconds()):
            return await request
    except TimeoutError:
        raise Unavailable("Modal does not answer.") from None
    except vendor.NotFoundError as exc:
        raise Unavailable("Modal does not know what was asked for; is it deployed?") from exc
    except (vendor.Error, grpclib.GRPCError, *_NO_ANSWER) as exc:
        raise Unavailable(f"Modal: {type(exc).__name__}.") from exc


def call_named(call_id: str, client: modal.Client | None) -> modal.FunctionCall[Any] | None:
    """Return the call that a call id names, without asking; None when it is not one of Modal's."""
    name = call_of(call_id)
    if _CALL.fullmatch(name) is None:
        return None
    return modal.FunctionCall.from_id(name, client=client)


async def has_ended(call: modal.FunctionCall[Any], limit: timedelta) -> bool:
    """
    Whether a call neither waits nor runs any more.

    Raises:
        Unavailable: that cannot be found out just now.
    """
    seen = await bounded(_look(call), limit)
    match seen:
        case vendor.TimeoutError():
            return True  # expired, unknown, or ended by its own time-out
        case TimeoutError():
            return False  # the built-in one: it is pending
        case _ if isinstance(seen, _NO_ANSWER):
            raise Unavailable(f"Modal: {type(seen).__name__}.") from seen
        case _:
            # Returned, terminated, or whatever the worker raised: these are unpickled and raised
            # here, BaseExceptions included, and only say that it is over.
            return True


async def _look(call: modal.FunctionCall[Any]) -> BaseException | None:
    asking = asyncio.create_task(_caught(call))
    try:
        return await asyncio.shield(asking)
    except asyncio.CancelledError:
        asking.cancel()
        raise


async def _caught(call: modal.FunctionCall[Any]) -> BaseException | None:
    """Return what ``get`` raises; a worker's own CancelledError must not look like one of ours."""
    try:
        await call.get.aio(timeout=0)
    except BaseException as exc:
        return exc
    return None
