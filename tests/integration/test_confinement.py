"""ComfyUI's process as another user: what a hostile node can reach on this machine."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from genjobs.adapters.system import SystemClock
from genjobs.bootstrap import Adapters, open_adapters
from genjobs.domain.errors import ConfigurationError, EngineFailed
from genjobs.gpu.comfy_process import ComfyProcess
from genjobs.gpu.confinement import SHARED_FOLDERS, Confinement, close_shared_folders
from genjobs.settings import Settings

_LONG = 30.0
#: On every Debian, and nothing runs as it.
_USER = "games"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a process a user")

#: Tries everything that it should not be able to, and says what it could.
_HOSTILE = """
import json, os, socket, sys, time
worker, secrets, base, report = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
could = []

def attempt(name, action):
    try:
        action()
    except OSError:
        return
    could.append(name)

for name in ("environ", "mem", "maps", "fd", "cwd/.", "root/.", "task/%d/environ" % worker):
    path = "/proc/%d/%s" % (worker, name)
    attempt("proc " + name, lambda: open(path, "rb").read(1))
    attempt("list " + name, lambda: os.listdir(path))
attempt("signal", lambda: os.kill(worker, 0))
attempt("read file", lambda: open(secrets + "/key").read())
attempt("list folder", lambda: os.listdir(secrets))
attempt("socket", lambda: socket.socket(socket.AF_UNIX).connect(secrets + "/socket"))
attempt("become root", lambda: os.setuid(0))
attempt("raw socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))

shared = set(sys.argv[5].split(":"))
places = []
for top, folders, _ in os.walk("/"):
    folders[:] = [
        f for f in folders
        if os.path.join(top, f) not in shared | {"/proc", "/sys", "/dev/fd", "/dev/pts"}
    ]
    if top.count("/") > 2:
        folders[:] = []
    if os.access(top, os.W_OK):
        places.append(top)
places += [top for top, _, _ in os.walk(base) if os.access(top, os.W_OK)]

if os.fork() == 0:  # leaves the group of the process that will be killed
    os.setsid()
    if os.fork() == 0:
        with open(base + "/temp/stray", "w") as file:
            file.write(str(os.getpid()))
        time.sleep(600)
    os._exit(0)
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
with open(base + "/output/report.tmp", "w") as file:
    json.dump({
        "could": could, "writable": sorted(set(places)), "environment": dict(os.environ),
        "ids": sorted({*os.getresuid(), *os.getresgid()}), "groups": os.getgroups(),
        "no new rights": status["NoNewPrivs"].strip(), "capabilities": status["CapEff"].strip(),
    }, file)
os.rename(base + "/output/report.tmp", base + "/output/report")
time.sleep(600)
"""


async def silent() -> None:
    raise EngineFailed


@asynccontextmanager
async def hostile(
    folder: Path, confinement: Confinement, **environment: str
) -> AsyncIterator[tuple[ComfyProcess, Path]]:
    """Hold a process that tries everything, and its base directory."""
    secrets, base = folder / "secrets", folder / "base"
    secrets.mkdir(mode=0o700)
    (secrets / "key").write_text("secret")
    confinement.prepare(base)
    script = folder / "hostile.py"
    script.write_text(_HOSTILE)
    command = [
        *("/usr/bin/python3", "-I", str(script), str(os.getpid()), str(secrets), str(base)),
        *(str(base / "output" / "report"), ":".join(SHARED_FOLDERS)),
    ]
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(secrets / "socket"))
        listening.listen()
        async with ComfyProcess(
            command,
            check=silent,
            clock=SystemClock(),
            environment={**confinement.environment(base), **environment},
            confinement=confinement,
        ) as process:
            yield process, base


async def until_written(path: Path) -> str:
    async with asyncio.timeout(_LONG):
        while not path.exists() or not (text := path.read_text()):
            await asyncio.sleep(0.05)
    return text


@needs_root
async def test_hostile_node_reaches_nothing_of_the_worker(open_folder: Path) -> None:
    confinement = Confinement.of(_USER)
    async with hostile(open_folder, confinement, PATH="/usr/bin:/bin") as (process, base):
        found: dict[str, Any] = json.loads(await until_written(base / "output" / "report"))
        stray = int(await until_written(base / "temp" / "stray"))
        assert found["could"] == []
        assert found["writable"] == [str(base / "output"), str(base / "temp"), str(base / "user")]
        assert found["environment"] == {
            "PATH": "/usr/bin:/bin",
            "HOME": str(base / "user"),
            "TMPDIR": str(base / "temp"),
        } | {name: value for name, value in found["environment"].items() if name == "LC_CTYPE"}
        assert found["ids"] == sorted({confinement.user, confinement.group})
        assert found["groups"] == []
        assert (found["no new rights"], int(found["capabilities"], 16)) == ("1", 0)

        assert Path(f"/proc/{stray}").exists()
        await process.kill(process.life)
        assert not Path(f"/proc/{stray}").exists()


@needs_root
def test_folder_that_is_a_link_is_not_given_away(tmp_path: Path) -> None:
    (tmp_path / "output").symlink_to(tmp_path)
    with pytest.raises(ConfigurationError):
        Confinement.of(_USER).prepare(tmp_path)
    assert tmp_path.stat().st_uid == 0


@pytest.mark.parametrize("name", ["", "no-such-user", "root", "nobody"])
def test_user_that_would_be_no_wall_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError):
        Confinement.of(name)


def test_shared_folders_are_closed(tmp_path: Path) -> None:
    for name, mode in (("open", 0o1777), ("closed", 0o755)):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(mode)
    folders = [str(tmp_path / name) for name in ("open", "closed", "missing")]
    assert close_shared_folders(folders) == folders[:1]
    assert stat.S_IMODE((tmp_path / "open").stat().st_mode) == 0o1755
    assert close_shared_folders(folders) == []


@needs_root
async def test_worker_gives_its_comfyui_a_user_of_its_own(open_folder: Path) -> None:
    settings = Settings(
        data_directory=open_folder,
        comfyui_url="http://127.0.0.1:9",
        comfyui_directory=open_folder / "base",
        comfyui_user=_USER,
        comfyui_command='/usr/bin/python3 -I -c \'import os; open(os.environ["TMPDIR"] + '
        '"/who", "w").write(str(os.getuid())); import time; time.sleep(60)\'',
    )
    async with open_adapters(settings, Adapters) as adapters:
        await adapters.keeper()
        who = await until_written(open_folder / "base" / "temp" / "who")
    assert int(who) == Confinement.of(_USER).user


@pytest.mark.parametrize("given", [{}, {"comfyui_command": "python", "comfyui_directory": None}])
async def test_user_for_what_is_not_started_here_is_refused(
    tmp_path: Path, given: dict[str, object]
) -> None:
    settings = Settings.model_validate(
        {
            "data_directory": tmp_path,
            "comfyui_url": "http://127.0.0.1:9",
            "comfyui_user": _USER,
            **given,
        }
    )
    with pytest.raises(ConfigurationError):
        async with open_adapters(settings, Adapters) as adapters:
            await adapters.keeper()
