"""A git that hangs, says too much or is not there; and what git may speak."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from genjobs.adapters.pin_sources import GitCommits
from genjobs.domain.errors import ConfigurationError, Unavailable


def program(folder: Path, script: str) -> str:
    path = folder / "git"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


async def test_git_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    child = tmp_path / "child"
    git = program(tmp_path, f"sleep 30 & echo $! > {child}; wait")
    begun = time.monotonic()
    with pytest.raises(Unavailable, match="did not answer within"):
        await GitCommits(program=git, seconds=1).read("https://git.example.com/x", "refs/tags/v1")
    assert time.monotonic() - begun < 10
    await _gone(int(child.read_text()))


async def _gone(pid: int) -> None:
    """Wait until nothing of a process runs; whose child it became may still have to notice."""
    for _ in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            return
        if state == "Z":
            return
        await asyncio.sleep(0.02)
    os.kill(pid, 9)
    raise AssertionError("it still runs")


async def test_git_that_answers_with_too_much_is_ended(tmp_path: Path) -> None:
    git = program(tmp_path, "exec yes")
    with pytest.raises(Unavailable, match="too much"):
        await GitCommits(program=git, seconds=10).read("https://git.example.com/x", "refs/tags/v1")


async def test_git_says_why_it_could_not(tmp_path: Path) -> None:
    git = program(tmp_path, "echo 'fatal: no such host' >&2; exit 128")
    with pytest.raises(Unavailable, match="fatal: no such host"):
        await GitCommits(program=git).read("https://git.example.com/x", "refs/tags/v1")


async def test_git_that_is_not_installed_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="git cannot be started"):
        await GitCommits(program=str(tmp_path / "none")).read("https://x/y", "refs/tags/v1")


@pytest.mark.parametrize("url", ["ext::touch {}", "{}"])
async def test_git_speaks_nothing_but_https(tmp_path: Path, url: str) -> None:
    touched = tmp_path / "touched"
    with pytest.raises(Unavailable, match="not allowed"):
        await GitCommits().read(url.format(touched), "refs/tags/v1")
    assert not touched.exists()
