"""Uploads and ``/view``: names, folders, traversal, streaming."""

from __future__ import annotations

import io

import httpx
import pytest
from PIL import Image


def png(color, mode="RGB"):
    buffer = io.BytesIO()
    Image.new(mode, (8, 8), color).save(buffer, "PNG")
    return buffer.getvalue()


async def upload(client, name, content, **fields):
    files = {"image": (name, content, "application/octet-stream")}
    return await client.http.post("/upload/image", files=files, data=fields)


async def test_an_upload_is_stored_under_its_name_whatever_it_contains(client):
    for name, content in (("a.png", png("red")), ("b.html", b"<html>"), ("c", b"")):
        answer = await upload(client, name, content)
        assert answer.json() == {"name": name, "subfolder": "", "type": "input"}
        assert (client.running.base_directory / "input" / name).read_bytes() == content


async def test_same_name_keeps_it_for_same_bytes_and_numbers_other_bytes(client):
    names = [
        (await upload(client, "a.png", content)).json()["name"]
        for content in (b"one", b"one", b"two", b"three", b"two")
    ]
    assert names == ["a.png", "a.png", "a (1).png", "a (2).png", "a (1).png"]


@pytest.mark.parametrize("overwrite", ["true", "1"])
async def test_overwrite_replaces_the_bytes(client, overwrite):
    await upload(client, "a.png", b"one")
    answer = await upload(client, "a.png", b"two", overwrite=overwrite)
    assert answer.json()["name"] == "a.png"
    assert (client.running.base_directory / "input" / "a.png").read_bytes() == b"two"


async def test_subfolder_and_type_choose_the_place(client):
    answer = await upload(client, "a.png", b"x", subfolder="deep/er", type="temp")
    assert answer.json() == {"name": "a.png", "subfolder": "deep/er", "type": "temp"}
    assert (client.running.base_directory / "temp" / "deep" / "er" / "a.png").exists()


@pytest.mark.parametrize(
    ("name", "fields", "status"),
    [
        ("../a.png", {}, 400),
        ("a.png", {"subfolder": "../x"}, 400),
        ("a.png", {"subfolder": "/etc"}, 400),
        ("a.png", {"type": "models"}, 500),
    ],
)
async def test_a_place_outside_the_folders_is_refused(client, name, fields, status):
    answer = await upload(client, name, b"x", **fields)
    assert answer.status_code == status
    assert list(client.running.base_directory.rglob("a.png")) == []


async def test_an_upload_without_a_file_is_refused(client):
    answer = await client.http.post("/upload/image", files={"other": (None, b"x")})
    assert answer.status_code == 400
    assert (await client.http.post("/upload/image", content=b"x")).status_code == 400


async def test_a_large_upload_arrives_whole_and_leaves_nothing_else(client):
    content = bytes(range(256)) * 40_000 + b"\r\n--"  # looks like the begin of a boundary
    answer = await upload(client, "big.bin", content)
    assert answer.status_code == 200
    assert (client.running.base_directory / "input" / "big.bin").read_bytes() == content
    assert list((client.running.base_directory / "temp").iterdir()) == []


async def test_a_form_cut_into_single_bytes_is_understood(client):
    request = client.http.build_request(
        "POST", "/upload/image", files={"image": ("a.bin", b"some\r\nbytes")}, data={"type": "temp"}
    )

    async def drip():
        for byte in request.read():
            yield bytes([byte])

    headers = {"content-type": request.headers["content-type"]}
    answer = await client.http.post("/upload/image", content=drip(), headers=headers)
    assert answer.json() == {"name": "a.bin", "subfolder": "", "type": "temp"}
    stored = client.running.base_directory / "temp" / "a.bin"
    assert stored.read_bytes() == b"some\r\nbytes"


async def test_a_broken_off_form_stores_nothing(client):
    headers = {"content-type": "multipart/form-data; boundary=B"}
    head = b'--B\r\nContent-Disposition: form-data; name="image"; filename="a.bin"\r\n\r\nsome'
    answer = await client.http.post("/upload/image", content=head, headers=headers)
    assert answer.status_code == 500
    assert list(client.running.base_directory.rglob("*a.bin")) == []
    assert list((client.running.base_directory / "temp").iterdir()) == []


async def view(client, **params) -> httpx.Response:
    return await client.http.get("/view", params=params)


async def test_view_serves_the_bytes_with_type_name_and_ranges(client):
    await upload(client, "a.png", png("red"), type="output", subfolder="s")
    answer = await view(client, filename="a.png", subfolder="s", type="output")
    assert answer.content == png("red")
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"] == 'filename="a.png"'
    part = await client.http.get(
        "/view", params={"filename": "a.png", "subfolder": "s"}, headers={"Range": "bytes=0-7"}
    )
    assert (part.status_code, part.content) == (206, png("red")[:8])


async def test_view_does_not_serve_pages_as_pages(client):
    await upload(client, "a.html", b"<script>")
    answer = await view(client, filename="a.html", type="input")
    assert answer.headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({"filename": "../input/a.png"}, 400),
        ({"filename": "/etc/passwd"}, 400),
        ({"filename": ""}, 400),
        ({"filename": "a.png", "type": "models"}, 400),
        ({"filename": "a.png", "type": "output", "subfolder": "../input"}, 403),
        ({"filename": "nope.png", "type": "input"}, 404),
        ({}, 404),
        ({"filename": "a.png [input]"}, 200),
        ({"filename": "a.png", "type": "input"}, 200),
    ],
)
async def test_view_stays_in_its_folders(client, params, status):
    await upload(client, "a.png", png("red"))
    assert (await view(client, **params)).status_code == status


async def test_view_converts_to_previews_and_channels(client):
    await upload(client, "a.png", png((255, 0, 0, 128), "RGBA"))

    async def picture(**params):
        answer = await view(client, filename="a.png", type="input", **params)
        return Image.open(io.BytesIO(answer.content)), answer.headers["content-type"]

    assert (await picture(preview="webp;50"))[1] == "image/webp"
    jpeg, kind = await picture(preview="jpeg")
    assert (jpeg.format, kind) == ("JPEG", "image/jpeg")
    assert (await picture(channel="rgb"))[0].getpixel((0, 0)) == (255, 0, 0)
    assert (await picture(channel="a"))[0].getpixel((0, 0))[3] == 128
