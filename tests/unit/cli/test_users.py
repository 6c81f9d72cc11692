"""``genjobs users`` on fakes."""

from __future__ import annotations

import pytest

from genjobs.domain.tenancy import Owner
from tests.unit.cli.administrating import Shell


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    shell = Shell(capture=capsys, patch=monkeypatch)
    shell.done("tenants", "create", "acme")
    return shell


def test_user_is_erased_and_the_receipt_shown(shell: Shell) -> None:
    begun = shell.done("users", "erase", "--tenant", "acme", "--user", "-", stdin="u_42\n")
    assert (begun["kind"], begun["status"], begun["jobs"]) == ("user", "running", 0)
    assert begun["id"].startswith("era_")
    assert "u_42" not in str(begun)
    [tenant] = shell.jobs.tenants.tenant_notes
    assert shell.jobs.erased_users == {Owner(tenant_id=tenant, user_id="u_42")}
    again = shell.done("users", "erase", "--tenant", "acme", "--user", "u_42")
    assert again == begun
    assert shell.done("users", "erasure", "--tenant", "acme", begun["id"]) == begun
    assert begun["id"] in shell.run("users", "erasure", "--tenant", "acme", begun["id"]).out


def test_what_is_not_there_is_said_to_be_so(shell: Shell) -> None:
    shell.done("tenants", "create", "other")
    begun = shell.done("users", "erase", "--tenant", "acme", "--user", "u_42")
    for arguments in (
        ("erase", "--tenant", "nobody", "--user", "u_42"),
        ("erase", "--tenant", "acme", "--user", "not a user"),
        ("erasure", "--tenant", "other", begun["id"]),
        ("erasure", "--tenant", "acme", "era_nonsense"),
    ):
        ran = shell.run("users", *arguments)
        assert ran.code != 0, arguments
        assert ran.out == ""
        assert "Traceback" not in ran.err
