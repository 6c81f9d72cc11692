"""The error tree as it is drawn: the same classes, under the same parents, with the same codes."""

from __future__ import annotations

import re

import pytest

from genjobs.domain import errors
from genjobs.domain.errors import GenjobsError, NodeError
from genjobs.domain.job import JobError

_LINE = re.compile(r"^(?P<indent>[│ ]*)[├└]── (?P<name>\w+)(?: +(?P<rest>\S.*))?$")


def _drawn() -> list[tuple[str, str, str]]:
    """Return name, parent and what is written beside each class of the drawing."""
    path = ["GenjobsError"]
    found = []
    for line in (errors.__doc__ or "").splitlines():
        match = _LINE.match(line.strip("\n").removeprefix("    "))
        if match:
            depth = len(match["indent"]) // 4 + 1
            path[depth:] = [match["name"]]
            found.append((match["name"], path[depth - 1], match["rest"] or ""))
    return found


def test_each_class_is_drawn_once_under_its_parent() -> None:
    drawn = {(name, parent) for name, parent, _ in _drawn()}
    classes = {(cls.__name__, base.__name__) for cls in errors.leaves() for base in cls.__bases__}

    assert drawn == classes
    assert len(drawn) == len(_drawn())


def test_each_leaf_is_drawn_with_its_code() -> None:
    beside = {name: rest for name, _, rest in _drawn()}
    leaves = [cls for cls in errors.leaves() if not cls.__subclasses__()]

    assert {cls.__name__: beside[cls.__name__] for cls in leaves} == {
        cls.__name__: cls.code for cls in leaves
    }


@pytest.mark.parametrize("cls", list(errors.leaves()), ids=lambda cls: cls.__name__)
def test_class_has_its_own_code_and_a_message_that_is_public(cls: type[GenjobsError]) -> None:
    message = cls().message

    assert re.fullmatch(r"[a-z][a-z0-9_]*", cls.code)
    assert "code" in vars(cls)
    assert str(cls()) == message == (cls.__doc__ or "").strip().splitlines()[0]
    assert message[0].isupper()
    for forbidden in ("Traceback", "/", "\\", "http", ".py"):
        assert forbidden not in message


def test_error_carries_where_it_happened_to_the_job() -> None:
    failure = NodeError("Node 3 failed.", node_id="3", node_class="KSampler")
    assert JobError.of(failure) == JobError(
        code="node_error",
        message="Node 3 failed.",
        node_id="3",
        node_class="KSampler",
        retryable=False,
    )


def test_only_what_another_try_may_mend_is_retryable() -> None:
    retryable = {cls.code for cls in errors.leaves() if cls.retryable}
    assert retryable == {
        "unavailable",
        "limit_reached",
        "rate_limited",
        "quota_exceeded",
        "queue_full",
        "uploads_full",
        "user_being_erased",
        "download_failed",
        "inspection_failed",
        "input_unavailable",
        "queue_timeout",
        "worker_lost",
        "engine_failed",
        "device_failed",
        "output_not_stored",
    }
