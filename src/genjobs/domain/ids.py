"""
Identifiers: UUIDv7 values and their text form with a type prefix (``job_01h...``).

The text form follows the TypeID specification 0.3 (prefix, ``_``, 26 characters of lower-case
Crockford base32); UUIDv7 is RFC 9562 section 5.7. No randomness source or clock is read here:
both come in through the ``IdSource`` port.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Final, NewType
from uuid import UUID

TenantId = NewType("TenantId", UUID)
JobId = NewType("JobId", UUID)
ExecutionId = NewType("ExecutionId", UUID)
ErasureId = NewType("ErasureId", UUID)
UploadId = NewType("UploadId", UUID)

JOB_PREFIX: Final = "job"
OUTPUT_PREFIX: Final = "out"
ERASURE_PREFIX: Final = "era"
TENANT_PREFIX: Final = "ten"
UPLOAD_PREFIX: Final = "upl"

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_FROM_STANDARD: Final = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", _ALPHABET.encode())
_VALUES: Final = {char: value for value, char in enumerate(_ALPHABET)}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TEXT_LENGTH: Final = 26  # 128 bits in groups of five, so the first character is at most "7"


def unix_milliseconds(at: datetime) -> int:
    """Return whole milliseconds since 1970; a float of seconds would miss some by one."""
    return (at - _EPOCH) // timedelta(milliseconds=1)


def uuid7(at: datetime, random_bits: int) -> UUID:
    """
    Make a UUIDv7 from an aware time (milliseconds are kept) and 74 random bits.

    Raises:
        ValueError: ``at`` is naive or before 1970.
    """
    if at.tzinfo is None:
        raise ValueError("a UUIDv7 needs an aware time")
    milliseconds = unix_milliseconds(at)
    if not 0 <= milliseconds < 1 << 48:
        raise ValueError("time out of range for a UUIDv7")
    rand_a = (random_bits >> 62) & 0xFFF
    rand_b = random_bits & ((1 << 62) - 1)
    return UUID(int=milliseconds << 80 | 0x7 << 76 | rand_a << 64 | 0b10 << 62 | rand_b)


def to_text(prefix: str, value: UUID) -> str:
    """Return the text form of ``value``: ``prefix_`` and 26 base32 characters."""
    # The standard base32 groups 40 bits; the last 26 characters of 160 bits are the low 130.
    text = base64.b32encode(value.int.to_bytes(20, "big"))[-_TEXT_LENGTH:]
    return f"{prefix}_{text.translate(_FROM_STANDARD).decode()}"


def from_text(prefix: str, text: str) -> UUID:
    """
    Return the identifier that :func:`to_text` wrote; there is exactly one text per value.

    Raises:
        ValueError: another prefix, another length, a character outside the alphabet, or a number
            over 128 bits.
    """
    head, separator, body = text.rpartition("_")
    if not separator or head != prefix or len(body) != _TEXT_LENGTH or body[0] > "7":
        raise ValueError(f"not a {prefix} id")
    number = 0
    for char in body:
        value = _VALUES.get(char)
        if value is None:
            raise ValueError(f"not a {prefix} id")
        number = number << 5 | value
    return UUID(int=number)


def job_text(job_id: JobId) -> str:
    """Return ``job_...``."""
    return to_text(JOB_PREFIX, job_id)


def tenant_text(tenant_id: TenantId) -> str:
    """Return ``ten_...``."""
    return to_text(TENANT_PREFIX, tenant_id)


def parse_tenant_id(text: str) -> TenantId:
    """Return the tenant id written as ``text``; ``ValueError`` when it is none."""
    return TenantId(from_text(TENANT_PREFIX, text))


def parse_job_id(text: str) -> JobId:
    """Return the job id written as ``text``; ``ValueError`` when it is none."""
    return JobId(from_text(JOB_PREFIX, text))


def upload_text(upload_id: UploadId) -> str:
    """Return ``upl_...``."""
    return to_text(UPLOAD_PREFIX, upload_id)


def parse_upload_id(text: str) -> UploadId:
    """Return the upload id written as ``text``; ``ValueError`` when it is none."""
    return UploadId(from_text(UPLOAD_PREFIX, text))


def erasure_text(erasure_id: ErasureId) -> str:
    """Return ``era_...``."""
    return to_text(ERASURE_PREFIX, erasure_id)


def parse_erasure_id(text: str) -> ErasureId:
    """Return the erasure id written as ``text``; ``ValueError`` when it is none."""
    return ErasureId(from_text(ERASURE_PREFIX, text))
