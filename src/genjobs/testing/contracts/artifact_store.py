"""The contract of ``ArtifactStore``, and of one that cannot be reached."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import pytest

from genjobs.domain.artifacts import ArtifactKey, input_key, job_prefix, output_key, user_prefix
from genjobs.domain.errors import NotFound, Unavailable
from genjobs.domain.ids import JobId
from genjobs.domain.ports import ArtifactStore
from genjobs.domain.tenancy import Owner
from genjobs.testing.clock import SequentialIds
from genjobs.testing.contracts.artifact_files import (
    LARGE,
    LATER,
    NAME,
    NO_KEYS,
    NOW,
    a_job_id,
    content_of,
    stream,
)
from genjobs.testing.contracts.artifact_puts import ArtifactPutsContract
from genjobs.testing.factories import an_owner


class ArtifactStoreContract(ArtifactPutsContract):
    """Needs the fixture ``store``: an empty store."""

    async def test_stored_file_is_read_back_and_measured(
        self, store: ArtifactStore, key: ArtifactKey
    ) -> None:
        content = bytes(range(256)) * 9000  # more than one chunk
        stored = await store.put(key, stream(content[:7], content[7:]), content_type="image/png")

        assert (stored.bytes, stored.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        assert await content_of(store, key) == content
        assert await store.stat(key) == len(content)

    async def test_chunks_are_bounded(self, store: ArtifactStore, key: ArtifactKey) -> None:
        await store.put(key, stream(b"x" * (3 * 1024 * 1024 + 1)), content_type="image/png")
        async with store.read(key) as chunks:
            sizes = [len(chunk) async for chunk in chunks]

        assert sum(sizes) == 3 * 1024 * 1024 + 1
        assert max(sizes) <= 1024 * 1024

    async def test_part_of_a_file_is_read(self, store: ArtifactStore, key: ArtifactKey) -> None:
        await store.put(key, stream(b"0123456789"), content_type="image/png")

        assert await content_of(store, key, start=2, length=3) == b"234"
        assert await content_of(store, key, start=8) == b"89"

    @pytest.mark.parametrize(
        ("start", "length", "part"),
        [
            (0, None, b"0123456789"),
            (0, 1, b"0"),
            (9, 1, b"9"),
            (9, 99, b"9"),
            (10, None, b""),
            (99, None, b""),
            (99, 3, b""),
            (3, 0, b""),
            (0, 0, b""),
        ],
    )
    async def test_part_reaches_to_the_end_and_no_further(
        self, store: ArtifactStore, key: ArtifactKey, start: int, length: int | None, part: bytes
    ) -> None:
        await store.put(key, stream(b"0123456789"), content_type="image/png")
        assert await content_of(store, key, start=start, length=length) == part

    @pytest.mark.parametrize(("start", "length"), [(1, None), (0, 1), (0, 0)])
    async def test_part_of_a_missing_file_is_not_found(
        self, store: ArtifactStore, key: ArtifactKey, start: int, length: int | None
    ) -> None:
        with pytest.raises(NotFound):
            await content_of(store, key, start=start, length=length)

    @pytest.mark.parametrize(("start", "length"), [(0, None), (0, 5), (1, None)])
    async def test_part_of_an_empty_file_is_empty(
        self, store: ArtifactStore, key: ArtifactKey, start: int, length: int | None
    ) -> None:
        await store.put(key, stream(), content_type="image/png")
        assert await content_of(store, key, start=start, length=length) == b""

    async def test_large_file_in_uneven_chunks_is_read_back(
        self, store: ArtifactStore, key: ArtifactKey
    ) -> None:
        content = bytes(range(256)) * (LARGE // 256)
        cuts = [0, 1, 7_000_000, 7_000_001, 11_000_000, len(content)]
        chunks = [content[start:end] for start, end in itertools.pairwise(cuts)]
        stored = await store.put(key, stream(*chunks), content_type="video/mp4")

        assert (stored.bytes, stored.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        assert await content_of(store, key) == content
        assert (
            await content_of(store, key, start=6_000_000, length=9) == content[6_000_000:6_000_009]
        )

    async def test_reader_may_leave_early(self, store: ArtifactStore, key: ArtifactKey) -> None:
        await store.put(key, stream(b"x" * LARGE), content_type="video/mp4")
        async with store.read(key) as chunks:
            assert await anext(chunks)
        async with store.read(key):
            pass
        assert await store.stat(key) == LARGE

    @pytest.mark.parametrize("name", NO_KEYS)
    async def test_what_is_no_key_reaches_no_file(self, store: ArtifactStore, name: str) -> None:
        wrong = ArtifactKey(name)
        for attempt in (
            lambda: store.put(wrong, stream(b"x"), content_type="image/png"),
            lambda: content_of(store, wrong),
            lambda: store.stat(wrong),
            lambda: store.delete([wrong]),
            lambda: store.delete_prefix(name),
        ):
            with pytest.raises(ValueError, match="not an artifact"):
                await attempt()
        with pytest.raises(ValueError, match="not an artifact"):
            store.signed_url(wrong, expires_at=LATER, filename=NAME, content_type="image/png")

    async def test_empty_file_is_a_file(self, store: ArtifactStore, key: ArtifactKey) -> None:
        stored = await store.put(key, stream(), content_type="image/png")

        assert (stored.bytes, stored.sha256) == (0, hashlib.sha256(b"").hexdigest())
        assert await store.stat(key) == 0
        assert await content_of(store, key) == b""

    async def test_missing_file_is_not_found(self, store: ArtifactStore, key: ArtifactKey) -> None:
        assert await store.stat(key) is None
        with pytest.raises(NotFound):
            await content_of(store, key)

    async def test_same_key_replaces(self, store: ArtifactStore, key: ArtifactKey) -> None:
        await store.put(key, stream(b"old and longer"), content_type="image/png")
        await store.put(key, stream(b"new"), content_type="image/png")

        assert await content_of(store, key) == b"new"

    async def test_deleting_many_minds_no_missing_ones(
        self, store: ArtifactStore, owner: Owner
    ) -> None:
        keys = [input_key(owner, a_job_id(), index) for index in range(5)]
        for key in keys[::2]:
            await store.put(key, stream(b"x"), content_type="image/png")
        await store.delete(keys[:4])
        await store.delete([])

        assert [await store.stat(key) for key in keys] == [None, None, None, None, 1]

    async def test_deleted_file_is_gone_and_deleting_again_is_fine(
        self, store: ArtifactStore, key: ArtifactKey
    ) -> None:
        await store.put(key, stream(b"x"), content_type="image/png")
        await store.delete([key])
        await store.delete([key])

        assert await store.stat(key) is None

    async def test_prefix_is_deleted_and_its_neighbours_stay(
        self, store: ArtifactStore, owner: Owner
    ) -> None:
        ids = SequentialIds()
        first, second = JobId(ids.uuid7(NOW)), JobId(ids.uuid7(NOW))
        doomed = [input_key(owner, first, 0), output_key(owner, first, 1, "out_a")]
        kept = input_key(owner, second, 0)
        for key in [*doomed, kept]:
            await store.put(key, stream(b"x"), content_type="image/png")

        assert await store.delete_prefix(job_prefix(owner, first)) == 2
        assert [await store.stat(key) for key in [*doomed, kept]] == [None, None, 1]
        assert await store.delete_prefix(job_prefix(owner, first)) == 0
        assert await store.delete_prefix(user_prefix(owner)) == 1

    async def test_files_are_listed_in_pages_in_the_order_of_their_keys(
        self, store: ArtifactStore
    ) -> None:
        ids = SequentialIds()
        keys = []
        for owner in (an_owner(), an_owner("u_2"), an_owner("u_3")):
            job_id = JobId(ids.uuid7(NOW))
            keys += [
                input_key(owner, job_id, 0),
                input_key(owner, job_id, 10),
                input_key(owner, job_id, 2, claim=1),
                output_key(owner, job_id, 1, "out_a"),
                output_key(owner, job_id, 12, "out_b"),
                output_key(owner, job_id, 2, "out_b"),
                ArtifactKey(f"{job_prefix(owner, job_id)}attempt_1"),  # also the start of others
            ]
        for key in reversed(keys):
            await store.put(key, stream(b"x"), content_type="image/png")
        listed: list[str] = []
        while page := await store.list_files("", after=listed[-1] if listed else "", limit=4):
            assert len(page) == 4 or len(listed) + len(page) == len(keys)
            assert all(file.stored_at.tzinfo is not None for file in page)
            listed += [file.key for file in page]

        assert listed == sorted(keys)

    async def test_listing_keeps_to_its_prefix_and_starts_behind_any_text(
        self, store: ArtifactStore, owner: Owner
    ) -> None:
        ids = SequentialIds()
        first, second = JobId(ids.uuid7(NOW)), JobId(ids.uuid7(NOW))
        keys = [input_key(owner, first, 0), output_key(owner, first, 1, "out_a")]
        for key in (*keys, input_key(owner, second, 0)):
            await store.put(key, stream(b"x"), content_type="image/png")
        prefix = job_prefix(owner, first)

        listed = await store.list_files(prefix, after="", limit=9)
        assert [file.key for file in listed] == sorted(keys)
        assert await store.list_files(prefix, after=f"{prefix}zzz", limit=9) == []
        await store.delete([min(keys)])
        left = await store.list_files(prefix, after=min(keys), limit=9)
        assert [file.key for file in left] == [max(keys)]
        assert await store.list_files(user_prefix(an_owner()), after="", limit=9) == []
        assert await store.list_files(prefix, after="", limit=0) == []

    async def test_ready_store_passes_its_check(self, store: ArtifactStore) -> None:
        await store.check()


class ArtifactOutageContract:
    """Needs the fixture ``unreachable``: a store that nobody can reach, or that gives up soon."""

    @pytest.fixture
    def unreachable(self) -> ArtifactStore:
        """Return the store under test."""
        raise NotImplementedError

    @pytest.mark.parametrize(
        "method", ["put", "read", "stat", "list", "delete", "delete_prefix", "check"]
    )
    async def test_every_method_says_that_it_is_unavailable(
        self, unreachable: ArtifactStore, method: str
    ) -> None:
        owner = an_owner()
        key = input_key(owner, a_job_id(), 0)
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "put": lambda: unreachable.put(key, stream(b"x"), content_type="image/png"),
            "read": lambda: content_of(unreachable, key),
            "stat": lambda: unreachable.stat(key),
            "list": lambda: unreachable.list_files("", after="", limit=1),
            "delete": lambda: unreachable.delete([key]),
            "delete_prefix": lambda: unreachable.delete_prefix(user_prefix(owner)),
            "check": unreachable.check,
        }
        with pytest.raises(Unavailable):
            await calls[method]()

    async def test_signing_needs_no_store(self, unreachable: ArtifactStore) -> None:
        key = input_key(an_owner(), a_job_id(), 0)
        url = unreachable.signed_url(key, expires_at=LATER, filename=NAME, content_type="image/png")
        assert urlsplit(url).scheme in {"http", "https"}
