"""Ports to files: storing them, and serving them by signed URL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from genjobs.domain.artifacts import ArtifactKey, StoredFile


class ArtifactStore(Protocol):
    """
    Files under keys; the only place where media and outputs live.

    Nothing is held in memory whole. All methods raise ``Unavailable`` when the store cannot be
    reached or does not answer in time.
    """

    async def put(
        self, key: ArtifactKey, chunks: AsyncIterator[bytes], *, content_type: str
    ) -> StoredFile:
        """
        Store a file from its chunks and return what was measured.

        The file must appear whole or not at all, also when ``chunks`` raises or the task is
        cancelled; a file of the same key is replaced at once.
        """

    def read(
        self, key: ArtifactKey, *, start: int = 0, length: int | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """
        Open a file as chunks of at most 1 MiB; ``NotFound`` on entering when there is none.

        ``start`` and ``length`` (bytes) choose a part of it.
        """

    async def stat(self, key: ArtifactKey) -> int | None:
        """Return the file's size in bytes, None when there is none."""

    async def list_files(self, prefix: str, *, after: str, limit: int) -> Sequence[ListedFile]:
        """
        Return at most ``limit`` files whose key starts with ``prefix`` and sorts behind ``after``.

        ``prefix`` is ``""`` for all files, or ends in ``/``. Files come in the order of their keys
        as text; fewer than ``limit`` means that there are no more. What is put or removed
        meanwhile may be missed, all else must not be.
        """

    async def delete(self, keys: Sequence[ArtifactKey]) -> None:
        """Remove files; a key without a file is no error."""

    async def delete_prefix(self, prefix: str) -> int:
        """Remove every file whose key starts with ``prefix`` (ends in ``/``); return how many."""

    def signed_url(
        self, key: ArtifactKey, *, expires_at: datetime, filename: str, content_type: str
    ) -> str:
        """
        Return a URL that serves the file by GET until ``expires_at`` and not after.

        It must serve ``Content-Disposition: attachment`` with ``filename``, ``content_type`` and,
        if the API is what serves it, ``X-Content-Type-Options: nosniff``; changing any part of the
        URL must make it useless. ``expires_at`` is at most seven days ahead. No I/O: signing is
        computation.
        """

    def signed_put(
        self, key: ArtifactKey, *, expires_at: datetime, content_type: str, length: int
    ) -> SignedPut:
        """
        Return a URL that takes one file for ``key`` by PUT until ``expires_at`` and not after.

        The file must have exactly ``length`` bytes (at least one), and be sent with the headers
        that are returned: anything else, and changing any part of the URL, must be refused, and
        nothing stored. Where there is a file already, one must be refused too. ``expires_at`` is
        at most seven days ahead. No I/O.
        """

    async def check(self) -> None:
        """Raise ``Unavailable`` unless the store can be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedFile:
    """A stored file as a listing shows it."""

    key: ArtifactKey
    #: By the clock of the store.
    stored_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedPut:
    """How to put a file: a URL, and the headers to be sent with it besides the length."""

    url: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedTarget:
    """What a valid signed PUT stands for."""

    key: ArtifactKey
    content_type: str
    #: Bytes.
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedFile:
    """What a valid signed URL stands for."""

    key: ArtifactKey
    bytes: int
    filename: str
    content_type: str


class SignedFiles(Protocol):
    """The serving side of signed URLs, for a store whose URLs the API itself answers."""

    async def resolve(self, key: str, query: Mapping[str, str], *, now: datetime) -> SignedFile:
        """Return the file of a signed GET; ``NotFound`` for any other request, never saying why."""

    async def resolve_put(
        self, key: str, query: Mapping[str, str], *, now: datetime
    ) -> SignedTarget:
        """Return the target of a signed PUT; ``NotFound`` for any other request, as above."""

    async def take(self, target: SignedTarget, chunks: AsyncIterator[bytes]) -> None:
        """
        Store what is sent to a resolved target, whole or not at all.

        Raises:
            UploadExists: there is a file already, and it stays.
            UploadMismatch: fewer or more bytes came; no more than that is read.
            Unavailable: the store cannot be reached; nothing is stored.
        """

    def read(
        self, key: ArtifactKey, *, start: int = 0, length: int | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Open a resolved file, or a part of it, as the artifact store does."""
