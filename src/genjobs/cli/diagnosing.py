"""``genjobs doctor``: what is found, shown to people or as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from genjobs.application.diagnose import diagnose
from genjobs.bootstrap import loading
from genjobs.bootstrap.doctor import load_deployed_settings, load_deployment, open_doctor
from genjobs.domain.diagnosis import Finding, Outcome, failed
from genjobs.domain.errors import ConfigurationError
from genjobs.telemetry import configure_logging


async def examine(*, deployment: bool, before_deploying: bool) -> list[Finding]:
    """Return what is found; settings that cannot be read are a finding as well."""
    try:
        deployed = load_deployment()
        settings = load_deployed_settings(deployed) if deployment else loading.load_settings()
    except ConfigurationError as exc:
        return [failed("settings", "settings_refused", exc.message)]
    # What adapters log of failures is in the findings, in plainer words.
    level = settings.log_level if settings.log_level == "debug" else "error"
    configure_logging(json=settings.log_json, level=level)
    async with open_doctor(settings, deployed, before_deploying=before_deploying) as checks:
        return await diagnose(checks, before_deploying=before_deploying)


def as_json(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Return findings for programs."""
    return [
        {
            "check": finding.check,
            "outcome": finding.outcome.value,
            "code": finding.code,
            "seen": finding.seen,
            "fix": finding.fix,
        }
        for finding in findings
    ]


def lines(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield findings for people: a line for each, and the fix below what needs one."""
    for finding in findings:
        yield f"{finding.outcome.value:8} {finding.check:24} {finding.seen}"
        if finding.fix is not None:
            yield f"{'':8} {finding.code}: {finding.fix}"


def summary(findings: Sequence[Finding]) -> str:
    """Return how many ended how."""
    counts = {
        outcome: sum(finding.outcome is outcome for finding in findings) for outcome in Outcome
    }
    return ", ".join(f"{count} {outcome.value}" for outcome, count in counts.items())
