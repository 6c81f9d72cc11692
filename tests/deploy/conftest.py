"""Control planes, and a client of them."""

from __future__ import annotations

from collections.abc import Iterator

import modal
import pytest
from modal_proto import api_pb2

from tests.deploy.plane import Served, serve


@pytest.fixture
def served() -> Iterator[Served]:
    with serve() as served:
        yield served


@pytest.fixture
def client(served: Served) -> Iterator[modal.Client]:
    with modal.Client(served.url, api_pb2.CLIENT_TYPE_CLIENT, ("ak-x", "as-x")) as client:
        yield client
