"""
Confine this process for good: what it may use, and how it ends when its parent does.

Where the system lacks a wall (macOS has no ``prctl``), the others stand.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
from typing import Final

from genjobs.domain.media_limits import MediaLimits

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
_NOBODY: Final = 65_534
_NICE: Final = 10

_libc: Final = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def address_space() -> int:
    """Return the bytes of address space that this process has now, 0 where it cannot be told."""
    if sys.platform != "linux":
        return 0
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def give_up_privileges() -> None:
    """Make sure that neither this process nor one that it starts gains a right."""
    if _libc is not None and _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")
    _limit(resource.RLIMIT_CORE, 0)


def confine(limits: MediaLimits, *, parent: int, baseline: int) -> None:
    """
    Leave this process nothing but its open files, its memory and its time.

    It opens no file and no socket and starts no process any more (no descriptor is left to take,
    and as long as it is not root no process), and ends with ``parent``. ``baseline`` is the address
    space that it may have before ``memory_bytes`` count.
    """
    os.nice(_NICE)
    if sys.platform == "linux":
        # Where memory runs out all the same, this process is the one to go. Not all containers
        # let it say so.
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
    if os.geteuid() == 0:
        # A root without the capability to change (some containers) stays root in name.
        with contextlib.suppress(OSError):
            os.setgroups([])
            os.setresgid(_NOBODY, _NOBODY, _NOBODY)
            os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    if _libc is not None:  # after the change of user, which clears it
        if _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "PR_SET_PDEATHSIG")
        if os.getppid() != parent:
            os._exit(1)
    if baseline:
        _limit(resource.RLIMIT_AS, baseline + limits.memory_bytes)
    _limit(resource.RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds + 1)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NPROC, 0)
    _limit(resource.RLIMIT_NOFILE, 0)


def _limit(which: int, soft: int, hard: int | None = None) -> None:
    """Lower a limit; one that is lower already stays."""
    wanted = soft if hard is None else hard
    _, most = resource.getrlimit(which)
    if most != resource.RLIM_INFINITY:
        wanted = min(wanted, most)
    resource.setrlimit(which, (min(soft, wanted), wanted))
