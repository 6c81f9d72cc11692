"""The rules of the domain: lifecycle, ids, keys, ownership, media, errors."""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genjobs.domain import artifacts, errors, ids
from genjobs.domain.deadlines import Deadlines
from genjobs.domain.errors import GenjobsError, IllegalTransition, InvalidRequest, NotFound
from genjobs.domain.ids import JobId, TenantId
from genjobs.domain.lifecycle import FINAL, TRANSITIONS, JobEvent, JobStatus, after
from genjobs.domain.media import UNKNOWN, sniff
from genjobs.domain.tenancy import Owner, Principal, Scope
from genjobs.testing import an_owner, png_bytes

AT = datetime(2026, 1, 1, tzinfo=UTC)
_uuids = st.uuids()


@pytest.mark.parametrize(("status", "event"), list(itertools.product(JobStatus, JobEvent)))
def test_every_step_is_in_the_table_or_refused(status: JobStatus, event: JobEvent) -> None:
    allowed = {(step.source, step.event): step.target for step in TRANSITIONS}
    if (status, event) in allowed:
        assert after(status, event) is allowed[status, event]
    else:
        with pytest.raises(IllegalTransition):
            after(status, event)


def test_final_states_have_no_way_out_and_every_event_is_used() -> None:
    assert not any(step.source in FINAL for step in TRANSITIONS)
    assert {step.event for step in TRANSITIONS} == set(JobEvent)
    assert len({(step.source, step.event) for step in TRANSITIONS}) == len(TRANSITIONS)


@given(_uuids)
def test_id_text_round_trips_and_is_unique(value: UUID) -> None:
    text = ids.to_text("job", value)
    assert re.fullmatch(r"job_[0-9a-hjkmnp-tv-z]{26}", text)
    assert ids.from_text("job", text) == value


@given(st.text(max_size=40))
def test_other_texts_are_no_ids(text: str) -> None:
    try:
        value = ids.from_text("job", text)
    except ValueError:
        return
    assert ids.to_text("job", value) == text


@pytest.mark.parametrize(
    "text",
    ["job_8" + "0" * 25, "job_" + "O" * 26, "JOB_" + "0" * 26, "out_" + "0" * 26, "", "job_"],
)
def test_near_misses_are_no_ids(text: str) -> None:
    with pytest.raises(ValueError, match="not a job id"):
        ids.from_text("job", text)


@given(st.integers(0, 2**42), st.integers(0, 2**74 - 1))
def test_uuid7_keeps_every_millisecond_and_every_bit(milliseconds: int, bits: int) -> None:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    value = ids.uuid7(at, bits).int
    assert value >> 80 == milliseconds
    assert (value >> 64 & 0xFFF) << 62 | value & (1 << 62) - 1 == bits


@given(_uuids, _uuids)
def test_texts_sort_as_their_ids_do(first: UUID, second: UUID) -> None:
    assert (ids.to_text("job", first) < ids.to_text("job", second)) == (first < second)


def test_outermost_ids_are_written_as_the_specification_says() -> None:
    assert ids.to_text("job", UUID(int=0)) == "job_" + "0" * 26
    assert ids.to_text("job", UUID(int=2**128 - 1)) == "job_7" + "z" * 25


@given(st.datetimes(datetime(1971, 1, 1), datetime(9000, 1, 1)), st.integers(0, 2**74 - 1))  # noqa: DTZ001
def test_uuid7_is_one_and_sorts_by_time(at: datetime, bits: int) -> None:
    aware = at.replace(tzinfo=UTC)
    value = ids.uuid7(aware, bits)
    assert value.version == 7
    assert value < ids.uuid7(aware + timedelta(milliseconds=2), 0)


def test_uuid7_needs_an_aware_time() -> None:
    with pytest.raises(ValueError, match="aware"):
        ids.uuid7(datetime(2026, 1, 1), 0)  # noqa: DTZ001


