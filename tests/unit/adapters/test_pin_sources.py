"""Sources of pins that answer wrongly, slowly or with too much; and how names are read."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from genjobs.adapters.pin_sources import Asker, ImageRegistry, ModelHub
from genjobs.adapters.pin_sources.registry import registry_of
from genjobs.domain.errors import GenjobsError, NotFound, Unavailable
from tests.pin_places import BLOBS, HUB, MANIFEST, REGISTRY, TOKENS, Places

Spoil = Callable[[httpx.Request, httpx.Response], httpx.Response]


@pytest.fixture
def places(tmp_path: Path) -> Places:
    places = Places(tmp_path)
    places.put_image("3.11", "3.11.14")
    places.put_model("tiny.safetensors", b"content", "apache-2.0")
    return places


@pytest.fixture
def asker(places: Places) -> Asker:
    client = httpx.AsyncClient(transport=httpx.MockTransport(places.answer))
    return Asker(client, seconds=5, most_bytes=100_000)


@pytest.mark.parametrize(
    ("name", "host", "path"),
    [
        ("python", "registry-1.docker.io", "library/python"),
        ("owner/image", "registry-1.docker.io", "owner/image"),
        ("docker.io/python", "registry-1.docker.io", "library/python"),
        ("docker.io/owner/image", "registry-1.docker.io", "owner/image"),
        ("nvcr.io/nvidia/cuda", "nvcr.io", "nvidia/cuda"),
        ("localhost:5000/a", "localhost:5000", "a"),
    ],
)
def test_name_of_an_image_is_read_as_docker_reads_it(name: str, host: str, path: str) -> None:
    assert registry_of(name) == (host, path)


async def test_token_is_asked_for_once_and_stays_with_the_registry(
    places: Places, asker: Asker
) -> None:
    await ImageRegistry(asker).read("python", "3.11")
    asked = [request.url.host for request in places.requests]
    assert asked == [REGISTRY, TOKENS, REGISTRY, REGISTRY, REGISTRY, BLOBS]
    for request in places.requests:  # and by its redirects nobody else gets it
        assert ("Authorization" in request.headers) <= (request.url.host == REGISTRY)


async def test_image_without_an_index_is_read(places: Places, asker: Asker) -> None:
    config = places.keep({"config": {"Env": ["PYTHON_VERSION=3.11.14"]}})
    digest = places.keep({"mediaType": MANIFEST, "config": {"digest": config}})
    places.tags["single"] = digest
    found = await ImageRegistry(asker).read("python", "single")
    assert (found.digest, found.python) == (digest, "3.11.14")


async def test_image_for_other_machines_only_is_not_found(places: Places, asker: Asker) -> None:
    platform = {"os": "linux", "architecture": "arm64"}
    places.tags["arm"] = places.keep(
        {"manifests": [{"digest": "sha256:" + "1" * 64, "platform": platform}, {}, 1]}
    )
    with pytest.raises(NotFound, match="no image for linux/amd64"):
        await ImageRegistry(asker).read("python", "arm")


def replaced(host: str, **parts: object) -> Spoil:
    """Answer for a host with something else, once it answers at all."""

    def spoil(request: httpx.Request, answer: httpx.Response) -> httpx.Response:
        if request.url.host != host or answer.status_code == 401:
            return answer
        return httpx.Response(**{"status_code": 200, **parts})  # type: ignore[arg-type]

    return spoil


def challenged(challenge: str) -> Spoil:
    def spoil(request: httpx.Request, answer: httpx.Response) -> httpx.Response:
        if answer.status_code == 401:
            return httpx.Response(401, headers={"WWW-Authenticate": challenge})
        return answer

    return spoil


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (replaced(REGISTRY, status_code=500), Unavailable),
        (replaced(REGISTRY, status_code=429), Unavailable),
        (replaced(REGISTRY, status_code=302, headers={"Location": "https://x/"}), Unavailable),
        (replaced(REGISTRY, content=b"{"), Unavailable),
        (replaced(REGISTRY, content=b"[" * 50_000), Unavailable),
        (replaced(REGISTRY, content=b"[]"), Unavailable),
        (replaced(REGISTRY, content=b"{}"), Unavailable),
        (replaced(REGISTRY, content=b'{"config": {"digest": "../x"}}'), Unavailable),
        (replaced(REGISTRY, content=b'{"manifests": 1}'), NotFound),
        (
            replaced(
                REGISTRY, content=b"{}", headers={"Docker-Content-Digest": "sha256:" + "0" * 64}
            ),
            Unavailable,
        ),
        (replaced(REGISTRY, content=b" " * 100_001), Unavailable),
        (replaced(BLOBS, content=b"{}"), Unavailable),
        (replaced(BLOBS, status_code=404), Unavailable),
        (replaced(TOKENS, status_code=403), NotFound),
        (replaced(TOKENS, status_code=503), Unavailable),
        (replaced(TOKENS, json={}), Unavailable),
        (replaced(TOKENS, json={"token": "two\r\nlines"}), Unavailable),
        (challenged(""), Unavailable),
        (challenged('Basic realm="x"'), Unavailable),
        (challenged('Bearer realm="https://x:port/"'), Unavailable),
        (challenged('Bearer realm="http://tokens.example.com/token"'), Unavailable),
    ],
)
async def test_registry_that_answers_wrongly_is_no_image(
    places: Places, asker: Asker, spoil: Spoil, error: type[GenjobsError]
) -> None:
    places.spoil = spoil
    with pytest.raises(error) as raised:
        await ImageRegistry(asker).read("python", "3.11")
    assert "of-everybody" not in raised.value.message


async def test_registry_that_names_another_digest_than_its_content_has_is_refused(
    places: Places, asker: Asker
) -> None:
    def spoil(request: httpx.Request, answer: httpx.Response) -> httpx.Response:
        if "Docker-Content-Digest" in answer.headers:
            answer.headers["Docker-Content-Digest"] = "sha256:" + "0" * 64
        return answer

    places.spoil = spoil
    with pytest.raises(Unavailable, match="another content"):
        await ImageRegistry(asker).read("python", "3.11")


async def test_content_with_another_digest_than_asked_for_is_refused(
    places: Places, asker: Asker
) -> None:
    digest = places.tags["3.11"]
    places.content[digest] += b" "
    with pytest.raises(Unavailable, match="another content"):
        await ImageRegistry(asker).read("python", digest)


@pytest.mark.parametrize(
    ("document", "error"),
    [
        ({"sha": None}, Unavailable),
        ({"sha": "a" * 40}, NotFound),
        ({"sha": "a" * 40, "siblings": 1}, NotFound),
        ({"sha": "a" * 40, "siblings": [1, {"rfilename": "tiny.safetensors"}]}, NotFound),
        (
            {
                "sha": "a" * 40,
                "siblings": [
                    {"rfilename": "tiny.safetensors", "lfs": {"sha256": "short", "size": 1}}
                ],
            },
            NotFound,
        ),
    ],
)
async def test_hub_that_answers_wrongly_is_no_model(
    places: Places, asker: Asker, document: object, error: type[GenjobsError]
) -> None:
    places.spoil = replaced(HUB, content=json.dumps(document).encode())
    with pytest.raises(error):
        await ModelHub(asker, f"https://{HUB}").read("owner/tiny", "tiny.safetensors", None)


async def test_hub_must_answer_with_the_revision_asked_for(places: Places, asker: Asker) -> None:
    places.spoil = replaced(HUB, json={"sha": "b" * 40})
    with pytest.raises(Unavailable, match="another revision"):
        await ModelHub(asker, f"https://{HUB}").read("owner/tiny", "tiny.safetensors", "a" * 40)


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ({"license": "other", "license_name": "their-own"}, "their-own"),
        ({"license": "other"}, None),
        ({"license": ["mit"]}, None),
        ("text", None),
    ],
)
async def test_licence_is_what_the_card_names(
    places: Places, asker: Asker, card: object, licence: str | None
) -> None:
    for document in places.revisions.values():
        document["cardData"] = card
    hub = ModelHub(asker, f"https://{HUB}")
    assert (await hub.read("owner/tiny", "tiny.safetensors", None)).licence == licence


async def test_answer_that_does_not_come_is_given_up(asker: Asker) -> None:
    async def never(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(30)
        raise AssertionError

    slow = httpx.AsyncClient(transport=httpx.MockTransport(never))
    with pytest.raises(Unavailable, match="did not answer within"):
        await dataclasses.replace(asker, client=slow, seconds=0.05).get("https://a.example/")


async def test_answer_that_drips_is_given_up_as_well() -> None:
    hung_up = asyncio.Event()

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.02)
        writer.close()
        hung_up.set()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, httpx.AsyncClient(trust_env=False) as client:
        begun = time.monotonic()
        with pytest.raises(Unavailable, match=r"did not answer within 0\.3 s"):
            await Asker(client, seconds=0.3).get(f"http://127.0.0.1:{port}/")
        assert time.monotonic() - begun < 5
        await asyncio.wait_for(hung_up.wait(), 5)


async def test_server_that_is_not_there_is_unavailable(closed_port: int) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(Unavailable, match="ConnectError"):
            await Asker(client).get(f"http://127.0.0.1:{closed_port}/")
