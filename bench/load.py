"""A cheap HTTP/1.1 load client: prepared bytes over kept connections, so that servers are measured."""

from __future__ import annotations

import asyncio
import time


def request(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """Return the bytes of a request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def rate(port: int, message: bytes, *, seconds: float, connections: int = 16) -> float:
    """Return answers per second; any status but 2xx ends the run."""
    until = time.perf_counter() + seconds
    begun = time.perf_counter()
    counts = await asyncio.gather(*(_client(port, message, until) for _ in range(connections)))
    return sum(counts) / (time.perf_counter() - begun)


async def once(port: int, message: bytes) -> bytes:
    """Return the body of one answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(message)
    body = await _answer(reader)
    writer.close()
    return body


async def _client(port: int, message: bytes, until: float) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    count = 0
    while time.perf_counter() < until:
        writer.write(message)
        await _answer(reader)
        count += 1
    writer.close()
    return count


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head[9:12])
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line[15:])
    body = await reader.readexactly(length)
    if not 200 <= status < 300:
        raise RuntimeError(f"answered {status}: {body[:300]!r}")
    return body
