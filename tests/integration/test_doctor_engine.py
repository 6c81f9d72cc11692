"""The doctor and ComfyUI: one that answers, none, a command that is not there."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from genjobs.domain.diagnosis import Outcome
from genjobs.simulator import running_simulator
from genjobs.simulator.info_routes import COMFYUI_VERSION
from tests.doctoring import codes, findings, outcomes


async def test_comfyui_that_answers_says_its_version(tmp_path: Path) -> None:
    async with running_simulator(tmp_path) as simulator:
        [found] = await findings("comfyui", comfyui_url=simulator.url)
    assert found.outcome is Outcome.OK
    assert COMFYUI_VERSION in found.seen


async def test_comfyui_that_is_away_is_told(closed_port: int) -> None:
    url = f"http://127.0.0.1:{closed_port}"
    found = await findings("comfyui", comfyui_url=url)
    assert codes(found) == {"comfyui": "comfyui_unreachable"}


async def test_server_that_is_no_comfyui_is_told() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        found = await findings("comfyui", comfyui_url=url)
    assert codes(found) == {"comfyui": "comfyui_unreachable"}
    assert "404" in found[0].seen


@pytest.mark.parametrize(
    ("command", "code"),
    [("python3 main.py --port {port}", None), ("no-such-program x", "comfyui_command_missing")],
)
async def test_comfyui_that_workers_start_needs_its_program(
    command: str, code: str | None, closed_port: int
) -> None:
    url = f"http://127.0.0.1:{closed_port}"
    found = await findings("comfyui", comfyui_url=url, comfyui_command=command)
    assert found[0].code == code
    if code is None:
        assert outcomes(found)["comfyui"] is Outcome.SKIPPED
