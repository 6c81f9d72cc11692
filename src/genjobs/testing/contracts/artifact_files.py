"""What the contracts of artifact stores share: keys, files, fixtures."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import pytest

from genjobs.domain.artifacts import ArtifactKey, input_key
from genjobs.domain.ids import JobId, TenantId
from genjobs.domain.ports import ArtifactStore
from genjobs.domain.tenancy import Owner
from genjobs.testing.clock import BEGINNING, SequentialIds
from genjobs.testing.factories import an_owner

NOW = BEGINNING
LATER = NOW + timedelta(hours=1)
NAME = "ünïcode & 'quotes'.png"
#: More than a store takes in one piece.
LARGE = 12 * 1024 * 1024
_GOOD = str(
    input_key(an_owner(tenant_id=TenantId(UUID(int=1))), JobId(SequentialIds().uuid7(NOW)), 0)
)
#: Path tricks, and what else is no key.
NO_KEYS = [
    "",
    "/",
    "input_0",
    "../input_0",
    f"/{_GOOD}",
    f"../{_GOOD}",
    _GOOD.replace("input_0", "../input_0"),
    _GOOD.replace("input_0", ".."),
    _GOOD.replace("/u/", "//u/"),
    _GOOD.replace("/u/", "/./u/"),
    _GOOD.replace("/", "\\"),
    _GOOD.replace("/u/", "/U/"),
    f"{_GOOD}\0",
    f"{_GOOD}\n",
    f"{_GOOD}?versionId=1",
    f"{_GOOD}%2e%2e",
    f"{_GOOD}é",
]


def a_job_id() -> JobId:
    """Return the id of some job, always the same."""
    return JobId(SequentialIds().uuid7(NOW))


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    """Yield the chunks of a file."""
    for chunk in chunks:
        yield chunk


async def content_of(
    store: ArtifactStore, key: ArtifactKey, *, start: int = 0, length: int | None = None
) -> bytes:
    """Return a file, or a part of it."""
    async with store.read(key, start=start, length=length) as chunks:
        return b"".join([chunk async for chunk in chunks])


def altered(url: str) -> Iterator[str]:
    """Return a signed URL with each member of its query changed in many ways, and with more."""
    parts = urlsplit(url)
    members = parts.query.split("&")
    queries = ["", f"{parts.query}&more=1", f"{parts.query}&x-amz-acl=public-read"]
    for index, member in enumerate(members):
        name, _, value = member.partition("=")
        flipped = value[:-1] + ("0" if value[-1:] != "0" else "1")
        queries += [
            "&".join([*members[:index], *changed, *members[index + 1 :]])
            for changed in (
                [],
                [f"{name}="],
                [f"{name}={value}0"],
                [f"{name}={flipped}"],
                [f"{name}={value}%00"],
                [f"{name}={value}%C3%A9"],
                [member, member],
                [member, f"{name}=x"],
                [f"{name.swapcase()}={value}"],
            )
        ]
    return (urlunsplit(parts._replace(query=query)) for query in queries)


class ArtifactFixtures:
    """Needs the fixture ``store``: an empty store."""

    @pytest.fixture
    def store(self) -> ArtifactStore:
        """Return the store under test."""
        raise NotImplementedError

    @pytest.fixture
    def owner(self) -> Owner:
        """Return somebody who owns files."""
        return an_owner()

    @pytest.fixture
    def key(self, owner: Owner) -> ArtifactKey:
        """Return a key without a file."""
        return input_key(owner, a_job_id(), 0)


class SignedFixtures:
    """
    Needs the fixtures ``store`` and ``stranger``.

    ``stranger`` is a store on the same files whose secret is another one.
    """

    @pytest.fixture
    def store(self) -> ArtifactStore:
        """Return the store under test."""
        raise NotImplementedError

    @pytest.fixture
    def stranger(self) -> ArtifactStore:
        """Return a store that signs with another secret."""
        raise NotImplementedError
