"""How ComfyUI's process is started: what runs in it first, and where its words go."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

from genjobs.gpu.confinement import Confinement

#: What runs before ComfyUI in its process: it gains no right any more, and dies with the worker,
#: whatever ends that: nobody would stop or use it. That last, because whoever becomes another user
#: no longer hears of its parent's death.
_BEFORE: Final = """
import ctypes, os, sys
parent, user, group = map(int, sys.argv[1:4])
if user >= 0:
    os.umask(0o022)
    os.setgroups([])
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)
try:
    prctl = ctypes.CDLL(None).prctl
    prctl(38, 1, 0, 0, 0)
    prctl(1, 9)
except (AttributeError, OSError):
    pass
if os.getppid() != parent:
    sys.exit(1)
os.execvp(sys.argv[4], sys.argv[4:])
"""
_MOST_LOG_BYTES: Final = 16 * 1024 * 1024


def confined(command: Sequence[str], confinement: Confinement | None) -> tuple[str, ...]:
    """Return what to execute for ``command`` to run as the user of ``confinement``, if any."""
    who = confinement
    before = (os.getpid(), who.user if who else -1, who.group if who else -1)
    return (sys.executable, "-I", "-c", _BEFORE, *map(str, before), *command)


def open_log(path: Path | None) -> IO[bytes]:
    """Open what takes the words of a process; one that has become long is begun anew."""
    if path is None:
        return open(os.devnull, "wb")
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("ab")
    if file.tell() > _MOST_LOG_BYTES:
        file.truncate(0)
    return file
