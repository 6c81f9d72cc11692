"""Settings of how long the steps of an attempt may take; ``Settings`` extends them."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from genjobs.domain.deadlines import Deadlines


class AttemptSettings(BaseSettings):
    """Those by which a call of a worker is as long as it is."""

    model_config = SettingsConfigDict(
        env_prefix="GENJOBS_", env_file=".env", extra="ignore", frozen=True
    )

    start_seconds: float = Field(600, gt=0, description="How long a dispatched job may wait")
    renderer_wait_seconds: float = Field(
        900,
        gt=0,
        description="How long a loaded job waits for the renderer before it is given back",
    )
    cancel_grace_seconds: float = Field(
        30,
        gt=0,
        description="How long ComfyUI may take to stop a render before its process is killed",
    )
    stop_seconds: float = Field(
        20,
        gt=0,
        description="How long a worker that is told to stop may take: 60 % of it for a render to "
        "end, the rest for uploads",
    )

    def attempt_deadlines(self) -> Deadlines:
        """Return these, and the defaults of all others."""
        return Deadlines(
            start=timedelta(seconds=self.start_seconds),
            wait=timedelta(seconds=self.renderer_wait_seconds),
            cancel_grace=timedelta(seconds=self.cancel_grace_seconds),
            stop=timedelta(seconds=self.stop_seconds),
        )
