"""Identifiers of the machine; the clock has only its contract."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from genjobs.adapters.system import SystemIds

AT = datetime(2026, 5, 4, 12, tzinfo=UTC)


def test_ids_of_a_millisecond_grow_also_after_an_older_time_was_asked_for() -> None:
    ids = SystemIds()
    made = []
    for _ in range(200):
        made.append(ids.uuid7(AT))
        assert ids.uuid7(AT - timedelta(seconds=1)) < made[-1]

    assert made == sorted(set(made))
    assert {value.int >> 80 for value in made} == {int(AT.timestamp() * 1000)}


def test_threads_never_get_the_same_id_and_each_sees_its_own_grow() -> None:
    ids = SystemIds()
    made: list[list[int]] = [[] for _ in range(4)]

    def make(into: list[int]) -> None:
        into.extend(ids.uuid7(AT).int for _ in range(2_000))

    threads = [threading.Thread(target=make, args=(into,)) for into in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert all(into == sorted(into) for into in made)
    assert len({value for into in made for value in into}) == 8_000


@pytest.mark.parametrize("at", [datetime(2026, 5, 4), datetime(1969, 1, 1, tzinfo=UTC)])  # noqa: DTZ001
def test_time_without_a_zone_or_before_1970_is_refused(at: datetime) -> None:
    with pytest.raises(ValueError, match="UUIDv7"):
        SystemIds().uuid7(at)
