"""The pool at Modal, on the real SDK against a control plane: contracts, refusals, a supervisor."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import grpclib
import modal
import pytest
from modal_proto import api_pb2

from genjobs.adapters.modal import ModalCaller, ModalPoolControl
from genjobs.adapters.modal.pool import UNBOUNDED
from genjobs.domain.capacity import PoolSettings
from genjobs.domain.errors import Unavailable
from genjobs.settings.deployment import WORKER, DeploymentSettings
from genjobs.testing.contracts import PoolControlContract, PoolOutageContract
from tests.deploy.plane import Plane, Served
from tests.deploy.test_calls import PLACE, an_assignment, deploy_a_worker
from tests.postgres import Database

WANTED = PoolSettings(
    min_containers=2,
    max_containers=20,
    buffer_containers=1,
    scaledown_window=timedelta(seconds=90),
)


@pytest.fixture
def deployed(served: Served) -> Served:
    deploy_a_worker(served)
    return served


class TestModalPoolControl(PoolControlContract):
    @pytest.fixture
    def control(self, deployed: Served, client: modal.Client) -> ModalPoolControl:
        return ModalPoolControl(PLACE, client)

    async def test_pool_that_was_deployed_without_any_has_modals_own(
        self, control: ModalPoolControl
    ) -> None:
        assert await control.settings() == PoolSettings(
            min_containers=0,
            max_containers=UNBOUNDED,
            buffer_containers=0,
            scaledown_window=timedelta(minutes=1),
        )

    async def test_pool_that_is_told_is_the_one_that_calls_go_to(
        self, control: ModalPoolControl, deployed: Served, client: modal.Client
    ) -> None:
        plane = deployed.plane
        described = plane.function("Comfy.*").class_parameter_info
        described.format = api_pb2.ClassParameterInfo.PARAM_SERIALIZATION_FORMAT_PROTO
        plane.binds = True
        call = await ModalCaller(PLACE, client).call(an_assignment())
        await control.adjust(WANTED)
        assert set(plane.overrides) == {plane.called[call]}
        assert plane.called[call] != "fu-1"

    async def test_pool_that_scales_by_less_than_it_was_told_says_so(
        self, control: ModalPoolControl, deployed: Served
    ) -> None:
        deployed.plane.most_containers = 10
        with pytest.raises(Unavailable, match="2 to 10 containers"):
            await control.adjust(WANTED)

    async def test_told_in_vain_because_of_an_answer_that_did_not_come_is_seen_later(
        self, deployed: Served, client: modal.Client
    ) -> None:
        control = ModalPoolControl(PLACE, client, request=timedelta(milliseconds=300))
        await control.settings()
        deployed.plane.delay = 5
        began = asyncio.get_running_loop().time()
        with pytest.raises(Unavailable, match="does not answer"):
            await control.adjust(WANTED)
        assert asyncio.get_running_loop().time() - began < 3
        deployed.plane.delay = 0
        assert await ModalPoolControl(PLACE, client).settings() == WANTED

    @pytest.mark.parametrize(
        "status", ["PERMISSION_DENIED", "FAILED_PRECONDITION", "INVALID_ARGUMENT", "NOT_FOUND"]
    )
    async def test_what_modal_refuses_is_unavailable_and_can_be_had_again(
        self, control: ModalPoolControl, deployed: Served, status: str
    ) -> None:
        await control.adjust(WANTED)
        deployed.plane.refuses = grpclib.Status[status]
        with pytest.raises(Unavailable):
            await control.settings()
        with pytest.raises(Unavailable):
            await control.adjust(WANTED)
        deployed.plane.refuses = None
        assert await control.settings() == WANTED


class TestModalPoolOutage(PoolOutageContract):
    @pytest.fixture
    def unreachable(self, served: Served, client: modal.Client) -> ModalPoolControl:
        return ModalPoolControl(PLACE, client)  # nothing is deployed


def genjobs(command: list[str], *, cwd: Path, env: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "genjobs", *command],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


async def test_supervisor_tells_the_deployed_pool_what_follows_from_the_work(
    database: Database, served: Served, deployment: Plane, tmp_path: Path
) -> None:
    plane = served.plane
    plane.adopt(deployment)
    pool = plane.layout[f"{WORKER}.*"]
    env = {
        **{k: v for k, v in DeploymentSettings().environment().items() if v is not None},
        "GENJOBS_ENV": "local",
        "GENJOBS_MIN_CONTAINERS": "3",
        "GENJOBS_DATABASE_URL": database.api,
        "GENJOBS_WORKER_DATABASE_URL": database.worker,
        "GENJOBS_ARTIFACTS_URL": f"file:{tmp_path / 'artifacts'}",
        "GENJOBS_DATA_DIRECTORY": str(tmp_path / "data"),
        **served.environment(),
    }
    dry_run = ["capacity", "--dry-run", "--json"]
    before = json.loads(await asyncio.to_thread(genjobs, dry_run, cwd=tmp_path, env=env))
    assert before["now"]["min_containers"] == 0
    assert before["would_set"]["min_containers"] == 3
    assert plane.overrides == {}

    said = await asyncio.to_thread(genjobs, ["supervise", "--once"], cwd=tmp_path, env=env)

    assert '"pool.adjusted"' in said
    scaling = plane.scaling_of(pool)
    assert (scaling.min_containers, scaling.max_containers) == (3, 8)
