"""
A real ComfyUI that was begun before there was a device: what it renders, and what that saves.

Runs when ``GENJOBS_TEST_COMFYUI_COMMAND`` is of the form ``PYTHON /path/main.py ...``.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import socket
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from genjobs.adapters.comfyui import ComfyUIEngine
from genjobs.bootstrap import Adapters, open_adapters
from genjobs.bootstrap.engine import prepare_engine
from genjobs.gpu.comfy_process import ComfyProcess
from genjobs.gpu.prepared import PreparedProcess
from genjobs.settings import Settings
from genjobs.testing import a_workflow
from genjobs.testing.contracts.engine_basics import Render
from tests import environment

pytestmark = [
    pytest.mark.skipif(
        environment.COMFYUI_COMMAND is None or environment.COMFYUI_DIRECTORY is None,
        reason="GENJOBS_TEST_COMFYUI_COMMAND and _DIRECTORY are not set",
    ),
    pytest.mark.slow,
]
ROUNDS = 3


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    if environment.COMFYUI_PYTHONPATH is not None:
        monkeypatch.setenv("PYTHONPATH", environment.COMFYUI_PYTHONPATH)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    return Settings.model_validate(
        {
            "data_directory": tmp_path,
            "comfyui_url": f"http://127.0.0.1:{port}",
            "comfyui_command": environment.COMFYUI_COMMAND,
            "comfyui_directory": environment.COMFYUI_DIRECTORY,
            "comfyui_snapshot": True,
            "comfyui_environment": ["PYTHONPATH"],
        }
    )


@asynccontextmanager
async def opened(
    settings: Settings, prepared: PreparedProcess | None
) -> AsyncIterator[tuple[ComfyProcess, ComfyUIEngine, float]]:
    """Hold a ComfyUI that is ready, and how long that took in seconds."""
    began = time.monotonic()
    async with open_adapters(settings, Adapters) as adapters:
        adapters.prepared = prepared
        keeper, engine = await adapters.keeper(), await adapters.engine()
        await keeper.ready()
        assert isinstance(keeper, ComfyProcess)
        assert isinstance(engine, ComfyUIEngine)
        yield keeper, engine, time.monotonic() - began


async def test_prepared_comfyui_renders_and_most_of_its_start_is_before_the_snapshot(
    settings: Settings,
) -> None:
    assert shlex.split(environment.COMFYUI_COMMAND or "")[1].endswith(".py")
    plain, woken, before = [], [], []
    for _ in range(ROUNDS):
        async with opened(settings, None) as (keeper, _, seconds):
            assert not keeper.prepared
            plain.append(seconds)
        began = time.monotonic()
        prepared = await asyncio.to_thread(prepare_engine, settings)
        before.append(time.monotonic() - began)
        assert prepared is not None, (settings.data_directory / "comfyui.log").read_text()[-4000:]
        async with opened(settings, prepared) as (keeper, engine, seconds):
            assert (keeper.prepared, keeper.pid, keeper.life) == (True, prepared.pid, 1)
            woken.append(seconds)
            render = Render(engine)
            rendered = await render.run(a_workflow(color=int.from_bytes(os.urandom(3))))
            assert len(rendered.outputs) == 1
            await engine.discard(render.id)
    saved = statistics.median(plain) / statistics.median(woken)
    print(
        f"\nready after {statistics.median(plain):.1f} s when started, after "
        f"{statistics.median(woken):.1f} s when woken: {saved:.1f} times as fast; "
        f"prepared in {statistics.median(before):.1f} s"
    )
    assert saved > 1.5


#: A driver that finds no device and notes what is called. That it is loaded means nothing: cuBLAS
#: looks for it when torch is imported, and calls nothing of it.
DRIVER = """
#include <stdio.h>
static int note(const char *name) {
    FILE *file = fopen(CALLED, "a");
    if (file) { fprintf(file, "%s\\n", name); fclose(file); }
    return 100;
}
int cuInit(unsigned flags) { return note("cuInit"); }
int cuDriverGetVersion(int *version) { *version = 13000; note("cuDriverGetVersion"); return 0; }
int cuGetProcAddress(void) { return note("cuGetProcAddress"); }
int cuGetProcAddress_v2(void) { return note("cuGetProcAddress_v2"); }
int cuDeviceGetCount(int *count) { return note("cuDeviceGetCount"); }
int nvmlInit_v2(void) { return note("nvmlInit_v2"); }
int nvmlInitWithFlags(unsigned flags) { return note("nvmlInitWithFlags"); }
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
@pytest.mark.parametrize("driver", ["before the snapshot", "after the restore"])
async def test_until_it_is_woken_nothing_of_the_driver_is_called(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver: str
) -> None:
    called = tmp_path / "called"
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    # As in a container with a GPU: what ComfyUI does before torch for one is done as well.
    command = (settings.comfyui_command or "").replace(" --cpu", "")
    settings = settings.model_copy(update={"comfyui_command": command})
    if driver == "before the snapshot":
        await make_driver(tmp_path, called)
    prepared = await asyncio.to_thread(prepare_engine, settings)
    assert prepared is not None
    try:
        assert not called.exists(), called.read_text()
        if driver == "after the restore":
            await make_driver(tmp_path, called)
        assert prepared.wake(settings.environment_of_comfyui())
        async with asyncio.timeout(60):
            while not called.exists():  # from now on it asks: the driver is the one it would call
                await asyncio.sleep(0.1)
    finally:
        prepared.close()


async def make_driver(folder: Path, called: Path) -> None:
    source = folder / "driver.c"
    source.write_text(DRIVER)
    for name in ("libcuda.so.1", "libnvidia-ml.so.1"):
        command = ["cc", "-shared", "-fPIC", f'-DCALLED="{called}"', str(source)]
        done = await asyncio.create_subprocess_exec(*command, "-o", str(folder / name))
        assert await done.wait() == 0
