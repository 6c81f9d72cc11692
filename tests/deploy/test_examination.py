"""The doctor at Modal: what is there and what is not, as a control plane tells it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import modal
import pytest
from modal_proto import api_pb2

from genjobs.adapters.modal import ModalExaminer
from genjobs.application.examine_platform import ExaminePlatform
from genjobs.bootstrap.doctor.platform import FUNCTIONS, wanted
from genjobs.domain.diagnosis import Finding
from genjobs.gpu.stack import STACK
from genjobs.settings import Settings
from genjobs.settings.deployment import WORKER, DeploymentSettings
from tests.deploy.plane import Plane, Served
from tests.deploy.plane_strict import StrictPlane
from tests.doctoring import codes


@pytest.fixture
def strict() -> Iterator[tuple[Served, StrictPlane]]:
    served, plane = Served(), StrictPlane()
    served.plane = plane
    served.start()
    try:
        yield served, plane
    finally:
        served.stop()


async def looked(served: Served) -> list[Finding]:
    settings = Settings.model_validate({"dispatch_url": f"modal://genjobs/{WORKER}"})
    deployment = DeploymentSettings()  # type: ignore[call-arg]
    client = modal.Client(served.url, api_pb2.CLIENT_TYPE_CLIENT, ("ak-x", "as-x"))
    async with client as opened:
        examine = ExaminePlatform(
            examiner=ModalExaminer(opened), wanted=wanted(settings, deployment)
        )
        return list(await examine())


def provided(plane: StrictPlane) -> None:
    settings = Settings.model_validate({"dispatch_url": f"modal://genjobs/{WORKER}"})
    deployment = DeploymentSettings()  # type: ignore[call-arg]
    for name, keys in wanted(settings, deployment).secrets.items():
        plane.made[name] = set(keys)
    plane.made_volumes.add(deployment.models_volume)


async def test_empty_account_lacks_everything(strict: tuple[Served, StrictPlane]) -> None:
    served, _ = strict
    found = await looked(served)
    secrets = ("genjobs-database", "genjobs-owner", "genjobs-storage", "genjobs-api")
    assert codes(found) == {
        **{f"modal.secret.{name}": "modal_secret_missing" for name in secrets},
        "modal.volume": "modal_volume_missing",
        "modal.app": "modal_app_missing",
    }


async def test_deployed_app_has_all_that_is_looked_for(
    strict: tuple[Served, StrictPlane], deployment: Plane
) -> None:
    served, plane = strict
    plane.adopt(deployment)
    provided(plane)
    assert codes(await looked(served)) == {}
    assert deployment.published is not None
    assert set(FUNCTIONS) <= set(deployment.published.function_ids)
    # The keys that are looked for are those that a deployment asks for.
    assert plane.made == {name: set(keys) for name, keys in deployment.secrets.items()}


async def test_what_is_missing_of_a_deployed_app_is_named(
    strict: tuple[Served, StrictPlane], deployment: Plane
) -> None:
    served, plane = strict
    plane.adopt(deployment)
    provided(plane)
    plane.made["genjobs-api"] = set()
    del plane.layout["ingest"], plane.layout[WORKER]
    plane.builder = "2025.06"
    found = await looked(served)
    assert codes(found) == {
        "modal.secret.genjobs-api": "modal_secret_missing",
        "modal.functions": "modal_function_missing",
        "modal.image_builder": "image_builder_differs",
    }
    seen = {item.check: item.seen for item in found if item.code}
    assert "genjobs-api with GENJOBS_TOKEN_KEYS" in seen["modal.secret.genjobs-api"]
    assert f"{WORKER}, ingest" in seen["modal.functions"]
    assert str(STACK.image_builder) in seen["modal.image_builder"]


async def test_plane_that_does_not_answer_is_told_once(
    strict: tuple[Served, StrictPlane],
) -> None:
    served, plane = strict
    plane.slow = 5
    async with modal.Client(served.url, api_pb2.CLIENT_TYPE_CLIENT, ("ak-x", "as-x")) as client:
        settings = Settings.model_validate({"dispatch_url": f"modal://genjobs/{WORKER}"})
        deployment = DeploymentSettings()  # type: ignore[call-arg]
        examiner = ModalExaminer(client, request=timedelta(seconds=0.3))
        found = await ExaminePlatform(examiner=examiner, wanted=wanted(settings, deployment))()
    assert [item.code for item in found] == ["modal_unreachable"]
