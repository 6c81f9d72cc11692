"""Whether a request is signed: botocore's signers recompute what ours, or its own, have made."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials

from genjobs.adapters.r2 import Credentials

CREDENTIALS = Credentials(access_key_id="test-key-id", secret_access_key="test-secret")
_BOTO = BotoCredentials(CREDENTIALS.access_key_id, CREDENTIALS.secret_access_key)
_SKEW = timedelta(minutes=15)
_REGION = "auto"


def refusal(
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: datetime,
    presigned_now: datetime,
) -> tuple[int, str] | None:
    """Return status and code with which a store refuses the request, None when it does not."""
    for name in headers:
        if name.startswith("x-amz-checksum") or name in {
            "x-amz-sdk-checksum-algorithm",
            "x-amz-trailer",
        }:
            return 501, "NotImplemented"  # as R2 does
    path, _, query = target.partition("?")
    if "X-Amz-Signature=" in query:
        return _presigned(method, path, query, headers, presigned_now)
    if "authorization" in headers:
        return _signed(method, target, headers, body, now)
    return 403, "AccessDenied"


def _signed(
    method: str, target: str, headers: Mapping[str, str], body: bytes, now: datetime
) -> tuple[int, str] | None:
    algorithm, _, rest = headers["authorization"].partition(" ")
    parts = dict(item.strip().split("=", 1) for item in rest.split(","))
    names = parts["SignedHeaders"].split(";")
    must = {"host", "x-amz-date", "x-amz-content-sha256"}
    must |= {name for name in headers if name.startswith("x-amz-")}
    if algorithm != "AWS4-HMAC-SHA256" or not must <= set(names):
        return 403, "AccessDenied"
    stamp = headers["x-amz-date"]
    if abs(_moment(stamp) - now) > _SKEW:
        return 403, "RequestTimeTooSkewed"
    auth = S3SigV4Auth(_BOTO, "s3", _REGION)
    request = _request(method, target, {name: headers[name] for name in names}, stamp)
    if parts["Credential"] != auth.scope(request):
        return 403, "InvalidAccessKeyId"
    text = auth.string_to_sign(request, auth.canonical_request(request))
    if not hmac.compare_digest(auth.signature(text, request), parts["Signature"]):
        return 403, "SignatureDoesNotMatch"
    if headers["x-amz-content-sha256"] != hashlib.sha256(body).hexdigest():
        return 400, "XAmzContentSHA256Mismatch"
    given = headers.get("content-md5")
    if given is not None and base64.b64decode(given) != hashlib.md5(body).digest():
        return 400, "BadDigest"
    if method == "POST" and target.endswith("?delete") and given is None:
        return 400, "MissingContentMD5"
    return None


def _presigned(
    method: str, path: str, query: str, headers: Mapping[str, str], now: datetime
) -> tuple[int, str] | None:
    pairs = parse_qsl(query, keep_blank_values=True)
    values = dict(pairs)
    try:
        stamp, signature = values["X-Amz-Date"], values["X-Amz-Signature"]
        names, life = values["X-Amz-SignedHeaders"].split(";"), int(values["X-Amz-Expires"])
        begins = _moment(stamp)
    except (KeyError, ValueError):
        return 400, "AuthorizationQueryParametersError"
    if not 0 < life <= 604_800 or len(values) != len(pairs) or "host" not in names:
        return 400, "AuthorizationQueryParametersError"
    if any(name.startswith("x-amz-") and name not in names for name in headers):
        return 403, "AccessDenied"  # there were headers present which were not signed
    auth = S3SigV4QueryAuth(_BOTO, "s3", _REGION)
    rest = "&".join(item for item in query.split("&") if not item.startswith("X-Amz-Signature="))
    given = {name: headers.get(name, "") for name in names}
    request = _request(method, f"{path}?{rest}", given, stamp)
    if values.get("X-Amz-Credential") != auth.scope(request):
        return 403, "InvalidAccessKeyId"
    text = auth.string_to_sign(request, auth.canonical_request(request))
    if not hmac.compare_digest(auth.signature(text, request).encode(), signature.encode()):
        return 403, "SignatureDoesNotMatch"
    if now >= begins + timedelta(seconds=life) or now < begins - _SKEW:
        return 403, "AccessDenied"
    return None


def _request(method: str, target: str, headers: Mapping[str, str], stamp: str) -> AWSRequest:
    request = AWSRequest(method=method, url=f"http://{headers['host']}{target}", headers=headers)
    request.context["timestamp"] = stamp
    return request


def _moment(stamp: str) -> datetime:
    return datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
