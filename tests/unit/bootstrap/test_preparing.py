"""What a worker does before its memory is snapshotted, by the settings."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from genjobs.bootstrap import containers
from genjobs.bootstrap.engine import prepare_engine
from genjobs.domain.errors import ConfigurationError
from genjobs.settings import Settings
from genjobs.settings.comfyui import ComfyUISettings
from genjobs.settings.deployment import DeploymentSettings

SECRET = "hunter2"


def test_comfyui_is_begun_only_where_it_was_asked_for_and_can_be() -> None:
    command = {"comfyui_url": "http://127.0.0.1:9", "comfyui_command": "python main.py"}
    assert prepare_engine(ComfyUISettings.model_validate(command)) is None
    assert prepare_engine(ComfyUISettings.model_validate({"comfyui_snapshot": True})) is None


@pytest.mark.parametrize(
    "given",
    [
        {"comfyui_url": "http://127.0.0.1:9"},
        {"comfyui_url": "http://127.0.0.1:9", "comfyui_command": "./start-comfyui"},
    ],
)
def test_what_cannot_be_begun_in_two_steps_is_refused(given: dict[str, object]) -> None:
    settings = ComfyUISettings.model_validate({"comfyui_snapshot": True, **given})
    with pytest.raises(ConfigurationError, match="comfyui_snapshot"):
        prepare_engine(settings)


def test_what_is_read_before_a_snapshot_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        if "SecretStr" in str(Settings.model_fields[name].annotation):
            assert name not in ComfyUISettings.model_fields
    monkeypatch.setenv("GENJOBS_SIGNING_KEY", SECRET * 10)
    monkeypatch.setenv("GENJOBS_COMFYUI_START_SECONDS", "7")
    loaded = ComfyUISettings()
    assert loaded.comfyui_start_seconds == 7
    assert SECRET not in repr(loaded)


def test_shared_folders_are_closed_where_comfyui_has_a_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    assert containers.prepare([str(shared)]) is None
    assert stat.S_IMODE(shared.stat().st_mode) == 0o1777
    monkeypatch.setenv("GENJOBS_COMFYUI_USER", "games")
    assert containers.prepare([str(shared)]) is None
    assert stat.S_IMODE(shared.stat().st_mode) == 0o1755


@pytest.mark.parametrize("wanted", [True, False])
def test_deployment_says_whether_comfyui_is_in_the_snapshot(wanted: bool) -> None:
    told = DeploymentSettings.model_validate({"snapshot_comfyui": wanted}).environment()
    assert told["GENJOBS_COMFYUI_SNAPSHOT"] == str(wanted).lower()
