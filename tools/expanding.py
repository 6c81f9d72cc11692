"""
Whether a migration only expands: what the version before does must go on working on what it makes.

Judged by the text of its SQL. Releases are marked in CHANGELOG.md; see ADR 26.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

#: ``## 1.2.0 - 2026-12-01 (schema 0007)``
_RELEASE: Final = re.compile(
    r"^## (?P<version>\d+\.\d+\.\d+) - \d{4}-\d\d-\d\d \(schema (?P<schema>\d{4})\)$", flags=re.M
)
_HEADING: Final = re.compile(r"^## (.*)$", flags=re.M)
#: A line above a statement: what it takes away has not been used since that release.
_UNUSED: Final = re.compile(r"--\s*unused since (\d+\.\d+\.\d+)\s*$", flags=re.M)
_NAME: Final = r"[\w.\"]+"
#: What an older version would miss, or stumble over.
_CONTRACTS: Final[Mapping[str, re.Pattern[str]]] = {
    what: re.compile(pattern, flags=re.I | re.S)
    for what, pattern in {
        "takes a thing away": r"^\s*DROP\s+(TABLE|SCHEMA|TYPE|SEQUENCE|DOMAIN)\b",
        "takes a column away": rf"^\s*ALTER\s+TABLE\b.*\bDROP\s+(COLUMN\b|(?!CONSTRAINT\b|NOT\b|"
        rf"DEFAULT\b|EXPRESSION\b|IDENTITY\b){_NAME})",
        "renames": r"^\s*ALTER\b.*\bRENAME\b",
        "takes a default away": r"^\s*ALTER\s+TABLE\b.*\bDROP\s+DEFAULT\b",
        "forbids NULL": r"^\s*ALTER\s+TABLE\b.*\bSET\s+NOT\s+NULL\b",
        "changes a type": rf"^\s*ALTER\s+TABLE\b.*\bALTER\s+(COLUMN\s+)?{_NAME}\s+"
        r"(SET\s+DATA\s+)?TYPE\b",
        "empties a table": r"^\s*(TRUNCATE|DELETE)\b",
    }.items()
}
_ADDED: Final = re.compile(
    r"\bADD\s+(?:COLUMN\s+)?(?!CONSTRAINT\b)(.*?)(?=,\s*ADD\b|$)", re.I | re.S
)
#: A comment, a body in dollar quotes, a text, the end of a statement, or anything else.
_TOKEN: Final = re.compile(
    r"--[^\n]*\n?|(?P<quote>\$\w*\$).*?(?P=quote)|'(?:[^']|'')*'|;|[^-$';]+|.", re.S
)
_MUST: Final = re.compile(r"\bNOT\s+NULL\b", re.I)
_FILLED: Final = re.compile(r"\b(DEFAULT|GENERATED)\b", re.I)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A version that was released, and the newest migration that it has."""

    version: str
    schema: str


def releases(changelog: str) -> list[Release]:
    """
    Return the releases, the newest first.

    Raises:
        ValueError: a heading of the changelog is neither a release nor ``Unreleased``.
    """
    for heading in _HEADING.findall(changelog):
        if heading != "Unreleased" and not _RELEASE.match(f"## {heading}"):
            raise ValueError(f"not of the form `1.2.0 - 2026-12-01 (schema 0007)`: {heading}")
    return [Release(**found.groupdict()) for found in _RELEASE.finditer(changelog)]


def contractions(script: str, released: Collection[str]) -> list[str]:
    """
    Return what a migration does that the version before would miss.

    A statement below ``-- unused since 1.2.0`` is let through when that version is ``released``:
    then the version before does without already.
    """
    found = []
    for comments, statement in _statements(script):
        unused = _UNUSED.search(comments)
        if unused is not None and unused[1] in released:
            continue
        short = " ".join(statement.split())[:80]
        found += [f"{what}: {short}" for what, mark in _CONTRACTS.items() if mark.search(statement)]
        if re.match(r"\s*ALTER\s+TABLE\b", statement, re.I):
            found += [
                f"adds a column that older versions do not fill: {' '.join(column.split())[:60]}"
                for column in _ADDED.findall(statement)
                if _MUST.search(column) and not _FILLED.search(column)
            ]
    return found


def _statements(script: str) -> Iterator[tuple[str, str]]:
    """Yield each statement with the comments before it; what is in quotes stays whole."""
    comments, statement = "", ""
    for found in _TOKEN.finditer(script):
        token = found[0]
        if token.startswith("--"):
            comments += "" if statement.strip() else token
        elif token == ";":
            yield comments, statement
            comments, statement = "", ""
        else:
            statement += token
    if statement.strip():
        yield comments, statement
