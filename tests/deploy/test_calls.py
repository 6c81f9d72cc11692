"""Calls at Modal, on the real SDK against a control plane: the contracts, and exact answers."""

from __future__ import annotations

import asyncio
import pickle
from datetime import timedelta
from uuid import UUID, uuid4

import modal
import pytest
from modal._serialization import deserialize
from modal_proto import api_pb2

from genjobs.adapters.modal import ModalCaller, ModalPlace, ModalWorkerControl
from genjobs.domain.attempts import Assignment
from genjobs.domain.errors import Unavailable
from genjobs.domain.ids import JobId, TenantId
from genjobs.domain.supervision import Termination
from genjobs.domain.tenancy import Owner
from genjobs.testing import an_owner
from genjobs.testing.contracts import (
    CallerContract,
    ControlledWorkers,
    Platform,
    WorkerControlContract,
)
from tests.deploy.plane import Served

PLACE = ModalPlace(app="genjobs", worker="Comfy")
_Status = api_pb2.GenericResult


def deploy_a_worker(served: Served) -> None:
    """Let the plane have a class ``Comfy`` with a method ``run``."""
    function = api_pb2.Function(
        function_name="Comfy.*",
        is_class=True,
        function_type=api_pb2.Function.FUNCTION_TYPE_FUNCTION,
        supported_input_formats=[api_pb2.DATA_FORMAT_PICKLE],
        supported_output_formats=[api_pb2.DATA_FORMAT_PICKLE],
    )
    function.method_definitions["run"].CopyFrom(
        api_pb2.MethodDefinition(
            function_name="Comfy.run",
            function_type=api_pb2.Function.FUNCTION_TYPE_FUNCTION,
            supported_input_formats=[api_pb2.DATA_FORMAT_PICKLE],
            supported_output_formats=[api_pb2.DATA_FORMAT_PICKLE],
        )
    )
    data = api_pb2.FunctionData(function_name="Comfy.*", is_class=True)
    data.ranked_functions.add(rank=0, function=function)
    plane = served.plane
    plane.functions["fu-1"] = data
    plane.layout = {"Comfy": "cs-1", "Comfy.*": "fu-1"}


@pytest.fixture
def deployed(served: Served) -> Served:
    deploy_a_worker(served)
    return served


@pytest.fixture
def caller(deployed: Served, client: modal.Client) -> ModalCaller:
    return ModalCaller(PLACE, client)


@pytest.fixture
def platform(deployed: Served) -> Platform:
    plane = deployed.plane

    async def is_open(call_id: str) -> bool:
        return call_id in plane.spawned and call_id not in plane.results

    async def given(call_id: str) -> Assignment:
        (tenant, user, job, attempt), kwargs = deserialize(plane.spawned[call_id].input.args, None)
        assert kwargs == {}
        owner = Owner(tenant_id=TenantId(UUID(tenant)), user_id=user)
        return Assignment(owner=owner, job_id=JobId(UUID(job)), attempt=attempt)

    return Platform(is_open=is_open, given=given, foreign=("process:host/1/2:3", "ta-1", "fc-"))


class TestModalCaller(CallerContract):
    @pytest.fixture
    def caller(self, caller: ModalCaller) -> ModalCaller:
        return caller

    @pytest.fixture
    def platform(self, platform: Platform) -> Platform:
        return platform

    @pytest.fixture
    def unreachable(self, served: Served, client: modal.Client) -> ModalCaller:
        return ModalCaller(PLACE, client)  # nothing is deployed

    async def test_only_ids_are_handed_over(self, caller: ModalCaller, served: Served) -> None:
        name = await caller.call(an_assignment())
        assert len(served.plane.spawned[name].input.args) < 500
        assert not served.plane.spawned[name].input.args_blob_id

    async def test_request_without_an_answer_is_unavailable(
        self, caller: ModalCaller, served: Served, client: modal.Client
    ) -> None:
        name = await caller.call(an_assignment())
        served.plane.delay = 5
        caller = ModalCaller(PLACE, client, request=timedelta(milliseconds=200))
        began = asyncio.get_running_loop().time()
        with pytest.raises(Unavailable):
            await caller.call(an_assignment())
        with pytest.raises(Unavailable):
            await caller.cancel(name)
        assert asyncio.get_running_loop().time() - began < 3


class TestModalWorkerControl(WorkerControlContract):
    @pytest.fixture
    def control(self, deployed: Served, client: modal.Client) -> ModalWorkerControl:
        return ModalWorkerControl(client)

    @pytest.fixture
    async def workers(self, caller: ModalCaller, platform: Platform) -> ControlledWorkers:
        one, other = [await caller.call(an_assignment()) for _ in range(2)]
        return ControlledWorkers(
            running=f"ta-1#{one}",
            other=f"ta-2#{other}",
            unreachable=("process:host/1/2:3", "ta-1"),
            runs=lambda call_id: platform.is_open(call_id.rpartition("#")[2]),
        )

    async def test_the_container_is_terminated_not_only_the_input(
        self, control: ModalWorkerControl, workers: ControlledWorkers, deployed: Served
    ) -> None:
        await control.terminate(workers.running)
        assert deployed.plane.cancels == [(workers.running.rpartition("#")[2], True)]

    async def test_call_that_does_not_end_is_unknown(
        self, workers: ControlledWorkers, deployed: Served, client: modal.Client
    ) -> None:
        deployed.plane.heeds_cancels = False
        control = ModalWorkerControl(client, patience=timedelta(milliseconds=100))
        assert await control.terminate(workers.running) is Termination.UNKNOWN

    @pytest.mark.parametrize(
        ("status", "exception"),
        [
            ("SUCCESS", None),
            ("TERMINATED", None),
            ("TIMEOUT", None),
            ("FAILURE", ValueError("of the worker")),
            ("FAILURE", asyncio.CancelledError()),
            ("FAILURE", modal.exception.InputCancellation()),
            ("FAILURE", SystemExit(1)),
        ],
    )
    async def test_call_that_has_ended_in_whatever_way_is_gone(
        self,
        control: ModalWorkerControl,
        workers: ControlledWorkers,
        deployed: Served,
        status: str,
        exception: BaseException | None,
    ) -> None:
        data = pickle.dumps(exception) if exception else b""
        if status == "SUCCESS":
            data = pickle.dumps(None)
        call_id = workers.running.rpartition("#")[2]
        deployed.plane.end(call_id, getattr(_Status, f"GENERIC_STATUS_{status}"), data=data)

        assert await control.terminate(workers.running) is Termination.GONE
        assert deployed.plane.cancels == []

    async def test_call_that_has_expired_is_gone(self, control: ModalWorkerControl) -> None:
        assert await control.terminate("ta-1#fc-longago") is Termination.GONE

    async def test_internal_failure_says_nothing_of_the_call(
        self, control: ModalWorkerControl, workers: ControlledWorkers, deployed: Served
    ) -> None:
        call_id = workers.running.rpartition("#")[2]
        deployed.plane.end(call_id, _Status.GENERIC_STATUS_INTERNAL_FAILURE)
        with pytest.raises(Unavailable):
            await control.terminate(workers.running)

    async def test_platform_that_does_not_answer_is_unavailable(
        self,
        workers: ControlledWorkers,
        deployed: Served,
        client: modal.Client,
    ) -> None:
        deployed.plane.delay = 5
        control = ModalWorkerControl(client, request=timedelta(milliseconds=200))
        with pytest.raises(Unavailable):
            await control.terminate(workers.running)


def an_assignment() -> Assignment:
    return Assignment(owner=an_owner(), job_id=JobId(uuid4()), attempt=1)
