"""
The far side: one process that has loaded the decoders and forks a confined one for each file.

It has a single thread and reads nothing of any file. A request is the name of a type with two
descriptors: the file, open for reading, and one end of a socket pair. The confined process writes
its verdict there; this one adds how that process ended. When the other end is closed, the process
is killed; when the control socket is, all are, and this one ends.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from dataclasses import dataclass
from typing import IO, Final, NoReturn

from genjobs.adapters.media_inspection import (
    films,
    further_frames,
    pictures,
    sandbox,
    structure,
    verdicts,
)
from genjobs.adapters.media_inspection.verdicts import Found, Reason, Refused
from genjobs.domain.media import ACCEPTED_INPUTS, MediaKind, MediaType
from genjobs.domain.media_limits import MediaLimits

REQUEST_BYTES: Final = 32
READY: Final = b"ready\n"
_DESCRIPTORS: Final = 256
_TYPES: Final = {one.content_type: one for one in ACCEPTED_INPUTS}


@dataclass(slots=True, kw_only=True)
class _Running:
    """A confined process."""

    leash: socket.socket
    until: float
    timed_out: bool = False


class Zygote:
    """The process that forks."""

    def __init__(self, control: socket.socket, limits: MediaLimits) -> None:
        self._control = control
        self._limits = limits
        self._pid = os.getpid()
        self._running: dict[int, _Running] = {}
        self._poll = select.poll()
        self._wake, waker = socket.socketpair()
        self._waker = waker  # held open
        for end in (self._wake, waker):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        self._poll.register(self._wake, select.POLLIN)
        self._poll.register(control, select.POLLIN)
        self._baseline = sandbox.address_space()

    def run(self) -> None:
        """Serve until the control socket is closed."""
        self._control.sendall(READY)
        while True:
            for descriptor, _ in self._poll.poll(self._patience()):
                if descriptor == self._control.fileno():
                    if not self._accept():
                        self._kill_all()
                        return
                elif descriptor == self._wake.fileno():
                    with contextlib.suppress(BlockingIOError):
                        self._wake.recv(4096)
                else:
                    self._let_go(descriptor)
            self._expire()
            self._reap()

    def _patience(self) -> float | None:
        """Return the milliseconds until the next process has had its time."""
        if not self._running:
            return None
        first = min(one.until for one in self._running.values())
        return max(0.0, (first - time.monotonic()) * 1000 + 1)

    def _accept(self) -> bool:
        """Fork for a request; False when there will be no more."""
        name, descriptors, _, _ = socket.recv_fds(self._control, REQUEST_BYTES, 2)
        if not name:
            return False
        media_type = _TYPES[name.rstrip(b"\0").decode()]
        file, leash = descriptors
        with socket.socket(fileno=leash) as held:
            try:
                pid = os.fork()
            except OSError:
                os.close(file)
                return True  # the other side reads an end without a verdict
            if pid == 0:
                self._become_confined(file, held.fileno(), media_type)
            os.close(file)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.setpgid(pid, pid)
            mine = held.dup()
        self._running[pid] = _Running(
            leash=mine, until=time.monotonic() + self._limits.wall_seconds
        )
        self._poll.register(mine, 0)  # a hang-up is told nevertheless
        return True

    def _become_confined(self, file: int, leash: int, media_type: MediaType) -> NoReturn:
        """Go on as the confined process of a file."""
        status = 1
        try:
            os.setpgid(0, 0)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.dup2(file, 0)
            os.dup2(leash, 1)
            os.closerange(3, _DESCRIPTORS)
            sandbox.confine(self._limits, parent=self._pid, baseline=self._baseline)
            with os.fdopen(0, "rb", closefd=False) as content:
                verdict = judge(content, media_type, self._limits)
            os.write(1, verdicts.write(verdict))
            status = 0
        finally:
            os._exit(status)

    def _let_go(self, descriptor: int) -> None:
        """Kill the process whose verdict nobody waits for any more."""
        for pid, one in self._running.items():
            if one.leash.fileno() == descriptor:
                self._poll.unregister(descriptor)
                _kill(pid)
                return

    def _expire(self) -> None:
        now = time.monotonic()
        for pid, one in self._running.items():
            if one.until <= now and not one.timed_out:
                one.timed_out = True
                one.until = now + self._limits.wall_seconds  # a killed process ends on its own
                _kill(pid)

    def _reap(self) -> None:
        for pid in list(self._running):
            ended, status, usage = os.wait4(pid, os.WNOHANG)
            if not ended:
                continue
            one = self._running.pop(pid)
            with contextlib.suppress(KeyError):
                self._poll.unregister(one.leash)
            end = {
                "status": os.waitstatus_to_exitcode(status),
                "timed_out": one.timed_out,
                "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
                "resident_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
            }
            with one.leash, contextlib.suppress(OSError):  # nobody listens, or too much was said
                one.leash.send(b"\n" + json.dumps(end).encode() + b"\n", socket.MSG_DONTWAIT)

    def _kill_all(self) -> None:
        for pid in self._running:
            _kill(pid)
        for pid, one in self._running.items():
            os.waitpid(pid, 0)
            one.leash.close()


def _kill(pid: int) -> None:
    """Kill a process that was not waited for yet, and its group if it has made one."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)


def judge(content: IO[bytes], media_type: MediaType, limits: MediaLimits) -> Found | Refused:
    """Return the verdict over an open file; what raises is a fault of ours."""
    try:
        content.seek(0)
        if structure.is_cut_off(content, media_type, os.fstat(content.fileno()).st_size):
            return Refused(Reason.CUT_OFF)
        content.seek(0)
        if media_type.kind is MediaKind.IMAGE:
            found = pictures.prove(content, media_type, limits)
            further_frames.check(content, media_type, found, limits)
            return found
        return films.prove(content, media_type, limits)
    except Refused as refused:
        return refused
    except MemoryError:
        return Refused(Reason.MEMORY)
    except OSError as exc:
        if exc.errno == errno.EMFILE:  # something was to be loaded that should have been already
            raise
        return Refused(Reason.BROKEN, detail=type(exc).__name__[:60])
    except Exception as exc:
        return Refused(Reason.BROKEN, detail=type(exc).__name__[:60])


def main() -> None:
    """Run with the control socket and the limits that the command line names."""
    control = socket.socket(fileno=int(sys.argv[1]))
    limits = MediaLimits(**json.loads(sys.argv[2]))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = _DESCRIPTORS if most == resource.RLIM_INFINITY else min(_DESCRIPTORS, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, few))
    sandbox.give_up_privileges()
    Zygote(control, limits).run()
