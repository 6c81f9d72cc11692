"""
Another user for ComfyUI's process: what it can read, write and signal of this machine.

Workflows choose what custom nodes do, and those are other people's code. The system's own walls
between users hold it: the worker's ``/proc``, files and sockets are closed to it, and of its base
directory it may write to what it must. Only a worker that runs as root can have this.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import re
import signal
import stat
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from genjobs.domain.errors import ConfigurationError

#: Folders that every user of a machine may write to. ComfyUI has one of its own for such files.
SHARED_FOLDERS: Final = ("/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run/lock")  # noqa: S108
#: What it writes to, below its base directory; the rest of that stays as it is.
_ITS_OWN: Final = ("output", "temp", "user")
#: What it wants to be there and only reads.
_GIVEN: Final = ("input", "models", "custom_nodes")
_PR_SET_CHILD_SUBREAPER: Final = 36
_NOBODY: Final = 65_534
_ROUNDS: Final = 20
_ROUND_SECONDS: Final = 0.01
_STATUS: Final = re.compile(r"^(PPid|Uid):\t(\d+)", re.M)


@dataclass(frozen=True, slots=True)
class Confinement:
    """The user and the group of ComfyUI's process, and of none besides."""

    user: int
    group: int

    @classmethod
    def of(cls, name: str) -> Confinement:
        """
        Return the user of that name.

        Raises:
            ConfigurationError: there is none, it would be no wall, or this process may not change
                users.
        """
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            raise ConfigurationError(f"comfyui_user: there is no user {name!r}") from None
        if found.pw_uid in {0, _NOBODY}:
            raise ConfigurationError("comfyui_user must be a user that nothing else runs as")
        if os.geteuid() != 0:
            raise ConfigurationError("comfyui_user needs a worker that runs as root")
        return cls(found.pw_uid, found.pw_gid)

    def prepare(self, base: Path) -> None:
        """
        Make ComfyUI's folders, and give it those that it writes to.

        Raises:
            ConfigurationError: one of them is a link, so that it could lead anywhere.
        """
        base.mkdir(parents=True, exist_ok=True)
        for name in (*_ITS_OWN, *_GIVEN):
            folder = base / name
            with suppress(FileExistsError):
                folder.mkdir(0o755)
            if name in _ITS_OWN:
                if not stat.S_ISDIR(folder.lstat().st_mode):
                    raise ConfigurationError(f"{name} in the ComfyUI directory is not a folder")
                os.chown(folder, self.user, self.group, follow_symlinks=False)

    def environment(self, base: Path) -> dict[str, str]:
        """Return where its programs keep what they would else keep at home or for all users."""
        return {"HOME": str(base / "user"), "TMPDIR": str(base / "temp")}

    def adopt_orphans(self, adopt: bool) -> None:
        """Become the parent of processes whose own has ended, so that they can be found, or not."""
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(adopt), 0, 0, 0)

    def kill_all(self) -> int:
        """Kill what is left of it: a process may leave its group. Return how many there were."""
        killed: set[int] = set()
        for _ in range(_ROUNDS):  # those it started meanwhile become ours when their parent ends
            found = set(_children(os.getpid(), self.user))
            if not found:
                break
            for pid in found:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(_ROUND_SECONDS)
            for pid in found:
                with suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
            killed |= found
        return len(killed)


def close_shared_folders(folders: Collection[str] = SHARED_FOLDERS) -> list[str]:
    """
    Let nobody but root write to the folders that are everybody's; return those that there were.

    Only for a container that has no other users: programs of theirs would miss them.
    """
    closed = []
    for folder in folders:
        with suppress(FileNotFoundError):
            found = os.stat(folder)
            if found.st_mode & stat.S_IWOTH:
                os.chmod(folder, stat.S_IMODE(found.st_mode) & ~(stat.S_IWOTH | stat.S_IWGRP))
                closed.append(folder)
    return closed


def _children(parent: int, user: int) -> Iterator[int]:
    """Yield the children of ``parent`` that run as ``user``."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):  # it has ended meanwhile
            # Not the owner of the folder: a process can make that root.
            status = dict(_STATUS.findall((entry / "status").read_text()))
            if status == {"PPid": str(parent), "Uid": str(user)}:
                yield int(entry.name)
