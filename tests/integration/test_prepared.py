"""A ComfyUI that is begun before there is a device: what it holds, what wakes it, what does not."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from genjobs.adapters.system import SystemClock
from genjobs.domain.errors import ConfigurationError, EngineFailed
from genjobs.gpu.comfy_process import Care, ComfyProcess
from genjobs.gpu.confinement import Confinement
from genjobs.gpu.prepared import PreparedProcess, prepare
from tests.integration import comfy_stand_in

LIMIT = timedelta(seconds=30)
CARE = Care(ask=timedelta(milliseconds=100), backoff=timedelta(milliseconds=20))
TOLD = {"PATH": os.environ["PATH"], "NVIDIA_VISIBLE_DEVICES": "none", "GONE": "later"}
#: Of the worker, and of nobody else.
SECRET = "hunter2-" + "0123456789abcdef" * 2

#: Before a script's own start: a process that is out of reach of whoever kills the script's group.
LEAVING = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        with open(os.path.join(os.path.dirname(sys.argv[1]), "left"), "w") as file:
            file.write(str(os.getpid()))
        time.sleep(600)
    os._exit(0)
os.wait()
time.sleep(0.2)
"""


class Site:
    """The stand-in in a folder, and what is begun there."""

    def __init__(self, folder: Path) -> None:
        self.folder = comfy_stand_in.make(folder)
        self.report = folder / "out" / "report"
        self.report.parent.mkdir()
        self.log = folder / "log"
        self.command = [sys.executable, "main.py", str(self.report), "--flag"]
        self.begun: list[PreparedProcess] = []

    def prepare(self, *modules: str, limit: timedelta = LIMIT, **given: Any) -> Any:
        arguments: dict[str, Any] = {"environment": TOLD, "directory": self.folder}
        found = prepare(
            self.command, limit=limit, modules=modules, log=self.log, **{**arguments, **given}
        )
        if found is not None:
            self.begun.append(found)
        return found

    async def check(self) -> None:
        if not self.report.exists():
            raise EngineFailed

    def told(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.report.read_text())
        return found

    @asynccontextmanager
    async def process(
        self,
        prepared: PreparedProcess | None,
        environment: dict[str, str] = TOLD,
        *,
        ready: bool = True,
        **given: Any,
    ) -> AsyncIterator[ComfyProcess]:
        async with ComfyProcess(
            self.command,
            check=self.check,
            clock=SystemClock(),
            environment=environment,
            directory=self.folder,
            log=self.log,
            prepared=prepared,
            **{"care": CARE, **given},
        ) as process:
            if ready:
                await process.ready()
            yield process


@pytest.fixture
def site(open_folder: Path) -> Iterator[Site]:
    site = Site(open_folder)
    yield site
    for prepared in site.begun:
        prepared.close()


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


