"""The text of API keys: what is none is told from the text alone."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genjobs.domain.credentials import KeyText
from genjobs.testing import a_key_record, a_key_text, a_tenant_id
from genjobs.testing.clock import BEGINNING

KEYS = st.builds(KeyText.make, live=st.booleans(), random=st.binary(min_size=42, max_size=42))


@given(KEYS)
def test_key_is_read_as_it_was_written(key: KeyText) -> None:
    text = key.reveal()
    assert re.fullmatch(r"gj_(live|test)_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}", text, re.ASCII)
    assert KeyText.parse(text) == key


@given(KEYS, st.data())
def test_any_one_character_changed_is_no_key(key: KeyText, data: st.DataObject) -> None:
    text = key.reveal()
    at = data.draw(st.integers(0, len(text) - 1))
    char = data.draw(st.characters().filter(lambda char: char != text[at]))
    assert KeyText.parse(text[:at] + char + text[at + 1 :]) is None


@given(KEYS, st.data())
def test_neighbours_swapped_or_a_character_more_or_less_is_no_key(
    key: KeyText, data: st.DataObject
) -> None:
    text = key.reveal()
    at = data.draw(st.integers(0, len(text) - 2))
    swapped = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    if swapped != text:
        assert KeyText.parse(swapped) is None
    assert KeyText.parse(text[:at] + text[at + 1 :]) is None
    assert KeyText.parse(text[:at] + data.draw(st.characters()) + text[at:]) is None


@given(st.text() | st.from_regex(r"gj_(live|test)_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}\Z"))
def test_garbage_is_no_key_and_no_error(text: str) -> None:
    found = KeyText.parse(text)
    assert found is None or found.reveal() == text


@pytest.mark.parametrize("live", [True, False])
def test_key_of_the_other_kind_is_another_key(live: bool) -> None:
    text = a_key_text(live=live).reveal()
    other = text.replace("live", "test") if live else text.replace("test", "live")
    assert KeyText.parse(other) is None


@given(KEYS)
def test_what_is_shown_or_stored_tells_no_secret(key: KeyText) -> None:
    record = a_key_record(key, a_tenant_id())
    assert key.secret not in repr(key)
    assert key.secret not in repr(record)
    assert repr(record.secret_sha256) not in repr(record)
    assert len(key.digest()) == 32


@pytest.mark.parametrize("size", [0, 41, 43])
def test_key_needs_all_its_randomness(size: int) -> None:
    with pytest.raises(ValueError, match="42"):
        KeyText.make(live=True, random=bytes(size))


def test_key_is_valid_until_it_expires_or_is_revoked() -> None:
    second = timedelta(seconds=1)
    record = a_key_record(a_key_text(), a_tenant_id(), expires_at=BEGINNING)
    assert record.valid(BEGINNING - second)
    assert not record.valid(BEGINNING)
    revoked = a_key_record(a_key_text(), a_tenant_id(), revoked_at=BEGINNING + second)
    assert not revoked.valid(BEGINNING)
