"""
Pins as a file in TOML: read strictly, written always the same way.

A pin that nobody has read from its source stands there as ``"UNRESOLVED(reason)"``. The file is
written by a machine, so what is said in comments is said here.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable
from dataclasses import Field, fields
from typing import Any, Final

from genjobs.domain.errors import ConfigurationError
from genjobs.domain.pin_rules import loose
from genjobs.domain.pins import BaseImage, Model, Part, Repository, Stack, Unresolved

_TABLES: Final[dict[str, type[Any]]] = {
    "cpu_base": BaseImage,
    "gpu_base": BaseImage,
    "comfyui": Repository,
}
_UNRESOLVED: Final = re.compile(r"UNRESOLVED\((.+)\)")
_HEADER: Final = """\
# What containers are made of, each thing exactly. genjobs.gpu.stack reads this file, `genjobs pins
# resolve` writes it and keeps these comments; docs/pins.md says how to change it. Where nobody has
# read a value from its source yet stands UNRESOLVED and the reason; such an image cannot be built.

"""
#: What is said above a value or a table.
_COMMENTS: Final = {
    "image_builder": "Modal's image builder, the newest that the pinned SDK knows.",
    "python": "The series that all of requirements/*.txt is resolved for (Makefile).",
    "uv": "As in requirements/bootstrap.txt.",
    "cuda": "As in requirements/comfyui.txt, where CUDA is cuda-toolkit.",
    "cpu_base": "Of CPU functions. The digest is the pin; the tag is what it is read from.",
    "gpu_base": "Of GPU workers: the variant with git and a C compiler. CUDA comes with wheels.",
    "comfyui": "The URL is the one in its own pyproject.toml at that commit.",
    "custom_nodes": "A node's packages belong into requirements/comfyui.in.",
    "models": "Fetched into the volume by fetch_models, and proven by hash.",
}


def read_pins(text: str) -> Stack:
    """
    Return the stack that a file of pins describes.

    Raises:
        ConfigurationError: it is not such a file, or a pin in it is loose; all of those are named.
    """
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as exc:
        raise ConfigurationError(f"the pins are not valid TOML: {exc}") from None
    tables: dict[str, Any] = dict(document)
    for name, kind in _TABLES.items():
        if name in tables:
            tables[name] = _part(kind, tables[name], name)
    tables["custom_nodes"] = _several(Repository, tables, "custom_nodes")
    tables["models"] = _several(Model, tables, "models")
    stack: Stack = _made(Stack, tables, "")
    wrong = loose(stack)
    if wrong:
        raise ConfigurationError(
            "pins are not exact: " + "; ".join(f"{name} {what}" for name, what in wrong.items())
        )
    return stack


def write_pins(stack: Stack) -> str:
    """Return the file's text; what is read from it is the same stack again."""
    plain = [
        field.name
        for field in fields(stack)
        if not isinstance(getattr(stack, field.name), Part | tuple)
    ]
    blocks = ["".join(_comment(name) + _line(name, getattr(stack, name)) for name in plain)]
    blocks += [_comment(name) + f"[{name}]\n" + _lines(getattr(stack, name)) for name in _TABLES]
    for name in ("custom_nodes", "models"):
        for index, part in enumerate(getattr(stack, name)):
            comment = "" if index else _comment(name)
            blocks.append(comment + f"[[{name}]]\n" + _lines(part))
    return _HEADER + "\n".join(blocks)


def _several(kind: type[Any], tables: dict[str, Any], name: str) -> tuple[Any, ...]:
    found = tables.get(name, [])
    if not isinstance(found, list):
        raise ConfigurationError(f"{name} of the pins must be tables")
    return tuple(_part(kind, table, f"{name}[{index}]") for index, table in enumerate(found))


def _part(kind: type[Any], table: object, where: str) -> Any:
    if not isinstance(table, dict):
        raise ConfigurationError(f"{where} of the pins must be a table")
    return _made(kind, table, f"{where}.")


def _made(kind: type[Any], table: dict[str, Any], where: str) -> Any:
    known = {field.name: field for field in fields(kind)}
    unknown = [f"{where}{name}" for name in table if name not in known]
    if unknown:
        raise ConfigurationError(f"there are no such pins: {', '.join(unknown)}")
    missing = [f"{where}{name}" for name in known if name not in table]
    if missing:
        raise ConfigurationError(f"pins are missing: {', '.join(missing)}")
    return kind(**{name: _value(known[name], table[name], where) for name in table})


def _value(field: Field[Any], value: object, where: str) -> object:
    if isinstance(value, Part | tuple):
        return value
    kind = str(field.type)  # as it is written there: annotations are not evaluated
    if isinstance(value, str) and (found := _UNRESOLVED.fullmatch(value)):
        if kind == "str":
            raise ConfigurationError(f"{where}{field.name} of the pins must not be unresolved")
        return Unresolved(found[1])
    wanted = int if kind.startswith("int") else str
    if type(value) is not wanted:
        what = "a number" if wanted is int else "text"
        raise ConfigurationError(f"{where}{field.name} of the pins must be {what}")
    return value


def _comment(name: str) -> str:
    said = _COMMENTS.get(name)
    return "".join(f"# {line}\n" for line in _folded(said)) if said else ""


def _folded(text: str, width: int = 98) -> Iterable[str]:
    line = ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            yield line
            line = word
        else:
            line = f"{line} {word}".strip()
    yield line


def _lines(part: Part) -> str:
    return "".join(_line(field.name, getattr(part, field.name)) for field in fields(part))


def _line(name: str, value: object) -> str:
    if isinstance(value, int):
        return f"{name} = {value}\n"
    # A basic string of TOML is one of JSON, but for DEL, which no value and no reason may have.
    return f"{name} = {json.dumps(str(value), ensure_ascii=False)}\n"
