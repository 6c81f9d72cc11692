"""
Any order of calls, on the fake and on Postgres, against a plain model of what the ports promise.

The same steps are taken in every run. ``make slow`` takes many more.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.contract.model.backends import memory_backend, postgres_backend
from tests.contract.model.base import Backend
from tests.contract.model.machine import JobMachine
from tests.postgres import Database

_STEPS = 60


def _take_steps(backend: Backend, examples: int, *phases: Phase) -> None:
    run_state_machine_as_test(
        lambda: JobMachine(backend),
        settings=settings(
            max_examples=examples,
            phases=(Phase.explicit, Phase.generate, *phases),
            stateful_step_count=_STEPS,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("examples", [pytest.param(60), pytest.param(1500, marks=pytest.mark.slow)])
def test_fake_does_as_the_model(examples: int) -> None:
    with memory_backend() as backend:
        _take_steps(backend, examples, Phase.shrink)


@pytest.mark.parametrize("examples", [pytest.param(25), pytest.param(400, marks=pytest.mark.slow)])
def test_postgres_does_as_the_model(database: Database, examples: int) -> None:
    # A failure is not made smaller: it would take minutes.
    with postgres_backend(database) as backend:
        _take_steps(backend, examples)
