"""How figures are taken and told: processes, interleaved runs, medians, ratios."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import statistics
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

ROUNDS = 5
Result = dict[str, Any]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.asynccontextmanager
async def process(*command: str, port: int, **settings: str) -> AsyncIterator[None]:
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        env={**os.environ, **settings},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        for _ in range(600):
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            await asyncio.sleep(0.1)
        else:
            raise RuntimeError(f"{command} does not listen")
        yield
    finally:
        running.terminate()
        await asyncio.wait_for(running.wait(), 30)


async def versus(
    ours: Callable[[], Awaitable[float]], floor: Callable[[], Awaitable[float]]
) -> tuple[float, float]:
    mine, theirs = [], []
    await ours(), await floor()  # warm both
    for _ in range(ROUNDS):
        mine.append(await ours())
        theirs.append(await floor())
    return statistics.median(mine), statistics.median(theirs)


def result(name: str, unit: str, value: float, reference: float, goal: float) -> Result:
    return _told(name, unit, value, reference, value / reference, goal)


def cost(name: str, unit: str, value: float, reference: float, goal: float) -> Result:
    """Return the result of what is better when it is less: its ratio is reference to ours."""
    return _told(name, unit, value, reference, reference / value, goal)


def _told(
    name: str, unit: str, value: float, reference: float, ratio: float, goal: float
) -> Result:
    met = "met" if ratio >= goal else "MISSED"
    print(
        f"{name:22} {value:9.1f} {unit:9} floor {reference:9.1f}  ratio {ratio:.2f}  goal {goal} {met}",
        flush=True,
    )
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "reference": reference,
        "ratio": ratio,
        "goal": goal,
    }
