"""
Create an upload: check what is declared, note it, sign a URL for its file.

The file goes from its owner straight to the artifact store. It is looked into when a job uses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from genjobs.application.submission import check_name
from genjobs.domain.errors import InvalidRequest, MediaTypeRefused
from genjobs.domain.ids import UploadId
from genjobs.domain.media import ACCEPTED_INPUTS
from genjobs.domain.ports import ArtifactStore, Clock, IdSource, SignedPut, UploadStore
from genjobs.domain.tenancy import Owner
from genjobs.domain.uploads import Upload, UploadRules

_TYPES: Final = frozenset(media_type.content_type for media_type in ACCEPTED_INPUTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadDeclaration:
    """What somebody is about to upload."""

    filename: str
    content_type: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUpload:
    """An upload, and how to put its file."""

    upload: Upload
    put: SignedPut
    url_expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateUpload:
    """The use case; ``await create_upload(owner, declaration)``."""

    uploads: UploadStore
    artifacts: ArtifactStore
    clock: Clock
    ids: IdSource
    rules: UploadRules
    #: Bytes of one file.
    limit: int

    async def __call__(self, owner: Owner, declaration: UploadDeclaration) -> NewUpload:
        """
        Return the upload with a URL that takes its file.

        Raises:
            InvalidInput: the name, type or length cannot be accepted; nothing was noted.
            LimitReached: a limit of the tenant or the user is reached; nothing was noted.
            Unavailable: nothing is known of the outcome. What was noted and is not used goes by
                itself, so repeating is safe.
        """
        check_name(declaration.filename, "/filename")
        if declaration.content_type not in _TYPES:
            raise MediaTypeRefused(
                "content_type must be one of those that are accepted.", pointer="/content_type"
            )
        if not 1 <= declaration.bytes <= self.limit:
            raise InvalidRequest(f"bytes must be from 1 to {self.limit}.", pointer="/bytes")
        now = self.clock.now()
        upload = Upload(
            id=UploadId(self.ids.uuid7(now)),
            owner=owner,
            filename=declaration.filename,
            content_type=declaration.content_type,
            bytes=declaration.bytes,
            created_at=now,
            expires_at=now + self.rules.life,
        )
        await self.uploads.create(upload)
        until = now.replace(microsecond=0) + self.rules.url_life
        put = self.artifacts.signed_put(
            upload.key, expires_at=until, content_type=upload.content_type, length=upload.bytes
        )
        return NewUpload(upload=upload, put=put, url_expires_at=until)
