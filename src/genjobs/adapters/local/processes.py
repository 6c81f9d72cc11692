"""
Workers that are processes of this machine: what they are called, and ending them.

A process is told by host, pid namespace, pid and time of start, so that one that was given the pid
of a worker of earlier days is left alone. Linux only; elsewhere workers have names that nobody can
end.
"""

from __future__ import annotations

import asyncio
import os
import re
import select
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final

from genjobs.domain.supervision import Termination

#: How long a killed process may take to be gone.
_SECONDS: Final = 5.0
_CALL: Final = re.compile(r"(process|shared):([^:]+):(\d+)")


def own_call_id(*, alone: bool) -> str:
    """
    Return what a worker of this process calls itself.

    ``alone``: the process does nothing else, so that it may be ended for a worker's sake.
    """
    kind = "process" if alone else "shared"
    return f"{kind}:{_place()}/{_started(os.getpid()) or 0}:{os.getpid()}"


class LocalWorkerControl:
    """The ``WorkerControl`` port for worker processes on this machine."""

    async def terminate(self, call_id: str) -> Termination:
        """See the port; a worker on another machine is unknown, and so is this process."""
        found = _CALL.fullmatch(call_id)
        if found is None:
            return Termination.UNKNOWN
        kind, where, pid = found[1], found[2], int(found[3])
        place, _, started = where.rpartition("/")
        if place != _place() or started == "0" or pid == os.getpid():
            return Termination.UNKNOWN
        return await asyncio.to_thread(_kill, pid, started, kind == "process")


def _kill(pid: int, started: str, allowed: bool) -> Termination:
    try:
        # Held open, it stands for this process: from here on the pid cannot be another's.
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return Termination.GONE
    except OSError:
        return Termination.UNKNOWN
    try:
        if _started(pid) != started or _ended(process, 0):
            return Termination.GONE
        if not allowed:
            return Termination.UNKNOWN
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(process, signal.SIGKILL)
        return Termination.TERMINATED if _ended(process, _SECONDS) else Termination.UNKNOWN
    except PermissionError:
        return Termination.UNKNOWN
    finally:
        os.close(process)


def _ended(process: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(process, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _place() -> str:
    """Return this machine and, on it, the room in which pids have their meaning."""
    room = ""
    with suppress(OSError):
        room = re.sub(r"\D", "", os.readlink("/proc/self/ns/pid"))
    return f"{socket.gethostname().replace(':', '-')}/{room}"


def _started(pid: int) -> str | None:
    """Return when a process began, in ticks since the machine did; None if that is not known."""
    try:
        # The second field is a name in parentheses, which may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
        return f"{boot}-{fields[19].decode()}"
    except (OSError, IndexError):
        return None
