"""Ports to what an examination looks at: facts, without a judgement of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from genjobs.domain.ports.artifacts import SignedPut


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginFacts:
    """What a login of the database is, and what it may do. None: what is asked for is not there."""

    login: str
    #: As ``server_version_num``: 150018 is 15.18.
    server_version: int
    now: datetime
    superuser: bool
    bypasses_rls: bool
    #: A member of a role that is a superuser or bypasses row-level security: SET ROLE does it.
    may_become_powerful: bool
    #: Owns a relation of ours, or is a member of its owner.
    owns_tables: bool
    owns_schema: bool | None
    is_api: bool | None
    is_worker: bool | None
    creates_in_database: bool
    creates_roles: bool
    reads_jobs: bool | None
    makes_jobs: bool | None
    dispatches: bool | None
    #: Whether row-level security is in force for it on the jobs.
    walled: bool | None
    #: Connections of the server for all who are no superusers.
    most_connections: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaFacts:
    """Which schema a database has; None where there is none."""

    revision: str | None
    #: The digest of its functions and grants.
    code: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotReached:
    """Why something cannot be looked at: a code of ``domain.fixes``, and what was seen."""

    code: str
    seen: str


class DatabaseExaminer(Protocol):
    """
    One URL of the database, looked at on connections of its own.

    All methods raise ``Unavailable`` when it cannot be reached or refuses, and
    ``ConfigurationError`` when the URL is none.
    """

    async def login(self) -> LoginFacts | NotReached:
        """Return what the login is and may do, or why that cannot be found out."""

    async def schema(self) -> SchemaFacts:
        """Return which schema there is."""

    async def is_shared(self) -> bool:
        """
        Whether one connection to the server is seen to serve two of ours, by turns.

        Only a transaction pooler does so. True is proof; a busy one may look like none.
        """


class SignedTrial(Protocol):
    """Using signed URLs as a client does, without anything but the URL."""

    async def put(self, signed: SignedPut, body: bytes) -> bool:
        """Put a file; whether it was taken. ``Unavailable`` when nothing answers."""

    async def get(self, url: str) -> bytes | None:
        """Return what is served, 1 MiB at most; None when it is refused. Raises as ``put``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFacts:
    """A TLS connection that was made, its certificate verified."""

    version: str
    certificate_ends: datetime


class PlatformExaminer(Protocol):
    """The platform of GPU workers; all methods raise ``Unavailable``."""

    async def has_app(self, app: str) -> bool:
        """Whether an app of that name is deployed."""

    async def has_function(self, app: str, name: str) -> bool:
        """Whether the app has that function."""

    async def has_worker(self, app: str, name: str) -> bool:
        """Whether the app has that class."""

    async def has_secret(self, name: str, keys: Collection[str]) -> bool:
        """Whether there is a secret of that name that has all these keys; values are not read."""

    async def has_volume(self, name: str) -> bool:
        """Whether there is a volume of that name; none is made."""

    async def image_builder(self) -> str | None:
        """Return the image builder's version for a deployment from here, None if unknown."""
