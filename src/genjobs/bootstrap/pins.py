"""What reads pins, on an operator's machine. It needs no settings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from genjobs.application.read_pins import ReadPins

PinReader = Callable[[], AbstractAsyncContextManager[ReadPins]]


@asynccontextmanager
async def open_pin_reader() -> AsyncIterator[ReadPins]:
    """Open what reads pins from the Internet."""
    from genjobs.adapters.pin_sources import open_pin_sources

    async with open_pin_sources() as sources:
        yield ReadPins(sources=sources)
