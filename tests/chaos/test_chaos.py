"""The chaos run, twice: some hundred jobs in about a minute and a half, and thousands in ten."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import environment
from tests.chaos import plan
from tests.chaos.run import run


def _seed() -> int:
    given = environment.CHAOS_SEED
    seed = int(given) if given else random.SystemRandom().randrange(10**6)
    print(f"\nGENJOBS_TEST_CHAOS_SEED={seed} repeats the choices of this run")
    return seed


@pytest.mark.e2e
@pytest.mark.parametrize(
    "make", [plan.short, pytest.param(plan.full, marks=pytest.mark.slow)], ids=["short", "full"]
)
async def test_nothing_is_lost_whatever_dies(
    make: Callable[[int], plan.Plan], open_folder: Path
) -> None:
    verdict = await run(make(_seed()), open_folder)
    assert verdict.faults == []
