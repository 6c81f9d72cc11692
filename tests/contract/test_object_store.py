"""The store in a bucket against the contracts that the directory's and the fake pass."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import datetime

import httpx
import pytest

from genjobs.adapters.r2 import R2ArtifactStore, open_r2_store
from genjobs.adapters.r2.calls import Calls
from genjobs.adapters.r2.presigning import Presigner
from genjobs.domain.artifacts import ArtifactKey
from genjobs.domain.ports import SignedPut
from genjobs.testing.contracts import (
    ArtifactOutageContract,
    ArtifactStoreContract,
    Fetch,
    Fetched,
    Send,
    SignedPutContract,
    SignedUrlContract,
)
from genjobs.testing.contracts.artifact_files import NOW
from genjobs.testing.contracts.signed_puts import CONTENT
from tests.object_store import CREDENTIALS, Fault, Gate
from tests.object_store.fixtures import HASTY
from tests.sending import sent


class TestR2ArtifactStore(ArtifactStoreContract):
    @pytest.fixture
    async def store(self, r2_store: R2ArtifactStore, gate: Gate) -> AsyncIterator[R2ArtifactStore]:
        yield r2_store
        assert await gate.open_uploads() == []  # whatever the test did


class TestR2ThatFails(ArtifactOutageContract):
    @pytest.fixture(params=[fault for fault in Fault if fault is not Fault.SLOW])
    def unreachable(
        self, gate: Gate, hasty_store: R2ArtifactStore, request: pytest.FixtureRequest
    ) -> R2ArtifactStore:
        gate.fails(request.param)
        return hasty_store


class TestR2ThatIsNotThere(ArtifactOutageContract):
    @pytest.fixture(params=["nobody listens", "other secret", "no bucket"])
    async def unreachable(
        self, gate: Gate, request: pytest.FixtureRequest
    ) -> AsyncIterator[R2ArtifactStore]:
        place, credentials = gate.place, CREDENTIALS
        match request.param:
            case "nobody listens":
                place = replace(place, endpoint="http://127.0.0.1:9")
            case "other secret":
                credentials = replace(credentials, secret_access_key="other")
            case _:
                place = replace(place, bucket="missing")
        async with open_r2_store(place, credentials, patience=HASTY) as store:
            yield store


class BehindTheGate:
    @pytest.fixture
    def store(self, r2_store: R2ArtifactStore) -> R2ArtifactStore:
        return r2_store

    @pytest.fixture
    def stranger(self, gate: Gate) -> R2ArtifactStore:
        calls = Calls(None, gate.place.bucket, HASTY)  # signing sends nothing
        presigner = Presigner(
            gate.place, access_key_id=CREDENTIALS.access_key_id, secret_access_key="other"
        )
        return R2ArtifactStore(calls, presigner)

    @pytest.fixture
    def fetch(self, send: Send) -> Fetch:
        async def fetch(method: str, url: str, at: datetime, headers: Mapping[str, str]) -> Fetched:
            return await send(method, url, at, headers, b"")

        return fetch

    @pytest.fixture
    async def send(self, gate: Gate) -> AsyncIterator[Send]:
        async with httpx.AsyncClient(trust_env=False) as http:

            async def send(
                method: str,
                url: str,
                at: datetime,
                headers: Mapping[str, str],
                content: bytes | list[bytes],
            ) -> Fetched:
                gate.now = at
                answer = await http.request(method, url, headers=headers, content=sent(content))
                return Fetched(
                    status=answer.status_code, headers=answer.headers, content=answer.content
                )

            yield send


class TestR2SignedUrls(BehindTheGate, SignedUrlContract):
    adds_headers = False


class TestR2SignedPuts(BehindTheGate, SignedPutContract):
    async def test_put_to_a_store_that_is_away_stores_nothing(
        self, gate: Gate, store: R2ArtifactStore, key: ArtifactKey, put: SignedPut, send: Send
    ) -> None:
        gate.fails(Fault.BUSY, "PutObject", times=1)
        assert (await send("PUT", put.url, NOW, put.headers, CONTENT)).status == 503
        assert await gate.keys() == []
        assert (await send("PUT", put.url, NOW, put.headers, CONTENT)).status == 200

    async def test_answer_that_was_lost_is_told_by_the_next(
        self, gate: Gate, store: R2ArtifactStore, key: ArtifactKey, put: SignedPut, send: Send
    ) -> None:
        gate.fails(Fault.LOSE_ANSWER, "PutObject", times=1)
        with pytest.raises(httpx.HTTPError):
            await send("PUT", put.url, NOW, put.headers, CONTENT)
        assert (await send("PUT", put.url, NOW, put.headers, CONTENT)).status == 412
        assert await gate.keys() == [key]
