"""The deployment, as a control plane sees it: every function, and what it is made of."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import PurePosixPath
from typing import Any

import pytest

from genjobs.domain.deadlines import Deadlines
from genjobs.settings.deployment import WORKER, DeploymentSettings
from tests.deploy.deploying import ROOT
from tests.deploy.plane import Plane

#: GPUs by the names that Modal's documentation gives them; a typo in a list is not refused.
#: Where a container at Modal has what is shipped.
HOME = PurePosixPath("/", "root")
KNOWN_GPUS = {
    *("T4", "L4", "A10", "A10G", "L40S", "A100", "A100-40GB", "A100-80GB", "H100", "H100!"),
    *("H200", "B200", "RTX-PRO-6000"),
}


@pytest.fixture
def deployed(deployment: Plane) -> Plane:
    return deployment


def secrets_of(plane: Plane, function: Any) -> set[str]:
    names = {plane.id_of("st", name): name for name in plane.secrets}
    return {names[secret] for secret in function.secret_ids if secret in names}


def environment_of(plane: Plane, function: Any) -> dict[str, str]:
    told: dict[str, str] = {}
    for secret in function.secret_ids:
        told |= plane.environments.get(secret, {})
    return told


def test_exactly_these_functions_are_deployed(deployed: Plane) -> None:
    assert deployed.published is not None
    assert deployed.published.name == "genjobs"
    assert set(deployed.published.function_ids) == {
        *("api", f"{WORKER}.*", "supervise", "ingest", "migrate", "fetch_models")
    }
    assert set(deployed.published.class_ids) == {WORKER}


def test_worker_has_gpus_by_preference(deployed: Plane) -> None:
    [data] = [data for data in deployed.functions.values() if data.function_name == f"{WORKER}.*"]
    gpus = [ranked.function.resources.gpu_config.gpu_type for ranked in data.ranked_functions]
    assert gpus == list(DeploymentSettings().gpus)
    assert set(gpus) <= KNOWN_GPUS


def test_worker_takes_as_many_calls_as_it_has_places(deployed: Plane) -> None:
    worker = deployed.function(f"{WORKER}.*")
    assert worker.max_concurrent_inputs == DeploymentSettings().worker_places
    assert worker.target_concurrent_inputs in {0, worker.max_concurrent_inputs}
    assert list(worker.method_definitions) == ["run"]


def test_worker_is_snapshotted_and_never_retried_by_modal(deployed: Plane) -> None:
    worker = deployed.function(f"{WORKER}.*")
    assert worker.checkpointing_enabled
    assert worker.retry_policy.retries == 0


def test_call_may_take_as_long_as_its_steps_and_a_neighbours_render(deployed: Plane) -> None:
    worker, deadlines = deployed.function(f"{WORKER}.*"), Deadlines()
    longest = 6 * 3600
    steps = deadlines.prepare + deadlines.wait + deadlines.upload + deadlines.start
    assert worker.timeout_secs >= steps.total_seconds() + longest
    assert worker.timeout_secs <= 24 * 3600
    assert worker.startup_timeout_secs >= 600


def test_pool_is_as_wide_as_it_was_set(deployed: Plane) -> None:
    wanted = DeploymentSettings()
    scaling = deployed.function(f"{WORKER}.*").autoscaler_settings
    assert scaling.min_containers == wanted.min_containers
    assert scaling.max_containers == wanted.max_containers
    assert scaling.scaledown_window == wanted.scaledown_seconds


def test_models_are_read_only_in_the_worker_and_written_by_who_fetches_them(
    deployed: Plane,
) -> None:
    [mounted] = deployed.function(f"{WORKER}.*").volume_mounts
    [written] = deployed.function("fetch_models").volume_mounts
    assert mounted.volume_id == written.volume_id
    assert deployed.volumes[mounted.volume_id] == "genjobs-models"
    assert (mounted.read_only, written.read_only) == (True, False)


@pytest.mark.parametrize(
    ("name", "secrets"),
    [
        ("api", {"genjobs-database", "genjobs-storage", "genjobs-api"}),
        (f"{WORKER}.*", {"genjobs-database", "genjobs-storage"}),
        ("supervise", {"genjobs-database", "genjobs-storage"}),
        ("ingest", {"genjobs-database", "genjobs-storage"}),
        ("migrate", {"genjobs-database", "genjobs-owner", "genjobs-storage"}),
        ("fetch_models", set()),
    ],
)
def test_each_function_has_the_secrets_it_needs_and_no_other(
    deployed: Plane, name: str, secrets: set[str]
) -> None:
    assert secrets_of(deployed, deployed.function(name)) == secrets


@pytest.mark.parametrize("name", ["api", f"{WORKER}.*", "supervise", "ingest", "migrate"])
def test_each_function_is_told_with_its_secrets_all_that_production_needs(
    deployed: Plane, name: str
) -> None:
    function = deployed.function(name)
    told = environment_of(deployed, function)
    known = {
        "GENJOBS_DATABASE_URL": "postgresql+asyncpg://a@h/d",
        "GENJOBS_WORKER_DATABASE_URL": "postgresql+asyncpg://w@h/d",
        "GENJOBS_OWNER_DATABASE_URL": "postgresql+asyncpg://o@h/d",
        "GENJOBS_ARTIFACTS_URL": "r2://account/bucket",
        "GENJOBS_R2_ACCESS_KEY_ID": "id",
        "GENJOBS_R2_SECRET_ACCESS_KEY": "secret",
        "GENJOBS_TOKEN_KEYS": '["signs the tokens of a test, of nothing else"]',
    }
    given = {
        key: known[key]
        for secret in secrets_of(deployed, function)
        for key in deployed.secrets[secret]
    }
    script = (
        "from genjobs.bootstrap import load_settings; s = load_settings(); "
        "print(s.env.value, s.dispatch_url, s.max_containers, s.worker_places, "
        "s.database_pool_size, s.comfyui_command is not None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PATH": os.environ["PATH"], **told, **given},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    worker = name == f"{WORKER}.*"
    assert done.stdout.split() == [
        "production",
        f"modal://genjobs/{WORKER}",
        "8",
        "3",
        "4",
        str(worker),
    ]


def test_secrets_must_have_the_keys_that_are_read(deployed: Plane) -> None:
    assert {name: set(keys) for name, keys in deployed.secrets.items()} == {
        "genjobs-database": {"GENJOBS_DATABASE_URL", "GENJOBS_WORKER_DATABASE_URL"},
        "genjobs-owner": {"GENJOBS_OWNER_DATABASE_URL"},
        "genjobs-storage": {
            "GENJOBS_ARTIFACTS_URL",
            "GENJOBS_R2_ACCESS_KEY_ID",
            "GENJOBS_R2_SECRET_ACCESS_KEY",
        },
        "genjobs-api": {"GENJOBS_TOKEN_KEYS"},
    }


def test_supervisor_and_ingest_are_started_each_minute_and_nothing_else_is(
    deployed: Plane,
) -> None:
    schedules = {
        data.function_name: data.ranked_functions[0].function.schedule.cron.cron_string
        for data in deployed.functions.values()
        if data.ranked_functions[0].function.schedule.WhichOneof("schedule_oneof")
    }
    assert schedules == {"supervise": "* * * * *", "ingest": "* * * * *"}
    for name in schedules:
        assert deployed.function(name).timeout_secs > 60


def test_api_is_asgi_and_takes_many_requests_at_once(deployed: Plane) -> None:
    api = deployed.function("api")
    assert api.webhook_config.type
    assert not api.webhook_config.requires_proxy_auth
    assert api.max_concurrent_inputs == 100
    assert not api.checkpointing_enabled


def test_only_the_worker_has_a_gpu(deployed: Plane) -> None:
    with_gpu = {
        data.function_name
        for data in deployed.functions.values()
        if data.ranked_functions[0].function.resources.gpu_config.gpu_type
    }
    assert with_gpu == {f"{WORKER}.*"}


def test_genjobs_is_shipped_whole(deployed: Plane) -> None:
    shipped = {name for files in deployed.mounts.values() for name in files}
    package = ROOT / "src/genjobs"
    wanted = {
        f"{HOME}/genjobs/{path.relative_to(package)}"
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert wanted <= shipped
    assert f"{HOME}/modal_app.py" in shipped
