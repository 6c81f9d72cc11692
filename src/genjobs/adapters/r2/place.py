"""Where the bucket is: ``r2://<account>/<bucket>``, with ``?endpoint=`` for any other S3 store."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, urlsplit

from genjobs.domain.errors import ConfigurationError

_FORM: Final = "r2://<account>/<bucket>, with ?endpoint= and &region= for other S3 stores"
_ACCOUNT: Final = re.compile(r"[a-z0-9-]{1,63}")
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_REGION: Final = re.compile(r"[a-z0-9-]{1,40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A bucket and how to reach it."""

    #: Scheme and host, without a path.
    endpoint: str
    bucket: str
    #: R2 has one region of this name; others want their own in the signature.
    region: str = "auto"


def parse_place(url: str) -> Place:
    """
    Return the place that ``url`` names.

    Raises:
        ConfigurationError: it is not of the form of an R2 URL; the message does not repeat it.
    """
    try:
        parts = urlsplit(url)
        query = parse_qs(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise ConfigurationError(f"artifacts_url must be {_FORM}") from None
    bucket = parts.path.removeprefix("/")
    single = {name: values[0] for name, values in query.items() if len(values) == 1}
    if (
        parts.scheme != "r2"
        or not _ACCOUNT.fullmatch(parts.netloc)
        or not _BUCKET.fullmatch(bucket)
        or parts.fragment
        or len(single) != len(query)
        or not query.keys() <= {"endpoint", "region"}
    ):
        raise ConfigurationError(f"artifacts_url must be {_FORM}")
    region = single.get("region", "auto")
    if not _REGION.fullmatch(region):
        raise ConfigurationError("artifacts_url has a region that is none")
    endpoint = single.get("endpoint", f"https://{parts.netloc}.r2.cloudflarestorage.com")
    return Place(endpoint=_checked(endpoint), bucket=bucket, region=region)


def _checked(endpoint: str) -> str:
    """Return the endpoint as an origin; what clients are given starts with it."""
    try:
        parts = urlsplit(endpoint)
        origin = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        origin = False
    if not origin or parts.username or parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ConfigurationError("artifacts_url's endpoint must be https://host or http://host")
    return f"{parts.scheme}://{parts.netloc.lower()}"
