"""
The server in front of moto: lets nothing through that a real store would refuse, and fails as told.

Each connection carries one request. moto runs in a thread of this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import aioboto3
from moto.server import ThreadedMotoServer

from genjobs.adapters.r2 import Place
from tests.object_store.signatures import CREDENTIALS, refusal


class Fault(StrEnum):
    """What becomes of a request that is let through no further, or not as it should."""

    #: 503 SlowDown, before anything is done.
    BUSY = "busy"
    #: 500 inside a 200, as joining parts may end.
    FALSE_SUCCESS = "false success"
    #: The connection ends before anything is done.
    DROP = "drop"
    #: It is done, and then the connection ends without an answer.
    LOSE_ANSWER = "lose answer"
    #: Nothing is done, nothing is answered, the connection stays.
    SILENCE = "silence"
    #: The answer ends in its middle.
    HALF = "half"
    #: The answer comes byte by byte.
    TRICKLE = "trickle"
    #: Nothing is wrong but that it takes a moment.
    SLOW = "slow"


class Right(StrEnum):
    """Rights that are not as genjobs wants them; no fault of the store's, and none that passes."""

    #: 403 AccessDenied, as for a token that may not do this.
    NONE = "none"
    #: It is done without a look at the signature, as in a bucket that is open to all.
    EVERYBODY = "everybody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def operation(self) -> str:
        """The name S3 has for it."""
        path, _, query = self.target.partition("?")
        key = path.count("/") > 1
        for known, method, mark in (
            ("CreateMultipartUpload", "POST", "uploads"),
            ("CompleteMultipartUpload", "POST", "uploadId="),
            ("DeleteObjects", "POST", "delete"),
            ("UploadPart", "PUT", "partNumber="),
            ("AbortMultipartUpload", "DELETE", "uploadId="),
        ):
            if self.method == method and mark in query:
                return known
        return f"{self.method.title()}{'Object' if key else 'Bucket'}"


