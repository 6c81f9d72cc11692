"""Model files: fetched once, continued, proven; from a server on loopback."""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from genjobs.domain.errors import ConfigurationError, Unavailable
from genjobs.gpu.models import fetch_models
from genjobs.gpu.stack import Model, Unresolved

CONTENT = bytes(range(256)) * 2000


class Shelf(ThreadingHTTPServer):
    """Serves one file; breaks off and refuses as it is told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.ranges = True
        self.break_after: int | None = None
        self.status: int | None = None
        self.asked: list[str | None] = []

    @property
    def model(self) -> Model:
        return Model(
            path="checkpoints/tiny.safetensors",
            url=f"http://127.0.0.1:{self.server_port}/tiny",
            sha256=hashlib.sha256(CONTENT).hexdigest(),
            bytes=len(CONTENT),
            licence="of the test",
        )


class Handler(BaseHTTPRequestHandler):
    server: Shelf

    def do_GET(self) -> None:
        shelf, wanted = self.server, self.headers.get("Range")
        shelf.asked.append(wanted)
        if shelf.status is not None:
            self.send_error(shelf.status)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and shelf.ranges else 0
        body = shelf.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if shelf.break_after is None else body[: shelf.break_after])

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    with Shelf() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_model_is_fetched_once(shelf: Shelf, tmp_path: Path) -> None:
    assert fetch_models([shelf.model], tmp_path) == 1
    assert fetch_models([shelf.model], tmp_path) == 0
    assert (tmp_path / shelf.model.path).read_bytes() == CONTENT
    assert shelf.asked == [None]


@pytest.mark.parametrize("ranges", [True, False])
def test_download_that_broke_off_is_continued(shelf: Shelf, tmp_path: Path, ranges: bool) -> None:
    shelf.break_after, shelf.ranges = 100_000, ranges
    with pytest.raises(Unavailable):
        fetch_models([shelf.model], tmp_path)
    assert not (tmp_path / shelf.model.path).exists()
    shelf.break_after = None

    assert fetch_models([shelf.model], tmp_path) == 1
    assert (tmp_path / shelf.model.path).read_bytes() == CONTENT
    assert shelf.asked[0] is None
    assert shelf.asked[1] is not None
    if ranges:
        assert 0 < int(shelf.asked[1].removeprefix("bytes=").rstrip("-")) <= 100_000


@pytest.mark.parametrize(
    "content", [CONTENT[:-1] + b"?", CONTENT + b"more"], ids=["other bytes", "longer"]
)
def test_content_that_is_not_what_was_pinned_is_not_kept(
    shelf: Shelf, tmp_path: Path, content: bytes
) -> None:
    shelf.content = content
    with pytest.raises(ConfigurationError, match="pin"):
        fetch_models([shelf.model], tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_file_of_another_pin_is_replaced(shelf: Shelf, tmp_path: Path) -> None:
    path = tmp_path / shelf.model.path
    path.parent.mkdir()
    path.write_bytes(bytes(len(CONTENT)))
    assert fetch_models([shelf.model], tmp_path) == 1
    assert path.read_bytes() == CONTENT


def test_server_that_refuses_is_unavailable(shelf: Shelf, tmp_path: Path) -> None:
    shelf.status = 503
    with pytest.raises(Unavailable, match="503"):
        fetch_models([shelf.model], tmp_path)


def test_server_that_is_not_there_is_unavailable(tmp_path: Path, closed_port: int) -> None:
    model = Model(
        path="x", url=f"http://127.0.0.1:{closed_port}/", sha256="0" * 64, bytes=1, licence=""
    )
    with pytest.raises(Unavailable):
        fetch_models([model], tmp_path)


def test_model_that_is_not_pinned_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    for part in ("url", "sha256"):
        model = dataclasses.replace(shelf.model, **{part: Unresolved("nobody read it")})
        with pytest.raises(ConfigurationError, match="not pinned"):
            fetch_models([model], tmp_path)
    assert shelf.asked == []


def test_path_outside_of_the_folder_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    model = dataclasses.replace(shelf.model, path="../outside")
    with pytest.raises(ConfigurationError, match="outside"):
        fetch_models([model], tmp_path / "models")
