"""
Settings of a deployment at Modal: read by ``deploy/modal_app.py`` when it is deployed.

Containers import that module too, without these variables: what it decorates there must be the
same, so whatever a running process has to know is handed on as an ordinary setting.
"""

from __future__ import annotations

import math
from typing import Final, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from genjobs.settings.attempts import AttemptSettings

#: The longest time-out that Modal takes.
_MOST_SECONDS: Final = 24 * 3600
#: The class that runs jobs, as ``deploy/modal_app.py`` names it.
WORKER: Final = "Comfy"
#: Where ComfyUI listens in its container; no other process may be asked there.
COMFYUI_URL: Final = "http://127.0.0.1:8188"


class DeploymentSettings(BaseSettings):
    """What is deployed, and how much of it there may be."""

    model_config = SettingsConfigDict(
        env_prefix="GENJOBS_MODAL_", env_file=".env", extra="ignore", frozen=True
    )

    app: str = Field("genjobs", pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="Its name")
    gpus: tuple[str, ...] = Field(
        ("L40S", "A100-80GB", "H100"),
        min_length=1,
        description="GPUs of a worker by preference, as a JSON list: when a container is started, "
        "the first that can be had",
    )
    min_containers: int = Field(0, ge=0, description="Workers that are always there")
    max_containers: int = Field(8, ge=1, description="Workers at most; bounds what can be spent")
    buffer_containers: int = Field(
        0, ge=0, description="Workers that are started beyond need while there is work"
    )
    scaledown_seconds: int = Field(
        300, ge=2, le=3600, description="How long a worker without work is kept"
    )
    worker_places: int = Field(
        3, ge=1, le=16, description="Calls of a worker at once: one loads, one renders, one uploads"
    )
    snapshot_comfyui: bool = Field(
        True,
        description="Whether ComfyUI is begun before a worker's memory snapshot, as far as it goes "
        "without a GPU; see docs/snapshot.md",
    )
    api_min_containers: int = Field(0, ge=0, description="API containers that are always there")
    api_max_containers: int = Field(4, ge=1, description="API containers at most")
    api_inputs: int = Field(100, ge=1, le=1000, description="Requests of one API container at once")
    pool_size: int = Field(
        4, ge=1, le=50, description="Connections of a container to the database, for each role"
    )
    proxy_auth: bool = Field(
        False,
        description="Whether Modal asks callers of the API for a proxy token as well; end users' "
        "reads then have an address of their own, without one",
    )
    database_secret: str = Field(
        "genjobs-database", description="Secret with the URLs of the API's and the worker's role"
    )
    owner_secret: str = Field(
        "genjobs-owner", description="Secret with the owner's URL, for migrations only"
    )
    storage_secret: str = Field(
        "genjobs-storage", description="Secret with the bucket's URL and its token"
    )
    api_secret: str = Field(
        "genjobs-api", description="Secret with the keys that sign tokens, for the API only"
    )
    reader_secret: str = Field(
        "genjobs-reader",
        description="Secret of the function that only reads for end users, with proxy_auth: the "
        "API role's URL and a token of the bucket that only reads",
    )
    models_volume: str = Field("genjobs-models", description="Volume with the models")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.min_containers > self.max_containers:
            raise ValueError("min_containers must not be more than max_containers")
        if self.api_min_containers > self.api_max_containers:
            raise ValueError("api_min_containers must not be more than api_max_containers")
        return self

    def environment(self) -> dict[str, str | None]:
        """Return what every process of the deployment is told besides its secrets."""
        return {
            "GENJOBS_ENV": "production",
            "GENJOBS_LOG_JSON": "true",
            "GENJOBS_DISPATCH_URL": f"modal://{self.app}/{WORKER}",
            "GENJOBS_COMFYUI_URL": COMFYUI_URL,
            "GENJOBS_COMFYUI_SNAPSHOT": str(self.snapshot_comfyui).lower(),
            # What was deployed bounds what supervisors set while it runs. Places and containers are
            # the dispatch window as well.
            "GENJOBS_MIN_CONTAINERS": str(self.min_containers),
            "GENJOBS_MAX_CONTAINERS": str(self.max_containers),
            "GENJOBS_BUFFER_CONTAINERS": str(self.buffer_containers),
            "GENJOBS_SCALEDOWN_SECONDS": str(self.scaledown_seconds),
            "GENJOBS_WORKER_PLACES": str(self.worker_places),
            # Decides which functions there are, and containers import their module as well.
            "GENJOBS_MODAL_PROXY_AUTH": str(self.proxy_auth).lower(),
            # Each container is a process with one or two pools; a database has few connections.
            "GENJOBS_DATABASE_POOL_SIZE": str(self.pool_size),
        }


class WorkerCalls(AttemptSettings):
    """
    How long a call of the worker may take: by the deadlines that the deploying machine is told.

    Those that it is told are handed on to every process; a worker that finds others, which need
    longer, refuses to start.
    """

    @model_validator(mode="after")
    def _no_longer_than_modal_lets_it(self) -> Self:
        if self.call_seconds() > _MOST_SECONDS:
            raise ValueError("these deadlines let an attempt take longer than 24 hours")
        return self

    def call_seconds(self) -> int:
        """Return the time-out of a call."""
        return math.ceil(self.attempt_deadlines().longest_call().total_seconds())

    def environment(self) -> dict[str, str | None]:
        """Return the deadlines that differ from the defaults, as settings."""
        return {
            f"GENJOBS_{name.upper()}": str(getattr(self, name))
            for name in sorted(self.model_fields_set)
        }

    def of_worker(self) -> dict[str, str | None]:
        """Return what the worker is told besides."""
        return {"GENJOBS_CALL_SECONDS": str(self.call_seconds())}
