"""
One file on its way into the store.

A small file is one request. A larger one goes in parts of one size (R2 wants that), several at a
time, and is visible only once the store was told to join them; whatever ends it before takes the
parts away. The store checks every body against the digest in the request's signature.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any, Final, TypeVar
from uuid import uuid4

import structlog

from genjobs.adapters.r2.calls import Answered, Calls
from genjobs.domain.artifacts import ArtifactKey, StoredFile
from genjobs.domain.errors import Unavailable

#: S3 takes 10,000 parts, so files of up to 80 GiB; and no part under 5 MiB but the last.
PART_BYTES: Final = 8 * 1024 * 1024
#: Parts of one file that are sent at a time.
PARALLEL: Final = 4
_OWN_ID: Final = "genjobs-put"
_T = TypeVar("_T")
_log = structlog.get_logger(__name__)


class Upload:
    """A file being sent; ``gate`` bounds what all uploads of the process hold in memory."""

    def __init__(
        self,
        calls: Calls,
        key: ArtifactKey,
        *,
        content_type: str,
        part_bytes: int,
        gate: asyncio.Semaphore,
    ) -> None:
        self._calls = calls
        self._key = key
        self._part_bytes = part_bytes
        self._gate = gate
        self._own_gate = asyncio.Semaphore(PARALLEL)
        #: Tells this upload's file from another's under the same key.
        self._own_id = uuid4().hex
        self._description: dict[str, Any] = {
            "ContentType": content_type,
            "Metadata": {_OWN_ID: self._own_id},
        }
        self._upload_id: str | None = None
        self._tags: dict[int, str] = {}
        self._hash = hashlib.sha256()
        self._bytes = 0

    async def run(self, chunks: AsyncIterator[bytes]) -> StoredFile:
        """Send everything and return what was measured."""
        try:
            rest = await self._send_parts(chunks)
            if self._upload_id is None:
                await self._to_its_end(self._put_whole(rest))
            else:
                await self._to_its_end(self._join())
        except BaseException:
            if self._upload_id is not None:
                await self._to_its_end(self._abort(self._upload_id))
            raise
        return StoredFile(bytes=self._bytes, sha256=self._hash.hexdigest())

    async def _send_parts(self, chunks: AsyncIterator[bytes]) -> bytes:
        """Send all parts, or return the content if there is less than one."""
        task = asyncio.current_task()
        cancels = task.cancelling() if task is not None else 0
        try:
            async with asyncio.TaskGroup() as sending:
                number = 0
                pieces: list[memoryview] = []
                room = self._part_bytes
                async for chunk in chunks:
                    rest = memoryview(chunk)
                    while len(rest) >= room:
                        number += 1
                        pieces.append(rest[:room])
                        await self._begin_part(sending, number, pieces)
                        rest, pieces, room = rest[room:], [], self._part_bytes
                    if rest:
                        pieces.append(rest)
                        room -= len(rest)
                if number and pieces:
                    await self._begin_part(sending, number + 1, pieces)
                    pieces = []
        except ExceptionGroup as failures:
            # Python 3.11 leaves a request to cancel behind that was the group's own; limits of time
            # around it would then end as a cancel.
            while task is not None and task.cancelling() > cancels:
                task.uncancel()
            # Callers handle the error of the source or of the store, not a group.
            raise failures.exceptions[0] from None
        return b"" if self._upload_id else await self._measured(pieces)

    async def _begin_part(
        self, sending: asyncio.TaskGroup, number: int, pieces: list[memoryview]
    ) -> None:
        if self._upload_id is None:
            await self._to_its_end(self._begin())
        part = await self._measured(pieces)
        pieces.clear()  # or a part that waits for its turn would be held twice
        await self._own_gate.acquire()
        try:
            await self._gate.acquire()
        except BaseException:
            self._own_gate.release()
            raise
        sending.create_task(self._send_part(number, part)).add_done_callback(self._let_next)

    def _let_next(self, _: object) -> None:
        self._own_gate.release()
        self._gate.release()

    async def _measured(self, pieces: list[memoryview]) -> bytes:
        content = b"".join(pieces)
        self._bytes += len(content)
        if len(content) <= 64 * 1024:
            self._hash.update(content)
        else:  # milliseconds, in which heartbeats would wait
            await asyncio.to_thread(self._hash.update, content)
        return content

    async def _begin(self) -> None:
        answer = await self._calls(
            "create_multipart_upload", needs="UploadId", Key=self._key, **self._description
        )
        self._upload_id = answer["UploadId"]

    async def _send_part(self, number: int, part: bytes) -> None:
        answer = await self._calls(
            "upload_part",
            needs="ETag",
            Key=self._key,
            UploadId=self._upload_id,
            PartNumber=number,
            body=part,
        )
        self._tags[number] = answer["ETag"]

    async def _put_whole(self, content: bytes) -> None:
        async with self._gate:
            await self._calls(
                "put_object", needs="ETag", Key=self._key, body=content, **self._description
            )

    async def _join(self) -> None:
        parts = [{"PartNumber": number, "ETag": tag} for number, tag in sorted(self._tags.items())]
        try:
            await self._calls(
                "complete_multipart_upload",
                needs="ETag",
                expected={"NoSuchUpload"},
                Key=self._key,
                UploadId=self._upload_id,
                MultipartUpload={"Parts": parts},
            )
        except Answered as exc:
            # Perhaps an earlier try was carried out and only its answer lost: then it is there.
            try:
                found = await self._calls("head_object", expected={"404"}, Key=self._key)
            except Answered:
                raise Unavailable from exc
            if found["Metadata"].get(_OWN_ID) != self._own_id:
                raise Unavailable from exc

    async def _abort(self, upload_id: str) -> None:
        try:
            # Not for as long as other requests: a store that is away must not hold up a cancel.
            async with asyncio.timeout(self._calls.patience.grace):
                await self._calls(
                    "abort_multipart_upload",
                    expected={"NoSuchUpload"},
                    Key=self._key,
                    UploadId=upload_id,
                )
        except Answered:
            pass
        except (Unavailable, TimeoutError):
            _log.warning("artifacts.parts_left")  # for the bucket's lifecycle rule

    async def _to_its_end(self, work: Coroutine[Any, Any, _T]) -> _T:
        """
        Return what ``work`` returns; cancelled, give it a little time to end first.

        A request that was sent may be carried out however its connection ends: whoever cancels,
        and then removes all files of an attempt, should find this one there or never to come.
        """
        task = asyncio.create_task(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait({task}, timeout=self._calls.patience.grace)
            raise
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