@dataclass(slots=True)
class Gate:
    """A running store."""

    place: Place
    client: Any
    moto_port: int
    #: The time by which presigned URLs expire; None for the real one.
    now: datetime | None = None
    #: Asked for each request.
    fault: Callable[[Seen], Fault | None] = field(default=lambda _: None)
    #: Likewise; None for the rights of whoever signed it.
    right: Callable[[Seen], Right | None] = field(default=lambda _: None)
    seen: list[Seen] = field(default_factory=list)
    #: Connections that are open.
    open: int = 0
    #: moto looks and then stores, in two steps; a real store's conditional PUT is one.
    _one_by_one: asyncio.Lock = field(default_factory=asyncio.Lock)

    def operations(self) -> list[str]:
        """Return the names of all requests so far."""
        return [request.operation for request in self.seen]

    def fails(self, fault: Fault, *operations: str, times: int | None = None) -> None:
        """Let the next requests of these kinds fail, all of them unless ``times`` is given."""
        left = [times]

        def decide(request: Seen) -> Fault | None:
            if (operations and request.operation not in operations) or left[0] == 0:
                return None
            if left[0] is not None:
                left[0] -= 1
            return fault

        self.fault = decide

    def gives(self, right: Right, *operations: str) -> None:
        """Change the rights to requests of these kinds, to all of them if none is named."""
        self.right = lambda seen: right if not operations or seen.operation in operations else None

    async def clear(self) -> None:
        """Forget everything: an empty bucket, nothing seen, nothing fails."""
        self.now, self.fault, self.right = None, lambda _: None, lambda _: None
        self.seen.clear()
        answer = await self.client.list_multipart_uploads(Bucket=self.place.bucket)
        for item in answer.get("Uploads", ()):
            await self.client.abort_multipart_upload(
                Bucket=self.place.bucket, Key=item["Key"], UploadId=item["UploadId"]
            )
        for key in await self.keys():
            await self.client.delete_object(Bucket=self.place.bucket, Key=key)

    async def open_uploads(self) -> list[str]:
        """Return the multipart uploads that were begun and neither ended nor aborted."""
        answer = await self.client.list_multipart_uploads(Bucket=self.place.bucket)
        return [item["Key"] for item in answer.get("Uploads", ())]

    async def keys(self) -> list[str]:
        """Return what is stored."""
        answer = await self.client.list_objects_v2(Bucket=self.place.bucket)
        return [item["Key"] for item in answer.get("Contents", ())]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.open += 1
        try:
            await self._one(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").rstrip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        request = Seen(method=method, target=target, headers=headers, body=body)
        self.seen.append(request)
        fault = self.fault(request)
        if fault is Fault.SILENCE:
            await reader.read()  # until the client gives up
            return
        if fault is Fault.DROP:
            return
        if fault is Fault.SLOW:
            await asyncio.sleep(0.2)
        now = datetime.now(UTC)
        refused = refusal(
            method, target, headers, body, now=now, presigned_now=self.now or now
        ) or self._unequal_parts(request)
        if fault is Fault.BUSY:
            refused = 503, "SlowDown"
        if fault is Fault.FALSE_SUCCESS:
            refused = 200, "InternalError"
        match self.right(request):
            case Right.NONE:
                refused = 403, "AccessDenied"
            case Right.EVERYBODY:
                refused = None
        if refused is not None:
            writer.write(_error(*refused, head=method == "HEAD"))
            await writer.drain()
            return
        async with self._one_by_one if "if-none-match" in headers else contextlib.nullcontext():
            answer = await self._moto(head, body)
        if fault is Fault.LOSE_ANSWER:
            return
        if fault is Fault.HALF:
            answer = answer[: (answer.index(b"\r\n\r\n") + len(answer)) // 2]
        if fault is Fault.TRICKLE:
            for byte in answer:
                writer.write(bytes((byte,)))
                await writer.drain()
                await asyncio.sleep(0.05)
        writer.write(answer)
        await writer.drain()

    async def _moto(self, head: bytes, body: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.moto_port)
        try:
            lines = [
                line for line in head[:-4].split(b"\r\n") if line[:11].lower() != b"connection:"
            ]
            if not any(line[:14].lower() == b"authorization:" for line in lines):
                # moto takes a presigned GET with a content type for a forged one when the file
                # is missing; the gate has judged the signature.
                lines.append(b"Authorization: AWS4-HMAC-SHA256 Credential=a/b/auto/s3/aws4_request")
            writer.write(b"\r\n".join([*lines, b"Connection: close", b"", b""]) + body)
            await writer.drain()
            return await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()

    def _unequal_parts(self, request: Seen) -> tuple[int, str] | None:
        """R2 joins only parts of one size, the last one aside."""
        if request.operation != "CompleteMultipartUpload":
            return None
        upload = request.target.partition("uploadId=")[2]
        sizes: dict[int, int] = {}
        for seen in self.seen:
            if seen.operation == "UploadPart" and upload in seen.target:
                number = int(seen.target.partition("partNumber=")[2].partition("&")[0])
                sizes[number] = len(seen.body)
        all_but_last = {sizes[number] for number in sorted(sizes)[:-1]}
        return (400, "InvalidPart") if len(all_but_last) > 1 else None


def _error(status: int, code: str, *, head: bool) -> bytes:
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f"<Error><Code>{code}</Code><Message>refused by the gate</Message></Error>"
    ).encode()
    lines = [
        f"HTTP/1.1 {status} Gate",
        "Content-Type: application/xml",
        "Connection: close",
        f"Content-Length: {len(text)}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if head else text)


@contextmanager
def running_moto() -> Iterator[int]:
    """Hold a moto server in a thread and return its port."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield server.get_host_and_port()[1]
    finally:
        server.stop()


@asynccontextmanager
async def open_gate(moto_port: int) -> AsyncIterator[Gate]:
    """Hold a gate with an empty bucket of its own."""
    bucket = f"genjobs-{uuid.uuid4().hex[:12]}"
    session = aioboto3.Session()
    async with session.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{moto_port}",
        region_name="us-east-1",  # moto makes no bucket in the region "auto"
        aws_access_key_id=CREDENTIALS.access_key_id,
        aws_secret_access_key=CREDENTIALS.secret_access_key,
    ) as client:
        await client.create_bucket(Bucket=bucket)
        connections: set[asyncio.Task[None]] = set()
        gate = Gate(
            place=Place(endpoint="http://unknown", bucket=bucket),
            client=client,
            moto_port=moto_port,
        )

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(gate.serve(reader, writer))
            connections.add(task)
            task.add_done_callback(connections.discard)

        server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=2**20)
        port = server.sockets[0].getsockname()[1]
        gate.place = Place(endpoint=f"http://127.0.0.1:{port}", bucket=bucket)
        try:
            yield gate
        finally:
            server.close()
            for task in connections:
                task.cancel()
            await asyncio.gather(*connections, return_exceptions=True)
