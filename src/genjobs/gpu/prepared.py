"""
A ComfyUI that was begun before there is a device: it has imported what takes long, and waits.

For memory snapshots: its process is in them, and goes on in every container that is restored. What
runs in it is in ``comfy_launcher``; ``ComfyProcess`` wakes it. It is plain and synchronous, since
nothing of an event loop shall be in a snapshot.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

import structlog

from genjobs.domain.errors import ConfigurationError
from genjobs.gpu import comfy_launcher
from genjobs.gpu.confinement import Confinement
from genjobs.gpu.spawning import confined, open_log

#: What ComfyUI v0.26.0 and its nodes import from other packages, and none of them asks for a
#: device by that: read off a start of it. Not ``comfy_kitchen``, which does.
PRELOADED: Final = (
    *("torch", "torch.fft", "torch.optim", "torch.utils.checkpoint", "torch.utils.data"),
    *("torchvision", "torchvision.transforms.functional", "torchvision.models.optical_flow"),
    *("torchvision.ops", "torchaudio", "torchsde", "numpy", "einops", "einops.layers.torch"),
    *("scipy.fft", "scipy.integrate", "scipy.ndimage", "scipy.optimize", "scipy.signal"),
    *("scipy.sparse.csgraph", "scipy.sparse.linalg", "scipy.special", "scipy.stats"),
    *("transformers:BertTokenizer", "transformers:ByT5Tokenizer", "transformers:CLIPTokenizer"),
    *("transformers:LlamaTokenizerFast", "transformers:Qwen2Tokenizer"),
    *("transformers:T5TokenizerFast", "tokenizers", "safetensors.torch", "spandrel"),
    *("kornia.color", "kornia.filters", "kornia.morphology", "PIL.Image", "PIL.ImageDraw"),
    *("PIL.ImageFont", "PIL.ImageOps", "PIL.ImageSequence", "PIL.PngImagePlugin", "av"),
    *("aiohttp.web", "alembic.command", "alembic.config", "alembic.runtime.migration"),
    *("alembic.script", "sqlalchemy.dialects.sqlite", "sqlalchemy.orm", "pydantic_settings"),
    *("psutil", "requests", "simpleeval", "tqdm.auto", "yaml", "blake3", "filelock"),
)
#: Variables that were read when the process began: what has changed in one of them is not heard.
_READ_AT_START: Final = ("LD_", "PYTHON", "PYTORCH_", "LANG", "LC_")
#: What a pipe takes without anybody reading, so that nobody waits for a process that is stopped.
_MOST_PIPED_BYTES: Final = 60_000
_LAUNCHER: Final = Path(comfy_launcher.__file__)

_log = structlog.get_logger(__name__)


class PreparedProcess:
    """A process that waits to be told to go on; its end can be awaited like that of any other."""

    def __init__(
        self, process: subprocess.Popen[bytes], command: Sequence[str], told: Mapping[str, str]
    ) -> None:
        self._process = process
        self._command = list(command)
        self._told = dict(told)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Its exit code, once its end was awaited; None before."""
        return self._process.returncode

    async def wait(self) -> int:
        """Wait for its end."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[int] = loop.create_future()

        def tell(code: int) -> None:
            if not ended.done():
                ended.set_result(code)

        def watch() -> None:
            code = self._process.wait()
            with contextlib.suppress(RuntimeError):  # the loop is gone
                loop.call_soon_threadsafe(tell, code)

        # Not one of the threads for short work: it lives as long as the process.
        threading.Thread(target=watch, name="comfyui-wait", daemon=True).start()
        return await ended

    def unfit(self, command: Sequence[str], environment: Mapping[str, str]) -> str | None:
        """Return why it is not what these would start now, if it is not."""
        if self._process.poll() is not None:
            return "it has ended"
        if self._command != list(command):
            return "the command is another"
        changed = sorted(
            name
            for name in {*self._told, *environment}
            if self._told.get(name) != environment.get(name) and name.startswith(_READ_AT_START)
        )
        return f"read when it began, and changed: {', '.join(changed)}" if changed else None

    def wake(self, environment: Mapping[str, str]) -> bool:
        """Let it go on in this environment; False when it is gone."""
        changes = {
            "set": {n: v for n, v in environment.items() if self._told.get(n) != v},
            "unset": sorted(set(self._told) - set(environment)),
        }
        line = json.dumps(changes).encode() + b"\n"
        if len(line) > _MOST_PIPED_BYTES:
            return False
        assert self._process.stdin is not None  # noqa: S101  (it was started with a pipe)
        try:
            self._process.stdin.write(line)
            self._process.stdin.close()
        except OSError:
            return False
        return True

    def close(self) -> None:
        """End it, and wait until it is gone."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None  # noqa: S101
            self._process.stdin.close()


def prepare(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    limit: timedelta,
    modules: Sequence[str] = PRELOADED,
    directory: Path | None = None,
    log: Path | None = None,
    confinement: Confinement | None = None,
) -> PreparedProcess | None:
    """
    Begin ``command``, which is ``PYTHON SCRIPT.py ...``, and return it once it waits.

    None when it cannot be prepared, which is logged: then it is started as ever, later.

    Raises:
        ConfigurationError: the command is of another form.
    """
    if len(command) < 2 or not command[1].endswith(".py"):
        raise ConfigurationError("comfyui_snapshot needs a comfyui_command like `python main.py`")
    launched = [command[0], "-c", _LAUNCHER.read_text()]
    heard, said = os.pipe()
    try:
        with open_log(log) as words:
            process = subprocess.Popen(  # noqa: S603  (the operator's command)
                confined(
                    [*launched, str(said), json.dumps(list(modules)), *command[1:]], confinement
                ),
                cwd=directory,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=words,
                stderr=words,
                pass_fds=(said,),
                start_new_session=True,
            )
    except OSError as exc:
        _log.warning("comfyui.not_prepared", reason=exc.strerror)
        os.close(heard)
        return None
    finally:
        os.close(said)
    prepared = PreparedProcess(process, command, environment)
    try:
        report = _report(heard, limit)
    finally:
        os.close(heard)
    refusal = _refusal(report)
    if refusal is not None:
        prepared.close()
        _log.warning("comfyui.not_prepared", reason=refusal, code=process.returncode)
        return None
    _log.info("comfyui.prepared", pid=process.pid, report=report)
    return prepared


def _report(heard: int, limit: timedelta) -> dict[str, object] | None:
    """Return what the process says; None when it ends, is silent, or talks of something else."""
    until = time.monotonic() + limit.total_seconds()
    text = b""
    while len(text) < _MOST_PIPED_BYTES:
        ready, _, _ = select.select([heard], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            return None
        part = os.read(heard, 4096)
        if not part:  # it has said all and let go of this
            break
        text += part
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _refusal(report: dict[str, object] | None) -> str | None:
    if report is None:
        return "it did not come to where it decides on the device"
    if report.get("asked"):
        return f"it asked for a device: {report['asked']}"
    return None
