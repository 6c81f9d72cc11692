"""Signed URLs of the directory store under abuse."""

from __future__ import annotations

import string
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genjobs.adapters.local.artifact_store import DirectoryArtifactStore
from genjobs.adapters.local.signing import Signer
from genjobs.domain.artifacts import ArtifactKey, job_prefix
from genjobs.domain.errors import NotFound
from genjobs.domain.ids import JobId
from genjobs.testing import SequentialIds, an_owner

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
PREFIX = job_prefix(an_owner(), JobId(SequentialIds().uuid7(NOW)))
KEY, OTHER = ArtifactKey(f"{PREFIX}input_0"), ArtifactKey(f"{PREFIX}input_1")
Query = dict[str, str]


@pytest.fixture
def store(tmp_path: Path) -> DirectoryArtifactStore:
    store = DirectoryArtifactStore(tmp_path, signing_key=b"k" * 32, base_url="https://x.test/base")
    for key in (KEY, OTHER):
        store.path(key).parent.mkdir(parents=True, exist_ok=True)
        store.path(key).write_bytes(b"content")
    return store


def taken_apart(url: str) -> tuple[str, Query]:
    parts = urlsplit(url)
    return unquote(parts.path).removeprefix("/base/files/"), dict(
        parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True)
    )


def signed(store: DirectoryArtifactStore, name: str = "a.png") -> tuple[str, Query]:
    return taken_apart(
        store.signed_url(KEY, expires_at=LATER, filename=name, content_type="image/png")
    )


def other_spelling(signature: str) -> str:
    """Change the two bits of the last character that base64 decoders ignore."""
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    return signature[:-1] + alphabet[alphabet.index(signature[-1]) ^ 1]


def of_another_key(query: Query) -> Query:
    members = Signer(b"K" * 32).query(KEY, int(query["expires"]), query["name"], query["type"])
    return dict(members)


def shifted(query: Query) -> Query:
    """Move a character over the border of two parts: the same text when simply joined."""
    return {**query, "name": query["name"] + query["type"][0], "type": query["type"][1:]}


QUERIES: dict[str, Callable[[Query], Query]] = {
    "another signing key": of_another_key,
    "no signature": lambda q: {**q, "signature": ""},
    "cut signature": lambda q: {**q, "signature": q["signature"][:-1]},
    "padded signature": lambda q: {**q, "signature": q["signature"] + "="},
    "other spelling of the same bytes": lambda q: {
        **q,
        "signature": other_spelling(q["signature"]),
    },
    "other base64 alphabet": lambda q: {
        **q,
        "signature": q["signature"].replace("-", "+").replace("_", "/") + "=",
    },
    "white space": lambda q: {**q, "signature": f"{q['signature']} "},
    "other than ASCII": lambda q: {**q, "signature": "é" * 43},
    "not even Unicode": lambda q: {**q, "signature": "\udcff" * 43},
    "later": lambda q: {**q, "expires": str(int(q["expires"]) + 1)},
    "leading zero": lambda q: {**q, "expires": f"0{q['expires']}"},
    "plus sign": lambda q: {**q, "expires": f"+{q['expires']}"},
    "underscore": lambda q: {**q, "expires": f"{q['expires'][:3]}_{q['expires'][3:]}"},
    "other digits": lambda q: {
        **q,
        "expires": q["expires"].translate({ord("0") + n: 0x0660 + n for n in range(10)}),
    },
    "no number": lambda q: {**q, "expires": "never"},
    "other name": lambda q: {**q, "name": "a.html"},
    "name that is not Unicode": lambda q: {**q, "name": "\ud800"},
    "other type": lambda q: {**q, "type": "text/html"},
    "shifted border": shifted,
    "one more": lambda q: {**q, "disposition": "inline"},
    "one less": lambda q: {name: q[name] for name in q if name != "type"},
    "other case": lambda q: {name.title(): value for name, value in q.items()},
    "nothing": lambda _: {},
}

