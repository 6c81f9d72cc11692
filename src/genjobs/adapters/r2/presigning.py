"""
Presigned URLs: AWS Signature Version 4 in the query, for one GET or PUT of one file.

Computed here, since aioboto3's presigning is a coroutine, takes ten times as long, and knows no
other moment than now. The tests recompute every signature with botocore's signers.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote, urlsplit

from genjobs.adapters.r2.place import Place
from genjobs.domain.artifacts import ArtifactKey
from genjobs.domain.attachments import content_disposition

#: The longest that such a URL may live.
MOST_LIFE: Final = timedelta(days=7)
_ALGORITHM: Final = "AWS4-HMAC-SHA256"


class Presigner:
    """Signs for one bucket with one key."""

    def __init__(self, place: Place, *, access_key_id: str, secret_access_key: str) -> None:
        self._place = place
        self._host = urlsplit(place.endpoint).netloc
        self._key_id = access_key_id
        self._secret = secret_access_key
        self._day_key: tuple[str, bytes] = ("", b"")

    def get_url(
        self, key: ArtifactKey, *, expires_at: datetime, filename: str, content_type: str
    ) -> str:
        """
        Return a URL for GET that works for the seven days before ``expires_at``.

        It depends on nothing but its arguments: a URL that is signed again is the same, so
        browsers keep what they fetched, and no clock of ours has to agree with the store's.
        """
        return self._url(
            "GET",
            key,
            expires_at,
            members={
                "response-cache-control": "private, max-age=0, must-revalidate",
                "response-content-disposition": content_disposition(filename),
                "response-content-type": content_type,
            },
            headers={},
        )

    def put_url(self, key: ArtifactKey, *, expires_at: datetime, headers: Mapping[str, str]) -> str:
        """Return a URL for PUT, likewise; a request must carry exactly these ``headers``."""
        return self._url("PUT", key, expires_at, members={}, headers=headers)

    def _url(
        self,
        method: str,
        key: ArtifactKey,
        expires_at: datetime,
        *,
        members: Mapping[str, str],
        headers: Mapping[str, str],
    ) -> str:
        signed_at = (expires_at.astimezone(UTC) - MOST_LIFE).strftime("%Y%m%dT%H%M%SZ")
        day = signed_at[:8]
        scope = f"{day}/{self._place.region}/s3/aws4_request"
        path = f"/{self._place.bucket}/{quote(key, safe='/~')}"
        carried = sorted({"host": self._host, **_lower(headers)}.items())
        names = ";".join(name for name, _ in carried)
        query = _encoded(
            {
                "X-Amz-Algorithm": _ALGORITHM,
                "X-Amz-Credential": f"{self._key_id}/{scope}",
                "X-Amz-Date": signed_at,
                "X-Amz-Expires": str(int(MOST_LIFE.total_seconds())),
                "X-Amz-SignedHeaders": names,
                **members,
            }
        )
        lines = "".join(f"{name}:{value}\n" for name, value in carried)
        request = f"{method}\n{path}\n{query}\n{lines}\n{names}\nUNSIGNED-PAYLOAD"
        digest = hashlib.sha256(request.encode()).hexdigest()
        text = f"{_ALGORITHM}\n{signed_at}\n{scope}\n{digest}"
        signature = hmac.new(self._signing_key(day), text.encode(), hashlib.sha256).hexdigest()
        return f"{self._place.endpoint}{path}?{query}&X-Amz-Signature={signature}"

    def _signing_key(self, day: str) -> bytes:
        known, key = self._day_key
        if known != day:
            key = f"AWS4{self._secret}".encode()
            for part in (day, self._place.region, "s3", "aws4_request"):
                key = hmac.new(key, part.encode(), hashlib.sha256).digest()
            self._day_key = (day, key)
        return key


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _encoded(members: dict[str, str]) -> str:
    """Return a query as the signature wants it: sorted, all but unreserved characters escaped."""
    pairs = sorted(
        (quote(name, safe="~"), quote(value, safe="~")) for name, value in members.items()
    )
    return "&".join(f"{name}={value}" for name, value in pairs)
