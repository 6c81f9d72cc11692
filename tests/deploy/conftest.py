"""Control planes, and a client of them."""

from __future__ import annotations

from collections.abc import Iterator

import modal
import pytest
from modal_proto import api_pb2

from tests.deploy.deploying import deploy
from tests.deploy.plane import Plane, Served, serve


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Plane:
    """What `modal deploy` made of our module, without a warning; made once."""
    with serve() as served:
        done = deploy(served, tmp_path_factory.mktemp("deploy"))
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Warning" not in done.stdout + done.stderr
        return served.plane


@pytest.fixture(scope="session")
def behind_proxy_auth(tmp_path_factory: pytest.TempPathFactory) -> Plane:
    """The same with proxy authentication and other settings changed."""
    with serve() as served:
        done = deploy(
            served,
            tmp_path_factory.mktemp("deploy"),
            GENJOBS_MODAL_APP="other",
            GENJOBS_MODAL_GPUS='["L4"]',
            GENJOBS_MODAL_MAX_CONTAINERS="3",
            GENJOBS_MODAL_WORKER_PLACES="2",
            GENJOBS_MODAL_PROXY_AUTH="true",
            GENJOBS_MODAL_READER_SECRET="for-reads",
            GENJOBS_RENDERER_WAIT_SECONDS="4000.5",
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Warning" not in done.stdout + done.stderr
        return served.plane


@pytest.fixture
def served() -> Iterator[Served]:
    with serve() as served:
        yield served


@pytest.fixture
def client(served: Served) -> Iterator[modal.Client]:
    with modal.Client(served.url, api_pb2.CLIENT_TYPE_CLIENT, ("ak-x", "as-x")) as client:
        yield client
