"""
Logging: structlog set up once per process, to standard error, with redaction.

Which events exist is told where they happen; nothing here sends logs anywhere else.
"""

from __future__ import annotations

import io
import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final, TextIO, cast

import structlog

#: Field names that never reach a log in clear, whoever passes them.
_SECRET_FIELDS: Final = frozenset(
    {"authorization", "token", "key", "secret", "password", "signature", "user_id", "url", "query"}
)
#: What is masked inside texts, tracebacks too, and what is left of it.
_MASKS: Final = (
    (re.compile(r"(?i)(bearer\s+)[^\s\"']+"), r"\1[redacted]"),
    (re.compile(r"(://[^/\s:@]*:)[^@/\s]+(@)"), r"\1[redacted]\2"),
    (re.compile(r"(gj_(?:live|test)_[0-9A-Za-z]{12}_)[0-9A-Za-z]+"), r"\1[redacted]"),
    (re.compile(r"eyJ[\w-]+\.[\w-]*\.[\w-]*"), "[redacted]"),
    # Postgres shows the row that it refuses, with whatever is in it.
    (re.compile(r"(?m)^(DETAIL: ).*$"), r"\1 [redacted]"),
)


def configure_logging(*, json: bool, level: str = "info") -> None:
    """Send structlog events and library logs to standard error, as JSON lines or for people."""
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            pad_event_to=24,
            # It is a text already; the pretty one would print local variables, keys among them.
            exception_formatter=structlog.dev.plain_traceback,
        )
    )
    minimum = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    # In place: a logger that was used before keeps the list it had then.
    processors = structlog.get_config()["processors"]
    processors[:] = [*shared, renderer]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(minimum),
        logger_factory=structlog.PrintLoggerFactory(_STANDARD_ERROR),
        cache_logger_on_first_use=True,
    )
    # Libraries: their warnings only; httpx would log every URL with its query at INFO.
    handler = logging.StreamHandler(_STANDARD_ERROR)
    handler.setFormatter(_Masking("%(message)s"))
    logging.basicConfig(handlers=[handler], level=max(minimum, logging.WARNING))


class _StandardError(io.TextIOBase):
    """Standard error as it is when written to: loggers live longer than what it is bound to."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


_STANDARD_ERROR: Final = cast("TextIO", _StandardError())


class _Masking(logging.Formatter):
    """Formats records of libraries, their tracebacks too, without credentials."""

    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record))


def redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace secret fields, and credentials inside any text field."""
    for field, value in event.items():
        if field in _SECRET_FIELDS:
            event[field] = "[redacted]"
        elif isinstance(value, str):
            event[field] = masked(value)
    return event


def masked(text: str) -> str:
    """Return a text without what is known to be a credential in it."""
    for pattern, left in _MASKS:
        text = pattern.sub(left, text)
    return text
