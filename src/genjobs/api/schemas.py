"""
Request shapes of ``/v1``.

Strict: an unknown member or a value of another type is refused. Response shapes are in ``answers``.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    Strict,
    field_validator,
    model_validator,
)

from genjobs.api import examples
from genjobs.application.create_upload import UploadDeclaration
from genjobs.application.query import JobFilter
from genjobs.application.submission import (
    InlineMedia,
    MediaByUpload,
    MediaByUrl,
    MediaSource,
    Submission,
)
from genjobs.domain import limits
from genjobs.domain.errors import MediaNotBase64
from genjobs.domain.lifecycle import JobStatus
from genjobs.domain.media import ACCEPTED_INPUTS
from genjobs.domain.tenancy import USER_ID_PATTERN, Scope

_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]")


def told(**schema: Any) -> Callable[[dict[str, Any]], None]:
    """Return what adds to a member's schema the limits that the use case holds it to."""

    def extend(member: dict[str, Any]) -> None:
        for part in member.get("anyOf", [member]):
            if part.get("type") != "null":
                part.update(schema)

    return extend


def between(limits: tuple[timedelta, timedelta]) -> dict[str, Any]:
    """Return the schema of seconds within a range."""
    shortest, longest = limits
    return {"minimum": shortest.total_seconds(), "maximum": longest.total_seconds()}


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class MediaIn(_Request):
    """A file of the job: exactly one of ``data``, ``url`` and ``upload_id``."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": [name], "properties": {name: {"type": "string"}}}
                for name in ("data", "url", "upload_id")
            ]
        }
    )

    name: str = Field(
        description="What node inputs call the file: a plain name without folders",
        examples=["photo.png"],
        json_schema_extra=told(minLength=1, maxLength=limits.MAX_MEDIA_NAME_CHARS),
    )
    data: str | None = Field(
        None,
        description="The content in base64 (RFC 4648 section 4); at most 4 MB of all entries",
    )
    url: str | None = Field(None, description="Where to download it from: http or https, public")
    upload_id: str | None = Field(None, max_length=128, description="An upload made before")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(value is not None for value in (self.data, self.url, self.upload_id)) != 1:
            raise ValueError("exactly one of data, url and upload_id is needed")
        return self

    def source(self, index: int) -> MediaSource:
        """Return the entry for the use case; ``MediaNotBase64`` when its data are not."""
        if self.url is not None:
            return MediaByUrl(name=self.name, url=self.url)
        if self.upload_id is not None:
            return MediaByUpload(name=self.name, upload_id=self.upload_id)
        try:
            content = base64.b64decode(self.data or "", validate=True)
        except (binascii.Error, ValueError):
            raise MediaNotBase64(pointer=f"/media/{index}/data") from None
        return InlineMedia(name=self.name, content=content)


class JobCreate(_Request):
    """What to run, for whom."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.JOB_CREATE]})

    user_id: str | None = Field(
        None, pattern=USER_ID_PATTERN, description="Your end user; required with a tenant's key"
    )
    workflow: dict[str, Any] = Field(
        description="A ComfyUI workflow in API format: nodes by their ids",
        json_schema_extra=told(
            minProperties=1,
            maxProperties=limits.MAX_WORKFLOW_NODES,
            additionalProperties={
                "type": "object",
                "required": ["class_type", "inputs"],
                "properties": {
                    "class_type": {"type": "string", "maxLength": limits.MAX_CLASS_CHARS},
                    "inputs": {"type": "object"},
                },
            },
        ),
    )
    media: list[MediaIn] = Field(
        default=[], description="At most 10 files, if not configured otherwise"
    )
    priority: int = Field(
        0,
        ge=limits.PRIORITY_RANGE[0],
        le=limits.PRIORITY_RANGE[1],
        description="Higher goes first among the same user's jobs",
    )
    metadata: dict[str, str] = Field(
        default={},
        description="Yours; returned as it was sent",
        json_schema_extra=told(
            maxProperties=limits.MAX_METADATA_KEYS,
            propertyNames={"minLength": 1, "maxLength": limits.MAX_METADATA_KEY_CHARS},
            additionalProperties={"type": "string", "maxLength": limits.MAX_METADATA_VALUE_CHARS},
        ),
    )
    queue_timeout_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        None,
        description="How long it may wait until it is first started",
        json_schema_extra=told(**between(limits.QUEUE_TIMEOUT_RANGE)),
    )
    run_timeout_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        None,
        description="How long it may render",
        json_schema_extra=told(**between(limits.RUN_TIMEOUT_RANGE)),
    )
    retention_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        None,
        description="How long it is kept once it has ended",
        json_schema_extra=told(**between(limits.RETENTION_RANGE)),
    )
    plan: str | None = Field(
        None, max_length=64, description="One of your plans: the user's limits from now on"
    )

    def submission(self, idempotency_key: str | None) -> Submission:
        """Return the request for the use case; decoding is CPU work of up to 4 MB."""
        return Submission(
            workflow=self.workflow,
            media=[entry.source(index) for index, entry in enumerate(self.media)],
            priority=self.priority,
            metadata=self.metadata,
            queue_timeout=_seconds(self.queue_timeout_seconds),
            run_timeout=_seconds(self.run_timeout_seconds),
            retention=_seconds(self.retention_seconds),
            plan=self.plan,
            idempotency_key=idempotency_key,
        )


