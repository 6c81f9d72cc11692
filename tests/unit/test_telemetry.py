"""What may not be in a log is not, whoever passes it and however it is written."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator

import pytest
import structlog

from genjobs.telemetry import configure_logging, masked
from genjobs.testing import a_key_text

KEY = a_key_text("logged").reveal()
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1XzEifQ.c2lnbmF0dXJl"
ROW = "DETAIL:  Failing row contains (1, u_42, queued)."


@pytest.fixture(params=[True, False], ids=["json", "text"])
def log(
    request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[[], str]]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    try:
        configure_logging(json=request.param, level="debug")
        yield lambda: capsys.readouterr().err
    finally:
        root.handlers = handlers
        root.setLevel(level)


def test_credentials_are_masked_in_fields_texts_and_tracebacks(log: Callable[[], str]) -> None:
    logger = structlog.get_logger("test")
    try:
        raise ValueError(f"bad {KEY}\n{ROW}")
    except ValueError:
        logger.exception("it.failed", user_id="u_42", reason=f"Bearer {TOKEN}", other=TOKEN)

    said = log()
    assert "it.failed" in said
    assert "ValueError" in said
    for secret in (KEY, a_key_text("logged").secret, TOKEN, "u_42"):
        assert secret not in said


def test_logger_that_was_used_before_heeds_what_is_configured_later(
    log: Callable[[], str],
) -> None:
    logger = structlog.get_logger("test")
    logger.info("used")
    configure_logging(json=True, level="debug")
    with structlog.testing.capture_logs() as captured:
        logger.info("captured")
    logger.info("said")

    assert [event["event"] for event in captured] == ["captured"]
    assert '"said"' in log()


def test_records_of_libraries_are_masked_too(log: Callable[[], str]) -> None:
    try:
        raise ValueError(f"bad {KEY}\n{ROW}")
    except ValueError:
        logging.getLogger("library").exception("of %s at postgresql://a:pw@host/db", TOKEN)

    said = log()
    assert "ValueError" in said
    for secret in (KEY, TOKEN, "u_42", "pw@"):
        assert secret not in said


def test_json_is_one_object_a_line(log: Callable[[], str]) -> None:
    structlog.get_logger("test").info("it.happened", count=3)
    line = log()
    if line.startswith("{"):
        assert json.loads(line)["count"] == 3
    else:
        assert "count=3" in line


@pytest.mark.parametrize("harmless", ["gj_live_ is what keys begin with", "HTTP://host:80/x", "3"])
def test_harmless_text_stays(harmless: str) -> None:
    assert masked(harmless) == harmless