async def test_prepared_process_goes_on_like_one_that_was_started(site: Site) -> None:
    async with site.process(None):
        plain = site.told()
    site.report.unlink()
    prepared = site.prepare("heavy", "not_there", "heavy:is_available")
    assert prepared is not None
    await asyncio.sleep(0.2)
    assert not site.report.exists()
    environment = {"PATH": TOLD["PATH"], "NVIDIA_VISIBLE_DEVICES": "all", "NEW": "one"}

    async with site.process(prepared, environment) as process:
        assert (process.pid, process.life, process.prepared) == (prepared.pid, 1, True)
        woken = site.told()
        await process.kill(1)
        assert not alive(prepared.pid)
        site.report.unlink()
        await process.ready()
        assert (process.life, process.prepared) == (2, False)

    changed = {"environment", "random"}
    assert {k: v for k, v in woken.items() if k not in changed} == {
        k: v for k, v in plain.items() if k not in changed
    }
    assert woken["stdin"] == "/dev/null"
    assert woken["before"] == []
    expected = {**environment, "PYTORCH_CUDA_ALLOC_CONF": "backend:cudaMallocAsync"}
    assert {k: v for k, v in woken["environment"].items() if k != "LC_CTYPE"} == expected
    # What was seeded before is not the same in every container.
    assert plain["random"] == random.Random(1).random() != woken["random"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can look into any process")
def test_nothing_of_the_worker_and_no_connection_is_in_what_was_prepared(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENJOBS_DATABASE_URL", SECRET)
    prepared = site.prepare("heavy")
    assert prepared is not None
    place = Path(f"/proc/{prepared.pid}")
    assert SECRET.encode() not in (place / "cmdline").read_bytes()
    names = {line.partition(b"=")[0] for line in (place / "environ").read_bytes().split(b"\0")}
    assert names - {b""} <= {name.encode() for name in (*TOLD, "LC_CTYPE")}
    opened = {int(fd.name): os.readlink(fd) for fd in (place / "fd").iterdir()}
    assert set(opened) == {0, 1, 2}
    assert opened[0].startswith("pipe:")
    assert {opened[1], opened[2]} == {str(site.log)}
    for name in ("tcp", "tcp6", "udp", "unix"):
        inodes = {line.split()[-1] for line in (place / "net" / name).read_text().splitlines()}
        assert not any(link.removeprefix("socket:") in inodes for link in opened.values())
    assert SECRET.encode() not in memory_of(place)


def memory_of(place: Path) -> bytes:
    found = b""
    with (place / "mem").open("rb", buffering=0) as memory:
        for line in (place / "maps").read_text().splitlines():
            where, rights, *_ = line.split()
            start, end = (int(part, 16) for part in where.split("-"))
            if "r" in rights and "w" in rights and end - start < 64 * 1024 * 1024:
                memory.seek(start)
                found += memory.read(end - start)
    assert len(found) > 100_000
    return found


@pytest.mark.parametrize("asks", ["heavy", "nosy"])
def test_process_that_asks_for_a_device_too_soon_is_not_used(site: Site, asks: str) -> None:
    prepared = site.prepare(asks)
    assert (prepared is None) == (asks == "nosy")


def test_who_asked_is_named(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert site.prepare("nosy") is None
    said = capsys.readouterr()
    assert "is_available by nosy" in said.out + said.err


@pytest.mark.parametrize("way", ["killed", "other variables", "other command", "stopped"])
async def test_prepared_process_that_cannot_be_used_is_replaced(site: Site, way: str) -> None:
    prepared = site.prepare("heavy")
    assert prepared is not None
    environment = TOLD
    match way:
        case "killed":
            os.kill(prepared.pid, signal.SIGKILL)
            await asyncio.to_thread(prepared.close)
        case "other variables":
            environment = {**TOLD, "LD_LIBRARY_PATH": "/usr/local/nvidia/lib"}
        case "other command":
            site.command.append("--other")
        case "stopped":
            os.kill(prepared.pid, signal.SIGSTOP)
    hasty = Care(start=timedelta(seconds=5), ask=CARE.ask, backoff=CARE.backoff)
    async with site.process(prepared, environment, ready=False, care=hasty) as process:
        async with asyncio.timeout(30):
            while process.pid in {None, prepared.pid} or not site.report.exists():
                await asyncio.sleep(0.02)
        await process.ready()
        # A stopped one takes the word; that it does nothing with it is seen later.
        assert (process.life, process.prepared) == (2 if way == "stopped" else 1, False)
    assert not alive(prepared.pid)


async def test_whoever_waits_for_one_that_never_answers_gets_another(site: Site) -> None:
    prepared = site.prepare("heavy")
    assert prepared is not None
    os.kill(prepared.pid, signal.SIGSTOP)
    care = Care(start=timedelta(seconds=5), ask=CARE.ask, backoff=CARE.backoff)
    async with site.process(prepared, care=care) as process:  # which is ready
        assert (process.life, process.prepared) == (2, False)


async def test_worker_that_never_wakes_it_leaves_nothing(site: Site) -> None:
    prepared = site.prepare()
    assert prepared is not None
    keeper = ComfyProcess(
        site.command, check=site.check, clock=SystemClock(), environment={}, prepared=prepared
    )
    async with keeper:
        pass  # left before its first step
    assert not alive(prepared.pid)


def test_script_that_decides_on_nothing_is_given_up(site: Site) -> None:
    site.command.append("--no-gate")
    began = time.monotonic()
    assert site.prepare(limit=timedelta(seconds=1)) is None
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("command", [["python"], ["python", "-m", "comfy"], []])
def test_command_of_another_form_is_refused(site: Site, command: list[str]) -> None:
    site.command = command
    with pytest.raises(ConfigurationError, match="comfyui_snapshot"):
        site.prepare()


@pytest.mark.parametrize("broken", ["no-such-python", "/"])
def test_command_that_cannot_be_run_is_not_prepared(site: Site, broken: str) -> None:
    site.command[0] = broken
    assert site.prepare(limit=timedelta(seconds=5)) is None


def test_it_ends_with_its_worker(site: Site) -> None:
    script = (
        "import sys; from datetime import timedelta; from pathlib import Path; "
        "from genjobs.gpu.prepared import prepare; "
        "made = prepare([sys.executable, 'main.py', 'x'], environment={}, "
        f"limit=timedelta(seconds=30), modules=(), directory=Path({str(site.folder)!r})); "
        "print(made.pid, flush=True); import os; os._exit(0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    pid = int(done.stdout.split()[-1])
    until = time.monotonic() + 10
    while alive(pid):
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a process a user")
async def test_it_is_confined_as_any_other(site: Site) -> None:
    confinement = Confinement.of("games")
    site.command[0] = "/usr/bin/python3"
    os.chown(site.report.parent, confinement.user, confinement.group)
    prepared = site.prepare("heavy", confinement=confinement)
    assert prepared is not None
    status = Path(f"/proc/{prepared.pid}/status").read_text()
    assert f"Uid:\t{confinement.user}\t{confinement.user}" in status
    assert "NoNewPrivs:\t1" in status
    async with site.process(prepared, confinement=confinement):
        assert site.told()["user"] == confinement.user


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a process a user")
@pytest.mark.parametrize("way", ["woken", "not at the gate", "never woken"])
async def test_what_it_left_behind_before_it_waited_ends_with_it(site: Site, way: str) -> None:
    """What nodes run before the gate may go to a session of its own, with no parent."""
    confinement = Confinement.of("games")
    site.command[0] = "/usr/bin/python3"
    os.chown(site.report.parent, confinement.user, confinement.group)
    main = site.folder / "main.py"
    main.write_text(LEAVING + main.read_text())
    if way == "not at the gate":
        site.command.append("--no-gate")
    prepared = site.prepare(confinement=confinement, limit=timedelta(seconds=3))
    left = int((site.report.parent / "left").read_text())
    if way == "not at the gate":
        assert prepared is None
    else:
        assert alive(left)
        async with site.process(prepared, confinement=confinement, ready=way == "woken"):
            pass
    assert not alive(left)
