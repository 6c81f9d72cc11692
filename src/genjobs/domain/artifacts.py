"""
Artifact keys and what is known of a stored file.

A key carries tenant and user by construction: there is no way to make one without an
:class:`~genjobs.domain.tenancy.Owner`. Reading and writing files is the ``ArtifactStore`` port's.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final, NewType

from genjobs.domain.ids import JobId, TenantId, UploadId, job_text, upload_text
from genjobs.domain.media import MediaKind
from genjobs.domain.tenancy import Owner

ArtifactKey = NewType("ArtifactKey", str)

_USER: Final = r"t/[0-9a-f]{32}/u/[0-9a-f]{32}/"
_PART: Final = r"[a-z0-9_]{1,40}"
#: Uploads lie apart, so that a rule of the bucket can take those that were left behind.
_UPLOADS: Final = "uploads/"
_KEY: Final = re.compile(
    rf"{_USER}job_[0-9a-z]{{26}}(?:/{_PART}){{1,4}}|{_UPLOADS}{_USER}upl_[0-9a-z]{{26}}"
)
_PREFIX: Final = re.compile(
    rf"{_USER}(?:job_[0-9a-z]{{26}}/(?:{_PART}/){{0,3}})?|{_UPLOADS}(?:{_USER})?"
)


def user_prefix(owner: Owner) -> str:
    """
    Return the prefix of all files of one user's jobs: ``t/<tenant>/u/<user>/``.

    Files that the user uploaded are below :func:`upload_prefix`.

    The user is 128 bits of SHA-256 over tenant and user id: fixed length, no character that a
    path or URL could read differently, and nothing personal in a link that gets passed on.
    """
    return f"t/{owner.tenant_id.hex}/u/{_digest(owner.tenant_id, owner.user_id)}/"


def job_prefix(owner: Owner, job_id: JobId) -> str:
    """Return the prefix of all files of one job."""
    return f"{user_prefix(owner)}{job_text(job_id)}/"


def attempt_prefix(owner: Owner, job_id: JobId, attempt: int) -> str:
    """Return the prefix of what one attempt produced."""
    return f"{job_prefix(owner, job_id)}attempt_{attempt}/"


def ingest_prefix(owner: Owner, job_id: JobId, claim: int) -> str:
    """Return the prefix of what one claim of the job's ingest stored."""
    return f"{job_prefix(owner, job_id)}ingest_{claim}/"


def input_key(owner: Owner, job_id: JobId, index: int, *, claim: int | None = None) -> ArtifactKey:
    """
    Return the key of the job's input number ``index`` (from 0).

    One that was fetched lies under its claim: late claims never meet earlier ones.
    """
    prefix = job_prefix(owner, job_id) if claim is None else ingest_prefix(owner, job_id, claim)
    return ArtifactKey(f"{prefix}input_{index}")


def output_key(owner: Owner, job_id: JobId, attempt: int, output_id: str) -> ArtifactKey:
    """Return the key of an output of one attempt; late attempts never meet earlier ones."""
    return ArtifactKey(f"{attempt_prefix(owner, job_id, attempt)}{output_id}")


def upload_prefix(owner: Owner) -> str:
    """Return the prefix of all that one user uploaded: ``uploads/t/<tenant>/u/<user>/``."""
    return f"{_UPLOADS}{user_prefix(owner)}"


def upload_key(owner: Owner, upload_id: UploadId) -> ArtifactKey:
    """
    Return the key of an upload, which belongs to a user and to no job.

    Whoever holds its URL writes it, so no job reads it but to make a copy of its own.
    """
    return ArtifactKey(f"{upload_prefix(owner)}{upload_text(upload_id)}")


def parse_key(text: str) -> ArtifactKey:
    """Return ``text`` as a key; ``ValueError`` when it is not of the form made here."""
    if not _KEY.fullmatch(text):
        raise ValueError("not an artifact key")
    return ArtifactKey(text)


def parse_prefix(text: str) -> str:
    """Return ``text`` as a prefix of keys; ``ValueError`` when it is of no form made here."""
    if not _PREFIX.fullmatch(text):
        raise ValueError("not an artifact prefix")
    return text


def _digest(tenant_id: TenantId, user_id: str) -> str:
    return hashlib.sha256(tenant_id.bytes + user_id.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """What the store measured while it wrote a file."""

    bytes: int
    #: Hexadecimal, lower case.
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFile:
    """A media entry of a job, stored."""

    name: str
    key: ArtifactKey
    content_type: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A file that a job delivers, stored; signed URLs are made anew on every read."""

    id: str
    node_id: str
    #: File name as the node gave it, without folders.
    name: str
    kind: MediaKind
    content_type: str
    bytes: int
    sha256: str
    key: ArtifactKey
    #: Pixels, for pictures that could be read.
    width: int | None = None
    height: int | None = None