KEYS: dict[str, str] = {
    "another file": OTHER,
    "no file": f"{PREFIX}input_2",
    "leading slash": f"/{KEY}",
    "trailing slash": f"{KEY}/",
    "doubled slash": KEY.replace("/u/", "//u/"),
    "dot": KEY.replace("/u/", "/./u/"),
    "up and down again": f"{KEY}/../input_0",
    "out of the root": f"../../{KEY}",
    "absolute": "/etc/passwd",
    "upper case": KEY.upper(),
    "null": f"{KEY}\x00",
    "line break": f"{KEY}\n",
    "encoded": KEY.replace("/", "%2F"),
    "backslash": KEY.replace("/", "\\"),
    "stored suffix": f"{KEY}.bin",
    "empty": "",
}


async def refusal(store: DirectoryArtifactStore, key: str, query: Query, now: datetime) -> NotFound:
    with pytest.raises(NotFound) as caught:
        await store.resolve(key, query, now=now)
    return caught.value


@pytest.mark.parametrize("abuse", QUERIES.values(), ids=QUERIES.keys())
async def test_query_that_was_not_signed_is_nothing(
    store: DirectoryArtifactStore, abuse: Callable[[Query], Query]
) -> None:
    key, query = signed(store)
    await store.resolve(key, query, now=NOW)
    changed = abuse(query)
    assert changed != query
    await refusal(store, key, changed, NOW)


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS.keys())
async def test_path_that_was_not_signed_is_nothing(store: DirectoryArtifactStore, key: str) -> None:
    await refusal(store, key, signed(store)[1], NOW)


@pytest.mark.parametrize("key", [key for key in KEYS.values() if key != OTHER])
async def test_even_a_genuine_signature_reaches_nothing_but_keys(
    store: DirectoryArtifactStore, key: str
) -> None:
    query = Signer(b"k" * 32).query(key, int(LATER.timestamp()), "a.png", "image/png")
    await refusal(store, key, query, NOW)


async def test_every_refusal_is_the_same(store: DirectoryArtifactStore) -> None:
    key, query = signed(store)
    refusals = [
        await refusal(store, key, query, LATER),
        await refusal(store, OTHER, query, NOW),
        await refusal(store, "../x", query, NOW),
        *[await refusal(store, key, abuse(query), NOW) for abuse in QUERIES.values()],
    ]
    store.path(KEY).unlink()
    refusals.append(await refusal(store, key, query, NOW))

    assert {(one.code, one.message, one.pointer, one.__cause__) for one in refusals} == {
        ("not_found", NotFound().message, None, None)
    }


@pytest.mark.parametrize(
    ("offset", "served"), [(-1.0, True), (-0.001, True), (0.0, False), (0.001, False)]
)
async def test_time_of_the_caller_decides_to_the_second(
    store: DirectoryArtifactStore, offset: float, served: bool
) -> None:
    key, query = signed(store)
    now = LATER + timedelta(seconds=offset)
    if served:
        assert (await store.resolve(key, query, now=now)).bytes == 7
    else:
        await refusal(store, key, query, now)


@given(name=st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_name_survives_and_cannot_change_the_rest(
    store: DirectoryArtifactStore, name: str
) -> None:
    url = store.signed_url(KEY, expires_at=LATER, filename=name, content_type="text/plain; a=b&c")
    assert url.isascii()
    assert " " not in url
    key, query = taken_apart(url)
    verified = Signer(b"k" * 32).verify(key, query, int(NOW.timestamp()))
    assert (key, *verified) == (KEY, name, "text/plain; a=b&c")


async def test_name_that_is_not_unicode_still_gets_a_url(store: DirectoryArtifactStore) -> None:
    key, query = signed(store, "a\ud800.png")
    assert (await store.resolve(key, query, now=NOW)).filename == "a?.png"


def test_short_signing_key_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Signer(b"k" * 31)
