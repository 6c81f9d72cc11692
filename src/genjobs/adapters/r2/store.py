"""The ``ArtifactStore`` port on a bucket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from typing import Final

import structlog

from genjobs.adapters.r2.calls import Answered, Calls
from genjobs.adapters.r2.downloads import Download
from genjobs.adapters.r2.presigning import Presigner
from genjobs.adapters.r2.uploads import PART_BYTES, Upload
from genjobs.domain.artifacts import ArtifactKey, StoredFile, parse_key, parse_prefix
from genjobs.domain.errors import NotFound, Unavailable
from genjobs.domain.ports import ListedFile, SignedPut

#: Parts and small files that all uploads of a process send at a time: bounds their memory.
_SENDING: Final = 8
#: What S3 lists, and deletes, at a time.
_BATCH: Final = 1000
#: Never stored: asking for it tells whether the bucket can be read.
_NOTHING: Final = "check"
_log = structlog.get_logger(__name__)


class R2ArtifactStore:
    """Files as objects under their keys."""

    def __init__(self, calls: Calls, presigner: Presigner, *, part_bytes: int = PART_BYTES) -> None:
        self._calls = calls
        self._presigner = presigner
        self._part_bytes = part_bytes
        self._gate = asyncio.Semaphore(_SENDING)

    async def put(
        self, key: ArtifactKey, chunks: AsyncIterator[bytes], *, content_type: str
    ) -> StoredFile:
        """See the port; a cancel waits a few seconds for a request that may show the file."""
        upload = Upload(
            self._calls,
            parse_key(key),
            content_type=content_type,
            part_bytes=self._part_bytes,
            gate=self._gate,
        )
        return await upload.run(chunks)

    @asynccontextmanager
    async def read(
        self, key: ArtifactKey, *, start: int = 0, length: int | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """See the port; ``Unavailable`` when the file is replaced while a connection is lost."""
        if start < 0 or (length is not None and length < 0):
            raise ValueError("not a part of a file")
        if length == 0:  # which no range can say
            if await self.stat(key) is None:
                raise NotFound
            yield _nothing()
            return
        download = Download(self._calls, parse_key(key), start=start, length=length)
        try:
            await download.open()
            async with aclosing(download.chunks()) as chunks:
                yield chunks
        finally:
            download.close()

    async def stat(self, key: ArtifactKey) -> int | None:
        """See the port."""
        try:
            answer = await self._calls(
                "head_object", needs="ETag", expected={"404"}, Key=parse_key(key)
            )
        except Answered:
            await self.check()  # a HEAD is answered the same when the whole bucket is missing
            return None
        return int(answer["ContentLength"])

    async def list_files(self, prefix: str, *, after: str, limit: int) -> Sequence[ListedFile]:
        """See the port."""
        checked, more = parse_prefix(prefix) if prefix else "", True
        found: list[ListedFile] = []
        while more and len(found) < limit:
            page = await self._calls(
                "list_objects_v2",
                Prefix=checked,
                MaxKeys=min(limit - len(found), _BATCH),
                StartAfter=after,
            )
            items = page.get("Contents", ())
            found += [
                ListedFile(key=ArtifactKey(item["Key"]), stored_at=item["LastModified"])
                for item in items
            ]
            more = bool(page.get("IsTruncated")) and bool(items)
            after = found[-1].key if found else after
        return found

    async def delete(self, keys: Sequence[ArtifactKey]) -> None:
        """See the port."""
        await self._delete([parse_key(key) for key in keys])

    async def delete_prefix(self, prefix: str) -> int:
        """See the port; a file put at the same time stays or goes whole."""
        checked, after, total, more = parse_prefix(prefix), "", 0, True
        while more:
            # From the last name on, not by the store's token: names before it are gone, and a
            # name that cannot be deleted must not be listed for ever.
            page = await self._calls(
                "list_objects_v2", Prefix=checked, MaxKeys=_BATCH, StartAfter=after
            )
            names = [item["Key"] for item in page.get("Contents", ())]
            await self._delete(names)
            total += len(names)
            more = bool(page.get("IsTruncated")) and bool(names)
            after = names[-1] if names else after
        return total

    async def _delete(self, names: Sequence[str]) -> None:
        for first in range(0, len(names), _BATCH):
            answer = await self._calls(
                "delete_objects",
                Delete={
                    "Objects": [{"Key": name} for name in names[first : first + _BATCH]],
                    "Quiet": True,
                },
            )
            codes = {item.get("Code", "") for item in answer.get("Errors", ())} - {"NoSuchKey"}
            if codes:
                _log.warning("artifacts.not_deleted", codes=sorted(codes))
                raise Unavailable

    def signed_url(
        self, key: ArtifactKey, *, expires_at: datetime, filename: str, content_type: str
    ) -> str:
        """
        See the port; good for the seven days before ``expires_at``.

        An S3 store sends no ``nosniff``: that it is an attachment has to do.
        """
        return self._presigner.get_url(
            parse_key(key), expires_at=expires_at, filename=filename, content_type=content_type
        )

    def signed_put(
        self, key: ArtifactKey, *, expires_at: datetime, content_type: str, length: int
    ) -> SignedPut:
        """See the port; a store that knows no conditional PUT replaces a file, all else holds."""
        headers = {"Content-Type": content_type, "If-None-Match": "*"}
        url = self._presigner.put_url(
            parse_key(key),
            expires_at=expires_at,
            headers={**headers, "Content-Length": str(length)},
        )
        return SignedPut(url=url, headers=headers)

    async def check(self) -> None:
        """See the port; the request needs no other right than reading a file."""
        try:
            answer = await self._calls(
                "get_object", needs="ETag", expected={"NoSuchKey"}, Key=_NOTHING, Range="bytes=0-0"
            )
        except Answered:
            return
        answer["Body"].close()


async def _nothing() -> AsyncIterator[bytes]:
    nothing: tuple[bytes, ...] = ()
    for chunk in nothing:
        yield chunk
