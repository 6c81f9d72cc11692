"""Why the store was unavailable, for operators: the code of a fix, and what the store said."""

from __future__ import annotations

from botocore.exceptions import ClientError

from genjobs.domain.errors import Unavailable

_NO_BUCKET = frozenset({"NoSuchBucket"})


def explain(error: Unavailable) -> tuple[str, str]:
    """Return a code of ``domain.fixes``, and what was seen; neither names a key or a secret."""
    cause = error.__cause__
    if not isinstance(cause, ClientError):
        return "store_unreachable", error.message if cause is None else type(cause).__name__
    code = str(cause.response.get("Error", {}).get("Code", ""))
    status = int(cause.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    shown = f"{code or 'no code'} ({status})"
    if code in _NO_BUCKET:
        return "store_bucket_missing", shown
    if status in {401, 403} or code.startswith(("Invalid", "Signature", "Access")):
        return "store_refused", shown
    return "store_unreachable", shown
