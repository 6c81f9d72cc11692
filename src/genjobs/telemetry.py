"""
Logging: structlog set up once per process, to standard error, with redaction.

Which events exist is told where they happen; nothing here sends logs anywhere else.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

#: Field names that never reach a log in clear, whoever passes them.
_SECRET_FIELDS: Final = frozenset(
    {"authorization", "token", "key", "secret", "password", "signature", "user_id", "url", "query"}
)
_CREDENTIALS: Final = re.compile(r"(?i)(bearer\s+)[^\s\"']+|(://[^/\s:@]*:)[^@/\s]+(@)")


def configure_logging(*, json: bool, level: str = "info") -> None:
    """Send structlog events and library logs to standard error, as JSON lines or for people."""
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            pad_event_to=24,
            # The pretty one prints local variables: keys and users among them.
            exception_formatter=structlog.dev.plain_traceback,
        )
    )
    minimum = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, renderer]
        if json
        else [*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(minimum),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # Libraries: their warnings only; httpx would log every URL with its query at INFO.
    logging.basicConfig(
        stream=sys.stderr, level=max(minimum, logging.WARNING), format="%(message)s"
    )


def redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace secret fields, and credentials inside any text field."""
    for field, value in event.items():
        if field in _SECRET_FIELDS:
            event[field] = "[redacted]"
        elif isinstance(value, str):
            event[field] = _CREDENTIALS.sub(_masked, value)
    return event


def _masked(match: re.Match[str]) -> str:
    if match.group(1):
        return f"{match.group(1)}[redacted]"
    return f"{match.group(2)}[redacted]{match.group(3)}"
