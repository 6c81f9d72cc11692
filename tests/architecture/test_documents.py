"""The documents that people write: what they name is there, what they show is so."""

from __future__ import annotations

import importlib
import json
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from genjobs.application.draft_catalogue import draft_catalogue
from genjobs.domain.catalogue import InputKind, NodeCatalogue, read_extension
from genjobs.domain.catalogue.reading import _MEMBERS
from genjobs.domain.errors import ConfigurationError, WorkflowLimit
from genjobs.domain.workflow import parse_workflow
from genjobs.testing import a_workflow
from tests.architecture.test_examples import example
from tools.docs import ROOT

DOCUMENTS = sorted(
    path.relative_to(ROOT)
    for folder in (ROOT, ROOT / "docs", ROOT / "docs" / "adr")
    for path in folder.glob("*.md")
)
_LINK = re.compile(r"\]\((?![a-z]+:)([^)#\s]+)(?:#[^)]*)?\)")
_CODE_PATH = re.compile(
    r"`((?:domain|application|adapters|api|gpu|simulator|bootstrap|cli|testing)/[\w/.*-]*)`"
)


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_links_lead_somewhere(path: Path) -> None:
    document = ROOT / path
    for target in _LINK.findall(document.read_text()):
        assert (document.parent / target).exists(), target


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_places_in_the_package_are_there(path: Path) -> None:
    package = ROOT / "src" / "genjobs"
    for found in _CODE_PATH.findall((ROOT / path).read_text()):
        place = re.sub(r"\.[A-Z_]+$", "", found)
        assert (package / place).exists() or (package / f"{place}.py").exists(), place


def test_map_of_the_house_names_every_module_where_it_is() -> None:
    package = ROOT / "src" / "genjobs"
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text().partition("\n## ")[0]
    named: dict[Path, list[str]] = {}
    for row in text.splitlines():
        if found := re.match(r"\| `([\w/.]+)/` \| (.*) \|$", row):
            names = re.findall(r"`([a-z_\d]+\*?)`", found[2])
            named.setdefault(package / found[1], []).extend(names)

    assert len(named) > 20
    for folder, names in named.items():
        stems = {path.stem for path in folder.glob("[a-z]*.py")}
        stems |= {path.parent.name for path in folder.glob("*/__init__.py")}
        for name in names:
            assert name in stems or name.endswith("*"), f"{folder}: no module {name}"
    for path in package.rglob("[a-z]*.py"):
        if any(part in path.parts for part in ("versions", "migrations", "contracts")):
            continue  # each in the order of its name, and by its contract
        fitting = [one for one in named.get(path.parent, []) if fnmatch(path.stem, one)]
        assert len(fitting) == 1, f"{path.relative_to(package)} is named {len(fitting)} times"


def test_every_defence_names_tests_that_are_there() -> None:
    rows = [
        line.split(" | ")
        for line in (ROOT / "docs" / "security.md").read_text().splitlines()
        if line.startswith("| ") and not line.startswith("| Threat")
    ]
    assert len(rows) > 20
    for *_, tests in rows:
        named = re.findall(r"`([\w/]+\.py)`", tests)
        assert named, tests
        for name in named:
            assert (ROOT / "tests" / name).is_file(), name


def test_every_row_of_the_audit_names_tests_that_are_there() -> None:
    rows = [
        line
        for line in (ROOT / "docs" / "audit.md").read_text().splitlines()
        if line.startswith("| ") and not line.startswith(("| finding |", "| praised |"))
    ]
    assert len(rows) >= 20
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+)\.py::([\w:]+)`", row)
        assert named, row
        for module, path in named:
            found: object = importlib.import_module(module.replace("/", "."))
            for name in path.split("::"):
                found = getattr(found, name)
            assert callable(found), path
            marks = {mark.name for mark in getattr(found, "pytestmark", ())}
            assert "slow" not in marks, f"{path} does not run with make test"


def _commands(document: str) -> list[str]:
    """Return the blocks of commands and code, without their comments."""
    blocks = re.findall(r"^```(?:console|bash|python)\n(.*?)^```", document, flags=re.M | re.S)
    return [re.sub(r"(^|  )# .*$\n?", "", block, flags=re.M) for block in blocks]


def test_portuguese_readme_has_the_commands_of_the_english_one() -> None:
    english, portuguese = ((ROOT / name).read_text() for name in ("README.md", "README.pt-BR.md"))
    assert len(_commands(english)) >= 6
    assert _commands(portuguese) == _commands(english)
    named = set(re.findall(r"<!-- (\w+) -->", english))
    assert set(re.findall(r"<!-- (\w+) -->", portuguese)) == named


def test_every_kind_of_input_and_member_of_an_entry_is_told() -> None:
    text = (ROOT / "docs" / "workflows.md").read_text()
    for word in {*InputKind, *_MEMBERS, "reviewed", "notes"}:
        assert f"`{word}`" in text, word


def test_example_of_a_widened_catalogue_is_so() -> None:
    draft = json.loads(example("docs/workflows.md", "draft"))
    object_info = (ROOT / "src" / "genjobs" / "simulator" / "catalogue.json").read_text()
    assert draft == draft_catalogue(json.loads(object_info), (), ["SimulatorSleep"])
    with pytest.raises(ConfigurationError) as refused:
        read_extension(draft)
    assert refused.value.message in (ROOT / "docs" / "workflows.md").read_text()

    extension = read_extension(json.loads(example("docs/workflows.md", "reviewed")))
    catalogue = NodeCatalogue().extended(extension)
    assert catalogue.get("SaveVideo") is None
    graph = a_workflow()
    graph["2"] = {"class_type": "SimulatorSleep", "inputs": {"image": ["1", 0], "seconds": 1}}
    parse_workflow(graph, catalogue)
    graph["2"]["inputs"]["seconds"] = 3600
    with pytest.raises(WorkflowLimit) as limited:
        parse_workflow(graph, catalogue)
    assert limited.value.message in (ROOT / "docs" / "workflows.md").read_text()
