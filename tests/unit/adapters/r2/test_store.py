"""What needs no server: reading URLs, signing, and answers that a store gives seldom."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.exceptions import ClientError

from genjobs.adapters.r2 import Credentials, Patience, Place, R2ArtifactStore, parse_place
from genjobs.adapters.r2.calls import Answered, Calls
from genjobs.adapters.r2.presigning import Presigner
from genjobs.domain.artifacts import input_key, user_prefix
from genjobs.domain.errors import ConfigurationError, Unavailable
from genjobs.testing import an_owner
from genjobs.testing.contracts.artifact_files import LATER, a_job_id

PLACE = Place(endpoint="https://account.r2.cloudflarestorage.com", bucket="files")
QUICK = Patience(pause=0.001)
KEY = input_key(an_owner(), a_job_id(), 0)


class Scripted:
    """A client whose every operation gives the next answer."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    def __getattr__(self, operation: str) -> Any:
        async def call(**arguments: Any) -> Any:
            self.asked.append(arguments)
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


def refused(code: str, status: int) -> ClientError:
    return ClientError(
        {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        "Some",
    )


def store_on(client: Scripted) -> R2ArtifactStore:
    presigner = Presigner(PLACE, access_key_id="id", secret_access_key="secret")
    return R2ArtifactStore(Calls(client, "files", QUICK), presigner)


@pytest.mark.parametrize(
    ("url", "endpoint", "bucket", "region"),
    [
        (
            "r2://0123456789abcdef0123456789abcdef/genjobs",
            "https://0123456789abcdef0123456789abcdef.r2.cloudflarestorage.com",
            "genjobs",
            "auto",
        ),
        ("r2://a/b-c.d?endpoint=http://127.0.0.1:9000", "http://127.0.0.1:9000", "b-c.d", "auto"),
        ("r2://a/bucket?endpoint=https://S3.x.org/", "https://s3.x.org", "bucket", "auto"),
        (
            "r2://a/bucket?endpoint=https%3A%2F%2Fs3.x.org&region=eu-central-1",
            "https://s3.x.org",
            "bucket",
            "eu-central-1",
        ),
    ],
)
def test_url_names_a_place(url: str, endpoint: str, bucket: str, region: str) -> None:
    assert parse_place(url) == Place(endpoint=endpoint, bucket=bucket, region=region)


@pytest.mark.parametrize(
    "url",
    [
        "r2:",
        "r2://",
        "r2://account",
        "r2://account/",
        "r2://account/b",
        "r2://account/bucket/deeper",
        "r2://account/../bucket",
        "r2://account/Bucket",
        "r2://ACCOUNT/bucket",
        "r2:///bucket",
        "r2://id:secret@account/bucket",
        "r2://evil.com/bucket",
        "r2://account/bucket#x",
        "r2://account/bucket?endpont=https://s3.x.org",
        "r2://account/bucket?endpoint=https://a&endpoint=https://b",
        "r2://account/bucket?endpoint=s3.x.org",
        "r2://account/bucket?endpoint=ftp://s3.x.org",
        "r2://account/bucket?endpoint=https://s3.x.org/path",
        "r2://account/bucket?endpoint=https://id:secret@s3.x.org",
        "r2://account/bucket?endpoint=https://s3.x.org:99999",
        "r2://account/bucket?endpoint=",
        "r2://account/bucket?region=",
        "r2://account/bucket?region=a/b",
        "s3://account/bucket",
    ],
)
def test_url_that_names_no_place_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        parse_place(url)
    assert "secret" not in refusal.value.message


def test_secret_is_in_no_representation() -> None:
    assert "hidden" not in repr(Credentials(access_key_id="id", secret_access_key="hidden"))


def test_signed_url_is_a_function_of_its_arguments_and_lives_seven_days() -> None:
    store = store_on(Scripted())
    urls = {
        store.signed_url(KEY, expires_at=LATER, filename="a.png", content_type="image/png")
        for _ in range(3)
    }
    [url] = urls
    query = parse_qs(urlsplit(url).query)
    assert query["X-Amz-Expires"] == [str(7 * 24 * 3600)]
    assert query["X-Amz-Date"] == [(LATER - timedelta(days=7)).strftime("%Y%m%dT%H%M%SZ")]
    assert "secret" not in url


async def test_file_that_cannot_be_deleted_is_unavailable() -> None:
    client = Scripted({"Errors": [{"Key": KEY, "Code": "InternalError"}]})
    with pytest.raises(Unavailable):
        await store_on(client).delete([KEY])


async def test_file_that_is_missing_when_it_is_deleted_is_none_the_less_deleted() -> None:
    await store_on(Scripted({"Errors": [{"Key": KEY, "Code": "NoSuchKey"}]})).delete([KEY])


async def test_pages_that_do_not_end_are_left() -> None:
    client = Scripted({"IsTruncated": True, "Contents": []})
    assert await store_on(client).delete_prefix(user_prefix(an_owner())) == 0


async def test_refusal_is_not_repeated() -> None:
    client = Scripted(refused("AccessDenied", 403))
    with pytest.raises(Unavailable):
        await store_on(client).check()
    assert len(client.asked) == 1


@pytest.mark.parametrize(("code", "status"), [("SlowDown", 400), ("X", 429), ("X", 503), ("", 0)])
async def test_not_now_is_asked_again(code: str, status: int) -> None:
    client = Scripted(refused(code, status or 500), refused("NoSuchKey", 404))
    await store_on(client).check()
    assert len(client.asked) == 2


async def test_tries_are_bounded() -> None:
    client = Scripted(*[refused("SlowDown", 503)] * 9)
    with pytest.raises(Unavailable):
        await store_on(client).check()
    assert len(client.asked) == QUICK.tries


async def test_programming_errors_are_not_called_an_outage() -> None:
    with pytest.raises(TypeError):
        await store_on(Scripted(TypeError("mine"))).check()


async def test_expected_answer_is_told() -> None:
    with pytest.raises(Answered) as told:
        await Calls(Scripted(refused("A", 404)), "files", QUICK)("some", expected={"A"})
    assert told.value.code == "A"


async def test_upload_gone_before_it_was_joined_is_unavailable() -> None:
    """Somebody aborted it; the file of that key, if there is one, is another upload's."""

    async def content() -> AsyncIterator[bytes]:
        yield b"x" * (9 * 1024 * 1024)

    client = Scripted(
        {"UploadId": "1"},
        {"ETag": "a"},
        {"ETag": "b"},
        refused("NoSuchUpload", 404),
        {"ETag": "c", "Metadata": {"genjobs-put": "another"}},
        refused("NoSuchUpload", 404),  # the abort
    )
    with pytest.raises(Unavailable):
        await store_on(client).put(KEY, content(), content_type="video/mp4")
    assert client.answers == []


@pytest.mark.parametrize("attempt", range(1, 6))
def test_pauses_are_random_and_grow(attempt: int) -> None:
    pauses = {Patience().before(attempt) for _ in range(50)}
    assert len(pauses) > 10
    assert max(pauses) <= 0.5 * 2 ** (attempt - 1)
