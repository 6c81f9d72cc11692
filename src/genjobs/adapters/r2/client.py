"""Opening the S3 client: one for a process, configured by settings alone."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import aioboto3
from aiobotocore.session import AioSession
from botocore.config import Config

from genjobs.adapters.r2.calls import Calls, Patience
from genjobs.adapters.r2.place import Place
from genjobs.adapters.r2.presigning import Presigner
from genjobs.adapters.r2.store import R2ArtifactStore
from genjobs.adapters.r2.uploads import PART_BYTES

_CONNECTIONS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A token's two halves."""

    access_key_id: str
    secret_access_key: str = field(repr=False)


@asynccontextmanager
async def open_r2_store(
    place: Place,
    credentials: Credentials,
    *,
    patience: Patience | None = None,
    part_bytes: int = PART_BYTES,
) -> AsyncIterator[R2ArtifactStore]:
    """Hold the store of a bucket; nothing is sent before it is used."""
    waits = patience or Patience()
    session = aioboto3.Session(botocore_session=_deaf_session())
    async with session.client(
        "s3",
        endpoint_url=place.endpoint,
        region_name=place.region,
        aws_access_key_id=credentials.access_key_id,
        aws_secret_access_key=credentials.secret_access_key,
        config=_config(waits),
    ) as client:
        client.meta.events.register("before-call.s3", _as_r2_wants_it)
        yield R2ArtifactStore(
            Calls(client, place.bucket, waits),
            Presigner(
                place,
                access_key_id=credentials.access_key_id,
                secret_access_key=credentials.secret_access_key,
            ),
            part_bytes=part_bytes,
        )


def _config(patience: Patience) -> Config:
    return Config(
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        # R2 refuses the checksums that botocore would add; each body is in its signature anyway.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        connect_timeout=patience.connect,
        read_timeout=patience.silence,
        retries={"total_max_attempts": 1},  # ``Calls`` repeats
        max_pool_connections=_CONNECTIONS,
        proxies={},  # not even those of the environment
    )


def _deaf_session() -> AioSession:
    """Return a session without the profiles and files that AWS's tools share on a machine."""
    nowhere = (None, None, os.devnull, None)
    return AioSession(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": nowhere,
            "credentials_file": nowhere,
        }
    )


def _as_r2_wants_it(model: Any, params: dict[str, Any], **_: Any) -> None:
    """Change a request before it is signed."""
    # One more round trip for each part, and not every store answers it.
    params["headers"].pop("Expect", None)
    if model.name == "DeleteObjects":
        # The one request whose body must have a checksum: the old kind, which every store takes.
        params["context"].pop("checksum", None)
        params["headers"].pop("x-amz-sdk-checksum-algorithm", None)
        digest = hashlib.md5(params["body"], usedforsecurity=False).digest()
        params["headers"]["Content-MD5"] = base64.b64encode(digest).decode()
