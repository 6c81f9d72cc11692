"""
``make deploy``: look, migrate, deploy, send a job, and say how to go back.

Each step is a command that can be run by itself; the first that fails ends it. What was checked
before (``make check``) is the Makefile's.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from genjobs.bootstrap.doctor import load_deployed_settings, load_deployment
from genjobs.cli.deployed import smoke_settings
from genjobs.domain.errors import ConfigurationError
from genjobs.gpu.stack import STACK, written
from genjobs.settings.deployment import DeploymentSettings

ROOT: Final = Path(__file__).resolve().parent.parent
APP: Final = "deploy/modal_app.py"
#: Of each step, in seconds: images are built in the longest of them.
_LIMITS: Final[Mapping[str, int]] = {
    "doctor": 15 * 60,
    "migrate": 20 * 60,
    "deploy": 2 * 3600,
    "smoke": 3 * 3600,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How a command ended."""

    code: int
    #: Standard output, where it was asked for.
    out: str = ""


#: Runs a command with additional environment variables; ``catch`` returns its standard output.
Runner = Callable[[str, Sequence[str], Mapping[str, str], bool], Done]


def deploy(run: Runner, deployment: DeploymentSettings, *, key: bool, owner: bool) -> int:
    """
    Do all steps and return the exit code: 0, or 1 with the step that failed printed.

    ``key``: there is one for the smoke job. ``owner``: the owner's URL is here, else at Modal only.
    """
    genjobs, modal = [sys.executable, "-m", "genjobs"], [sys.executable, "-m", "modal"]
    if not key:
        _say("needs GENJOBS_SMOKE_KEY, for the job that proves the deployment (docs/deploy.md)")
        return 2
    looked = run("doctor", [*genjobs, "doctor", "--before-deploy", "--json"], {}, True)
    findings = _findings(looked.out)
    for line in _told(findings):
        _say(line)
    if looked.code != 0 or findings is None:
        return _stopped("doctor", "nothing was changed")

    migrate = [*modal, "run", f"{APP}::migrate"]  # the secret at Modal has the owner's URL
    if owner:
        migrate = [*genjobs, "db", "upgrade", "--deployment"]
    builder = {"MODAL_IMAGE_BUILDER_VERSION": written(STACK.image_builder)}
    if run("migrate", migrate, builder, False).code != 0:
        return _stopped("migrate", "the version that runs goes on; see what the migration said")
    if run("deploy", [*modal, "deploy", APP], builder, False).code != 0:
        return _stopped("deploy", "the version that runs goes on, on the newer schema")
    back = _way_back(findings, deployment.app)
    if run("smoke", [*genjobs, "smoke"], {}, False).code != 0:
        return _stopped("smoke", f"the new version serves; go back with: {back}")
    _say(f"deployed. To go back: {back}")
    return 0


def _way_back(findings: Sequence[Mapping[str, Any]], app: str) -> str:
    first = any(finding["code"] == "modal_app_missing" for finding in findings)
    return (
        f"modal app stop {app}  (there is no version before)"
        if first
        else f"modal app rollback {app}"
    )


def _findings(out: str) -> list[dict[str, Any]] | None:
    """Return what the doctor printed; None when it did not come to that."""
    try:
        found = json.loads(out)
    except ValueError:
        return None
    return found if isinstance(found, list) else None


def _told(findings: Sequence[Mapping[str, Any]] | None) -> list[str]:
    if findings is None:
        return ["the doctor said nothing that can be read"]
    lines = []
    for finding in findings:
        if finding["outcome"] != "ok":
            lines.append(f"{finding['outcome']} {finding['check']}: {finding['seen']}")
        if finding["fix"]:
            lines.append(f"    {finding['code']}: {finding['fix']}")
    return lines


def _stopped(step: str, told: str) -> int:
    _say(f"stopped at {step}: {told}")
    return 1


def _say(text: str) -> None:
    print(f"deploy: {text}", file=sys.stderr, flush=True)


def run_command(step: str, command: Sequence[str], more: Mapping[str, str], catch: bool) -> Done:
    """Run a command here; its output goes where ours goes unless it is caught."""
    _say(f"{step}: {shlex.join(command)}")
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **more},
            stdout=subprocess.PIPE if catch else None,
            text=True,
            timeout=_LIMITS[step],
            check=False,
        )
    except subprocess.TimeoutExpired:
        _say(f"{step} did not end in {_LIMITS[step]} s and was killed")
        return Done(code=1)
    return Done(code=done.returncode, out=done.stdout or "")


def _owner_is_here(deployment: DeploymentSettings) -> bool:
    try:
        return load_deployed_settings(deployment).owner_database_url is not None
    except ConfigurationError:
        return False  # the doctor tells what is wrong, and nothing is migrated


def main() -> int:
    """Deploy what this folder holds."""
    try:
        deployment = load_deployment()
        key = smoke_settings().key is not None
        return deploy(run_command, deployment, key=key, owner=_owner_is_here(deployment))
    except ConfigurationError as exc:
        _say(exc.message)
        return 2


if __name__ == "__main__":
    sys.exit(main())
