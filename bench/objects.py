"""
Throughput of the object store, against plain aioboto3 transfers on the same moto server.

The server is a process of its own; both sides send and receive the same bytes from memory. ours
also measures SHA-256, and stores whole or not at all; plain is ``upload_fileobj`` and
``download_fileobj`` with their defaults.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Final

import aioboto3

from bench.measuring import Result, free_port, process, result, versus
from genjobs.adapters.r2 import Credentials, Place, open_r2_store
from genjobs.domain.artifacts import input_key
from genjobs.domain.ids import JobId
from genjobs.testing import SequentialIds, an_owner
from genjobs.testing.clock import BEGINNING

_MIB: Final = 1024 * 1024
_CHUNK: Final = 256 * 1024
_LARGE: Final = 64 * _MIB
_SMALL: Final = 256 * 1024
_SMALL_FILES: Final = 20
_BUCKET: Final = "genjobs"


async def objects() -> list[Result]:
    """Return the results of sending and receiving."""
    port = free_port()
    place = Place(endpoint=f"http://127.0.0.1:{port}", bucket=_BUCKET)
    credentials = Credentials(access_key_id="bench", secret_access_key="bench")
    content = os.urandom(_LARGE)
    key = input_key(an_owner(), JobId(SequentialIds().uuid7(BEGINNING)), 0)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(
            process("-m", "moto.server", "-p", str(port), "-H", "127.0.0.1", port=port)
        )
        plain: Any = await stack.enter_async_context(
            aioboto3.Session().client(
                "s3",
                endpoint_url=place.endpoint,
                region_name="us-east-1",
                aws_access_key_id="bench",
                aws_secret_access_key="bench",
            )
        )
        await plain.create_bucket(Bucket=_BUCKET)
        store = await stack.enter_async_context(open_r2_store(place, credentials))

        async def put() -> float:
            begun = time.perf_counter()
            await store.put(key, _chunks(content), content_type="video/mp4")
            return _LARGE / _MIB / (time.perf_counter() - begun)

        async def put_plain() -> float:
            begun = time.perf_counter()
            await plain.upload_fileobj(io.BytesIO(content), _BUCKET, "plain")
            return _LARGE / _MIB / (time.perf_counter() - begun)

        async def get() -> float:
            begun, received = time.perf_counter(), 0
            async with store.read(key) as chunks:
                async for chunk in chunks:
                    received += len(chunk)
            assert received == _LARGE
            return _LARGE / _MIB / (time.perf_counter() - begun)

        async def get_plain() -> float:
            begun, target = time.perf_counter(), io.BytesIO()
            await plain.download_fileobj(_BUCKET, "plain", target)
            assert len(target.getvalue()) == _LARGE
            return _LARGE / _MIB / (time.perf_counter() - begun)

        async def put_small() -> float:
            begun = time.perf_counter()
            for _ in range(_SMALL_FILES):
                await store.put(key, _chunks(content[:_SMALL]), content_type="image/png")
            return _SMALL_FILES / (time.perf_counter() - begun)

        async def put_small_plain() -> float:
            begun = time.perf_counter()
            for _ in range(_SMALL_FILES):
                await plain.upload_fileobj(io.BytesIO(content[:_SMALL]), _BUCKET, "small")
            return _SMALL_FILES / (time.perf_counter() - begun)

        return [
            # First, since what follows would read the small file.
            result(
                "object put 256 KiB", "files/s", *await versus(put_small, put_small_plain), goal=0.9
            ),
            result("object put 64 MiB", "MiB/s", *await versus(put, put_plain), goal=0.9),
            result("object get 64 MiB", "MiB/s", *await versus(get, get_plain), goal=0.9),
        ]


async def _chunks(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), _CHUNK):
        yield content[start : start + _CHUNK]
