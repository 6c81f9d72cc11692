"""Files of gigabytes go in and out of a bucket with the memory of a few parts."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aioboto3
import httpx
import pytest

from genjobs.adapters.r2 import Patience, Place, open_r2_store
from genjobs.application.local_files import file_chunks
from genjobs.domain.artifacts import input_key
from genjobs.testing import an_owner
from genjobs.testing.contracts.artifact_files import a_job_id
from tests.object_store import CREDENTIALS

pytestmark = pytest.mark.slow

GIB = 2**30
#: Eight parts in flight, one more of each upload being filled, and what goes with them.
MOST_MEMORY = 160 * 2**20


@asynccontextmanager
async def process(*command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield running
    finally:
        running.kill()
        await running.wait()


def memory() -> int:
    """Return the most memory this process has held since :func:`forget_peak`."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


def forget_peak() -> int:
    Path("/proc/self/clear_refs").write_text("5")
    return memory()


async def test_five_gibibytes_from_a_sparse_file_and_back(tmp_path: Path) -> None:
    sparse, size = tmp_path / "sparse", 5 * GIB
    with sparse.open("wb") as file:
        file.truncate(size)
    async with process("-m", "tests.object_store.sink") as sink:
        assert sink.stdout is not None
        port = int(await sink.stdout.readline())
        place = Place(endpoint=f"http://127.0.0.1:{port}", bucket="files")
        async with open_r2_store(place, CREDENTIALS) as store:
            key = input_key(an_owner(), a_job_id(), 0)
            before = forget_peak()
            stored = await store.put(key, file_chunks(sparse), content_type="video/mp4")
            sent = memory() - before
            received = 0
            async with store.read(key) as chunks:
                async for chunk in chunks:
                    received += len(chunk)
            read = memory() - before
        async with httpx.AsyncClient(trust_env=False) as http:
            counted = int((await http.get(f"{place.endpoint}/count")).text)

    print(f"5 GiB: {sent / 2**20:.0f} MiB while sending, {read / 2**20:.0f} MiB in all")
    assert (stored.bytes, counted, received) == (size, size, size)
    assert max(sent, read) < MOST_MEMORY


async def test_two_gibibytes_in_parts_are_joined_as_they_were(tmp_path: Path) -> None:
    """Moto keeps them in its memory, twice while it joins them."""
    piece, digest = bytes(range(256)) * 4096, hashlib.sha256()
    async with process("-m", "moto.server", "-p", "0", "-H", "127.0.0.1") as moto:
        port = await listening_port(moto.pid)
        place = Place(endpoint=f"http://127.0.0.1:{port}", bucket="genjobs")
        async with aioboto3.Session().client(
            "s3",
            endpoint_url=place.endpoint,
            region_name="us-east-1",
            aws_access_key_id="a",
            aws_secret_access_key="b",
        ) as client:
            await client.create_bucket(Bucket=place.bucket)

        async def content() -> AsyncIterator[bytes]:
            for number in range(2048):
                chunk = number.to_bytes(4, "big") + piece[4:]
                digest.update(chunk)
                yield chunk

        # moto handles the whole file before it answers anything.
        patience = Patience(silence=300, attempt=300, total=300)
        async with open_r2_store(place, CREDENTIALS, patience=patience) as store:
            key = input_key(an_owner(), a_job_id(), 0)
            before = forget_peak()
            stored = await store.put(key, content(), content_type="video/mp4")
            back = hashlib.sha256()
            async with store.read(key) as chunks:
                async for chunk in chunks:
                    back.update(chunk)
            grown = memory() - before
    print(f"2 GiB: {grown / 2**20:.0f} MiB")
    assert stored.bytes == 2 * GIB
    assert stored.sha256 == digest.hexdigest() == back.hexdigest()
    assert grown < MOST_MEMORY


async def listening_port(pid: int) -> int:
    """Return the TCP port on which a process listens, once it does."""
    async with asyncio.timeout(60):
        while True:
            inodes = {
                link.readlink().name
                for link in Path(f"/proc/{pid}/fd").iterdir()
                if str(link.readlink()).startswith("socket:")
            }
            for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                    return int(fields[1].split(":")[1], 16)
            await asyncio.sleep(0.1)
