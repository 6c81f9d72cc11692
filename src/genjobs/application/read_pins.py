"""
Read pins from their sources: what nobody has read yet, what is to be newer, what differs by now.

Nothing is kept here; who calls writes the new stack down, or does not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from genjobs.domain.errors import ConfigurationError, GenjobsError, NotFound
from genjobs.domain.pin_rules import loose
from genjobs.domain.pins import (
    BaseImage,
    Model,
    Part,
    Repository,
    Stack,
    Unresolved,
    parts,
    resolved,
)
from genjobs.domain.ports import PinSources


@dataclass(frozen=True, slots=True, kw_only=True)
class PinReading:
    """What came of reading pins."""

    #: With everything that was read; use it only when nothing failed.
    stack: Stack
    #: By part: why it was not read.
    failed: Mapping[str, GenjobsError] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PinChange:
    """A pin that is not what its source says at this moment."""

    name: str
    pinned: object
    found: object


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPins:
    """Reads pins from their sources."""

    sources: PinSources

    async def resolve(self, stack: Stack, names: Collection[str] = ()) -> PinReading:
        """
        Read what is not resolved; or read the parts named, whole and at their newest.

        Raises:
            NotFound: there is no part of such a name.
        """
        known = parts(stack)
        if missing := [name for name in names if name not in known]:
            raise NotFound(f"there is no {', '.join(missing)} among the pins: {', '.join(known)}")
        wanted = names or [name for name, part in known.items() if _is_open(part)]
        read: dict[str, Part] = {}
        failed: dict[str, GenjobsError] = {}
        for name in wanted:
            part = known[name]
            try:
                found = await self._read(part, newest=bool(names))
                read[name] = found if names else _filled(part, found)
            except GenjobsError as exc:
                failed[name] = exc
        changed = _with(stack, read)
        for name, what in loose(changed).items():
            part_name = next((part for part in read if name.startswith(part)), name)
            failed.setdefault(part_name, ConfigurationError(f"what was read as {name} {what}"))
        return PinReading(stack=changed, failed=failed)

    async def compare(self, stack: Stack) -> tuple[list[PinChange], Mapping[str, GenjobsError]]:
        """
        Return what tags and references lead to by now, and models that are not what is pinned.

        The second are parts that could not be read, and why.
        """
        changes: list[PinChange] = []
        failed: dict[str, GenjobsError] = {}
        for name, part in parts(stack).items():
            try:
                found = await self._read(part, newest=not isinstance(part, Model))
            except GenjobsError as exc:
                failed[name] = exc
                continue
            changes += [
                PinChange(name=f"{name}.{inner}", pinned=pinned, found=now)
                for inner, pinned, now in _pairs(part, found)
                if pinned != now and not isinstance(now, Unresolved)
            ]
            try:
                await self._still_there(part, found)
            except GenjobsError as exc:
                failed[name] = exc
        return changes, failed

    async def _still_there(self, part: Part, found: Part) -> None:
        """Raise when an image whose tag moved on cannot be had by its digest any more."""
        if isinstance(part, BaseImage) and isinstance(found, BaseImage):
            pinned = resolved(part.digest)
            if pinned not in {None, found.digest}:
                await self.sources.image(part.name, str(pinned))

    async def _read(self, part: Part, *, newest: bool) -> Part:
        """Return the part as its source has it: at what is pinned of it, or at the newest."""
        if isinstance(part, BaseImage):
            pinned = None if newest else resolved(part.digest)
            image = await self.sources.image(part.name, pinned or part.tag)
            python = image.python or Unresolved("the image does not say")
            return dataclasses.replace(part, digest=image.digest, python=python)
        if isinstance(part, Repository):
            commit = await self.sources.commit(part.url, part.ref)
            return dataclasses.replace(part, commit=commit)
        model = await self.sources.model(
            part.repository, part.file, None if newest else resolved(part.revision)
        )
        return dataclasses.replace(
            part,
            revision=model.revision,
            sha256=model.sha256,
            bytes=model.bytes,
            licence=model.licence or Unresolved("the repository's card names none"),
        )


def _is_open(part: Part) -> bool:
    return any(isinstance(getattr(part, field.name), Unresolved) for field in fields(part))


def _pairs(part: Part, found: Part) -> list[tuple[str, object, object]]:
    return [
        (field.name, getattr(part, field.name), getattr(found, field.name))
        for field in fields(part)
    ]


def _filled(part: Part, found: Part) -> Part:
    """Return the part with what was open; what was known must be what was found."""
    for name, pinned, now in _pairs(part, found):
        if not isinstance(pinned, Unresolved) and pinned != now:
            raise ConfigurationError(f"{name} is pinned as {pinned}, and its source says {now}")
    return found


def _with(stack: Stack, read: Mapping[str, Part]) -> Stack:
    tables: dict[str, Any] = {name: part for name, part in read.items() if "." not in name}
    tables["custom_nodes"] = tuple(
        read.get(f"custom_nodes.{node.name}", node) for node in stack.custom_nodes
    )
    tables["models"] = tuple(read.get(f"models.{model.path}", model) for model in stack.models)
    return dataclasses.replace(stack, **tables)
