"""Secrets in files, and wake-ups."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from genjobs.adapters.local.secret_file import load_or_create_secret
from genjobs.adapters.local.signals import LocalSignals


def test_processes_that_make_a_secret_at_once_get_the_same_one(tmp_path: Path) -> None:
    path = tmp_path / "state" / "secret"
    script = f"""
import secrets, sys
from pathlib import Path
from genjobs.adapters.local.secret_file import load_or_create_secret
print("ready", flush=True)
sys.stdin.readline()
print(load_or_create_secret(Path({str(path)!r}), lambda: secrets.token_urlsafe(32)))
"""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    answers = {process.communicate(timeout=30)[0].strip() for process in processes}

    assert answers == {path.read_text()}
    assert len(path.read_text()) == 43
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_secret_is_made_once(tmp_path: Path) -> None:
    made = iter(["first", "second"])
    path = tmp_path / "secret"
    assert [load_or_create_secret(path, lambda: next(made)) for _ in range(3)] == ["first"] * 3


async def test_waiter_woken_twice_before_it_runs_returns_once_and_then_waits_again() -> None:
    signals = LocalSignals()
    returns = 0

    async def wait() -> None:
        nonlocal returns
        while True:
            await signals.wait(60)
            returns += 1

    waiter = asyncio.create_task(wait())
    for _ in range(3):
        await asyncio.sleep(0)
        signals.wake()
        signals.wake()
        for _ in range(5):
            await asyncio.sleep(0)
    waiter.cancel()
    await asyncio.gather(waiter, return_exceptions=True)

    assert returns == 3
