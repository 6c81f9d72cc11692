"""
Media entries that were uploaded: found at submit, read by the ingest.

What is read there is checked and stored as the job's own. The upload's owner may still hold a URL
that writes to its key, so nothing of the upload itself ever reaches a node.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from genjobs.application.local_files import opened
from genjobs.application.submission import MediaByUpload, MediaSource
from genjobs.application.together import together
from genjobs.domain.errors import (
    NotFound,
    Unavailable,
    UnknownUpload,
    UploadIncomplete,
    UploadMismatch,
)
from genjobs.domain.ids import UploadId, parse_upload_id, upload_text
from genjobs.domain.ingests import PendingMedia, Uploaded
from genjobs.domain.media import MediaKind
from genjobs.domain.ports import ArtifactStore, Clock, UploadStore
from genjobs.domain.tenancy import Owner
from genjobs.domain.uploads import Upload

#: For all uploads of a request together.
_LOOK_SECONDS: Final = 2.0
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class FindUploads:
    """Finds what a submit names, and sees whether the files are there."""

    uploads: UploadStore
    artifacts: ArtifactStore
    clock: Clock

    async def __call__(
        self,
        owner: Owner,
        media: Sequence[MediaSource],
        kinds: Mapping[str, frozenset[MediaKind]],
    ) -> tuple[PendingMedia, ...]:
        """
        Return the uploaded ones among ``media`` for the ingest.

        A store that does not answer in time is no reason to refuse: the ingest will see.

        Raises:
            UnknownUpload: an id is none, not the owner's, or of an upload that is not kept.
            UploadIncomplete: no file was put.
            Unavailable: the database cannot be reached.
        """
        wanted = {
            index: _id(entry.upload_id, index)
            for index, entry in enumerate(media)
            if isinstance(entry, MediaByUpload)
        }
        if not wanted:
            return ()
        found = await self.uploads.find(owner, set(wanted.values()), now=self.clock.now())
        for index, upload_id in wanted.items():
            if upload_id not in found:
                raise UnknownUpload(pointer=f"/media/{index}/upload_id")

        async def look(index: int, upload: Upload) -> None:
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    missing = await self.artifacts.stat(upload.key) is None
            except (TimeoutError, Unavailable):
                _log.info("submit.upload_not_looked_at")
                return
            if missing:
                raise UploadIncomplete(pointer=f"/media/{index}/upload_id")

        await together(look(index, found[upload_id]) for index, upload_id in wanted.items())
        return tuple(
            PendingMedia(
                index=index,
                name=media[index].name,
                upload=_uploaded(found[upload_id]),
                kinds=kinds.get(media[index].name, frozenset()),
            )
            for index, upload_id in wanted.items()
        )


async def copy_upload(artifacts: ArtifactStore, uploaded: Uploaded, into: Path) -> None:
    """
    Write the file of an upload to ``into``, in bounded memory.

    Raises:
        UploadIncomplete: there is no file.
        UploadMismatch: it is not as long as was declared; no more than that is read.
        Unavailable: the store cannot be reached, or the file not be written here.
    """
    received = 0
    try:
        # One byte more than there should be tells a longer file.
        async with (
            artifacts.read(uploaded.key, length=uploaded.bytes + 1) as chunks,
            opened(lambda: into.open("wb")) as file,
        ):
            async for chunk in chunks:
                received += len(chunk)
                await asyncio.to_thread(file.write, chunk)
    except NotFound:
        raise UploadIncomplete from None
    except OSError as exc:
        raise Unavailable("An upload cannot be copied just now.") from exc
    if received != uploaded.bytes:
        raise UploadMismatch


def _id(text: str, index: int) -> UploadId:
    try:
        return parse_upload_id(text)
    except ValueError:
        raise UnknownUpload(pointer=f"/media/{index}/upload_id") from None


def _uploaded(upload: Upload) -> Uploaded:
    return Uploaded(id=upload_text(upload.id), key=upload.key, bytes=upload.bytes)
