"""Commits behind references of git repositories, by the git that is installed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio import StreamReader
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final

from genjobs.domain.errors import ConfigurationError, NotFound, Unavailable

_SECONDS: Final = 60.0
_MOST_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class GitCommits:
    """Asks repositories for their references; nothing is cloned."""

    #: What git may speak; anything else could run a command.
    protocols: tuple[str, ...] = ("https",)
    seconds: float = _SECONDS
    program: str = "git"

    async def read(self, url: str, ref: str) -> str:
        """See the port."""
        # A tag may be an object of its own; what it leads to is listed with ^{} at its end.
        lines = (await self._list(url, ref, f"{ref}^{{}}")).splitlines()
        found = {name: commit for commit, _, name in (line.partition("\t") for line in lines)}
        commit = found.get(f"{ref}^{{}}") or found.get(ref)
        if commit is None:
            raise NotFound(f"{url} has no {ref}")
        return commit

    async def _list(self, url: str, *refs: str) -> str:
        allowed = [f"protocol.{name}.allow=always" for name in self.protocols]
        options = [word for one in ("protocol.allow=never", *allowed) for word in ("-c", one)]
        try:
            process = await asyncio.create_subprocess_exec(
                *(self.program, *options, "ls-remote", "--", url, *refs),
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=PIPE,
                start_new_session=True,  # git has children of its own
                env={**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
            )
        except OSError as exc:
            raise ConfigurationError(f"git cannot be started: {exc.strerror}") from exc
        try:
            async with asyncio.timeout(self.seconds):
                out, err = await asyncio.gather(*_outputs(process))
                await process.wait()
        except TimeoutError as exc:
            raise Unavailable(f"{url} did not answer within {self.seconds:g} s") from exc
        finally:
            await _end(process)
        if out is None or err is None:
            raise Unavailable(f"{url} answers with too much")
        if process.returncode != 0:
            reason = (err.strip().splitlines() or ["no reason given"])[0][:200]
            raise Unavailable(f"{url} cannot be read: {reason}")
        return out


def _outputs(process: Process) -> list[Coroutine[Any, Any, str | None]]:
    return [_whole(process, stream) for stream in (process.stdout, process.stderr) if stream]


async def _whole(process: Process, stream: StreamReader) -> str | None:
    """Return an output to its end; None, and the process is killed, when it is too large."""
    content = bytearray()
    while chunk := await stream.read(64 * 1024):
        if len(content) <= _MOST_BYTES:
            content += chunk
        else:
            _kill(process)
    return content.decode(errors="replace") if len(content) <= _MOST_BYTES else None


async def _end(process: Process) -> None:
    """Kill what has not ended by itself, and wait until it is gone."""
    if process.returncode is None:
        _kill(process)
        with contextlib.suppress(TimeoutError):  # asyncio waits for outputs that nobody reads
            async with asyncio.timeout(5):
                await asyncio.gather(*_outputs(process))
                await process.wait()


def _kill(process: Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
