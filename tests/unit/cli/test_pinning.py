"""``genjobs pins``: the file is written whole or not at all, and exit codes say what is left."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from genjobs.application.read_pins import ReadPins
from genjobs.cli import main, pinning
from genjobs.cli.app import app
from genjobs.domain.errors import ConfigurationError, NotFound, Unavailable
from genjobs.domain.pin_file import read_pins, write_pins
from genjobs.domain.pins import parts, unresolved
from genjobs.gpu.stack import STACK
from genjobs.testing import MemoryPinSources
from tests.pin_cases import IMAGE, NEWER, TINY, sources_of_all
from tests.pin_cases import STACK as OPEN


@pytest.fixture
def sources() -> MemoryPinSources:
    return sources_of_all()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "pins.toml"
    path.write_text(write_pins(OPEN))
    path.chmod(0o640)
    return path


@pytest.fixture
def reader(sources: MemoryPinSources) -> pinning.PinReader:
    @asynccontextmanager
    async def opened() -> AsyncIterator[ReadPins]:
        yield ReadPins(sources=sources)

    return opened


def left(path: Path) -> list[str]:
    return sorted(found.name for found in path.parent.iterdir())


async def test_open_pins_are_read_shown_and_written(
    path: Path, reader: pinning.PinReader, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await pinning.resolve(path, reader=reader) == 0
    stack = read_pins(path.read_text())
    assert unresolved(stack) == {}
    assert path.read_text() == write_pins(stack)
    assert path.stat().st_mode & 0o777 == 0o640
    out, err = capsys.readouterr()
    assert f'+digest = "{IMAGE.digest}"' in out
    assert '-digest = "UNRESOLVED(nobody read it)"' in out
    assert err == "0 of 30 values are unresolved\n"
    assert left(path) == ["pins.toml"]

    assert await pinning.resolve(path, reader=reader) == 0
    assert capsys.readouterr().out == ""


async def test_part_that_is_named_is_read_anew(
    path: Path, reader: pinning.PinReader, sources: MemoryPinSources
) -> None:
    await pinning.resolve(path, reader=reader)
    sources.put_image("python", "3.11-full", NEWER)
    assert await pinning.resolve(path, ["gpu_base"], reader=reader) == 0
    assert read_pins(path.read_text()).gpu_base.digest == NEWER.digest


async def test_nothing_is_written_when_one_source_fails(
    path: Path,
    reader: pinning.PinReader,
    sources: MemoryPinSources,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = path.read_text()
    sources.models.clear()
    with pytest.raises(NotFound):
        await pinning.resolve(path, reader=reader)
    assert path.read_text() == before
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"{TINY}: there is no ")
    assert err.endswith("Nothing was written.\n")

    sources.down = True
    with pytest.raises(Unavailable):
        await pinning.resolve(path, reader=reader)
    assert path.read_text() == before


async def test_what_stays_open_is_counted_and_in_the_exit_code(
    path: Path, reader: pinning.PinReader, sources: MemoryPinSources
) -> None:
    assert await pinning.resolve(path, ["cpu_base", "comfyui"], reader=reader) == 1
    stack = read_pins(path.read_text())
    assert stack.cpu_base.digest == IMAGE.digest
    assert {name.rpartition(".")[0] for name in unresolved(stack)} == {"gpu_base", TINY}


async def test_change_that_was_made_meanwhile_is_not_lost(
    path: Path, sources: MemoryPinSources
) -> None:
    @asynccontextmanager
    async def slow() -> AsyncIterator[ReadPins]:
        yield ReadPins(sources=sources)
        path.write_text(path.read_text().replace("0.13.9", "0.13.10"))

    with pytest.raises(ConfigurationError, match="changed while"):
        await pinning.resolve(path, reader=slow)
    assert 'uv = "0.13.10"' in path.read_text()
    assert unresolved(read_pins(path.read_text())) == unresolved(OPEN)


async def test_file_that_cannot_be_replaced_stays_as_it_is(
    path: Path, reader: pinning.PinReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = path.read_text()
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ConfigurationError, match="No space left"):
        await pinning.resolve(path, reader=reader)
    assert path.read_text() == before
    assert left(path) == ["pins.toml"]


async def test_check_tells_what_differs_and_writes_nothing(
    path: Path,
    reader: pinning.PinReader,
    sources: MemoryPinSources,
    capsys: pytest.CaptureFixture[str],
) -> None:
    await pinning.resolve(path, list(parts(OPEN)), reader=reader)
    assert await pinning.compare(path, reader=reader) == 0
    before = path.read_text()
    sources.put_image("python", "3.11-full", NEWER)
    capsys.readouterr()

    assert await pinning.compare(path, as_json=True, reader=reader) == 1
    assert json.loads(capsys.readouterr().out) == {
        "changes": [
            {"name": "gpu_base.digest", "pinned": IMAGE.digest, "found": NEWER.digest},
            {"name": "gpu_base.python", "pinned": "3.11.13", "found": "3.11.14"},
        ],
        "failed": {},
    }
    assert await pinning.compare(path, reader=reader) == 1
    assert "gpu_base.digest" in capsys.readouterr().out
    sources.down = True
    with pytest.raises(Unavailable):
        await pinning.compare(path, reader=reader)
    assert path.read_text() == before


async def test_check_tells_unresolved_pins_as_different(
    path: Path, reader: pinning.PinReader, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await pinning.compare(path, as_json=True, reader=reader) == 1
    [first, *_] = json.loads(capsys.readouterr().out)["changes"]
    assert first == {"name": "cpu_base.digest", "pinned": None, "found": IMAGE.digest}


def test_list_prints_and_counts_what_is_unresolved(path: Path) -> None:
    ran = CliRunner().invoke(app, ["pins", "list", "--file", str(path)])
    assert ran.exit_code == 1
    assert ran.stdout.count("UNRESOLVED(nobody read it)") == 9
    assert ran.stderr == "9 of 30 values are unresolved\n"

    ran = CliRunner().invoke(app, ["pins", "list", "--json", "--file", str(path)])
    assert ran.exit_code == 1
    told = json.loads(ran.stdout)
    assert told["unresolved"] == unresolved(OPEN)
    assert told["pins"]["torch"] == "2.13.0"
    assert not set(told["pins"]) & set(told["unresolved"])


def test_list_without_a_file_is_about_what_is_deployed() -> None:
    ran = CliRunner().invoke(app, ["pins", "list", "--json"])
    assert json.loads(ran.stdout)["unresolved"] == unresolved(STACK)
    assert ran.exit_code == (1 if unresolved(STACK) else 0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        (b"\xff", "not text in UTF-8"),
        (b"#" * (1024 * 1024 + 1), "larger than"),
        (b"x = 1", "no such pins: x"),
        (write_pins(OPEN).replace("refs/tags/v1", "v1").encode(), "comfyui.ref must be a ref"),
    ],
)
def test_file_that_is_not_usable_is_a_wrong_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, said: str
) -> None:
    path = tmp_path / "pins.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SystemExit) as ended:
        main(["pins", "list", "--file", str(path)])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_check_of_some_pins_only_is_refused() -> None:
    ran = CliRunner().invoke(app, ["pins", "resolve", "--check", "comfyui"])
    assert ran.exit_code == 2
