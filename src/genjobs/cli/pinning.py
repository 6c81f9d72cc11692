"""
``genjobs pins``: what images are made of, and reading it from its sources.

The file of pins is replaced whole, and only when everything that was to be read has been read.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from genjobs.bootstrap.pins import PinReader, open_pin_reader
from genjobs.cli import running
from genjobs.cli.running import Json
from genjobs.domain.errors import ConfigurationError
from genjobs.domain.pin_file import read_pins, write_pins
from genjobs.domain.pins import Stack, Unresolved, pins, unresolved

pins_app: Final = typer.Typer(
    name="pins", help="What images are made of, each thing exactly.", no_args_is_help=True
)

_MOST_BYTES: Final = 1024 * 1024

File = Annotated[
    Path | None, typer.Option("--file", help="File of pins, instead of the package's own")
]
Names = Annotated[
    list[str] | None,
    typer.Argument(help="Parts to read anew, such as gpu_base or comfyui; none: what is open"),
]


@pins_app.command("list")
def list_pins(file: File = None, as_json: Json = False) -> None:
    """List all pins. Ends with 1 while one of them is unresolved."""
    raise typer.Exit(show(path_of(file), as_json=as_json))


@pins_app.command("resolve")
def resolve_pins(
    names: Names = None,
    check: Annotated[bool, typer.Option("--check", help="As genjobs pins check")] = False,
    file: File = None,
) -> None:
    """
    Read pins from their sources, show what changes, and write it.

    Needs the Internet, and git. Nothing is written unless everything could be read. Ends with 1
    while a pin is still unresolved.
    """
    if check:
        if names:
            raise typer.BadParameter("--check is about all pins")
        raise typer.Exit(running.run(compare(path_of(file))))
    raise typer.Exit(running.run(resolve(path_of(file), names or ())))


@pins_app.command("check")
def check_pins(file: File = None, as_json: Json = False) -> None:
    """Compare pins with what their sources say now. Ends with 1 when one is not the same."""
    raise typer.Exit(running.run(compare(path_of(file), as_json=as_json)))


def path_of(file: Path | None) -> Path:
    """Return the file of pins that is meant; of the package's own, where it is installed."""
    if file is not None:
        return file
    from genjobs.gpu.stack import PINS

    return Path(str(PINS))


def show(path: Path, *, as_json: bool) -> int:
    """
    Print all pins, and count those that are unresolved; return the exit code.

    Raises:
        ConfigurationError: the file cannot be read, or a pin in it is loose.
    """
    stack = read_pins(_text(path))
    missing = unresolved(stack)
    if as_json:
        known = {
            name: value for name, value in pins(stack).items() if not isinstance(value, Unresolved)
        }
        running.print_json({"pins": known, "unresolved": missing})
    else:
        _print_pins(stack)
    running.tell(_counted(stack))
    return 1 if missing else 0


async def resolve(
    path: Path, names: Sequence[str] = (), *, reader: PinReader = open_pin_reader
) -> int:
    """
    Read what is unresolved, or the parts named, and write it; return the exit code.

    Raises:
        ConfigurationError: the file is not usable, or changed while sources were asked.
        NotFound: there is no such part; or its source has no such thing.
        Unavailable: a source does not answer.
    """
    before = _text(path)
    stack = read_pins(before)
    async with reader() as read:
        reading = await read.resolve(stack, names)
    if reading.failed:
        for name, why in reading.failed.items():
            running.tell(f"{name}: {why.message}")
        running.tell("Nothing was written.")
        raise next(iter(reading.failed.values()))
    after = write_pins(reading.stack)
    for line in difflib.unified_diff(
        before.splitlines(), after.splitlines(), str(path), str(path), n=2, lineterm=""
    ):
        typer.echo(line)
    if after != before:
        _replace(path, before, after)
    running.tell(_counted(reading.stack))
    return 1 if unresolved(reading.stack) else 0


async def compare(path: Path, *, as_json: bool = False, reader: PinReader = open_pin_reader) -> int:
    """
    Print what is not as its source says now; return the exit code.

    Raises:
        ConfigurationError: the file is not usable.
        NotFound: a source has no such thing any more.
        Unavailable: a source does not answer.
    """
    stack = read_pins(_text(path))
    async with reader() as read:
        changes, failed = await read.compare(stack)
    rows: list[dict[str, Any]] = [
        {
            "name": change.name,
            "pinned": None if isinstance(change.pinned, Unresolved) else change.pinned,
            "found": change.found,
        }
        for change in changes
    ]
    if as_json:
        told = {name: why.message for name, why in failed.items()}
        running.print_json({"changes": rows, "failed": told})
    elif rows:
        running.print_table(rows, ("name", "pinned", "found"))
    for name, why in failed.items():
        running.tell(f"{name}: {why.message}")
    if failed:
        raise next(iter(failed.values()))
    running.tell(f"{len(rows)} pins are not what their sources say now" if rows else "All the same")
    return 1 if rows else 0


def _print_pins(stack: Stack) -> None:
    found = pins(stack)
    width = max(map(len, found))
    for name, value in found.items():
        typer.echo(f"{name:{width}}  {value}")


def _counted(stack: Stack) -> str:
    return f"{len(unresolved(stack))} of {len(pins(stack))} values are unresolved"


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as exc:
        raise ConfigurationError(f"{path} cannot be read: {exc.strerror}") from None
    if len(content) > _MOST_BYTES:
        raise ConfigurationError(f"{path} is larger than {_MOST_BYTES} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not text in UTF-8") from None


def _replace(path: Path, before: str, after: str) -> None:
    """Put a new file in the old one's place, whole; nobody's change in between is lost."""
    if _text(path) != before:
        raise ConfigurationError(f"{path} was changed while sources were asked; nothing is written")
    part = None
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            part = Path(file.name)
            file.write(after)
            file.flush()
            os.fsync(file.fileno())
        part.chmod(path.stat().st_mode & 0o777)
        os.replace(part, path)
    except OSError as exc:
        if part is not None:
            with contextlib.suppress(OSError):
                part.unlink()
        raise ConfigurationError(f"{path} cannot be written: {exc.strerror}") from None