class UploadCreate(_Request):
    """What is about to be uploaded, for whom."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.UPLOAD_CREATE]})

    user_id: str | None = Field(
        None, pattern=USER_ID_PATTERN, description="Your end user; required with a tenant's key"
    )
    filename: str = Field(
        description="What the user calls it; no folders, and of no effect",
        json_schema_extra=told(minLength=1, maxLength=limits.MAX_MEDIA_NAME_CHARS),
    )
    content_type: str = Field(
        max_length=100,
        description="The PUT must say the same",
        json_schema_extra=told(enum=sorted(kind.content_type for kind in ACCEPTED_INPUTS)),
    )
    bytes: int = Field(
        description="The exact length; the PUT must have it. The deployment sets the most",
        json_schema_extra=told(minimum=1, maximum=limits.MOST_MEDIA_BYTES),
    )

    def declaration(self) -> UploadDeclaration:
        """Return the request for the use case."""
        return UploadDeclaration(
            filename=self.filename, content_type=self.content_type, bytes=self.bytes
        )


class TokenCreate(_Request):
    """Whose token, for how long, to do what."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.TOKEN_CREATE]})

    user_id: str = Field(pattern=USER_ID_PATTERN, description="Your end user")
    ttl_seconds: Annotated[int, Field(ge=30, le=3600)] = 900
    scopes: Annotated[list[Annotated[Scope, Strict(False)]], Field(max_length=10)] = Field(
        [Scope.JOBS_READ],
        description="jobs:read; and jobs:write if the key has it and the user's plan allows it",
    )


class JobListQuery(BaseModel):
    """The query of a listing."""

    model_config = ConfigDict(hide_input_in_errors=True)

    status: list[JobStatus] = Field(max_length=10)
    created_after: AwareDatetime | None
    created_before: AwareDatetime | None
    limit: int = Field(ge=1, le=limits.MAX_PAGE)

    @field_validator("created_after", "created_before", mode="before")
    @classmethod
    def _is_written_out(cls, value: str | None) -> str | None:
        # pydantic takes a number for seconds since 1970, too.
        if value is not None and not _DATE.match(value):
            raise ValueError("the time must be written as RFC 3339 says")
        return value

    @field_validator("created_after", "created_before")
    @classmethod
    def _in_range(cls, value: datetime | None) -> datetime | None:
        try:
            return None if value is None else value.astimezone(UTC)
        except OverflowError:
            raise ValueError("the time is out of range") from None

    def filter(self) -> JobFilter:
        """Return what the listing shows."""
        return JobFilter(
            statuses=frozenset(self.status),
            created_after=self.created_after,
            created_before=self.created_before,
        )


def _seconds(value: float | None) -> timedelta | None:
    # Far beyond every limit, and within what a timedelta can hold.
    return None if value is None else timedelta(seconds=min(value, 1e9))
