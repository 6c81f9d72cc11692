"""Settings: what is refused, and that a refusal names the setting and never its value."""

from __future__ import annotations

import pytest

from genjobs.bootstrap import load_settings
from genjobs.domain.errors import ConfigurationError
from genjobs.settings import Settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GENJOBS_ENV", "production"),
        ("GENJOBS_ENV", "staging"),
        ("GENJOBS_LEASE_SECONDS", "1"),
        ("GENJOBS_TOKEN_KEYS", "hunter2"),
        ("GENJOBS_USER_LIMITS", "hunter2"),
        ("GENJOBS_WINDOW", "many"),
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


def test_production_refuses_each_embedded_part() -> None:
    good = {
        "env": "production",
        "database_url": "postgresql+asyncpg://a@h/d",
        "worker_database_url": "postgresql+asyncpg://w@h/d",
        "artifacts_url": "r2://account/bucket",
        "dispatch_url": "modal://app/class",
        "comfyui_url": "http://127.0.0.1:8188",
        "token_keys": ["x" * 32],
    }
    Settings.model_validate(good)
    for name, value in {
        "database_url": "embedded://",
        "artifacts_url": "file:",
        "dispatch_url": "local://",
        "comfyui_url": "simulator://",
        "token_keys": [],
        "api_key": "gj_test_key",
    }.items():
        with pytest.raises(ValueError, match="production"):
            Settings.model_validate({**good, name: value})


def test_secrets_do_not_show() -> None:
    settings = Settings.model_validate({"api_key": "s3cret-" * 4, "signing_key": "s3cret-" * 8})
    assert "s3cret" not in repr(settings)
