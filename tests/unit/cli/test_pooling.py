"""``genjobs capacity``: what is seen, what would be set, and why."""

from __future__ import annotations

import json

import pytest

from genjobs.cli import pooling
from genjobs.domain.errors import ConfigurationError
from genjobs.settings import Settings
from genjobs.testing.harness import FakeAdapters

SETTINGS = {"token_keys": ("signs the tokens of a test, of nothing else",), "min_containers": 2}


class NoPool(FakeAdapters):
    def pool(self) -> None:  # type: ignore[override]
        return None


async def test_dry_run_tells_and_sets_nothing() -> None:
    settings = Settings.model_validate(SETTINGS)
    shown = await pooling.look(settings, dry_run=True, adapters=FakeAdapters)

    assert json.loads(json.dumps(shown)) == shown
    assert shown["would_set"] == {
        "min_containers": 2,
        "max_containers": 20,
        "buffer_containers": 0,
        "scaledown_seconds": 120.0,
    }
    assert shown["now"]["min_containers"] == 0
    assert shown["reason"] == "nothing to do: 2 wanted, the fewest there may be"
    assert (shown["turn_taken"], shown["seen"]["waiting"]) == (None, 0)


async def test_otherwise_the_pool_is_told() -> None:
    settings = Settings.model_validate(SETTINGS)
    shown = await pooling.look(settings, dry_run=False, adapters=FakeAdapters)
    assert shown["turn_taken"]
    assert shown["now"] == shown["would_set"]


async def test_window_that_does_not_follow_the_containers_is_noted() -> None:
    settings = Settings.model_validate(SETTINGS | {"window": 64})
    shown = await pooling.look(settings, dry_run=True, adapters=FakeAdapters)
    assert "has 64 slots, 20 containers have 60 places" in shown["note"]


async def test_without_a_pool_a_dry_run_tells_all_the_same() -> None:
    settings = Settings.model_validate(SETTINGS)
    shown = await pooling.look(settings, dry_run=True, adapters=NoPool)
    assert (shown["now"], shown["note"]) == (None, None)
    assert shown["would_set"]["min_containers"] == 2
    assert pooling.lines(shown)["would set min containers"] == 2
    with pytest.raises(ConfigurationError, match="no pool"):
        await pooling.look(settings, dry_run=False, adapters=NoPool)
