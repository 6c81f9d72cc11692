"""Model files: fetched once, continued, proven; from a server on loopback."""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from genjobs.domain.errors import ConfigurationError, Unavailable
from genjobs.domain.pins import Model, Unresolved
from genjobs.gpu import models

CONTENT = bytes(range(256)) * 2000
MODEL = Model(
    path="checkpoints/tiny.safetensors",
    repository="owner/tiny",
    file="weights/tiny.safetensors",
    revision="a" * 40,
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    bytes=len(CONTENT),
    licence="of-the-test",
)


class Shelf(ThreadingHTTPServer):
    """Serves one file; breaks off and refuses as it is told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.ranges = True
        self.break_after: int | None = None
        self.status: int | None = None
        self.asked: list[str | None] = []
        self.paths: list[str] = []

    @property
    def hub(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def fetch(self, folder: Path, **changes: Any) -> int:
        return models.fetch_models([dataclasses.replace(MODEL, **changes)], folder, hub=self.hub)


class Handler(BaseHTTPRequestHandler):
    server: Shelf

    def do_GET(self) -> None:
        shelf, wanted = self.server, self.headers.get("Range")
        shelf.asked.append(wanted)
        shelf.paths.append(self.path)
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
    assert shelf.fetch(tmp_path) == 1
    assert shelf.fetch(tmp_path) == 0
    assert (tmp_path / MODEL.path).read_bytes() == CONTENT
    assert shelf.asked == [None]


@pytest.mark.parametrize("ranges", [True, False])
def test_download_that_broke_off_is_continued(shelf: Shelf, tmp_path: Path, ranges: bool) -> None:
    shelf.break_after, shelf.ranges = 100_000, ranges
    with pytest.raises(Unavailable):
        shelf.fetch(tmp_path)
    assert not (tmp_path / MODEL.path).exists()
    shelf.break_after = None

    assert shelf.fetch(tmp_path) == 1
    assert (tmp_path / MODEL.path).read_bytes() == CONTENT
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
        shelf.fetch(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_file_of_another_pin_is_replaced(shelf: Shelf, tmp_path: Path) -> None:
    path = tmp_path / MODEL.path
    path.parent.mkdir()
    path.write_bytes(bytes(len(CONTENT)))
    assert shelf.fetch(tmp_path) == 1
    assert path.read_bytes() == CONTENT


def test_server_that_refuses_is_unavailable(shelf: Shelf, tmp_path: Path) -> None:
    shelf.status = 503
    with pytest.raises(Unavailable, match="503"):
        shelf.fetch(tmp_path)


def test_server_that_is_not_there_is_unavailable(tmp_path: Path, closed_port: int) -> None:
    with pytest.raises(Unavailable):
        models.fetch_models([MODEL], tmp_path, hub=f"http://127.0.0.1:{closed_port}")


def test_what_is_asked_for_is_a_revision_and_no_branch(shelf: Shelf, tmp_path: Path) -> None:
    shelf.fetch(tmp_path)
    assert shelf.paths == [f"/owner/tiny/resolve/{'a' * 40}/weights/tiny.safetensors"]


@pytest.mark.parametrize("proof", [None, "half"])
def test_file_whose_proof_was_lost_is_hashed_and_not_fetched_again(
    shelf: Shelf, tmp_path: Path, proof: str | None
) -> None:
    shelf.fetch(tmp_path)
    [kept] = tmp_path.rglob("*.sha256")
    kept.unlink()
    if proof is not None:
        kept.write_text(proof)

    assert shelf.fetch(tmp_path) == 0
    assert kept.read_text() == MODEL.sha256
    assert shelf.asked == [None]


@pytest.mark.parametrize("part", ["revision", "sha256", "bytes", "licence"])
def test_model_that_is_not_pinned_is_refused_before_any_is_fetched(
    shelf: Shelf, tmp_path: Path, part: str
) -> None:
    loose = dataclasses.replace(MODEL, path="vae/x", **{part: Unresolved("nobody read it")})
    with pytest.raises(ConfigurationError, match="not pinned yet: vae/x;"):
        models.fetch_models([MODEL, loose], tmp_path, hub=shelf.hub)
    assert shelf.asked == []


def test_path_outside_of_the_folder_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="outside"):
        shelf.fetch(tmp_path / "models", path="../outside")
