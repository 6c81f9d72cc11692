"""Settings of how long things are kept; ``Settings`` extends them."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field
from pydantic_settings import BaseSettings

from genjobs.domain.retention import RetentionRules

_DAY = 86_400


class KeepingSettings(BaseSettings):
    """What is kept how long after a job has ended; see docs/retention.md."""

    retention_seconds: float = Field(
        604_800,
        gt=0,
        description="Default retention of a job: how long its outputs are kept after its end",
    )
    keep_inputs_seconds: float = Field(
        3600,
        ge=0,
        description="How long inputs and workflow of a job are kept after its end, if its "
        "retention does not end earlier",
    )
    tombstone_seconds: float = Field(
        2_592_000,
        ge=_DAY,
        description="How long a job can still be read, without its outputs, after it was purged",
    )
    erasure_receipt_seconds: float = Field(
        31_536_000, ge=_DAY, description="How long receipts of erasures are kept"
    )

    def retention_rules(self) -> RetentionRules:
        """Return how long what is kept."""
        return RetentionRules(
            inputs=timedelta(seconds=self.keep_inputs_seconds),
            tombstone=timedelta(seconds=self.tombstone_seconds),
            receipts=timedelta(seconds=self.erasure_receipt_seconds),
        )
