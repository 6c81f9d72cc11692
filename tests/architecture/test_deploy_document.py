"""docs/deploy.md: commands and settings that it names are there; blocks that can be run are run."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from dotenv import dotenv_values
from modal.cli.entry_point import entrypoint_cli
from typer.main import get_command

from genjobs.cli.app import app
from genjobs.domain.diagnosis import Outcome
from tests.architecture.test_examples import example, free_port
from tests.doctoring import codes, findings, outcomes
from tests.e2e.processes import servers_of
from tests.postgres import Database
from tools.docs import ROOT, environment

DOCUMENTS = ("docs/deploy.md", "docs/doctor.md", "docs/operations.md")


def text_of(document: str) -> str:
    return (ROOT / document).read_text()


def commands(document: str, program: str) -> Iterator[list[str]]:
    """Yield the words of each command in code: in blocks and between backticks."""
    text = text_of(document)
    blocks = re.findall(r"```(?:bash|console)\n(.*?)```", text, re.S)
    pieces = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    pieces += re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S))
    for piece in pieces:
        # At the beginning, of a substitution too, or by its path or after variables.
        begin = r"(?:^|\$\(|[;&|] *|/|=\S* )"
        for found in re.finditer(rf"{begin}{program} ([a-z][^|;&>)\"$]*)", piece.strip()):
            yield found[1].split()


def resolve(group: Any, words: list[str]) -> tuple[Any, list[str]]:
    """Return the command that words name, and the words that are left."""
    left = list(words)
    while isinstance(group, click.Group) or hasattr(group, "commands"):
        if not left or left[0] not in group.commands:
            break
        group = group.commands[left.pop(0)]
    return group, left


def options(command: Any) -> set[str]:
    return {
        name
        for parameter in command.params
        for name in (*parameter.opts, *parameter.secondary_opts)
    }


@pytest.mark.parametrize("document", DOCUMENTS)
@pytest.mark.parametrize(
    ("program", "root"),
    [("genjobs", get_command(app)), ("modal", entrypoint_cli)],
    ids=["genjobs", "modal"],
)
def test_commands_of_the_document_are_there(document: str, program: str, root: Any) -> None:
    found = list(commands(document, program))
    assert found or program == "modal", document
    for words in found:
        command, left = resolve(root, words)
        assert command is not root, words
        named = {word.partition("=")[0] for word in left if word.startswith("--")}
        assert named <= options(command) | {"--help"}, words
        if getattr(command, "commands", None):  # a group by itself is no command
            assert not left, words


def test_targets_of_the_document_are_there() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    named = {words[0] for document in DOCUMENTS for words in commands(document, "make")}
    assert "deploy" in named
    assert named <= targets


@pytest.mark.parametrize("document", DOCUMENTS)
def test_settings_of_the_document_are_there(document: str) -> None:
    known = set(re.findall(r"^#(GENJOBS_\w+)=", environment(), re.M))
    for name in re.findall(r"GENJOBS_[A-Z0-9_]*[A-Z0-9]\b", text_of(document)):
        if not name.startswith("GENJOBS_TEST_"):
            assert name in known, name


def test_codes_of_a_smoke_job_are_all_told() -> None:
    source = (ROOT / "src/genjobs/cli/smoking.py").read_text()
    known = set(re.findall(r'"(smoke_[a-z_]+)"', source))
    assert known == set(re.findall(r"`(smoke_[a-z_]+)`", text_of("docs/deploy.md")))


async def test_file_of_settings_becomes_the_secrets(open_folder: Path) -> None:
    session = "\n".join(example("docs/deploy.md", part) for part in ("urls", "storage", "secrets"))
    loads = (
        "set -a; . ./deploy.env; set +a\n"
        f"{sys.executable} -c 'from genjobs.bootstrap.doctor import *; "
        "s = load_deployed_settings(load_deployment()); print(s.env.value, len(s.token_keys))'"
    )
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", f"{session}\n{loads}"),
        cwd=open_folder,
        env={"PATH": "/usr/bin:/bin"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    assert out.decode() == "production 1\n"
    # That of the reader is for proxy authentication, and put together by hand.
    rows = re.findall(r"^\| `genjobs-(\w+)` \| (.*) \|$", text_of("docs/deploy.md"), re.M)
    assert len(rows) == 4
    for name, keys in rows:
        file = open_folder / f"{name}.env"
        assert file.stat().st_mode & 0o077 == 0
        assert set(dotenv_values(file)) == set(re.findall(r"`(GENJOBS_\w+)`", keys)), name
    assert "@DIRECT-HOST/" in str(dotenv_values(open_folder / "owner.env"))


async def test_logins_are_made_as_told_and_are_what_the_doctor_wants(database: Database) -> None:
    script = example("docs/deploy.md", "logins")
    names = ("site_api", "site_worker")
    made = {name: f"{name}_{database.name[-8:]}" for name in names}
    for name, unique in made.items():
        script = script.replace(f"ROLE {name} ", f"ROLE {unique} ")
    try:
        for statement in script.strip().splitlines():
            await database.execute(statement)
        found = await findings(
            "database",
            database_url=database.api.replace("genjobs_api@", f"{made['site_api']}@"),
            worker_database_url=database.worker.replace(
                "genjobs_worker@", f"{made['site_worker']}@"
            ),
            owner_database_url=database.owner,
        )
        assert codes(found) == {}
        assert set(outcomes(found).values()) == {Outcome.OK}
    finally:
        for unique in made.values():
            await database.execute(f"DROP ROLE IF EXISTS {unique}")


@pytest.mark.e2e
@pytest.mark.slow
async def test_rehearsal_works_as_told(open_folder: Path) -> None:
    session = example("docs/deploy.md", "rehearsal").replace("8000", str(free_port()))
    session = session.replace(".venv/bin/genjobs", f"{sys.executable} -m genjobs")
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", session + "\nwait $SERVE || true"),
        cwd=open_folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(open_folder)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, err.decode()
    assert re.search(r"^ok +store\.delete ", out.decode(), re.M)
    assert re.search(r"^status +completed$", out.decode(), re.M)
    assert re.search(r"^rollback +modal app rollback genjobs$", out.decode(), re.M)
    assert servers_of(open_folder) == []
