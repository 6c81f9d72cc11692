"""Settings: what is refused, and that a refusal names the setting and never its value."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from genjobs.bootstrap import Adapters, load_settings
from genjobs.domain.errors import ConfigurationError
from genjobs.domain.ids import TenantId, tenant_text
from genjobs.settings import DEFAULT_TENANT, Environment, Settings
from genjobs.settings.deployment import WorkerCalls


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GENJOBS_ENV", "production"),
        ("GENJOBS_ENV", "staging"),
        ("GENJOBS_LEASE_SECONDS", "1"),
        ("GENJOBS_TOKEN_KEYS", "hunter2"),
        ("GENJOBS_USER_LIMITS", "hunter2"),
        ("GENJOBS_WINDOW", "many"),
        ("GENJOBS_MIN_CONTAINERS", "21"),
        ("GENJOBS_MAX_CONTAINERS", "0"),
        ("GENJOBS_BUFFER_CONTAINERS", "-1"),
        ("GENJOBS_SCALEDOWN_SECONDS", "1"),
        ("GENJOBS_SCALEDOWN_SECONDS", "3601"),
        ("GENJOBS_MAX_MEDIA", "101"),
        ("GENJOBS_MAX_MEDIA", "0"),
        ("GENJOBS_MAX_MEDIA_BYTES", str(2**30 + 1)),
        ("GENJOBS_FETCH_PORTS", "80, hunter2"),
        ("GENJOBS_FETCH_PORTS", '["hunter2"]'),
        ("GENJOBS_DATABASE_URL", "postgresql+asyncpg://u:hunter2@h/d"),
    ],
)
def test_wrong_setting_is_refused_without_its_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as refused:
        load_settings()
    assert "hunter2" not in refused.value.message


def test_slots_follow_the_containers_of_a_pool() -> None:
    pool = {"max_containers": 7, "worker_places": 3, "window": 5}
    assert Settings.model_validate(pool).slots() == 5
    assert Settings.model_validate({**pool, "dispatch_url": "modal://app/class"}).slots() == 21


def test_production_refuses_each_embedded_part() -> None:
    good = {
        "env": "production",
        "database_url": "postgresql+asyncpg://a@h/d",
        "worker_database_url": "postgresql+asyncpg://w@h/d",
        "artifacts_url": "r2://account/bucket",
        "r2_access_key_id": "id",
        "r2_secret_access_key": "secret",
        "dispatch_url": "modal://app/class",
        "comfyui_url": "http://127.0.0.1:8188",
    }
    Settings.model_validate(good)
    for name, value in {
        "database_url": "embedded://",
        "artifacts_url": "file:",
        "dispatch_url": "local://",
        "comfyui_url": "simulator://",
        "api_key": "gj_test_key",
    }.items():
        with pytest.raises(ValueError, match="production"):
            Settings.model_validate({**good, name: value})


async def test_production_signs_tokens_with_keys_that_it_is_given() -> None:
    settings = Settings().model_copy(update={"env": Environment.PRODUCTION})
    async with AsyncExitStack() as stack:
        with pytest.raises(ConfigurationError, match="token_keys"):
            Adapters(settings, stack).token_codec()


@pytest.mark.parametrize(
    "url",
    ["modal://", "modal://app", "modal://app/", "modal://a b/C", "modal://app/C/d", "http://x/y"],
)
async def test_engine_that_cannot_be_called_is_refused_when_it_is_opened(url: str) -> None:
    settings = Settings.model_validate({"dispatch_url": url})
    async with AsyncExitStack() as stack:
        with pytest.raises(ConfigurationError, match="dispatch_url"):
            Adapters(settings, stack).caller()


async def test_unknown_way_to_dispatch_is_refused_when_it_is_opened() -> None:
    settings = Settings.model_validate({"dispatch_url": "http://x/y"})
    async with AsyncExitStack() as stack:
        with pytest.raises(ConfigurationError, match="dispatch_url"):
            await Adapters(settings, stack).signals()


def test_secrets_do_not_show() -> None:
    settings = Settings.model_validate({"api_key": "s3cret-" * 4, "signing_key": "s3cret-" * 8})
    assert "s3cret" not in repr(settings)


@pytest.mark.parametrize("missing", ["r2_access_key_id", "r2_secret_access_key"])
def test_bucket_needs_both_halves_of_its_token(missing: str) -> None:
    given = {"r2_access_key_id": "id", "r2_secret_access_key": "hunter2"}
    del given[missing]
    with pytest.raises(ValueError, match="r2_secret_access_key") as refused:
        Settings.model_validate({"artifacts_url": "r2://account/bucket", **given})
    assert "hunter2" not in repr(refused.value.errors(include_input=False))


@pytest.mark.parametrize(
    ("env", "url", "word"),
    [
        ("production", "r2://account/bucket?endpoint=http://s3.example.org", "https"),
        ("local", "r2://account", "r2://<account>/<bucket>"),
        ("local", "s3://bucket", "scheme"),
    ],
)
async def test_place_that_may_not_hold_files_is_refused_when_it_is_opened(
    env: str, url: str, word: str
) -> None:
    given = {"artifacts_url": url, "r2_access_key_id": "id", "r2_secret_access_key": "hunter2"}
    # The other things that production needs are not what is tried here.
    settings = Settings.model_validate(given).model_copy(update={"env": Environment(env)})
    async with AsyncExitStack() as stack:
        with pytest.raises(ConfigurationError) as refused:
            await Adapters(settings, stack).artifacts()
    assert word in refused.value.message


def test_tenant_may_be_named_as_it_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in (str(DEFAULT_TENANT), tenant_text(TenantId(DEFAULT_TENANT))):
        monkeypatch.setenv("GENJOBS_TENANT_ID", text)
        assert load_settings().tenant_id == DEFAULT_TENANT
    monkeypatch.setenv("GENJOBS_TENANT_ID", "ten_hunter2")
    with pytest.raises(ConfigurationError, match="GENJOBS_TENANT_ID") as refused:
        load_settings()
    assert "hunter2" not in refused.value.message


async def test_process_that_only_reads_has_no_role_to_work_with() -> None:
    settings = Settings.model_validate(
        {"reads_only": True, "database_url": "postgresql+asyncpg://a@h/d"}
    )
    async with AsyncExitStack() as stack:
        adapters = Adapters(settings, stack)
        for opened in (adapters.ledger, adapters.supervision, adapters.notices):
            with pytest.raises(ConfigurationError, match="worker_database_url"):
                await opened()


@pytest.mark.parametrize(
    ("given", "fits"),
    [
        ({}, True),
        ({"start_seconds": 500}, True),
        ({"start_seconds": 601}, False),
        ({"renderer_wait_seconds": 901}, False),
        ({"cancel_grace_seconds": 31}, False),
        ({"stop_seconds": 21}, False),
        ({"stop_seconds": 21, "start_seconds": 599}, True),
    ],
)
def test_worker_whose_attempts_may_outlast_its_calls_is_refused(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, float], fits: bool
) -> None:
    monkeypatch.setenv("GENJOBS_DISPATCH_URL", "modal://genjobs/Comfy")
    monkeypatch.setenv("GENJOBS_CALL_SECONDS", str(WorkerCalls().call_seconds()))
    for name, value in given.items():
        monkeypatch.setenv(f"GENJOBS_{name.upper()}", str(value))
    if fits:
        load_settings()
        return
    with pytest.raises(ConfigurationError, match="an attempt may take"):
        load_settings()
