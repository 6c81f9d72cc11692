"""A smoke job to the shipped server, and what a control plane's log tells of the workers' start."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import modal
import pytest
from modal_proto import api_pb2

from genjobs.adapters.modal import READY, WorkerStart, starts_since
from genjobs.cli.smoking import SmokeFailed, smoke
from genjobs.settings.deployment import WORKER, DeploymentSettings
from genjobs.settings.smoke import SmokeSettings
from genjobs.testing.contracts.engine import sampling
from tests.deploy.container import TASK
from tests.deploy.container import running as container
from tests.deploy.deploying import ROOT
from tests.deploy.plane import Plane, Served
from tests.deploy.plane_strict import StrictPlane
from tests.e2e.processes import KEY, base_url, client, final, running
from tests.postgres import Database
from tools.deploy import Done, deploy, run_command

pytestmark = pytest.mark.e2e


@pytest.fixture
def strict(deployment: Plane) -> Iterator[tuple[Served, StrictPlane]]:
    served, plane = Served(), StrictPlane()
    served.plane = plane
    plane.adopt(deployment)
    served.start()
    try:
        yield served, plane
    finally:
        served.stop()


def ready(container: str, *, restored: bool | None, seconds: float) -> str:
    told = {"container": container, "restored": restored, "ready_seconds": seconds}
    return json.dumps(told | {"event": READY, "level": "info"})


async def test_served_api_is_looked_at_and_does_a_job(
    open_folder: Path, strict: tuple[Served, StrictPlane]
) -> None:
    served, plane = strict
    plane.log = [
        "loading",
        ready("ta-1", restored=False, seconds=41.5),
        ready("ta-2", restored=True, seconds=3.25),
    ]
    workflow = open_folder / "workflow.json"

    async with running(open_folder, "serve", "--port", "0") as server:
        url = await base_url(server)
        given = {"GENJOBS_SMOKE_URL": url, "GENJOBS_SMOKE_KEY": KEY} | served.environment()
        async with running(open_folder, "smoke", "--json", **given) as command:
            assert await command.ends(60) == 0, command.lines
        told = json.loads(command.out)
        assert (told["status"], told["outputs"]) == ("completed", 1)
        assert (told["snapshot"], told["container_ready_seconds"]) == ("restored", 3.25)
        assert told["rollback"] == "modal app rollback genjobs"
        assert isinstance(told["render_seconds"], float)
        assert KEY not in command.out + "".join(command.lines)

        # The doctor beside it finds all in order, and leaves it as it was.
        async with running(open_folder, "doctor", "--json") as doctor:
            assert await doctor.ends(60) == 0, doctor.out
        found = {item["check"]: item["code"] for item in json.loads(doctor.out)}
        assert found.keys() >= {"database.api", "database.revision", "store.delete", "comfyui"}
        assert {code for code in found.values() if code} == {"not_production"}
        assert not any("0000d0c7" in str(path) for path in open_folder.rglob("*") if path.is_file())
        assert KEY not in doctor.out + "".join(doctor.lines)

        # What is refused, and what takes too long, in this process: it is the same code.
        async def fails(**parts: object) -> SmokeFailed:
            settings = SmokeSettings.model_validate({"url": url, "key": KEY} | parts)
            with pytest.raises(SmokeFailed) as failed:
                await smoke(settings, lambda _: None, poll=0.1)
            return failed.value

        refused = await fails(key=f"{KEY[:-1]}x")
        assert (refused.code, "401" in refused.message) == ("smoke_refused", True)
        workflow.write_text(json.dumps(sampling(200, rounds=20)))
        late = await fails(workflow=workflow, seconds=2)
        assert late.code == "smoke_timed_out"
        async with client(url) as http:
            http.params = http.params.merge({"user_id": "smoke"})
            assert (await final(http, str(late.job), 15))["status"] == "cancelled"


async def test_job_that_fails_is_told_with_its_code() -> None:
    """And so is whatever answers that is not ours."""
    job = {"id": "job_1", "status": "queued", "phase": None, "error": None, "timings": {}}
    failed = job | {"status": "failed", "error": {"code": "node_error", "message": "It broke."}}
    for answers, code in (
        ([(200, {}), (202, job), (200, failed)], "smoke_job_failed"),
        ([(200, {}), (202, [])], "smoke_not_ours"),
        ([(200, {}), (202, job | {"status": "completed", "outputs": []})], "smoke_without_output"),
        ([(404, {})], "smoke_not_ready"),
        ([(200, {}), (422, {"code": "invalid_workflow"})], "smoke_refused"),
    ):
        async with answering(answers) as url:
            settings = SmokeSettings(url=url, key="not-looked-at")  # type: ignore[arg-type]
            with pytest.raises(SmokeFailed) as told:
                await smoke(settings, lambda _: None, poll=0.01)
        assert told.value.code == code


async def test_answers_that_pass_are_waited_for() -> None:
    job = {"id": "job_1", "status": "failed", "phase": None, "error": None, "timings": {}}
    said: list[str] = []
    answers = [(503, {}), (200, {}), (429, {}), (500, {}), (202, job)]
    async with answering(answers) as url:
        settings = SmokeSettings(url=url, key="not-looked-at")  # type: ignore[arg-type]
        with pytest.raises(SmokeFailed):
            await smoke(settings, said.append, poll=0.01)
    assert said == ["no answer yet (503)", "no answer yet (429)", "submitted job_1"]


@asynccontextmanager
async def answering(answers: Sequence[tuple[int, object]]) -> AsyncIterator[str]:
    """Serve these answers, one after the other."""
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = head.partition(b"content-length:")[2].split(b"\r\n")[0].strip()
        await reader.readexactly(int(length or 0))
        status, document = left.pop(0)
        body = json.dumps(document).encode()
        lines = f"HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(lines.encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    assert left == []


async def test_nothing_is_sent_without_a_key(open_folder: Path) -> None:
    async with running(open_folder, "smoke", GENJOBS_SMOKE_URL="http://127.0.0.1:1") as command:
        assert await command.ends() == 2
    assert "GENJOBS_SMOKE_KEY" in command.lines[-1]


async def test_log_tells_how_containers_started(strict: tuple[Served, StrictPlane]) -> None:
    served, plane = strict
    plane.log = [
        "worker.ready but no JSON",
        ready("ta-1", restored=None, seconds=1),
        json.dumps({"event": "job.started", "note": READY}),
        json.dumps({"event": READY, "ready_seconds": "long"}),
    ]
    async with modal.Client(served.url, api_pb2.CLIENT_TYPE_CLIENT, ("ak-x", "as-x")) as client:
        starts = await starts_since("genjobs", datetime.now(UTC), client)
    assert starts == [WorkerStart(container="ta-1", restored=None, ready_seconds=1.0)]


@pytest.mark.parametrize("restored", [False, True])
async def test_container_knows_whether_it_came_from_a_snapshot(
    restored: bool, database: Database, served: Served, deployment: Plane, tmp_path: Path
) -> None:
    """As the SDK restores: its state file gives the process the name of another container."""
    served.plane.adopt(deployment)
    settings = {
        "GENJOBS_DATABASE_URL": database.api,
        "GENJOBS_WORKER_DATABASE_URL": database.worker,
        "GENJOBS_ARTIFACTS_URL": f"file:{tmp_path / 'artifacts'}",
        "GENJOBS_DATA_DIRECTORY": str(tmp_path / "data"),
        "GENJOBS_DISPATCH_URL": f"modal://genjobs/{WORKER}",
        "GENJOBS_DIRECT_NOTICES": "false",
        "GENJOBS_LOG_JSON": "true",
    }
    checkpoint = ""
    if restored:
        checkpoint = "ch-1"
        (tmp_path / "restored").write_text(json.dumps({"task_id": "ta-02OTHER"}))
    async with container(served, tmp_path, settings, checkpoint=checkpoint) as process:
        log = tmp_path / "container.log"
        async with asyncio.timeout(40):
            while READY not in log.read_text():
                assert process.returncode is None, log.read_text()[-4000:]
                await asyncio.sleep(0.1)
    [line] = [line for line in log.read_text().splitlines() if READY in line]
    told = json.loads(line)
    assert told["restored"] is restored
    assert told["container"] == ("ta-02OTHER" if restored else TASK)
    assert told["ready_seconds"] > 0
    assert ("checkpoint" in served.plane.heard) is restored


async def test_deploying_stops_at_pins_that_nobody_read(
    database: Database, strict: tuple[Served, StrictPlane], tmp_path: Path
) -> None:
    served, plane = strict
    plane.published = None
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tools.deploy"),
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            **served.environment(),
            "GENJOBS_DATABASE_URL": database.api,
            "GENJOBS_WORKER_DATABASE_URL": database.worker,
            "GENJOBS_ARTIFACTS_URL": "r2://account/bucket?endpoint=https://127.0.0.1:1",
            "GENJOBS_R2_ACCESS_KEY_ID": "not-to-be-shown",
            "GENJOBS_R2_SECRET_ACCESS_KEY": "not-to-be-shown",
            "GENJOBS_TOKEN_KEYS": '["signs the tokens of a test, of nothing else"]',
            "GENJOBS_SMOKE_KEY": KEY,
            "GENJOBS_MODAL_PROXY_AUTH": "true",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 90)
    told = err.decode()
    assert process.returncode == 1, told
    assert "stopped at doctor: nothing was changed" in told
    assert "store_unreachable" in told
    assert "modal_secret_missing" in told
    assert "proxy_auth_shuts_browsers" in told
    assert "not-to-be-shown" not in told + out.decode()
    assert plane.published is None


async def test_deployed_version_that_does_not_answer_is_told_with_the_way_back(
    database: Database,
    served: Served,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """All steps are the real commands but the doctor, which refuses pins that nobody has read."""
    await database.execute("UPDATE genjobs.supervision SET window_size = 1")
    steps: list[str] = []

    def run(step: str, command: Sequence[str], more: Mapping[str, str], catch: bool) -> Done:
        steps.append(step)
        if step == "doctor":
            return Done(code=0, out="[]")
        return run_command(step, command, more, catch)

    async with answering([(404, {})]) as url:
        for name, value in {
            **served.environment(),
            "GENJOBS_OWNER_DATABASE_URL": database.owner,
            "GENJOBS_DATABASE_URL": database.api,
            "GENJOBS_WORKER_DATABASE_URL": database.worker,
            "GENJOBS_ARTIFACTS_URL": "r2://account/bucket",
            "GENJOBS_R2_ACCESS_KEY_ID": "id",
            "GENJOBS_R2_SECRET_ACCESS_KEY": "secret",
            "GENJOBS_SMOKE_KEY": KEY,
            "GENJOBS_SMOKE_URL": url,
        }.items():
            monkeypatch.setenv(name, value)
        deployment = DeploymentSettings()  # type: ignore[call-arg]
        code = await asyncio.to_thread(deploy, run, deployment, key=True, owner=True)

    told = capfd.readouterr()
    assert (code, steps) == (1, ["doctor", "migrate", "deploy", "smoke"]), told
    assert served.plane.published is not None  # it is deployed, and serves
    [(window,)] = await database.execute("SELECT window_size FROM genjobs.supervision")
    assert window == deployment.max_containers * deployment.worker_places
    assert "smoke_not_ready" in told.out
    assert "stopped at smoke: the new version serves; go back with: modal app" in told.err
    assert KEY not in told.out + told.err
