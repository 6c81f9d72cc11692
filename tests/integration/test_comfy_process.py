"""ComfyUI as a process of the worker: crashes, hangs, what it is told and what it leaves."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from genjobs.adapters.comfyui import ComfyUIEngine, Patience
from genjobs.adapters.system import SystemClock
from genjobs.bootstrap.comfyui import comfyui_place
from genjobs.domain.errors import ConfigurationError, EngineFailed
from genjobs.gpu.comfy_process import Care, ComfyProcess
from genjobs.settings import Settings

_LONG = 60.0  # seconds; whatever takes this long hangs
_HASTE = Care(
    ask=timedelta(milliseconds=100), deaf=timedelta(seconds=2), backoff=timedelta(milliseconds=50)
)


@asynccontextmanager
async def simulated(
    folder: Path, *, care: Care = _HASTE, **given: object
) -> AsyncIterator[ComfyProcess]:
    place = comfyui_place(Settings(data_directory=folder))
    patience = Patience(answer=timedelta(milliseconds=500))
    assert place.command is not None
    async with (
        ComfyUIEngine(place.url, clock=SystemClock(), patience=patience) as engine,
        ComfyProcess(
            place.command,
            check=engine.check,
            clock=SystemClock(),
            environment={},
            care=care,
            **given,  # type: ignore[arg-type]
        ) as process,
    ):
        yield process


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(_LONG):
        while not true():
            await asyncio.sleep(0.02)


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def test_crashed_process_is_started_again(tmp_path: Path) -> None:
    async with simulated(tmp_path) as process:
        await process.ready()
        for life in (1, 2):
            assert process.life == life
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
            await until(lambda life=life: process.life > life)  # type: ignore[misc]
            await process.ready()


async def test_process_that_answers_nothing_is_killed_and_started_again(tmp_path: Path) -> None:
    async with simulated(tmp_path) as process:
        await process.ready()
        pid = process.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        await until(lambda: process.life == 2)
        await process.ready()
        assert not alive(pid)


async def test_server_that_is_busy_for_a_while_is_left_alone(tmp_path: Path) -> None:
    async with simulated(tmp_path) as process:
        await process.ready()
        pid = process.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)  # as code that holds Python's lock does
        await asyncio.sleep(1.2)
        os.kill(pid, signal.SIGCONT)
        await asyncio.sleep(2.5)
        assert (process.life, process.pid) == (1, pid)


async def test_nothing_is_left_when_it_is_closed(tmp_path: Path) -> None:
    async with simulated(tmp_path) as process:
        await process.ready()
        pid = process.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)  # not even then
    assert not alive(pid)


async def test_command_that_fails_is_tried_ever_more_slowly_and_its_words_are_kept(
    tmp_path: Path,
) -> None:
    async def nobody() -> None:
        raise EngineFailed

    log = tmp_path / "logs" / "comfyui.log"
    care = Care(
        start=timedelta(seconds=3),
        backoff=timedelta(milliseconds=200),
        longest_backoff=timedelta(seconds=60),
    )
    command = [sys.executable, "-c", "import os; print(sorted(os.environ)); raise SystemExit(3)"]
    async with ComfyProcess(
        command,
        check=nobody,
        clock=SystemClock(),
        environment={"ONLY": "this"},
        log=log,
        care=care,
    ) as process:
        with pytest.raises(EngineFailed):
            await process.ready()
        assert 2 <= process.life <= 5
    assert "'ONLY'" in log.read_text()
    assert "GENJOBS" not in log.read_text()


async def test_command_that_is_not_there_is_no_crash_of_the_worker(tmp_path: Path) -> None:
    async def nobody() -> None:
        raise EngineFailed

    async with ComfyProcess(
        ["/nowhere/python"],
        check=nobody,
        clock=SystemClock(),
        environment={},
        directory=tmp_path / "missing",
        care=Care(start=timedelta(milliseconds=300)),
    ) as process:
        with pytest.raises(EngineFailed):
            await process.ready()
        assert await process.kill(process.life) is not None


def test_command_names_port_and_directory(tmp_path: Path) -> None:
    settings = Settings(
        data_directory=tmp_path,
        comfyui_url="http://127.0.0.1:8188",
        comfyui_directory=tmp_path / "base",
        comfyui_command="python 'a b/main.py' --port {port} --base-directory {directory}",
    )
    place = comfyui_place(settings)
    expected = ("python", "a b/main.py", "--port", "8188", "--base-directory")
    assert place.command == (*expected, str(tmp_path / "base"))


@pytest.mark.parametrize("command", ["", "python 'main.py", "python {directory}"])
def test_command_that_makes_no_sense_is_refused(tmp_path: Path, command: str) -> None:
    settings = Settings(
        data_directory=tmp_path, comfyui_url="http://127.0.0.1:1", comfyui_command=command
    )
    with pytest.raises(ConfigurationError):
        comfyui_place(settings)


def test_comfyui_is_given_named_variables_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GENJOBS_API_KEY", "AWS_SECRET_ACCESS_KEY", "MODAL_TOKEN_SECRET", "ANYTHING"):
        monkeypatch.setenv(name, "secret")
    for name in ("CUDA_VISIBLE_DEVICES", "LC_ALL", "HF_HOME"):
        monkeypatch.setenv(name, "given")
    environment = Settings(comfyui_environment=("HF_HOME",)).environment_of_comfyui()
    assert "secret" not in environment.values()
    assert sorted(name for name, value in environment.items() if value == "given") == [
        *("CUDA_VISIBLE_DEVICES", "HF_HOME", "LC_ALL")
    ]
    assert environment["PATH"] == os.environ["PATH"]
