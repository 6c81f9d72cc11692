"""
An S3 store that keeps no content: it counts bytes, and sends back as many zeros.

For files larger than anybody wants to keep; run as a process of its own, so that the memory of
whoever sends is told apart. Prints its port, and answers ``GET /count`` with what it was sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

_ZEROS = bytes(256 * 1024)
_received = 0
_sizes: dict[str, int] = {}


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while True:
            await _one(reader, writer)
    writer.close()


async def _one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    global _received
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ")
    path, _, query = target.partition("?")
    headers = {name.lower(): value.strip() for name, _, value in (h.partition(":") for h in head)}
    left = int(headers.get("content-length", 0))
    counted = method == "PUT"
    while left:
        piece = await reader.read(min(left, 1024 * 1024))
        if not piece:
            raise ConnectionResetError
        left -= len(piece)
        if counted:
            _received += len(piece)
            _sizes[path] = _sizes.get(path, 0) + len(piece)
    body = b""
    if path == "/count":
        body = str(_received).encode()
    elif method == "POST" and query.startswith("uploads"):
        _sizes[path] = 0
        body = (
            b"<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
        )
    elif method == "POST":
        body = b'<CompleteMultipartUploadResult><ETag>"1"</ETag></CompleteMultipartUploadResult>'
    length = _sizes.get(path, 0) if method in {"GET", "HEAD"} and path != "/count" else len(body)
    writer.write(f'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: {length}\r\n\r\n'.encode())
    if method == "GET" and path != "/count":
        sent = 0
        while sent < length:
            writer.write(_ZEROS[: length - sent])
            sent += min(len(_ZEROS), length - sent)
            await writer.drain()
    else:
        writer.write(body)
    await writer.drain()


async def _main() -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0, limit=4 * 1024 * 1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main())
    sys.exit(0)
