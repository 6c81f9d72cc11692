"""
What a caller submits, and the checks that need nothing but the request itself.

Storing it is in ``submit``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from genjobs.domain import limits
from genjobs.domain.errors import (
    InvalidMedia,
    InvalidRequest,
    MediaTooLarge,
    TooManyMedia,
    UnknownPlan,
    UrlNotAllowed,
)
from genjobs.domain.graph import canonical_json, pointer
from genjobs.domain.job import Idempotency
from genjobs.domain.media import MediaKind
from genjobs.domain.plans import is_plan_name
from genjobs.domain.workflow import Workflow


@dataclass(frozen=True, slots=True, kw_only=True)
class InlineMedia:
    """A media entry whose content came with the request; 4 MB for all of a request together."""

    #: What node inputs call it: a plain file name, 1 to 128 characters.
    name: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaByUrl:
    """A media entry to be downloaded before the job is eligible."""

    name: str
    #: http or https, of a public host.
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaByUpload:
    """A media entry uploaded before, by the same user."""

    name: str
    #: As ``upload_text`` writes it: ``upl_...``.
    upload_id: str


MediaSource = InlineMedia | MediaByUrl | MediaByUpload


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What a caller asks for; None leaves a choice to the deployment's defaults."""

    #: A ComfyUI graph in API format, as JSON gives it: nodes by their ids.
    workflow: object
    #: At most ten, if the deployment does not say otherwise.
    media: Sequence[MediaSource] = ()
    #: -100 to 100: higher goes first among the same user's jobs.
    priority: int = 0
    #: The caller's own, returned as it is: 20 keys of 40 characters, values of 500.
    metadata: Mapping[str, str] = field(default_factory=dict)
    #: A second to a day: how long it may wait until it is first started.
    queue_timeout: timedelta | None = None
    #: A second to six hours: how long it may render.
    run_timeout: timedelta | None = None
    #: Five minutes to a year: how long it is kept once it has ended.
    retention: timedelta | None = None
    #: The plan that the user has from now on; None leaves it as it is.
    plan: str | None = None
    #: 1 to 255 printable ASCII characters; for a day a repeat under it makes no second job.
    idempotency_key: str | None = None


def check_fields(submission: Submission) -> None:
    """Raise ``InvalidRequest`` for a member out of range, ``UnknownPlan`` for no plan's name."""
    low, high = limits.PRIORITY_RANGE
    if not low <= submission.priority <= high:
        raise InvalidRequest(f"priority must be from {low} to {high}.", pointer="/priority")
    for name, value, (shortest, longest) in (
        ("queue_timeout_seconds", submission.queue_timeout, limits.QUEUE_TIMEOUT_RANGE),
        ("run_timeout_seconds", submission.run_timeout, limits.RUN_TIMEOUT_RANGE),
        ("retention_seconds", submission.retention, limits.RETENTION_RANGE),
    ):
        if value is not None and not shortest <= value <= longest:
            raise InvalidRequest(
                f"{name} must be from {shortest.total_seconds():.0f} to "
                f"{longest.total_seconds():.0f}.",
                pointer=f"/{name}",
            )
    if submission.plan is not None and not is_plan_name(submission.plan):
        raise UnknownPlan(pointer="/plan")
    _check_metadata(submission.metadata)
    if submission.idempotency_key is not None:
        _check_key(submission.idempotency_key)


def _check_metadata(metadata: Mapping[str, str]) -> None:
    if len(metadata) > limits.MAX_METADATA_KEYS:
        raise InvalidRequest(
            f"metadata may have at most {limits.MAX_METADATA_KEYS} keys.", pointer="/metadata"
        )
    for key, text in metadata.items():
        if not 0 < len(key) <= limits.MAX_METADATA_KEY_CHARS or not _storable(key):
            raise InvalidRequest(
                f"A metadata key must have 1 to {limits.MAX_METADATA_KEY_CHARS} characters.",
                pointer="/metadata",
            )
        if len(text) > limits.MAX_METADATA_VALUE_CHARS or not _storable(text):
            raise InvalidRequest(
                f"A metadata value may have at most {limits.MAX_METADATA_VALUE_CHARS} characters.",
                pointer=pointer("metadata", key),
            )


