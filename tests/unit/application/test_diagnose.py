"""Examinations: bounded, none stopping the next; and how what was seen is judged."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from genjobs.application.diagnose import MADE_BY_DEPLOYING, Check, diagnose, has_failed
from genjobs.application.examine_database import (
    Role,
    judge_clock,
    judge_connections,
    judge_login,
    judge_pooling,
    judge_server,
)
from genjobs.application.examine_platform import judge_pins, judge_proxy_auth
from genjobs.bootstrap.doctor.databases import most_connections
from genjobs.domain.diagnosis import Finding, Outcome, failed, ok
from genjobs.domain.errors import ConfigurationError, Unavailable
from genjobs.domain.fixes import FIXES, FIXES_BY_PART
from genjobs.domain.ports import LoginFacts
from genjobs.settings.deployment import DeploymentSettings

NOW = datetime(2026, 11, 27, tzinfo=UTC)


def check(name: str, *found: Finding, raises: BaseException | None = None) -> Check:
    async def look() -> Sequence[Finding]:
        if raises is not None:
            raise raises
        return found

    return Check(name=name, look=look)


def login(**facts: Any) -> LoginFacts:
    """Return a login of the API as it should be, but for what is given."""
    return LoginFacts(
        **{
            "login": "site_api",
            "server_version": 150018,
            "now": NOW,
            "superuser": False,
            "bypasses_rls": False,
            "may_become_powerful": False,
            "owns_tables": False,
            "owns_schema": False,
            "is_api": True,
            "is_worker": False,
            "creates_in_database": False,
            "creates_roles": False,
            "reads_jobs": True,
            "makes_jobs": True,
            "dispatches": False,
            "walled": True,
            "most_connections": 97,
        }
        | facts
    )


async def test_check_that_raises_or_takes_too_long_does_not_stop_the_next() -> None:
    async def sleep() -> Sequence[Finding]:
        await asyncio.sleep(30)
        return []

    found = await diagnose(
        [
            check("a", raises=ConfigurationError("this is not right")),
            check("b", raises=Unavailable("nobody answers")),
            check("c", raises=RuntimeError("password")),
            check("d", raises=TimeoutError()),
            Check(name="e", look=sleep, limit=timedelta(seconds=0.02)),
            check("f", ok("f", "well")),
        ]
    )
    assert [(item.check, item.code) for item in found] == [
        ("a", "settings_refused"),
        ("b", "check_crashed"),
        ("c", "check_crashed"),
        ("d", "check_crashed"),
        ("e", "check_too_slow"),
        ("f", None),
    ]
    assert (found[0].seen, found[1].seen) == ("this is not right", "nobody answers")
    assert found[2].seen == "RuntimeError"  # not what an unforeseen error says: it may be anything
    assert has_failed(found)
    assert not has_failed(found[5:])


async def test_cancelled_examination_ends() -> None:
    with pytest.raises(asyncio.CancelledError):
        await diagnose([check("a", raises=asyncio.CancelledError())])


async def test_what_deploying_mends_only_warns_before_it() -> None:
    mended, other = failed("a", "not_migrated", ""), failed("b", "role_wrong", "")
    found = await diagnose([check("a", mended, other)], before_deploying=True)
    assert [item.outcome for item in found] == [Outcome.WARNING, Outcome.FAILED]
    assert set(FIXES) >= MADE_BY_DEPLOYING


def test_each_code_has_one_fix() -> None:
    assert len(FIXES) == sum(len(part) for part in FIXES_BY_PART.values())
    assert all(fix.endswith(".") for fix in FIXES.values())


@pytest.mark.parametrize(
    ("role", "facts", "code"),
    [
        (Role.API, {}, None),
        (Role.API, {"superuser": True}, "role_too_powerful"),
        (Role.API, {"may_become_powerful": True}, "role_too_powerful"),
        (Role.API, {"owns_tables": True}, "role_too_powerful"),
        (Role.API, {"is_api": None, "is_worker": None}, "not_migrated"),
        (Role.API, {"is_worker": True}, "role_wrong"),
        (Role.API, {"makes_jobs": None}, "not_migrated"),
        (Role.API, {"reads_jobs": False}, "role_reaches_too_little"),
        (Role.API, {"walled": False}, "row_security_inactive"),
        (Role.WORKER, {}, "role_wrong"),
        (Role.WORKER, {"is_api": False, "is_worker": True}, "role_reaches_too_little"),
        (Role.OWNER, {"owns_schema": True}, None),
        (Role.OWNER, {}, "owner_wrong"),
        (Role.OWNER, {"owns_schema": None}, "owner_may_not_create"),
        (Role.OWNER, {"owns_schema": True, "is_api": None}, "owner_may_not_create"),
        (Role.OWNER, {"owns_schema": None, "creates_in_database": True}, None),
        (Role.OWNER, {"owns_schema": True, "bypasses_rls": True}, "owner_bypasses"),
    ],
)
def test_login_is_judged(role: Role, facts: dict[str, Any], code: str | None) -> None:
    assert judge_login("x", role, login(**facts))[0].code == code


@pytest.mark.parametrize(
    ("role", "shared", "declared", "code"),
    [
        (Role.API, False, False, None),
        (Role.API, True, True, None),
        (Role.WORKER, True, False, "pooler_not_declared"),
        (Role.WORKER, False, True, "pooler_not_seen"),
        (Role.OWNER, False, False, None),
        (Role.OWNER, True, False, "owner_pooled"),
        (Role.OWNER, False, True, "owner_pooled"),
    ],
)
def test_pooler_is_judged(role: Role, shared: bool, declared: bool, code: str | None) -> None:
    assert judge_pooling("x", role, shared, declared=declared).code == code


@pytest.mark.parametrize(
    ("seconds", "code"),
    [(0, None), (1.5, None), (-3, "clock_differs"), (4, "clock_differs"), (-20, "clock_far")],
)
def test_clock_is_judged_beyond_what_the_look_took(seconds: float, code: str | None) -> None:
    theirs = NOW + timedelta(seconds=seconds)
    assert judge_clock(theirs, NOW, NOW + timedelta(seconds=0.1)).code == code


def test_server_must_be_15_or_later() -> None:
    assert judge_server(140019).code == "postgres_too_old"
    assert judge_server(150000).seen == "Postgres 15.0"


def test_connections_of_the_whole_deployment_must_fit() -> None:
    deployment = DeploymentSettings()  # type: ignore[call-arg]
    assert most_connections(deployment) == 80
    assert most_connections(deployment.model_copy(update={"proxy_auth": True})) == 96
    assert judge_connections(80, 97, pooled=False).code is None
    assert judge_connections(80, 60, pooled=False).code == "connections_too_few"
    assert judge_connections(80, 60, pooled=True).code is None


def test_pins_stop_a_deployment_and_not_what_runs() -> None:
    missing = {"torch": "nobody read it"}
    assert judge_pins({}, before_deploying=True).outcome is Outcome.OK
    assert judge_pins(missing, before_deploying=True).outcome is Outcome.FAILED
    assert judge_pins(missing, before_deploying=False).outcome is Outcome.WARNING


def test_proxy_authentication_without_a_function_for_browsers_warns() -> None:
    assert judge_proxy_auth(required=False, second_function=False).code is None
    assert judge_proxy_auth(required=True, second_function=True).code is None
    found = judge_proxy_auth(required=True, second_function=False)
    assert (found.code, found.outcome) == ("proxy_auth_shuts_browsers", Outcome.WARNING)
