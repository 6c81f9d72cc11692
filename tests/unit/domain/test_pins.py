"""Pins: what is loose is refused, and a file of pins says the same when it is written again."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from genjobs.domain.errors import ConfigurationError
from genjobs.domain.pin_file import read_pins, write_pins
from genjobs.domain.pin_rules import loose
from genjobs.domain.pins import BaseImage, Model, Repository, Stack, Unresolved, parts, unresolved

DIGEST = "sha256:" + "d" * 64
COMMIT = "c" * 40
BASE = BaseImage(name="python", tag="3.11-slim-trixie", digest=DIGEST, python="3.11.14")
NODE = Repository(
    name="VideoHelper",
    url="https://git.example.com/owner/VideoHelper",
    ref="refs/heads/main",
    commit=COMMIT,
)
MODEL = Model(
    path="checkpoints/tiny.safetensors",
    repository="owner/tiny",
    file="tiny.safetensors",
    revision=COMMIT,
    sha256="a" * 64,
    bytes=12,
    licence="apache-2.0",
)
STACK = Stack(
    image_builder="2026.10",
    python="3.11",
    uv="0.13.9",
    cuda="13.0.3.0",
    torch="2.13.0",
    torchvision="0.28.0",
    torchaudio="2.11.0",
    cpu_base=BASE,
    gpu_base=dataclasses.replace(BASE, tag="3.11-trixie"),
    comfyui=dataclasses.replace(NODE, name="ComfyUI", ref="refs/tags/v0.26.0"),
    custom_nodes=(NODE,),
    models=(MODEL,),
)
NOBODY = Unresolved("nobody could read it (yet)")


def with_part(name: str, /, **changes: Any) -> Stack:
    part = dataclasses.replace(parts(STACK)[name], **changes)
    field = name.partition(".")[0]
    return dataclasses.replace(STACK, **{field: part if field == name else (part,)})


def test_pins_that_are_exact_are_not_loose() -> None:
    assert loose(STACK) == {}
    assert unresolved(STACK) == {}


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        ("cpu_base", "digest", "3.11-slim"),
        ("cpu_base", "digest", "sha256:" + "d" * 63),
        ("cpu_base", "digest", "sha256:" + "D" * 64),
        ("cpu_base", "digest", ""),
        ("gpu_base", "tag", "latest"),
        ("gpu_base", "tag", "3.12-trixie"),
        ("gpu_base", "tag", "3"),
        ("gpu_base", "name", "python:3.11"),
        ("gpu_base", "name", "Python"),
        ("gpu_base", "python", "3.11"),
        ("gpu_base", "python", "3.12.1"),
        ("comfyui", "commit", "main"),
        ("comfyui", "commit", "v0.26.0"),
        ("comfyui", "commit", "f6c162dd"),
        ("comfyui", "commit", COMMIT + "\n"),
        ("comfyui", "ref", "v0.26.0"),
        ("comfyui", "ref", "refs/tags/-x"),
        ("comfyui", "url", "http://git.example.com/owner/x"),
        ("comfyui", "url", "git@git.example.com:owner/x"),
        ("comfyui", "url", "https://user:secret@git.example.com/owner/x"),
        ("comfyui", "url", "https://git.example.com/x;reboot"),
        ("custom_nodes.VideoHelper", "commit", "HEAD"),
        ("custom_nodes.VideoHelper", "name", "../x"),
        ("models.checkpoints/tiny.safetensors", "revision", "main"),
        ("models.checkpoints/tiny.safetensors", "sha256", ""),
        ("models.checkpoints/tiny.safetensors", "sha256", "abc"),
        ("models.checkpoints/tiny.safetensors", "bytes", 0),
        ("models.checkpoints/tiny.safetensors", "licence", ""),
        ("models.checkpoints/tiny.safetensors", "path", "../tiny"),
        ("models.checkpoints/tiny.safetensors", "path", "/etc/tiny"),
        ("models.checkpoints/tiny.safetensors", "path", "tiny"),
        ("models.checkpoints/tiny.safetensors", "path", "a/../../tiny"),
        ("models.checkpoints/tiny.safetensors", "file", "a?b"),
        ("models.checkpoints/tiny.safetensors", "repository", "tiny"),
    ],
)
def test_loose_pin_is_found_and_no_file_with_it_is_read(part: str, field: str, value: Any) -> None:
    stack = with_part(part, **{field: value})
    [name] = loose(stack)
    assert name.endswith(f".{field}")
    with pytest.raises(ConfigurationError, match=re.escape(name)):
        read_pins(write_pins(stack))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("image_builder", "latest"),
        ("python", "3.11.14"),
        ("uv", ">=0.13"),
        ("torch", "2.13.0+cpu"),
        ("torch", "2.13.*"),
        ("torchvision", "latest"),
        ("torchaudio", ""),
        ("cuda", "13"),
    ],
)
def test_loose_version_is_found(field: str, value: str) -> None:
    assert field in loose(dataclasses.replace(STACK, **{field: value}))


def test_same_name_twice_is_found() -> None:
    twice = dataclasses.replace(STACK, custom_nodes=(NODE, NODE), models=(MODEL, MODEL))
    assert loose(twice) == {
        "custom_nodes.VideoHelper": "is there more than once",
        "models.checkpoints/tiny.safetensors": "is there more than once",
    }


def test_what_is_not_resolved_is_not_loose_and_listed_with_its_reason() -> None:
    stack = dataclasses.replace(
        STACK,
        cpu_base=dataclasses.replace(BASE, digest=NOBODY),
        models=(dataclasses.replace(MODEL, bytes=NOBODY, licence=NOBODY),),
    )
    assert loose(stack) == {}
    assert unresolved(stack) == {
        "cpu_base.digest": NOBODY.reason,
        "models.checkpoints/tiny.safetensors.bytes": NOBODY.reason,
        "models.checkpoints/tiny.safetensors.licence": NOBODY.reason,
    }
    text = write_pins(stack)
    assert text.count(f'"UNRESOLVED({NOBODY.reason})"') == 3
    assert read_pins(text) == stack


@pytest.mark.parametrize(
    "stack", [STACK, dataclasses.replace(STACK, custom_nodes=(), models=())], ids=["full", "bare"]
)
def test_written_file_reads_as_the_same_and_is_written_the_same(stack: Stack) -> None:
    text = write_pins(stack)
    assert read_pins(text) == stack
    assert write_pins(read_pins(text)) == text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace('torch = "2.13.0"\n', ""), "missing: torch"),
        (lambda text: text.replace("[gpu_base]", "[gpu]"), "no such pins: gpu"),
        (lambda text: text.replace("sha256 =", "sha265 ="), r"no such pins: models\[0\].sha265"),
        (lambda text: text.replace("bytes = 12", 'bytes = "12"'), "bytes of the pins must be a"),
        (lambda text: text.replace("bytes = 12", "bytes = true"), "bytes of the pins must be a"),
        (lambda text: text.replace('"0.13.9"', "0.13"), "uv of the pins must be text"),
        (lambda text: text.replace("[[models]]", "[models]"), "models of the pins must be tables"),
        (lambda text: "models = [1]\n" + text.partition("[[models]]")[0], r"models\[0\] of the"),
        (lambda text: text.replace('"python"', '"UNRESOLVED(x)"'), "must not be unresolved"),
        (lambda text: text + "=", "not valid TOML"),
        (lambda text: text + "x = " + "[" * 100_000, "not valid TOML"),
    ],
)
def test_file_that_is_something_else_is_refused(change: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        read_pins(change(write_pins(STACK)))


def test_base_is_named_by_its_digest_and_a_model_by_its_revision() -> None:
    assert BASE.reference() == f"python:3.11-slim-trixie@{DIGEST}"
    assert dataclasses.replace(BASE, digest=NOBODY).reference() == NOBODY
    assert MODEL.url("https://hub") == f"https://hub/owner/tiny/resolve/{COMMIT}/tiny.safetensors"
    assert dataclasses.replace(MODEL, revision=NOBODY).url() == NOBODY
