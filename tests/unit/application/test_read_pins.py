"""Reading pins: what is open is filled, what is named is newer, what differs is told."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from genjobs.application.read_pins import PinChange, ReadPins
from genjobs.domain.errors import ConfigurationError, NotFound, Unavailable
from genjobs.domain.pins import ImageRead, Stack, parts, unresolved
from genjobs.testing import MemoryPinSources
from tests.pin_cases import GIT, IMAGE, LATER, NEWER, NOBODY, STACK, TINY, WEIGHTS, sources_of_all


@pytest.fixture
def sources() -> MemoryPinSources:
    return sources_of_all()


@pytest.fixture
def read(sources: MemoryPinSources) -> ReadPins:
    return ReadPins(sources=sources)


async def resolved_stack(read: ReadPins) -> Stack:
    return (await read.resolve(STACK)).stack


def changed(stack: Stack, name: str, **changes: Any) -> Stack:
    part = dataclasses.replace(parts(stack)[name], **changes)
    field = name.partition(".")[0]
    return dataclasses.replace(stack, **{field: part if field == name else (part,)})


async def test_what_is_open_is_filled_and_nothing_else_is_asked(
    read: ReadPins, sources: MemoryPinSources
) -> None:
    reading = await read.resolve(STACK)
    assert reading.failed == {}
    assert unresolved(reading.stack) == {}
    found = reading.stack
    assert (found.cpu_base.digest, found.cpu_base.python) == (IMAGE.digest, IMAGE.python)
    assert found.comfyui.commit == "2" * 40
    [model] = found.models
    assert (model.revision, model.sha256, model.bytes, model.licence) == (
        *(WEIGHTS.revision, WEIGHTS.sha256, WEIGHTS.bytes, WEIGHTS.licence),
    )
    assert found.custom_nodes == STACK.custom_nodes
    assert not [asked for asked in sources.asked if "films" in asked]

    sources.asked.clear()
    assert (await read.resolve(found)).stack == found
    assert sources.asked == []


async def test_rest_of_a_part_is_read_at_what_is_pinned_of_it(
    read: ReadPins, sources: MemoryPinSources
) -> None:
    stack = await resolved_stack(read)
    sources.put_image("python", "3.11-slim", NEWER)
    sources.models["owner/tiny", "tiny"].append(LATER)
    stack = changed(changed(stack, "cpu_base", python=NOBODY), TINY, licence=NOBODY)

    reading = await read.resolve(stack)
    assert reading.failed == {}
    assert reading.stack.cpu_base.python == IMAGE.python
    assert reading.stack.models[0].revision == WEIGHTS.revision


async def test_what_is_named_is_read_at_its_newest(
    read: ReadPins, sources: MemoryPinSources
) -> None:
    stack = await resolved_stack(read)
    sources.put_image("python", "3.11-slim", NEWER)
    sources.put_image("python", "3.11-full", NEWER)
    sources.models["owner/tiny", "tiny"].append(LATER)

    found = (await read.resolve(stack, ["cpu_base", "custom_nodes.Films", TINY])).stack
    assert (found.cpu_base.digest, found.gpu_base.digest) == (NEWER.digest, IMAGE.digest)
    assert found.custom_nodes[0].commit == "3" * 40
    assert (found.models[0].revision, found.models[0].sha256) == (LATER.revision, LATER.sha256)


async def test_name_that_is_no_part_is_refused(read: ReadPins, sources: MemoryPinSources) -> None:
    with pytest.raises(NotFound, match=r"no torch among the pins: cpu_base, gpu_base, comfyui"):
        await read.resolve(STACK, ["cpu_base", "torch"])
    assert sources.asked == []


async def test_every_part_that_fails_is_told(read: ReadPins, sources: MemoryPinSources) -> None:
    sources.commits.clear()
    del sources.images["python", "3.11-slim"]
    reading = await read.resolve(STACK)
    assert {name: type(why) for name, why in reading.failed.items()} == {
        "cpu_base": NotFound,
        "comfyui": NotFound,
    }
    sources.down = True
    reading = await read.resolve(STACK)
    assert {type(why) for why in reading.failed.values()} == {Unavailable}


async def test_what_a_source_does_not_say_stays_unresolved_with_a_reason(
    read: ReadPins, sources: MemoryPinSources
) -> None:
    sources.models["owner/tiny", "tiny"] = [dataclasses.replace(WEIGHTS, licence=None)]
    sources.put_image("python", "3.11-slim", dataclasses.replace(IMAGE, python=None))
    reading = await read.resolve(STACK)
    assert reading.failed == {}
    assert unresolved(reading.stack) == {
        "cpu_base.python": "the image does not say",
        f"{TINY}.licence": "the repository's card names none",
    }


@pytest.mark.parametrize(
    "found",
    [
        ImageRead(digest="latest", python="3.11.13"),
        ImageRead(digest=IMAGE.digest, python="3.12.1"),
    ],
)
async def test_what_is_read_must_be_a_pin_as_well(
    read: ReadPins, sources: MemoryPinSources, found: ImageRead
) -> None:
    sources.put_image("python", "3.11-slim", found)
    reading = await read.resolve(STACK)
    assert {name: type(why) for name, why in reading.failed.items()} == {
        "cpu_base": ConfigurationError
    }


async def test_source_that_contradicts_what_is_pinned_is_told(
    read: ReadPins, sources: MemoryPinSources
) -> None:
    stack = changed(STACK, TINY, sha256="9" * 64)
    reading = await read.resolve(stack)
    assert "sha256 is pinned as 999" in reading.failed[TINY].message
    assert set(reading.failed) == {TINY}


async def test_comparing_tells_what_moved_and_what_is_not_what_is_pinned(
    read: ReadPins, sources: MemoryPinSources
) -> None:
    stack = (await read.resolve(STACK, list(parts(STACK)))).stack
    assert await read.compare(stack) == ([], {})

    sources.put_image("python", "3.11-full", NEWER)
    sources.commits[GIT + "comfy", "refs/tags/v1"] = "4" * 40
    sources.models["owner/tiny", "tiny"] = [
        dataclasses.replace(WEIGHTS, sha256="0" * 64, licence=None),
        LATER,  # a newer revision is not what is pinned, and no difference
    ]
    changes, failed = await read.compare(stack)
    assert changes == [
        PinChange(name="gpu_base.digest", pinned=IMAGE.digest, found=NEWER.digest),
        PinChange(name="gpu_base.python", pinned=IMAGE.python, found=NEWER.python),
        PinChange(name="comfyui.commit", pinned="2" * 40, found="4" * 40),
        PinChange(name=f"{TINY}.sha256", pinned=WEIGHTS.sha256, found="0" * 64),
    ]
    assert failed == {}


async def test_comparing_tells_an_image_that_moved_and_is_gone(
    read: ReadPins, sources: MemoryPinSources
) -> None:
    stack = await resolved_stack(read)
    sources.put_image("python", "3.11-full", NEWER)
    _, failed = await read.compare(stack)
    assert failed == {}
    del sources.images["python", IMAGE.digest]
    changes, failed = await read.compare(stack)
    assert [change.name for change in changes if change.name.startswith("gpu_base")]
    assert {name: type(why) for name, why in failed.items()} == {"gpu_base": NotFound}


async def test_comparing_tells_what_is_gone(read: ReadPins, sources: MemoryPinSources) -> None:
    stack = await resolved_stack(read)
    sources.models.clear()
    _, failed = await read.compare(stack)
    assert {name: type(why) for name, why in failed.items()} == {TINY: NotFound}
