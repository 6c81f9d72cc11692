"""Fixtures of the whole suite: the event loop and real Postgres."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests import environment  # noqa: F401  (cleans the environment before anything reads it)

# The default prints all local variables of a traceback, which takes seconds where a harness is one.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)

pytest_plugins = ["tests.postgres"]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """
    An empty folder that every user may enter, unlike ``tmp_path``.

    When the tests run as root, Postgres runs as another user; and pytest closes the folder above
    ``tmp_path`` again whenever another run of it begins.
    """
    folder = Path(tempfile.mkdtemp(prefix="genjobs-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
