"""Deployments by other settings: what changes with them, and which make no sense."""

from __future__ import annotations

from typing import Any

import pytest

from genjobs.settings.deployment import WORKER, DeploymentSettings, WorkerCalls
from tests.deploy.plane import Plane
from tests.deploy.test_modal_app import environment_of, secrets_of


def test_settings_of_the_deployment_change_it(behind_proxy_auth: Plane) -> None:
    plane = behind_proxy_auth
    assert plane.published is not None
    assert plane.published.name == "other"
    worker = plane.function(f"{WORKER}.*")
    assert worker.resources.gpu_config.gpu_type == "L4"
    assert worker.max_concurrent_inputs == 2


def test_end_users_reads_have_an_address_without_proxy_auth_when_the_api_has_it(
    deployment: Plane, behind_proxy_auth: Plane
) -> None:
    assert deployment.published is not None
    assert behind_proxy_auth.published is not None
    added = set(behind_proxy_auth.published.function_ids) - set(deployment.published.function_ids)
    assert added == {"reader"}
    asked = {
        name: behind_proxy_auth.function(name).webhook_config.requires_proxy_auth
        for name in ("api", "reader")
    }
    assert asked == {"api": True, "reader": False}
    reader = behind_proxy_auth.function("reader")
    assert reader.webhook_config.type
    assert not reader.checkpointing_enabled
    assert reader.max_concurrent_inputs == 100


def test_reader_has_neither_the_workers_role_nor_what_signs_tokens(
    behind_proxy_auth: Plane,
) -> None:
    plane, reader = behind_proxy_auth, behind_proxy_auth.function("reader")
    assert secrets_of(plane, reader) == {"for-reads"}
    assert set(plane.secrets["for-reads"]) == {
        "GENJOBS_DATABASE_URL",
        "GENJOBS_ARTIFACTS_URL",
        "GENJOBS_R2_ACCESS_KEY_ID",
        "GENJOBS_R2_SECRET_ACCESS_KEY",
    }
    assert "GENJOBS_TOKEN_KEYS" not in environment_of(plane, reader)


def test_containers_import_their_module_as_it_was_deployed(
    deployment: Plane, behind_proxy_auth: Plane
) -> None:
    for plane, auth in ((deployment, "false"), (behind_proxy_auth, "true")):
        for data in plane.functions.values():
            if data.function_name == "fetch_models":
                continue
            told = environment_of(plane, data.ranked_functions[0].function)
            assert told["GENJOBS_MODAL_PROXY_AUTH"] == auth, data.function_name


def test_deadlines_of_the_deploying_machine_are_handed_on_and_make_calls_as_long(
    deployment: Plane, behind_proxy_auth: Plane
) -> None:
    before, worker = (plane.function(f"{WORKER}.*") for plane in (deployment, behind_proxy_auth))
    assert worker.timeout_secs - before.timeout_secs == 3101  # 4000.5 s instead of 900
    for name in ("api", "supervise", f"{WORKER}.*"):
        told = environment_of(behind_proxy_auth, behind_proxy_auth.function(name))
        assert told["GENJOBS_RENDERER_WAIT_SECONDS"] == "4000.5"
        assert ("GENJOBS_CALL_SECONDS" in told) == (name == f"{WORKER}.*")
    told = environment_of(behind_proxy_auth, worker)
    assert int(told["GENJOBS_CALL_SECONDS"] or 0) == worker.timeout_secs
    assert "GENJOBS_RENDERER_WAIT_SECONDS" not in environment_of(deployment, before)


def test_deadlines_beyond_what_modal_lets_a_call_take_are_refused() -> None:
    with pytest.raises(ValueError, match="24 hours"):
        WorkerCalls.model_validate({"start_seconds": 18 * 3600})


def test_window_holds_what_all_workers_can_have() -> None:
    wanted = DeploymentSettings(max_containers=5, worker_places=3)  # type: ignore[call-arg]
    told = wanted.environment()
    assert (told["GENJOBS_MAX_CONTAINERS"], told["GENJOBS_WORKER_PLACES"]) == ("5", "3")
    assert wanted.environment()["GENJOBS_DISPATCH_URL"] == f"modal://genjobs/{WORKER}"


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_containers": 3, "max_containers": 2},
        {"gpus": ()},
        {"scaledown_seconds": 1},
        {"app": "no name"},
        {"api_min_containers": 9},
    ],
)
def test_deployment_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="1 validation error"):
        DeploymentSettings(**wrong)
