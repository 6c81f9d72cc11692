"""The steps of ``make deploy``: their order, what stops them, and what is said then."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from genjobs.settings.deployment import DeploymentSettings
from tools.deploy import Done, deploy

FINE = [{"check": "settings", "outcome": "ok", "code": None, "seen": "", "fix": None}]


@dataclass
class Recorder:
    """Runs nothing; keeps what it was told, and lets one step fail."""

    fails: str = ""
    findings: list[dict[str, object]] | str = field(default_factory=lambda: list(FINE))
    steps: dict[str, tuple[list[str], dict[str, str]]] = field(default_factory=dict)

    def __call__(
        self, step: str, command: Sequence[str], more: Mapping[str, str], catch: bool
    ) -> Done:
        assert catch == (step == "doctor")
        self.steps[step] = (list(command[2:]), dict(more))
        out = self.findings if isinstance(self.findings, str) else json.dumps(self.findings)
        return Done(code=1 if step == self.fails else 0, out=out if catch else "")


def done(run: Recorder, *, key: bool = True, owner: bool = True) -> int:
    return deploy(run, DeploymentSettings(app="shop"), key=key, owner=owner)  # type: ignore[call-arg]


def test_all_steps_are_done_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    run = Recorder()
    assert done(run) == 0
    assert list(run.steps) == ["doctor", "migrate", "deploy", "smoke"]
    assert run.steps["doctor"][0] == ["genjobs", "doctor", "--before-deploy", "--json"]
    # The window follows from what is deployed, not from this machine's settings.
    assert run.steps["migrate"][0] == ["genjobs", "db", "upgrade", "--deployment"]
    command, told = run.steps["deploy"]
    assert command == ["modal", "deploy", "deploy/modal_app.py"]
    assert told["MODAL_IMAGE_BUILDER_VERSION"]
    assert run.steps["smoke"][0] == ["genjobs", "smoke"]
    assert "modal app rollback shop" in capsys.readouterr().err


def test_migration_runs_at_modal_where_the_owners_url_is_only_there() -> None:
    run = Recorder()
    assert done(run, owner=False) == 0
    assert run.steps["migrate"][0] == ["modal", "run", "deploy/modal_app.py::migrate"]


@pytest.mark.parametrize(
    ("fails", "steps", "said"),
    [
        ("doctor", 1, "nothing was changed"),
        ("migrate", 2, "the version that runs goes on"),
        ("deploy", 3, "on the newer schema"),
        ("smoke", 4, "go back with: modal app rollback shop"),
    ],
)
def test_step_that_fails_is_the_last(
    fails: str, steps: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Recorder(fails=fails)
    assert done(run) == 1
    assert len(run.steps) == steps
    assert list(run.steps)[-1] == fails
    told = capsys.readouterr().err
    assert f"stopped at {fails}" in told
    assert said in told


def test_what_the_doctor_found_is_told_with_its_fix(capsys: pytest.CaptureFixture[str]) -> None:
    found = {"check": "images.pins", "outcome": "failed", "code": "pins_unresolved"}
    run = Recorder(fails="doctor", findings=[*FINE, found | {"seen": "torch", "fix": "Fill in."}])
    assert done(run) == 1
    told = capsys.readouterr().err
    assert "failed images.pins: torch" in told
    assert "pins_unresolved: Fill in." in told


def test_doctor_that_says_nothing_stops_it() -> None:
    run = Recorder(findings="Traceback")
    assert done(run) == 1
    assert list(run.steps) == ["doctor"]


def test_first_deployment_has_no_version_to_go_back_to(capsys: pytest.CaptureFixture[str]) -> None:
    missing = {"check": "modal.app", "outcome": "warning", "code": "modal_app_missing"}
    run = Recorder(findings=[missing | {"seen": "", "fix": "Deploy it."}])
    assert done(run) == 0
    assert "modal app stop shop" in capsys.readouterr().err


def test_nothing_is_begun_without_a_key_for_the_job_that_proves_it() -> None:
    run = Recorder()
    assert done(run, key=False) == 2
    assert run.steps == {}
