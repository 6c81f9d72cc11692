"""Migrations only expand within a release, so that the version before runs on the newer schema."""

from __future__ import annotations

import re

import pytest

from genjobs.adapters.postgres.revision import HEAD
from tools.docs import ROOT
from tools.expanding import Release, contractions, releases

_FOLDER = ROOT / "src/genjobs/adapters/postgres/migrations"
_CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
RELEASES = releases(_CHANGELOG)


def test_each_migration_since_the_last_release_expands() -> None:
    """Until there is a release that is every one: they were written to be like that."""
    last = RELEASES[0].schema if RELEASES else "0000"
    scripts = [path for path in sorted((_FOLDER / "sql").glob("*.sql")) if path.name[:4] > last]
    assert bool(scripts) == (last < HEAD)
    for path in scripts:
        assert contractions(path.read_text(), [release.version for release in RELEASES]) == [], path


def test_migrations_are_sql_only_so_that_they_can_be_judged() -> None:
    for path in (_FOLDER / "versions").glob("r*.py"):
        calls = set(re.findall(r"\bop\.(\w+)", path.read_text()))
        assert calls == {"get_bind"}, path.name


def test_releases_name_a_schema_that_is_there() -> None:
    schemas = [release.schema for release in RELEASES]
    assert schemas == sorted(schemas, reverse=True)
    assert all(schema <= HEAD for schema in schemas)


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE genjobs.jobs;",
        "ALTER TABLE genjobs.jobs DROP COLUMN priority;",
        "ALTER TABLE genjobs.jobs DROP priority;",
        "ALTER TABLE genjobs.jobs RENAME COLUMN priority TO rank;",
        "alter table genjobs.jobs rename to tasks;",
        "ALTER INDEX genjobs.a RENAME TO b;",
        "ALTER TABLE genjobs.jobs ADD COLUMN colour text NOT NULL;",
        "ALTER TABLE genjobs.jobs ADD COLUMN a int NOT NULL DEFAULT 0, ADD COLUMN b int NOT NULL;",
        "ALTER TABLE genjobs.jobs\n    ADD b int NOT NULL CHECK (b > 0);",
        "ALTER TABLE genjobs.jobs ALTER COLUMN priority SET NOT NULL;",
        "ALTER TABLE genjobs.jobs ALTER priority DROP DEFAULT;",
        "ALTER TABLE genjobs.jobs ALTER COLUMN priority TYPE text;",
        "TRUNCATE genjobs.jobs;",
        "-- fine\nCREATE TABLE genjobs.a (b int); DROP TABLE genjobs.c",
    ],
)
def test_what_the_version_before_would_miss_is_refused(statement: str) -> None:
    assert len(contractions(statement, [])) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE genjobs.a (b int NOT NULL, c text);",
        "ALTER TABLE genjobs.jobs ADD COLUMN colour text;",
        "ALTER TABLE genjobs.jobs ADD COLUMN a int NOT NULL DEFAULT 0, ADD COLUMN b int;",
        "ALTER TABLE genjobs.jobs ADD COLUMN r int NOT NULL GENERATED ALWAYS AS (-a) STORED;",
        "ALTER TABLE genjobs.jobs ALTER COLUMN priority DROP NOT NULL;",
        "ALTER TABLE genjobs.jobs DROP CONSTRAINT jobs_check;",
        "ALTER TABLE genjobs.jobs ADD CONSTRAINT c CHECK (x IS NOT NULL) NOT VALID;",
        "DROP INDEX genjobs.jobs_by_age; CREATE INDEX a ON genjobs.jobs (id);",
        "-- DROP TABLE genjobs.jobs;\nSELECT 'DROP TABLE genjobs.jobs; RENAME';",
        "DO $$ BEGIN DROP TABLE IF EXISTS pg_temp.x; END $$;",
        "UPDATE genjobs.jobs SET priority = 0;",
    ],
)
def test_what_it_does_not_miss_is_let_through(statement: str) -> None:
    assert contractions(statement, []) == []


def test_what_no_released_version_uses_may_go() -> None:
    statement = "-- Nobody reads it any more.\n-- unused since 1.2.0\nDROP TABLE genjobs.old;"
    assert contractions(statement, ["1.3.0", "1.2.0"]) == []
    assert len(contractions(statement, ["1.1.0"])) == 1
    # Of the statement below it, not of the next.
    assert len(contractions(f"{statement}\nDROP TABLE genjobs.new;", ["1.2.0"])) == 1


def test_release_is_marked_in_the_changelog() -> None:
    text = "# Changelog\n\n## Unreleased\n\n## 0.2.0 - 2027-01-10 (schema 0009)\n\n### Added\n"
    assert releases(text) == [Release(version="0.2.0", schema="0009")]
    with pytest.raises(ValueError, match=r"0\.3\.0"):
        releases(text + "\n## 0.3.0\n")
