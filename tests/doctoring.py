"""The doctor in this process: its checks by the settings of a test, and what they find."""

from __future__ import annotations

from genjobs.application.diagnose import diagnose
from genjobs.bootstrap.doctor import open_doctor
from genjobs.domain.diagnosis import Finding, Outcome
from genjobs.settings import Settings
from genjobs.settings.deployment import DeploymentSettings


async def findings(
    part: str, *, before_deploying: bool = False, **settings: object
) -> list[Finding]:
    """Return what the checks find whose names begin with ``part``."""
    loaded = Settings.model_validate(settings)
    deployment = DeploymentSettings()  # type: ignore[call-arg]
    async with open_doctor(loaded, deployment, before_deploying=before_deploying) as checks:
        mine = [check for check in checks if check.name.startswith(part)]
        assert mine
        return await diagnose(mine, before_deploying=before_deploying)


def codes(found: list[Finding]) -> dict[str, str]:
    """Return the code of each check that found something, which has a fix."""
    for finding in found:
        bad = finding.outcome in {Outcome.WARNING, Outcome.FAILED}
        assert bad == (finding.code is not None) == bool(finding.fix), finding
    return {finding.check: finding.code for finding in found if finding.code is not None}


def outcomes(found: list[Finding]) -> dict[str, Outcome]:
    """Return how each check ended."""
    return {finding.check: finding.outcome for finding in found}
