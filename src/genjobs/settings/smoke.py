"""Settings of the smoke job, which is sent to a deployment from outside: ``GENJOBS_SMOKE_*``."""

from __future__ import annotations

from pathlib import Path

from pydantic import AnyHttpUrl, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class SmokeSettings(BaseSettings):
    """Where the job goes, with whose key, and how long it may take."""

    model_config = SettingsConfigDict(
        env_prefix="GENJOBS_SMOKE_", env_file=".env", extra="ignore", frozen=True
    )

    url: AnyHttpUrl | None = Field(None, description="How clients reach the API")
    key: SecretStr | None = Field(
        None, description="A tenant's key with jobs:write and jobs:read, for smoke jobs only"
    )
    user_id: str = Field("smoke", description="The user that smoke jobs are for")
    seconds: float = Field(
        900, gt=0, le=7200, description="How long the whole of it may take, a cold start included"
    )
    workflow: Path | None = Field(
        None,
        description="JSON file with the workflow to render, one with your models; without it a "
        "picture is inverted, which needs none",
    )
    proxy_key: SecretStr | None = Field(
        None, description="Id of Modal's proxy token, where GENJOBS_MODAL_PROXY_AUTH is on"
    )
    proxy_secret: SecretStr | None = Field(None, description="Secret of that token")
