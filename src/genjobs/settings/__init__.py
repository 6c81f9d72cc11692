"""
Settings: the only reader of the environment (``GENJOBS_*``, and ``.env`` in the working folder).

Each value is documented here and in ``.env.example``; choosing adapters by them is bootstrap's.
What is deployed at Modal is in ``deployment``.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Self
from uuid import UUID

from pydantic import AnyHttpUrl, Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from genjobs.domain.deadlines import Deadlines
from genjobs.domain.ids import TENANT_PREFIX, parse_tenant_id
from genjobs.domain.ingests import IngestRules
from genjobs.domain.limits import MAX_MEDIA, MAX_MEDIA_BYTES, MOST_MEDIA_BYTES
from genjobs.domain.media_limits import MediaLimits
from genjobs.domain.plans import BUILT_IN, DefaultLimits, check_changes
from genjobs.domain.uploads import UploadRules
from genjobs.settings.attempts import AttemptSettings
from genjobs.settings.capacity import CapacitySettings
from genjobs.settings.comfyui import ComfyUISettings
from genjobs.settings.keeping import KeepingSettings

#: The tenant of the embedded mode and of the single key.
DEFAULT_TENANT = UUID("01900000-0000-7000-8000-000000000001")


class Environment(StrEnum):
    """Where the process runs; production refuses everything embedded."""

    LOCAL = "local"
    PRODUCTION = "production"


class Settings(ComfyUISettings, AttemptSettings, CapacitySettings, KeepingSettings):
    """All settings, with the defaults of the embedded mode."""

    model_config = SettingsConfigDict(
        env_prefix="GENJOBS_", env_file=".env", extra="ignore", frozen=True
    )

    env: Environment = Field(Environment.LOCAL, description="local or production")
    database_url: SecretStr = Field(SecretStr("embedded://"), description="Database, API role")
    worker_database_url: SecretStr | None = Field(
        None, description="Database for the worker role; needed unless embedded, or reads_only"
    )
    owner_database_url: SecretStr | None = Field(
        None, description="Database for migrations: direct, never a transaction pooler"
    )
    reads_only: bool = Field(
        False,
        description="Whether the process only reads jobs for end users: it then needs no role but "
        "the API's",
    )
    database_pool_size: int = Field(10, ge=1, le=200, description="Connections per process")
    artifacts_url: str = Field(
        "file:",
        description="file:<directory> (without one, below the data directory) or "
        "r2://<account>/<bucket>; with ?endpoint=https://host&region=name, another S3 store",
    )
    r2_access_key_id: SecretStr | None = Field(
        None, description="Access key id of the store's token, for r2://"
    )
    r2_secret_access_key: SecretStr | None = Field(
        None, description="Secret access key of the store's token, for r2://"
    )
    dispatch_url: str = Field(
        "local://", description="local:// for workers that pull, or modal://<app>/<class>"
    )
    node_catalogue: Path | None = Field(
        None,
        description="JSON file with reviewed node classes to allow besides the shipped ones, and "
        "with classes to deny",
    )
    public_url: AnyHttpUrl | None = Field(
        None, description="How clients reach the API; signed local URLs start with it"
    )
    api_key: SecretStr | None = Field(
        None,
        description="A key for the settings' tenant, of the form of `genjobs keys create`; made "
        "and kept when there is none, refused in production",
    )
    token_keys: tuple[SecretStr, ...] = Field(
        (),
        description="Secrets of at least 32 characters that sign end users' tokens, as a JSON "
        "list: the first signs, all are accepted; made and kept when embedded",
    )
    token_audience: str = Field("genjobs", description="The audience that tokens must name")
    tenant_limits: dict[str, Any] = Field(
        {}, description="Limits of a tenant as a whole, as JSON: what differs from the built-in"
    )
    user_limits: dict[str, Any] = Field(
        {}, description="Limits of each user, as JSON: what differs from the built-in"
    )
    requests_per_second: float = Field(
        500, gt=0, description="Requests besides submits, of one key in one process"
    )
    user_requests_per_second: float = Field(10, gt=0, description="The same of an end user's token")
    cors_origins: tuple[str, ...] = Field(
        (), description="Origins of pages that may call the API, as a JSON list; none unless named"
    )
    trusted_proxies: str = Field(
        "",
        description="Addresses of proxies whose X-Forwarded-For is believed, separated by commas",
    )
    signing_key: SecretStr | None = Field(
        None, min_length=32, description="Signs local file URLs; made and kept when embedded"
    )
    tenant_id: UUID = Field(
        DEFAULT_TENANT,
        description="The tenant that scripts act for, and that the embedded mode's key belongs to: "
        "a UUID, or the ten_... of `genjobs tenants list`",
    )
    link_life_seconds: int = Field(
        3600, ge=60, le=604_800, description="How long a signed output URL lives, at most"
    )
    heartbeat_seconds: float = Field(5, gt=0, description="How often a worker renews its lease")
    lease_seconds: float = Field(30, gt=0, description="How long a silent worker keeps its job")
    queue_timeout_seconds: float = Field(1800, gt=0, description="Default queue time-out of a job")
    run_timeout_seconds: float = Field(600, gt=0, description="Default run time-out of a job")
    direct_notices: bool = Field(
        True,
        description="Whether workers hold a connection that brings cancels at once; without it, or "
        "through a transaction pooler, they come with the heartbeat",
    )
    no_progress_seconds: float = Field(
        300, gt=0, description="How long a render may report nothing new before it counts as hung"
    )
    fetch_ports: tuple[int, ...] = Field((80, 443), description="Ports of media URLs, a JSON list")
    max_media: int = Field(MAX_MEDIA, ge=1, le=100, description="Most media files of a job")
    max_media_bytes: int = Field(
        MAX_MEDIA_BYTES,
        ge=1,
        le=MOST_MEDIA_BYTES,
        description="Largest media file by URL or upload, up to 1 GiB",
    )
    upload_url_seconds: int = Field(
        900, ge=60, le=86_400, description="How long the URL of an upload takes its file"
    )
    upload_seconds: int = Field(
        86_400, ge=86_400, le=2_592_000, description="How long an upload is kept that no job used"
    )
    ingest_seconds: float = Field(
        900, gt=0, description="How long a job's media may take to be fetched and checked"
    )
    ingest_tries: int = Field(3, ge=1, le=20, description="How often fetching them is tried")
    ingests_per_tenant: int = Field(32, ge=1, description="Jobs of a tenant fetched at once")
    ingests_per_user: int = Field(4, ge=1, description="Jobs of a user fetched at once")
    max_attempts: int = Field(3, ge=1, le=20, description="Charged attempts a job may use")
    supervise_seconds: float = Field(5, gt=0, description="Pause between two supervisor ticks")
    call_seconds: float | None = Field(
        None,
        gt=0,
        description="How long a platform lets a call of the worker go on; a deployment says it to "
        "its workers, and one whose deadlines need longer refuses to start",
    )
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="Log level")
    log_json: bool = Field(False, description="Log JSON lines instead of text for people")

    @field_validator("tenant_id", mode="before")
    @classmethod
    def _tenant_as_shown(cls, given: object) -> object:
        if isinstance(given, str) and given.startswith(f"{TENANT_PREFIX}_"):
            return parse_tenant_id(given)
        return given

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.lease_seconds < 2 * self.heartbeat_seconds:
            raise ValueError("lease_seconds must be at least twice heartbeat_seconds")
        if self.comfyui_command is not None and self.comfyui_url.startswith("simulator:"):
            raise ValueError("comfyui_command needs a comfyui_url of the form http://host:port")
        if not (self.embedded_database or self.worker_database_url or self.reads_only):
            raise ValueError("worker_database_url is needed when database_url is not embedded://")
        if self.artifacts_url.startswith("r2:") and not (
            self.r2_access_key_id and self.r2_secret_access_key
        ):
            raise ValueError("r2:// needs r2_access_key_id and r2_secret_access_key")
        needed = self.deadlines().longest_call().total_seconds()
        if self.call_seconds is not None and needed > self.call_seconds:
            raise ValueError(
                f"an attempt may take {needed:.0f} seconds and a call {self.call_seconds:.0f}: "
                "deploy with start_seconds, renderer_wait_seconds, cancel_grace_seconds and "
                "stop_seconds as they are here"
            )
        if self.env is Environment.PRODUCTION:
            self._refuse_embedded()
        return self

    def _refuse_embedded(self) -> None:
        refused = [
            name
            for name, value in (
                ("database_url", self.database_url.get_secret_value()),
                ("artifacts_url", self.artifacts_url),
                ("dispatch_url", self.dispatch_url),
                ("comfyui_url", self.comfyui_url),
            )
            if value.startswith(("embedded:", "file:", "local:", "simulator:"))
        ]
        if refused:
            raise ValueError(f"production refuses the embedded {', '.join(refused)}")
        if self.api_key is not None:
            raise ValueError("production refuses api_key; make keys with `genjobs keys create`")

    @property
    def embedded_database(self) -> bool:
        """Whether the database is the embedded one."""
        return self.database_url.get_secret_value().startswith("embedded:")

    def link_life(self) -> timedelta:
        """Return how long a signed output URL lives, at most."""
        return timedelta(seconds=self.link_life_seconds)

    def default_limits(self) -> DefaultLimits:
        """Return the limits that plans change; ``ConfigurationError`` when they make no sense."""
        return DefaultLimits(
            tenant=BUILT_IN.tenant.changed_by(check_changes(self.tenant_limits, BUILT_IN.tenant)),
            user=BUILT_IN.user.changed_by(check_changes(self.user_limits, BUILT_IN.user)),
        )

    def slots(self) -> int:
        """Return how many slots the dispatch window has; a pool's follow its containers."""
        pooled = self.dispatch_url.startswith("modal:")
        return self.pool_bounds().slots() if pooled else self.window

    def supervise_every(self) -> timedelta:
        """Return the pause between two supervisor ticks."""
        return timedelta(seconds=self.supervise_seconds)

    def ingest_rules(self) -> IngestRules:
        """Return durations and bounds of fetching media."""
        return IngestRules(
            deadline=timedelta(seconds=self.ingest_seconds),
            lease=timedelta(seconds=self.lease_seconds),
            heartbeat=timedelta(seconds=self.heartbeat_seconds),
            tries=self.ingest_tries,
            per_tenant=self.ingests_per_tenant,
            per_user=self.ingests_per_user,
        )

    def upload_rules(self) -> UploadRules:
        """Return the durations of uploads."""
        life = timedelta(seconds=self.upload_seconds)
        return UploadRules(url_life=timedelta(seconds=self.upload_url_seconds), life=life)

    def media_limits(self) -> MediaLimits:
        """Return the limits of one media file."""
        return MediaLimits(bytes=self.max_media_bytes)

    def deadlines(self) -> Deadlines:
        """Return the lifecycle's durations."""
        pulled = self.dispatch_url.startswith("local:")
        return Deadlines(
            heartbeat=timedelta(seconds=self.heartbeat_seconds),
            lease=timedelta(seconds=self.lease_seconds),
            # A pull worker starts what it dispatches at once: no capacity has to come first.
            start=timedelta(seconds=self.lease_seconds if pulled else self.start_seconds),
            queue=timedelta(seconds=self.queue_timeout_seconds),
            run=timedelta(seconds=self.run_timeout_seconds),
            retention=timedelta(seconds=self.retention_seconds),
            wait=timedelta(seconds=self.renderer_wait_seconds),
            no_progress=timedelta(seconds=self.no_progress_seconds),
            cancel_grace=timedelta(seconds=self.cancel_grace_seconds),
            stop=timedelta(seconds=self.stop_seconds),
            max_attempts=self.max_attempts,
        )
