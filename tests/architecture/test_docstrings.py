"""Public functions say what they are for, and name the errors that they raise themselves."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from genjobs.domain import errors
from tools.docs import ROOT

PACKAGE = ROOT / "src" / "genjobs"
#: What other teams and scripts call: the vocabulary, the ports, the use cases, what opens them, and
#: the test kit without its suites, whose tests are named for what they say.
PUBLIC = sorted(
    path
    for folder in ("domain", "application", "bootstrap", "testing")
    for path in (PACKAGE / folder).rglob("*.py")
    if "contracts" not in path.parts
)
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(path: Path) -> Iterator[tuple[str, Function, str]]:
    """Yield public functions with their names and the docstring of their class."""

    def walk(body: list[ast.stmt], prefix: str, around: str) -> Iterator[tuple[str, Function, str]]:
        for node in body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield from walk(node.body, f"{prefix}{node.name}.", ast.get_docstring(node) or "")
            elif isinstance(node, Function) and (
                not node.name.startswith("_") or node.name == "__call__"
            ):
                yield f"{prefix}{node.name}", node, around

    yield from walk(ast.parse(path.read_text()).body, "", "")


def raised(function: Function) -> Iterator[type[errors.GenjobsError]]:
    """Yield the domain errors that a function raises by name, not those of functions within it."""
    inner = {
        id(part)
        for node in ast.walk(function)
        if isinstance(node, Function | ast.Lambda) and node is not function
        for part in ast.walk(node)
    }
    for node in ast.walk(function):
        if isinstance(node, ast.Raise) and id(node) not in inner:
            named = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            if isinstance(named, ast.Name):
                found = getattr(errors, named.id, None)
                if isinstance(found, type) and issubclass(found, errors.GenjobsError):
                    yield found


def names(error: type[errors.GenjobsError]) -> set[str]:
    """Return by which names an error may be told: its own, and those that it is one of."""
    return {
        base.__name__
        for base in error.__mro__
        if issubclass(base, errors.GenjobsError) and base is not errors.GenjobsError
    }


@pytest.mark.parametrize("path", PUBLIC, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_public_functions_tell_what_they_do_and_raise(path: Path) -> None:
    wanting = []
    for name, function, around in functions(path):
        told = ast.get_docstring(function)
        if not told:
            wanting.append(f"{name} has no docstring")
            continue
        # "See the port" is enough where the port's own docstring is the contract.
        if re.match(r"See ", told):
            continue
        wanting += [
            f"{name} raises {error.__name__} and does not say so"
            for error in raised(function)
            if not any(re.search(rf"\b{known}\b", told + around) for known in names(error))
        ]
    assert wanting == []