def _check_key(key: str) -> None:
    if not (
        0 < len(key) <= limits.MAX_IDEMPOTENCY_KEY_CHARS and key.isascii() and key.isprintable()
    ):
        raise InvalidRequest(
            f"Idempotency-Key must be 1 to {limits.MAX_IDEMPOTENCY_KEY_CHARS} printable ASCII "
            "characters."
        )


def _storable(text: str) -> bool:
    """Whether the text is valid Unicode without NUL: what a database can hold."""
    return "\x00" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


def check_media(media: Sequence[MediaSource], *, most: int = limits.MAX_MEDIA) -> None:
    """Raise ``InvalidMedia`` for what is wrong with the entries before looking into any."""
    if len(media) > most:
        raise TooManyMedia(
            f"The request has {len(media)} media entries; at most {most} are allowed.",
            pointer="/media",
        )
    names: set[str] = set()
    for index, entry in enumerate(media):
        at = f"/media/{index}"
        check_name(entry.name, f"{at}/name")
        if entry.name in names:
            raise InvalidMedia("Two media entries have the same name.", pointer=f"{at}/name")
        names.add(entry.name)
        if isinstance(entry, MediaByUrl) and not _storable(entry.url):
            raise UrlNotAllowed(pointer=f"{at}/url")
    total = sum(len(entry.content) for entry in media if isinstance(entry, InlineMedia))
    if total > limits.MAX_INLINE_MEDIA_BYTES:
        raise MediaTooLarge(
            f"The inline media have {total} bytes; at most {limits.MAX_INLINE_MEDIA_BYTES} are "
            "allowed in all.",
            pointer="/media",
        )


def check_name(name: str, at: str) -> None:
    """Raise ``InvalidMedia`` with the pointer ``at`` unless it is a plain file name."""
    if not 0 < len(name) <= limits.MAX_MEDIA_NAME_CHARS:
        raise InvalidMedia(
            f"A media name must have 1 to {limits.MAX_MEDIA_NAME_CHARS} characters.", pointer=at
        )
    if not name.isprintable() or "/" in name or "\\" in name or name in {".", ".."}:
        raise InvalidMedia("A media name must be a plain file name without folders.", pointer=at)


def wanted_kinds(
    workflow: Workflow, media: Sequence[MediaSource]
) -> Mapping[str, frozenset[MediaKind]]:
    """Return which kinds of file the nodes take that use each entry; may raise ``UnknownMedia``."""
    wanted: dict[str, frozenset[MediaKind]] = {}
    for use in workflow.file_uses(frozenset(entry.name for entry in media)):
        wanted[use.media_name] = wanted.get(use.media_name, frozenset()) | {use.kind}
    return wanted


def idempotency_of(submission: Submission, workflow: Workflow) -> Idempotency | None:
    """Return the key with the fingerprint of everything that the request asks for."""
    if submission.idempotency_key is None:
        return None
    digest = hashlib.sha256(workflow.encoded)
    for entry in submission.media:
        match entry:
            case InlineMedia():
                source = hashlib.sha256(entry.content).hexdigest()
            case MediaByUrl():
                source = entry.url
            case MediaByUpload():
                source = entry.upload_id
        digest.update(canonical_json([type(entry).__name__, entry.name, source]))
    rest = [
        submission.priority,
        dict(submission.metadata),
        submission.plan,
        *(
            None if value is None else value.total_seconds()
            for value in (submission.queue_timeout, submission.run_timeout, submission.retention)
        ),
    ]
    digest.update(json.dumps(rest, sort_keys=True).encode())
    return Idempotency(key=submission.idempotency_key, fingerprint=digest.digest())
