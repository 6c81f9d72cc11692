"""``genjobs tenants`` and ``genjobs plans``: data on standard output, one line of error."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from genjobs.domain.catalogue import Narrowing
from genjobs.domain.ids import parse_tenant_id
from genjobs.domain.plans import LIMIT_TYPES
from genjobs.domain.tenancy import Owner
from tests.unit.cli.administrating import Shell


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    shell = Shell(capsys, monkeypatch)
    assert shell.run("tenants", "create", "acme").code == 0
    return shell


def test_tenant_is_made_and_listed(shell: Shell) -> None:
    made = shell.done("tenants", "create", "Zürich AG")
    assert made["name"] == "Zürich AG"
    assert made["limits"] == {}
    assert made["narrowing"] == {"only": None, "denied": []}
    assert parse_tenant_id(made["id"])

    listed = shell.done("tenants", "list")
    assert [item["name"] for item in listed] == ["Zürich AG", "acme"]
    assert listed[0] == made
    lines = shell.run("tenants", "list").out.splitlines()
    assert lines[0].split() == ["name", "id", "created_at", "limits"]
    assert len(lines) == 3


def test_limits_are_shown_set_and_unset(shell: Shell) -> None:
    shown = shell.done("tenants", "limits", "acme")
    assert shown["set"] == {}
    assert shown["effective"].keys() == LIMIT_TYPES.keys()

    shell.done("tenants", "limits", "acme", "--set", "max_queued=null", "--set", "weight=2.5")
    changed = shell.done(
        *("tenants", "limits", "acme", "--set", "jobs_per_day=7", "--unset", "weight")
    )
    assert changed["set"] == {"max_queued": None, "jobs_per_day": 7}
    assert changed["effective"] == {
        **shown["effective"],
        "max_queued": None,
        "jobs_per_day": 7,
    }
    table = shell.run("tenants", "limits", "acme").out
    assert "jobs_per_day           7       yes" in table


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (("--set", "max_queued=ten"), "max_queued must be a number"),
        (("--set", "max_queued=-1"), "max_queued must be a whole number from 0"),
        (("--set", "max_queued=1.5"), "max_queued must be a whole number"),
        (("--set", "max_queued=NaN"), "max_queued must be a whole number"),
        (("--set", "weight=0"), "weight must be a number from 0.001"),
        (("--set", "weight=Infinity"), "weight must be a number"),
        (("--set", "weight=null"), "weight must be a number from"),
        (("--set", "browser_writes=1"), "browser_writes must be true or false"),
        (("--set", 'max_queued="5"'), "max_queued must be a whole number"),
        (("--set", "max_queued=[1]"), "max_queued must be a whole number"),
        (("--set", f"bytes_per_day={2**53}"), "bytes_per_day must be"),
        (("--set", "max_jobs=1"), "there is no limit 'max_jobs'"),
        (("--set", "max_queued"), "name=value"),
        (("--set", "=1"), "name=value"),
        (("--set", "max_queued=1", "--set", "max_queued=2"), "twice"),
        (("--set", "submits_per_second=null"), "belong together"),
        (("--unset", "max_jobs"), "there is no limit 'max_jobs'"),
    ],
)
def test_bad_limit_is_told_in_one_line_and_changes_nothing(
    shell: Shell, given: tuple[str, ...], why: str
) -> None:
    ran = shell.run("tenants", "limits", "acme", *given, "--json")
    assert (ran.code, ran.out) == (2, "")
    assert why in ran.err
    assert ran.err.startswith("genjobs: ")
    assert ran.err.count("\n") == 1
    assert shell.done("tenants", "limits", "acme")["set"] == {}


@pytest.mark.parametrize("name", ["", " a", "a\n", "a\x00b", "x" * 101])
def test_name_that_nobody_can_repeat_is_refused(shell: Shell, name: str) -> None:
    ran = shell.run("tenants", "create", name)
    assert (ran.code, ran.out) == (2, "")
    assert "name" in ran.err


def test_name_that_is_taken_is_refused(shell: Shell) -> None:
    ran = shell.run("tenants", "create", "acme")
    assert (ran.code, ran.out) == (2, "")
    assert "there is a tenant 'acme' already" in ran.err


@pytest.mark.parametrize(
    "command",
    [
        ("tenants", "limits", "nobody"),
        ("tenants", "narrow", "nobody"),
        ("plans", "set", "--tenant", "nobody", "pro"),
        ("plans", "list", "--tenant", "nobody"),
        ("plans", "remove", "--tenant", "nobody", "pro"),
        ("plans", "assign", "--tenant", "nobody", "--user", "u_1", "pro"),
        ("keys", "create", "--tenant", "nobody", "--scopes", "jobs:read"),
        ("keys", "list", "--tenant", "nobody"),
        ("issuers", "list", "--tenant", "nobody"),
        ("tokens", "revoke", "--tenant", "nobody", "--user", "u_1"),
    ],
)
def test_unknown_tenant_is_code_4(shell: Shell, command: tuple[str, ...]) -> None:
    ran = shell.run(*command)
    assert (ran.code, ran.out) == (4, "")
    assert ran.err == "genjobs: There is no tenant 'nobody'.\n"


def test_database_that_is_away_is_code_3(shell: Shell) -> None:
    shell.jobs.available = False
    ran = shell.run("tenants", "list")
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.count("\n") == 1


# -- narrowing ------------------------------------------------------------------------------------


def test_denied_classes_add_up_until_they_are_given_back(shell: Shell) -> None:
    shell.done("tenants", "narrow", "acme", "--deny", "SaveImage")
    narrowed = shell.done(
        *("tenants", "narrow", "acme", "--deny", "KSampler", "--only", "VAEDecode,LoadImage")
    )
    assert narrowed == {
        "tenant": "acme",
        "only": ["LoadImage", "VAEDecode"],
        "denied": ["KSampler", "SaveImage"],
    }
    assert shell.done("tenants", "narrow", "acme") == narrowed
    assert shell.done("tenants", "narrow", "acme", "--reset", "--deny", "VAEDecode") == {
        "tenant": "acme",
        "only": None,
        "denied": ["VAEDecode"],
    }
    [record] = shell.jobs.tenants.tenant_notes
    assert shell.jobs.tenants.rules(record).narrowing == Narrowing(denied=frozenset({"VAEDecode"}))


def test_mistyped_class_is_told(shell: Shell) -> None:
    ran = shell.run("tenants", "narrow", "acme", "--deny", "SaveImage", "--deny", "KSampelr")
    assert (ran.code, ran.out) == (2, "")
    assert "'KSampelr'" in ran.err
    assert shell.done("tenants", "narrow", "acme")["denied"] == []


# -- plans ----------------------------------------------------------------------------------------


def test_plan_is_set_listed_assigned_and_removed(shell: Shell) -> None:
    made = shell.done(
        *("plans", "set", "--tenant", "acme", "pro"),
        *("weight=3", "max_queued=50", "browser_writes=true"),
    )
    assert made["set"] == {"weight": 3, "max_queued": 50, "browser_writes": True}
    changed = shell.done("plans", "set", "--tenant", "acme", "pro", "max_queued=null")
    assert changed["set"] == {**made["set"], "max_queued": None}
    changed = shell.done("plans", "set", "--tenant", "acme", "pro", "--unset", "max_queued")
    assert changed["effective"]["max_queued"] == 1000
    assert shell.done("plans", "list", "--tenant", "acme") == [
        {"plan": "pro", "set": {"weight": 3, "browser_writes": True}}
    ]
    assert "browser_writes=true" in shell.run("plans", "list", "--tenant", "acme").out

    [tenant] = shell.jobs.tenants.tenant_notes
    owners = [Owner(tenant_id=tenant, user_id=name) for name in ("u_1", "u_2")]
    shell.done("plans", "assign", "--tenant", "acme", "--user", "u_1", "pro")
    shell.done("plans", "assign", "--tenant", "acme", "--user", "-", "pro", stdin="u_2\n")
    assert [asdict(shell.jobs.tenants.user_limits(owner))["weight"] for owner in owners] == [3, 3]
    shell.done("plans", "assign", "--tenant", "acme", "--user", "u_1", "--none")
    assert shell.jobs.tenants.plans_of_users == {owners[1]: "pro"}
    shell.done("plans", "remove", "--tenant", "acme", "pro")
    assert shell.jobs.tenants.plans_of_users == {}
    assert shell.done("plans", "list", "--tenant", "acme") == []


@pytest.mark.parametrize(
    ("command", "code", "why"),
    [
        (("set", "Pro!", "weight=2"), 2, "a plan's name"),
        (("set", "pro", "weight"), 2, "name=value"),
        (("set", "pro", "max_queued=x"), 2, "max_queued"),
        (("remove", "pro"), 4, "no plan 'pro'"),
        (("assign", "--user", "u_1", "pro"), 4, "no plan 'pro'"),
        (("assign", "--user", "u_1"), 2, "--none"),
        (("assign", "--user", "u_1", "pro", "--none"), 2, "--none"),
        (("assign", "--user", "u 1", "--none"), 2, "user_id must be"),
        (("assign", "--user", "-", "--none"), 2, "user_id must be"),
        (("assign", "--user", "u" * 129, "--none"), 2, "user_id must be"),
    ],
)
def test_bad_plan_or_user_is_told_in_one_line(
    shell: Shell, command: tuple[str, ...], code: int, why: str
) -> None:
    ran = shell.run("plans", command[0], "--tenant", "acme", *command[1:])
    assert (ran.code, ran.out) == (code, "")
    assert why in ran.err
    assert ran.err.count("\n") == 1
