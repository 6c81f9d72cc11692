"""The contract of signed URLs as clients meet them, over HTTP: what they serve, and to whom."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar
from urllib.parse import unquote, urlsplit, urlunsplit

import pytest

from genjobs.domain.artifacts import ArtifactKey, output_key
from genjobs.domain.ports import ArtifactStore
from genjobs.testing.contracts.artifact_files import (
    LATER,
    NAME,
    NOW,
    SignedFixtures,
    a_job_id,
    altered,
    stream,
)
from genjobs.testing.factories import an_owner

CONTENT = b"0123456789 secret"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What a client was answered."""

    status: int
    #: Names in lower case.
    headers: Mapping[str, str]
    content: bytes


#: ``fetch(method, url, at, headers)``: sends a request without credentials at a moment.
Fetch = Callable[[str, str, datetime, Mapping[str, str]], Awaitable[Fetched]]


class SignedUrlContract(SignedFixtures):
    """Needs the fixture ``fetch``, and those of ``SignedFixtures``: ``store`` and ``stranger``."""

    #: Whether what serves the URLs can add headers of its own.
    adds_headers: ClassVar[bool] = True

    @pytest.fixture
    def fetch(self) -> Fetch:
        """Return what sends requests."""
        raise NotImplementedError

    @pytest.fixture
    def key(self) -> ArtifactKey:
        """Return the key of some output."""
        return output_key(an_owner(), a_job_id(), 1, "out_a")

    @pytest.fixture
    async def url(self, store: ArtifactStore, key: ArtifactKey) -> str:
        """Return the signed URL of a file with ``CONTENT``."""
        await store.put(key, stream(CONTENT), content_type="application/octet-stream")
        return _sign(store, key)

    async def test_signed_url_serves_the_file(self, url: str, fetch: Fetch) -> None:
        answer = await fetch("GET", url, NOW, {})

        assert (answer.status, answer.content) == (200, CONTENT)
        assert answer.headers["content-type"] == "image/png"
        assert answer.headers["content-length"] == str(len(CONTENT))
        assert answer.headers["content-disposition"].startswith("attachment; ")
        if self.adds_headers:
            assert answer.headers["x-content-type-options"] == "nosniff"

    async def test_signing_again_is_fine(
        self, store: ArtifactStore, key: ArtifactKey, url: str, fetch: Fetch
    ) -> None:
        for again in (_sign(store, key), _sign(store, key, LATER + timedelta(minutes=1)), url):
            assert (await fetch("GET", again, NOW, {})).content == CONTENT

    @pytest.mark.parametrize(
        "name",
        [
            NAME,
            "映画 🎬.mp4",
            'a"b;c\\d%41.png',
            "line\r\nSet-Cookie: a=b.png",
            "../../etc/passwd",
            " lead and trail ",
            "x" * 255,
            "plain.png",
        ],
    )
    async def test_download_has_its_name(
        self, store: ArtifactStore, key: ArtifactKey, url: str, fetch: Fetch, name: str
    ) -> None:
        signed = store.signed_url(key, expires_at=LATER, filename=name, content_type="image/png")
        answer = await fetch("GET", signed, NOW, {})

        assert (answer.status, answer.content) == (200, CONTENT)
        disposition = answer.headers["content-disposition"]
        exact = re.search(r"filename\*=UTF-8''([^;\s]+)$", disposition)
        assert exact
        assert unquote(exact.group(1), errors="strict") == name
        assert disposition.isascii()
        assert disposition.isprintable()
        assert "set-cookie" not in answer.headers

    async def test_name_that_is_no_unicode_is_served_nearly(
        self, store: ArtifactStore, key: ArtifactKey, url: str, fetch: Fetch
    ) -> None:
        signed = store.signed_url(key, expires_at=LATER, filename="\udc80", content_type="a/b")
        answer = await fetch("GET", signed, NOW, {})
        assert answer.headers["content-disposition"].endswith("filename*=UTF-8''%3F")

    async def test_url_expires_to_the_second(self, url: str, fetch: Fetch) -> None:
        second = timedelta(seconds=1)
        assert (await fetch("GET", url, LATER - second, {})).status == 200
        for moment in (LATER, LATER + second, LATER + timedelta(days=400)):
            _refused(await fetch("GET", url, moment, {}))

    @pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH"])
    async def test_url_is_good_for_nothing_but_reading(
        self, store: ArtifactStore, key: ArtifactKey, url: str, fetch: Fetch, method: str
    ) -> None:
        _refused(await fetch(method, url, NOW, {}))
        assert await store.stat(key) == len(CONTENT)

    async def test_changing_any_member_makes_it_useless(self, url: str, fetch: Fetch) -> None:
        for other in altered(url):
            _refused(await fetch("GET", other, NOW, {}))

    @pytest.mark.parametrize(
        ("part", "other"),
        [
            ("out_a", "out_b"),
            ("out_a", "out_a%2F..%2Fout_b"),
            ("out_a", "..%2Fattempt_1%2Fout_b"),
            ("attempt_1/", "attempt_1%2F%2e%2e%2Fattempt_1/"),
            ("/attempt_1", "//attempt_1"),
            ("out_a", "out_a%00"),
            ("out_a", "out_a/"),
            ("out_a", "OUT_A"),
            ("out_a", ""),
            ("t/", "t/%2e/"),
        ],
    )
    async def test_signature_of_one_path_is_none_of_another(
        self, store: ArtifactStore, key: ArtifactKey, url: str, fetch: Fetch, part: str, other: str
    ) -> None:
        beside = ArtifactKey(key.replace("out_a", "out_b"))
        await store.put(beside, stream(b"other secret"), content_type="image/png")
        parts = urlsplit(url)
        path = other.join(parts.path.rsplit(part, 1))
        assert path != parts.path
        _refused(await fetch("GET", urlunsplit(parts._replace(path=path)), NOW, {}))

    async def test_signature_of_another_secret_is_none(
        self, stranger: ArtifactStore, key: ArtifactKey, url: str, fetch: Fetch
    ) -> None:
        forged = _sign(stranger, key)
        assert urlsplit(forged).path == urlsplit(url).path
        _refused(await fetch("GET", forged, NOW, {}))

    async def test_part_of_a_file_is_served(self, url: str, fetch: Fetch) -> None:
        for wanted, part, shown in (
            ("bytes=2-4", CONTENT[2:5], "2-4"),
            ("bytes=10-", CONTENT[10:], "10-16"),
            ("bytes=-3", CONTENT[-3:], "14-16"),
            ("bytes=15-99", CONTENT[15:], "15-16"),
        ):
            answer = await fetch("GET", url, NOW, {"Range": wanted})
            assert (answer.status, answer.content) == (206, part)
            assert answer.headers["content-range"] == f"bytes {shown}/{len(CONTENT)}"

    async def test_part_outside_a_file_is_416(self, url: str, fetch: Fetch) -> None:
        answer = await fetch("GET", url, NOW, {"Range": "bytes=17-"})
        assert answer.status == 416

    async def test_missing_file_is_404(
        self, store: ArtifactStore, key: ArtifactKey, url: str, fetch: Fetch
    ) -> None:
        await store.delete([key])
        assert (await fetch("GET", url, NOW, {})).status == 404

    async def test_replaced_file_is_served_by_the_same_url(
        self, store: ArtifactStore, key: ArtifactKey, url: str, fetch: Fetch
    ) -> None:
        await store.put(key, stream(b"new"), content_type="image/png")
        assert (await fetch("GET", url, NOW, {})).content == b"new"

    async def test_empty_file_is_served(
        self, store: ArtifactStore, key: ArtifactKey, fetch: Fetch
    ) -> None:
        await store.put(key, stream(), content_type="image/png")
        answer = await fetch("GET", _sign(store, key), NOW, {})
        assert (answer.status, answer.content) == (200, b"")
        assert answer.headers["content-length"] == "0"


def _sign(store: ArtifactStore, key: ArtifactKey, expires_at: datetime = LATER) -> str:
    return store.signed_url(key, expires_at=expires_at, filename=NAME, content_type="image/png")


def _refused(answer: Fetched) -> None:
    assert 400 <= answer.status < 500
    assert b"secret" not in answer.content
