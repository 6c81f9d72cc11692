"""The contracts of the small ports: clock, ids, wake-ups, keys, pictures."""

from __future__ import annotations

import asyncio
from datetime import UTC, timedelta

import pytest

from genjobs.domain.errors import Unauthenticated
from genjobs.domain.ports import Authenticator, Clock, IdSource, MediaProbe, PictureSize, Signals
from genjobs.testing.clock import BEGINNING
from genjobs.testing.factories import png_bytes

_LONG = 30.0  # seconds; a test that waits this long has failed


class ClockContract:
    """Needs the fixture ``clock``."""

    @pytest.fixture
    def clock(self) -> Clock:
        """Return the clock under test."""
        raise NotImplementedError

    async def test_time_is_aware_and_in_utc(self, clock: Clock) -> None:
        assert clock.now().utcoffset() == timedelta(0)
        assert clock.now().tzinfo is UTC

    async def test_monotonic_time_does_not_go_back(self, clock: Clock) -> None:
        times = [clock.monotonic() for _ in range(100)]
        assert times == sorted(times)


class IdSourceContract:
    """Needs the fixture ``ids``."""

    @pytest.fixture
    def ids(self) -> IdSource:
        """Return the source under test."""
        raise NotImplementedError

    async def test_ids_are_unique_uuid7s_of_their_time(self, ids: IdSource) -> None:
        made = [ids.uuid7(BEGINNING) for _ in range(2000)]

        assert len(set(made)) == 2000
        assert {(value.version, value.variant) for value in made} == {(7, made[0].variant)}
        assert {value.int >> 80 for value in made} == {int(BEGINNING.timestamp() * 1000)}

    async def test_ids_of_one_moment_grow(self, ids: IdSource) -> None:
        made = [ids.uuid7(BEGINNING) for _ in range(2000)]
        assert made == sorted(made)

    async def test_random_ids_are_canonical_uuid4s(self, ids: IdSource) -> None:
        made = {ids.uuid4() for _ in range(100)}
        assert len(made) == 100
        assert {value.version for value in made} == {4}


class SignalsContract:
    """Needs the fixture ``signals``."""

    @pytest.fixture
    def signals(self) -> Signals:
        """Return the wake-ups under test."""
        raise NotImplementedError

    async def test_wake_ends_every_wait(self, signals: Signals) -> None:
        waits = [asyncio.create_task(signals.wait(_LONG)) for _ in range(5)]
        await asyncio.sleep(0.01)
        signals.wake()

        await asyncio.wait_for(asyncio.gather(*waits), _LONG / 2)

    async def test_wait_ends_by_itself(self, signals: Signals) -> None:
        await asyncio.wait_for(signals.wait(0.01), _LONG)

    async def test_wake_is_for_those_who_wait_now(self, signals: Signals) -> None:
        signals.wake()
        wait = asyncio.create_task(signals.wait(_LONG))
        await asyncio.sleep(0.01)

        assert not wait.done()
        signals.wake()
        await asyncio.wait_for(wait, _LONG / 2)


class AuthenticatorContract:
    """Needs the fixtures ``authenticator`` and ``token``, a valid one."""

    @pytest.fixture
    def authenticator(self) -> Authenticator:
        """Return the authenticator under test."""
        raise NotImplementedError

    @pytest.fixture
    def token(self) -> str:
        """Return a valid token."""
        raise NotImplementedError

    async def test_valid_token_names_its_holder(
        self, authenticator: Authenticator, token: str
    ) -> None:
        first, second = [await authenticator.authenticate(token) for _ in range(2)]
        assert first == second
        assert first.scopes

    async def test_other_tokens_are_refused_alike(
        self, authenticator: Authenticator, token: str
    ) -> None:
        messages = set()
        for wrong in ("", " ", token[:-1], f"{token}x", token.swapcase(), "\udc80é", "x" * 5000):
            with pytest.raises(Unauthenticated) as refused:
                await authenticator.authenticate(wrong)
            messages.add(refused.value.message)
        assert len(messages) == 1


class MediaProbeContract:
    """Needs the fixture ``probe``."""

    @pytest.fixture
    def probe(self) -> MediaProbe:
        """Return the probe under test."""
        raise NotImplementedError

    async def test_picture_has_its_size(self, probe: MediaProbe) -> None:
        assert probe.picture_size(png_bytes(31, 17)) == PictureSize(width=31, height=17)

    async def test_head_of_a_picture_is_enough(self, probe: MediaProbe) -> None:
        assert probe.picture_size(png_bytes(2000, 1000)[:64]) == PictureSize(
            width=2000, height=1000
        )

    async def test_anything_else_has_none(self, probe: MediaProbe) -> None:
        picture = png_bytes()
        for head in (b"", b"GIF89a", b"<svg/>", b"\x89PNG", picture[:20], b"\x00" * 70_000):
            assert probe.picture_size(head) is None