def test_keys_carry_tenant_and_user() -> None:
    job = JobId(ids.uuid7(AT, 1))
    first, second = an_owner("u_1"), an_owner("u_1")
    other_user = Owner(tenant_id=first.tenant_id, user_id="u_2")
    keys = {artifacts.input_key(owner, job, 0) for owner in (first, second, other_user)}

    assert len(keys) == 3
    for owner in (first, second, other_user):
        assert artifacts.input_key(owner, job, 0).startswith(artifacts.user_prefix(owner))
        assert owner.tenant_id.hex in artifacts.user_prefix(owner)
        assert owner.user_id not in artifacts.user_prefix(owner)


@given(st.text(max_size=200))
def test_only_keys_are_keys(text: str) -> None:
    with pytest.raises(ValueError, match="not an artifact key"):
        artifacts.parse_key(text)


def test_path_tricks_are_no_keys() -> None:
    key = artifacts.output_key(an_owner(), JobId(ids.uuid7(AT, 1)), 1, "out_a")
    assert artifacts.parse_key(key) == key
    for wrong in (f"/{key}", f"{key}/", f"{key}/..", key.replace("/", "//", 1), f"{key}\n", "../x"):
        with pytest.raises(ValueError, match="not an artifact key"):
            artifacts.parse_key(wrong)
        with pytest.raises(ValueError, match="not an artifact prefix"):
            artifacts.parse_prefix(wrong if wrong != f"{key}/" else key)


def _principal(*scopes: Scope, user: str | None = None) -> Principal:
    return Principal(
        tenant_id=TenantId(UUID(int=1)), key_id="k", scopes=frozenset(scopes), user_id=user
    )


def test_user_is_required_without_tenant_read() -> None:
    with pytest.raises(InvalidRequest):
        _principal(Scope.JOBS_READ).reach(None)
    assert _principal(Scope.JOBS_READ).reach("u").user_id == "u"
    assert _principal(Scope.JOBS_READ, Scope.TENANT_READ).reach(None).user_id is None
    with pytest.raises(InvalidRequest):
        _principal(Scope.TENANT_READ).owner(None)


def test_credential_of_a_user_is_that_users() -> None:
    bound = _principal(Scope.JOBS_READ, user="u_1")
    assert (bound.reach(None).user_id, bound.reach("u_1").user_id) == ("u_1", "u_1")
    with pytest.raises(NotFound):
        bound.reach("u_2")
    with pytest.raises(NotFound):
        bound.owner("u_2")


@pytest.mark.parametrize("user", ["", "a b", "ü", "a/b", "u" * 129, "a\n"])
def test_user_ids_are_plain(user: str) -> None:
    with pytest.raises(InvalidRequest):
        an_owner(user)


@pytest.mark.parametrize(
    ("head", "content_type"),
    [
        (png_bytes(), "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "audio/wav"),
        (b"\x00\x00\x00\x18ftypmp42", "video/mp4"),
        (b"\x00\x00\x00\x18ftypavif", "image/avif"),
        (b"glTF", "model/gltf-binary"),
    ],
)
def test_content_is_recognised_by_its_first_bytes(head: bytes, content_type: str) -> None:
    assert sniff(head).content_type == content_type


@pytest.mark.parametrize("head", [b"", b"<svg>", b"<html>", b"%PDF", b"MZ", b"BM", b"RIFFxxxxAVI "])
def test_everything_else_is_plain_bytes(head: bytes) -> None:
    assert sniff(head) is UNKNOWN


def test_pauses_double_up_to_a_bound() -> None:
    deadlines = Deadlines()
    pauses = [(deadlines.retry_at(AT, n) - AT).total_seconds() for n in (1, 2, 3, 50)]
    assert pauses == [2.0, 4.0, 8.0, 120.0]


def test_codes_are_unique_and_messages_public() -> None:
    classes = list(errors.leaves())
    assert len({cls.code for cls in classes}) == len(classes)
    for cls in classes:
        assert errors.default_message(cls).endswith(".")
        assert cls().message == errors.default_message(cls)
    assert GenjobsError().message
