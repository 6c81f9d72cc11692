"""Starting, stopping, dying: in this process, as a plain ASGI app, and as a process of its own."""

from __future__ import annotations

import asyncio
import signal
import sys

import httpx
import pytest

from genjobs.simulator import Faults, create_simulator, running_simulator

PROCESS = """
import sys
from pathlib import Path
from genjobs.simulator import serve_simulator
serve_simulator(Path(sys.argv[1]), int(sys.argv[2]), announce=print)
"""


async def test_two_servers_run_side_by_side_and_release_their_ports(tmp_path):
    handler = signal.getsignal(signal.SIGTERM)
    async with (
        running_simulator(tmp_path / "a") as one,
        running_simulator(tmp_path / "b") as two,
        httpx.AsyncClient(verify=False) as http,
    ):
        assert one.url != two.url
        for each in (one, two):
            assert (await http.get(f"{each.url}/prompt")).status_code == 200
        assert signal.getsignal(signal.SIGTERM) is handler
        await one.stop()
        with pytest.raises(httpx.ConnectError):
            await http.get(f"{one.url}/prompt")
        assert (await http.get(f"{two.url}/prompt")).status_code == 200


async def test_temp_is_wiped_at_the_start_and_the_rest_is_kept(tmp_path):
    for folder in ("input", "output", "temp"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.png").write_bytes(b"x")
    create_simulator(tmp_path)
    assert not (tmp_path / "temp" / "a.png").exists()
    assert (tmp_path / "input" / "a.png").exists()
    assert (tmp_path / "output" / "a.png").exists()


async def test_the_app_runs_without_a_server(tmp_path, picture_workflow):
    app = create_simulator(tmp_path, faults=Faults(queue_and_answer_500=1))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://simulator") as http:
        body = {"prompt": picture_workflow()}
        assert (await http.post("/prompt", json=body)).status_code == 500
        prompt_id = (await http.post("/api/prompt", json=body)).json()["prompt_id"]
        async with asyncio.timeout(20):
            while True:
                if (await http.get(f"/api/history/{prompt_id}")).json():
                    break
                await asyncio.sleep(0.005)
        app.die()
        with pytest.raises(ConnectionRefusedError):
            await http.get("/prompt")
    await app.close()


async def test_a_taken_port_is_an_error_at_once(tmp_path):
    async with running_simulator(tmp_path / "a") as one:
        port = int(one.url.rsplit(":", 1)[1])
        with pytest.raises(OSError, match="in use"):
            async with running_simulator(tmp_path / "b", port=port):
                pass


async def test_a_process_of_its_own_dies_when_ordered_over_http(tmp_path):
    async with running_simulator(tmp_path / "a") as probe:
        url, port = probe.url, probe.url.rsplit(":", 1)[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROCESS, str(tmp_path / "b"), port
    )
    try:
        async with httpx.AsyncClient(base_url=url, verify=False) as http:
            async with asyncio.timeout(20):
                while True:
                    try:
                        await http.get("/prompt")
                        break
                    except httpx.TransportError:
                        await asyncio.sleep(0.02)
            with pytest.raises(httpx.TransportError):
                await http.post("/simulator/faults", json={"die_at": "now"})
        async with asyncio.timeout(20):
            assert await process.wait() == 137
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
