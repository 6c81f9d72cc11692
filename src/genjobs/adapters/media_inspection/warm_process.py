"""
The near side's hold on the process that forks: start it, hand it files, stop it.

One ``WarmProcess`` is one process and is not restarted; that is the inspector's business.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import Any, Final

from genjobs.domain.media import MediaType
from genjobs.domain.media_limits import MediaLimits

_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 5.0
_GRACE_SECONDS: Final = 5.0  # beyond which a process that should have been killed is not waited for
_MOST_SAID: Final = 8 * 1024
_REQUEST_BYTES: Final = 32  # as in ``child``, which is not imported here: it loads the decoders
_READY: Final = b"ready\n"
#: All that it is told of the environment: where libraries are, and how text is encoded.
_ENVIRONMENT: Final = ("LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_MAIN: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); "
    "from genjobs.adapters.media_inspection import child; child.main()"
)


class ProcessLost(Exception):
    """The process is gone, or does not do what it should."""


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a confined process ended."""

    #: What it wrote, unread.
    said: bytes
    #: Exit status, negative for a signal.
    status: int
    timed_out: bool
    cpu_seconds: float
    resident_bytes: int


class WarmProcess:
    """A process that has loaded the decoders."""

    def __init__(
        self, process: subprocess.Popen[bytes], control: socket.socket, limits: MediaLimits
    ) -> None:
        self._process = process
        self._control = control
        self._limits = limits

    @property
    def pid(self) -> int:
        """Its id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @classmethod
    async def start(cls, limits: MediaLimits) -> WarmProcess:
        """Start one and wait until it is ready; raises ``ProcessLost``."""
        control, theirs = socket.socketpair()
        control.setblocking(False)
        with theirs:
            try:
                process = _spawn(theirs, limits)
            except OSError as exc:
                control.close()
                raise ProcessLost("it cannot be started") from exc
        started = cls(process, control, limits)
        try:
            async with asyncio.timeout(_START_SECONDS):
                said = await asyncio.get_running_loop().sock_recv(control, len(_READY))
            if said != _READY:
                raise ProcessLost("it ended while starting")
        except BaseException as exc:
            started.kill()
            if isinstance(exc, (TimeoutError, OSError)):
                raise ProcessLost("it does not start") from exc
            raise
        return started

    async def inspect(self, file: int, media_type: MediaType) -> End:
        """
        Have the file behind a descriptor judged; raises ``ProcessLost``.

        However this is left, no process works on the file afterwards.
        """
        mine, theirs = socket.socketpair()
        with mine:
            mine.setblocking(False)
            with theirs:
                request = media_type.content_type.encode().ljust(_REQUEST_BYTES, b"\0")
                try:
                    socket.send_fds(self._control, [request], [file, theirs.fileno()])
                except OSError as exc:  # gone, or so far behind that its buffer is full
                    raise ProcessLost("it takes no request") from exc
            try:
                async with asyncio.timeout(self._limits.wall_seconds + _GRACE_SECONDS):
                    return _end(await _read(mine))
            except (TimeoutError, OSError) as exc:
                raise ProcessLost("it does not answer") from exc

    async def stop(self) -> None:
        """End it and all that it forked."""
        self._control.close()  # which tells it
        try:
            await asyncio.to_thread(self._process.wait, _STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self.kill()

    def kill(self) -> None:
        """End it at once; what it forked ends with it."""
        self._control.close()
        self._process.kill()
        self._process.wait()


def _spawn(control: socket.socket, limits: MediaLimits) -> subprocess.Popen[bytes]:
    path = [entry for entry in sys.path if entry]
    return subprocess.Popen(  # noqa: S603  (our own interpreter with our own code)
        [
            *(sys.executable, "-I", "-c", _MAIN, str(control.fileno())),
            *(json.dumps(asdict(limits)), json.dumps(path)),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,  # decoders print what files tell them
        pass_fds=[control.fileno()],
        env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
        cwd="/",
        start_new_session=True,  # a Ctrl-C is for the server, which lets requests finish
    )


async def _read(end: socket.socket) -> bytes:
    loop = asyncio.get_running_loop()
    said = b""
    while chunk := await loop.sock_recv(end, 4096):
        said += chunk
        if len(said) > _MOST_SAID:
            break
    return said


def _end(said: bytes) -> End:
    rest, _, last = said.rstrip(b"\n").rpartition(b"\n")
    try:
        end: dict[str, Any] = json.loads(last)
        return End(
            said=rest.strip(b"\n"),
            status=int(end["status"]),
            timed_out=bool(end["timed_out"]),
            cpu_seconds=float(end["cpu_seconds"]),
            resident_bytes=int(end["resident_bytes"]),
        )
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as exc:
        raise ProcessLost("it does not say how a process ended") from exc
