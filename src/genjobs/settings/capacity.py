"""Settings of how many jobs and workers there are at once; ``Settings`` extends them."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings

from genjobs.domain.capacity import PoolBounds


class CapacitySettings(BaseSettings):
    """The dispatch window, and the bounds of a pool of containers; see docs/capacity.md."""

    window: int = Field(
        64, ge=1, le=100_000, description="Slots of the dispatch window, for workers that pull"
    )
    min_containers: int = Field(
        0, ge=0, le=5000, description="Containers that are kept warm whatever happens"
    )
    max_containers: int = Field(
        20,
        ge=1,
        le=5000,
        description="The most containers of a pool; times worker_places they are its dispatch "
        "window",
    )
    buffer_containers: int = Field(
        1, ge=0, le=5000, description="The most idle containers kept beside the busy ones"
    )
    scaledown_seconds: int = Field(
        300,
        ge=2,
        le=3600,
        description="How long an idle container is kept, at most",
    )
    worker_places: int = Field(
        3, ge=1, le=16, description="Jobs of a worker at once: one loads, one renders, one uploads"
    )

    @model_validator(mode="after")
    def _no_more_warm_than_there_may_be(self) -> Self:
        if self.min_containers > self.max_containers:
            raise ValueError("min_containers must not be more than max_containers")
        return self

    def pool_bounds(self) -> PoolBounds:
        """Return the bounds of the pool."""
        return PoolBounds(
            min_containers=self.min_containers,
            max_containers=self.max_containers,
            buffer_containers=self.buffer_containers,
            scaledown_window=timedelta(seconds=self.scaledown_seconds),
            places=self.worker_places,
        )
