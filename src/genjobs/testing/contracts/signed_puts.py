"""The contract of signed PUTs as clients meet them, over HTTP: one file, as declared, once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from urllib.parse import urlsplit, urlunsplit

import pytest

from genjobs.domain.artifacts import ArtifactKey, input_key, upload_key
from genjobs.domain.ids import UploadId
from genjobs.domain.ports import ArtifactStore, SignedPut
from genjobs.testing.clock import SequentialIds
from genjobs.testing.contracts.artifact_files import (
    LATER,
    NOW,
    SignedFixtures,
    a_job_id,
    altered,
    content_of,
    stream,
)
from genjobs.testing.contracts.signed_urls import Fetched
from genjobs.testing.factories import an_owner

CONTENT = b"0123456789 secret"

#: ``send(method, url, at, headers, content)``: sends a request without credentials at a moment.
#: Content in several pieces is sent without a length.
Send = Callable[[str, str, datetime, Mapping[str, str], bytes | list[bytes]], Awaitable[Fetched]]


class SignedPutContract(SignedFixtures):
    """Needs the fixture ``send``, and those of ``SignedFixtures``: ``store`` and ``stranger``."""

    @pytest.fixture
    def send(self) -> Send:
        """Return what sends requests."""
        raise NotImplementedError

    @pytest.fixture
    def key(self) -> ArtifactKey:
        """Return the key of some upload."""
        return upload_key(an_owner(), UploadId(SequentialIds().uuid7(NOW)))

    @pytest.fixture
    def put(self, store: ArtifactStore, key: ArtifactKey) -> SignedPut:
        """Return a signed PUT for ``CONTENT``."""
        return _sign(store, key)

    async def test_file_is_put(
        self, store: ArtifactStore, key: ArtifactKey, put: SignedPut, send: Send
    ) -> None:
        answer = await send("PUT", put.url, NOW, put.headers, CONTENT)

        assert answer.status == 200
        assert await content_of(store, key) == CONTENT

    async def test_headers_to_be_sent_are_ones_that_a_page_can_set(self, put: SignedPut) -> None:
        assert put.headers["Content-Type"] == "image/png"
        assert put.headers.keys() <= {"Content-Type", "If-None-Match"}

    async def test_large_file_is_put(
        self, store: ArtifactStore, key: ArtifactKey, send: Send
    ) -> None:
        large = bytes(range(256)) * 50_000  # more than any limit of other bodies
        put = _sign(store, key, length=len(large))
        assert (await send("PUT", put.url, NOW, put.headers, large)).status == 200
        assert await store.stat(key) == len(large)

    async def test_url_expires_to_the_second(
        self, store: ArtifactStore, key: ArtifactKey, put: SignedPut, send: Send
    ) -> None:
        second = timedelta(seconds=1)
        for moment in (LATER, LATER + second, LATER + timedelta(days=400)):
            _refused(await send("PUT", put.url, moment, put.headers, CONTENT))
            assert await store.stat(key) is None
        assert (await send("PUT", put.url, LATER - second, put.headers, CONTENT)).status == 200

    @pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "PATCH"])
    async def test_url_is_good_for_nothing_but_putting(
        self, store: ArtifactStore, key: ArtifactKey, put: SignedPut, send: Send, method: str
    ) -> None:
        await store.put(key, stream(CONTENT), content_type="image/png")
        content = b"" if method in {"GET", "HEAD"} else CONTENT[::-1]
        _refused(await send(method, put.url, NOW, put.headers, content))
        assert await content_of(store, key) == CONTENT

    async def test_url_for_reading_is_none_for_putting(
        self, store: ArtifactStore, key: ArtifactKey, put: SignedPut, send: Send
    ) -> None:
        url = store.signed_url(key, expires_at=LATER, filename="a.png", content_type="image/png")
        _refused(await send("PUT", url, NOW, put.headers, CONTENT))
        assert await store.stat(key) is None

    async def test_changing_any_member_makes_it_useless(
        self, store: ArtifactStore, key: ArtifactKey, put: SignedPut, send: Send
    ) -> None:
        for url in altered(put.url):
            _refused(await send("PUT", url, NOW, put.headers, CONTENT))
        assert await store.list_files("", after="", limit=9) == []

    @pytest.mark.parametrize(
        ("part", "other"),
        [
            ("uploads/", ""),
            ("uploads/", "uploads/..%2Fuploads/"),
            ("uploads/", "/uploads/"),
            ("/upl_", "/..%2Fupl_"),
            ("/upl_", "/%2e%2e/upl_"),
            ("/upl_", "/UPL_"),
            ("/upl_", "%00/upl_"),
            ("/upl_", "/job_"),
            ("/upl_", "/upl_0"),
            ("t/", "t/%2e/"),
        ],
    )
    async def test_signature_of_one_path_is_none_of_another(
        self, store: ArtifactStore, put: SignedPut, send: Send, part: str, other: str
    ) -> None:
        parts = urlsplit(put.url)
        path = parts.path.replace(part, other, 1)
        assert path != parts.path
        url = urlunsplit(parts._replace(path=path))
        _refused(await send("PUT", url, NOW, put.headers, CONTENT))
        assert await store.list_files("", after="", limit=9) == []

    async def test_signature_for_one_key_is_none_for_another(
        self, store: ArtifactStore, key: ArtifactKey, put: SignedPut, send: Send
    ) -> None:
        other = input_key(an_owner(), a_job_id(), 0)
        await store.put(other, stream(CONTENT), content_type="image/png")
        url = put.url.replace(key, other)
        assert url != put.url
        _refused(await send("PUT", url, NOW, put.headers, CONTENT[::-1]))
        assert await content_of(store, other) == CONTENT

    async def test_signature_of_another_secret_is_none(
        self, store: ArtifactStore, stranger: ArtifactStore, key: ArtifactKey, send: Send
    ) -> None:
        forged = _sign(stranger, key)
        assert urlsplit(forged.url).path == urlsplit(_sign(store, key).url).path
        _refused(await send("PUT", forged.url, NOW, forged.headers, CONTENT))
        assert await store.stat(key) is None

    @pytest.mark.parametrize(
        "content",
        [b"", CONTENT[:-1], CONTENT + b"x", CONTENT * 9, [CONTENT], [CONTENT, b"x"], []],
        ids=["empty", "shorter", "longer", "much longer", "unsaid", "unsaid and longer", "none"],
    )
    async def test_other_length_is_refused(
        self,
        store: ArtifactStore,
        key: ArtifactKey,
        put: SignedPut,
        send: Send,
        content: bytes | list[bytes],
    ) -> None:
        _refused(await send("PUT", put.url, NOW, put.headers, content))
        assert await store.stat(key) is None

    @pytest.mark.parametrize(
        "content_type",
        [None, "", "text/html", "image/png; charset=x", "image/jpeg", "IMAGE/PNG", "image/pn"],
    )
    async def test_other_type_is_refused(
        self,
        store: ArtifactStore,
        key: ArtifactKey,
        put: SignedPut,
        send: Send,
        content_type: str | None,
    ) -> None:
        headers = {name: value for name, value in put.headers.items() if name != "Content-Type"}
        if content_type is not None:
            headers["Content-Type"] = content_type
        _refused(await send("PUT", put.url, NOW, headers, CONTENT))
        assert await store.stat(key) is None

    async def test_every_header_is_needed(
        self, store: ArtifactStore, key: ArtifactKey, put: SignedPut, send: Send
    ) -> None:
        for name in put.headers:
            some = {other: put.headers[other] for other in put.headers if other != name}
            _refused(await send("PUT", put.url, NOW, some, CONTENT))
        assert await store.stat(key) is None

    async def test_headers_that_nobody_signed_change_nothing(
        self, store: ArtifactStore, key: ArtifactKey, put: SignedPut, send: Send
    ) -> None:
        for name, value in (
            ("x-amz-acl", "public-read"),
            ("x-amz-copy-source", f"/elsewhere/{key}"),
            ("X-HTTP-Method-Override", "DELETE"),
        ):
            answer = await send("PUT", put.url, NOW, {**put.headers, name: value}, CONTENT)
            if answer.status == 200:  # it went unheard
                assert await content_of(store, key) == CONTENT
                await store.delete([key])
            else:
                _refused(answer)
                assert await store.stat(key) is None

    async def test_file_is_never_replaced(
        self, store: ArtifactStore, key: ArtifactKey, put: SignedPut, send: Send
    ) -> None:
        assert (await send("PUT", put.url, NOW, put.headers, CONTENT)).status == 200
        for content in (CONTENT, CONTENT[::-1]):
            again = await send("PUT", put.url, NOW, put.headers, content)
            assert again.status == 412
        assert await content_of(store, key) == CONTENT

    async def test_of_puts_at_once_one_is_taken(
        self, store: ArtifactStore, key: ArtifactKey, put: SignedPut, send: Send
    ) -> None:
        contents = [bytes([n]) * len(CONTENT) for n in range(6)]
        answers = await asyncio.gather(
            *(send("PUT", put.url, NOW, put.headers, content) for content in contents)
        )

        taken = [n for n, answer in enumerate(answers) if answer.status == 200]
        assert len(taken) == 1
        assert all(answer.status in {200, 409, 412} for answer in answers)
        assert await content_of(store, key) == contents[taken[0]]


def _sign(store: ArtifactStore, key: ArtifactKey, *, length: int = len(CONTENT)) -> SignedPut:
    return store.signed_put(key, expires_at=LATER, content_type="image/png", length=length)


def _refused(answer: Fetched) -> None:
    assert 400 <= answer.status < 500
    assert b"secret" not in answer.content
