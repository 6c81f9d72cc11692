"""Fixtures of the whole suite: the event loop and real Postgres."""

from __future__ import annotations

import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests import environment  # noqa: F401  (cleans the environment before anything reads it)

# As it is without configuration, but with plain tracebacks: the pretty ones take seconds to draw.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(
            colors=False, exception_formatter=structlog.dev.plain_traceback
        ),
    ]
)
pytest_plugins = ["tests.postgres", "tests.object_store.fixtures"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses Postgres, so that it alone can be run on another version."""
    for item in items:
        if "server" in getattr(item, "fixturenames", ()):
            item.add_marker("postgres")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List and count the pins that nobody has read from their source yet; they fail no test."""
    from genjobs.gpu.stack import unresolved

    if found := unresolved():
        terminalreporter.section(f"{len(found)} unresolved pins (genjobs pins resolve)", sep="-")
        for name, reason in found.items():
            terminalreporter.write_line(f"{name}: {reason}")


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """What a command sets up is for its own test: later ones look at what is logged."""
    before = structlog.get_config()
    processors = before["processors"][:]
    yield
    if structlog.get_config() != before or before["processors"] != processors:
        before["processors"][:] = processors
        structlog.configure(**before)
        for name, module in list(sys.modules.items()):
            if name.startswith("genjobs") and hasattr(module, "_log"):
                vars(module._log).pop("bind", None)  # as it was configured when first used


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of this machine on which every connect is refused."""
    with socket.socket() as taken:  # bound and not listening
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture
def free_port() -> int:
    """A port of this machine that nobody uses at this moment."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


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
