"""Documents that are drawn from the code. ``python -m tools.docs`` writes them."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Final

from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from genjobs.api.app import create_app
from genjobs.api.problems import HTTP_CODES, status_of
from genjobs.bootstrap.loading import version
from genjobs.domain import errors
from genjobs.domain.deadlines import Deadlines
from genjobs.domain.errors import JobFailure, default_message
from genjobs.domain.lifecycle import FINAL, PHASES, TRANSITIONS, JobStatus, Phase
from genjobs.settings import Settings
from genjobs.settings.attempts import AttemptSettings
from genjobs.settings.capacity import CapacitySettings
from genjobs.settings.comfyui import ComfyUISettings
from genjobs.settings.deployment import DeploymentSettings
from genjobs.settings.keeping import KeepingSettings
from genjobs.settings.smoke import SmokeSettings
from tools import doctor_docs, limit_docs, workflow_docs

ROOT: Final = Path(__file__).resolve().parent.parent
_NOTE: Final = "<!-- Drawn from the code by `make docs`; do not edit. -->\n"


def lifecycle() -> str:
    """Return docs/job-lifecycle.md."""
    lines = [
        "# The life of a job",
        "",
        _NOTE,
        "A job is in one of five states; the last three are final. Why a job failed is",
        "`error.code`, never another state. `phase` tells what a running job is doing:",
        f"{', '.join(f'`{phase.value}`' for phase in Phase)}.",
        "",
        "```mermaid",
        "stateDiagram-v2",
        "    [*] --> queued: submitted",
    ]
    lines += [
        f"    {step.source.value} --> {step.target.value}: {step.event.value}"
        for step in TRANSITIONS
    ]
    lines += [f"    {status.value} --> [*]" for status in JobStatus if status in FINAL]
    lines += ["```", "", "| from | event | to | meaning |", "|---|---|---|---|"]
    lines += [
        f"| {step.source.value} | {step.event.value} | {step.target.value} | {step.meaning} |"
        for step in TRANSITIONS
    ]
    lines += [
        "",
        "## Phases of a running job",
        "",
        "A worker has several jobs at once, one of them in the renderer. Run time-out and GPU",
        "seconds count in `rendering` only.",
        "",
        "```mermaid",
        "stateDiagram-v2",
        f"    [*] --> {PHASES[0].phase.value}: started",
        *(
            f"    {step.phase.value} --> {following.phase.value}"
            for step, following in itertools.pairwise(PHASES)
        ),
        f"    {PHASES[-1].phase.value} --> [*]: completed",
        *(f"    {step.phase.value} --> [*]: cancel - {step.cancelled}" for step in PHASES),
        "```",
        "",
        "| phase | what is done | its limit | what a cancel does |",
        "|---|---|---|---|",
        *(
            f"| {step.phase.value} | {step.meaning} | {step.limit} | {step.on_cancel} |"
            for step in PHASES
        ),
        "",
        "## Durations",
        "",
        "Defaults; a job may set its own queue and run time-outs and retention.",
        "",
        "| what | default |",
        "|---|---|",
    ]
    deadlines = Deadlines()
    for name in Deadlines.__dataclass_fields__:
        value = getattr(deadlines, name)
        shown = value if isinstance(value, int) else f"{value.total_seconds():g} s"
        lines.append(f"| {name.replace('_', ' ')} | {shown} |")
    return "\n".join(lines) + "\n"


def error_list() -> str:
    """Return docs/errors.md."""
    lines = [
        "# Errors",
        "",
        _NOTE,
        "A refused request is answered with a problem document (RFC 9457). Go by `code`: it is",
        "never renamed. `retryable` tells whether the same request may succeed later, unchanged.",
        "",
        "## Refusals",
        "",
        "| status | code | retryable | meaning |",
        "|---|---|---|---|",
    ]
    refusals = [(status, code, False, title) for code, (status, title) in HTTP_CODES.items()] + [
        (status_of(cls), cls.code, cls.retryable, default_message(cls))
        for cls in errors.leaves()
        if status_of(cls) < 500 or cls is errors.Unavailable
        if not cls.__subclasses__() or cls is errors.InvalidWorkflow or cls is errors.InvalidMedia
    ]
    lines += [
        f"| {status} | `{code}` | {'yes' if retryable else 'no'} | {meaning} |"
        for status, code, retryable, meaning in sorted(refusals)
    ]
    lines += [
        "",
        "## Failed jobs",
        "",
        "A job that failed has `error {code, message, node_id, node_class, retryable}`. Messages",
        "carry no path, traceback, address or list of what is installed.",
        "",
        "| code | retryable | meaning |",
        "|---|---|---|",
    ]
    lines += [
        f"| `{cls.code}` | {'yes' if cls.retryable else 'no'} | {default_message(cls)} |"
        for cls in errors.leaves(JobFailure)
    ]
    return "\n".join(lines) + "\n"


def environment() -> str:
    """Return .env.example."""
    lines = ["# Every setting of genjobs, with its default. Drawn from the code by `make docs`."]
    parts = (ComfyUISettings, AttemptSettings, CapacitySettings, KeepingSettings)
    inherited = {name for part in parts for name in part.model_fields}
    # What the class says itself comes first.
    lines += _of(Settings, sorted(Settings.model_fields, key=inherited.__contains__))
    lines += ["", "", "# Of a deployment at Modal; read when it is deployed."]
    lines += _of(DeploymentSettings, DeploymentSettings.model_fields)
    lines += ["", "", "# Of `genjobs smoke`, which sends one job to a deployment."]
    lines += _of(SmokeSettings, SmokeSettings.model_fields)
    return "\n".join(lines) + "\n"


def openapi() -> str:
    """Return openapi.json: the document that a running server answers with."""
    app = create_app(nullcontext, version=version())  # type: ignore[arg-type]  # never served
    return json.dumps(app.openapi(), indent=1, ensure_ascii=False) + "\n"


def _of(settings: type[BaseSettings], names: Iterable[str]) -> list[str]:
    """Return these settings of a class, as comments."""
    lines = []
    prefix = settings.model_config["env_prefix"]
    for name in names:
        field = settings.model_fields[name]
        default = field.default
        if default is PydanticUndefined or default is None:
            shown = ""
        elif hasattr(default, "get_secret_value"):
            shown = default.get_secret_value()
        elif isinstance(default, tuple):
            shown = json.dumps(default)  # as it is read from the environment
        else:
            shown = str(default)
        lines += ["", f"# {field.description}", f"#{prefix}{name.upper()}={shown}"]
    return lines


def _with_drawn(name: str, parts: Mapping[str, Callable[[], Sequence[str]]]) -> str:
    """Return a document that people write, with its drawn parts made anew."""
    text = (ROOT / name).read_text()
    for part, draw in parts.items():
        start, end = f"<!-- {part}: drawn by `make docs` -->", f"<!-- end of {part} -->"
        drawn = "\n".join([start, *draw(), end])
        text, count = re.subn(
            rf"{re.escape(start)}\n.*?{re.escape(end)}",
            lambda _, drawn=drawn: drawn,  # type: ignore[misc]
            text,
            flags=re.S,
        )
        if count != 1:
            raise ValueError(f"{name} has no place for {part}")
    return text


DOCUMENTS: Final[Mapping[str, Callable[[], str]]] = {
    "docs/job-lifecycle.md": lifecycle,
    "docs/errors.md": error_list,
    "docs/nodes.md": lambda: workflow_docs.node_classes(_NOTE),
    "docs/workflows.md": lambda: _with_drawn(
        "docs/workflows.md", {"limits": workflow_docs.workflow_limits}
    ),
    "docs/media.md": lambda: _with_drawn(
        "docs/media.md",
        {"types": workflow_docs.accepted_types, "limits": workflow_docs.media_limits},
    ),
    "docs/operations.md": lambda: _with_drawn("docs/operations.md", {"limits": limit_docs.limits}),
    "docs/doctor.md": lambda: _with_drawn("docs/doctor.md", {"fixes": doctor_docs.fixes}),
    ".env.example": environment,
    "openapi.json": openapi,
}


def main() -> None:
    """Write every document."""
    for name, draw in DOCUMENTS.items():
        (ROOT / name).write_text(draw())


if __name__ == "__main__":
    main()
