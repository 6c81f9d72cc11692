"""
The catalogue that comes with genjobs, and the one that a deployment or a tenant makes of it.

The entries are data: ``core_nodes.json`` (ComfyUI's own nodes) and ``video_helper_suite.json``,
each reviewed against the version it names. They change with the GPU image.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, Final

from genjobs.domain.catalogue.entries import NodeClass, frozen
from genjobs.domain.catalogue.reading import Extension, read_classes

_FILES: Final = ("core_nodes.json", "video_helper_suite.json")


@cache
def _documents() -> tuple[Mapping[str, Any], ...]:
    folder = resources.files("genjobs.domain.catalogue")
    return tuple(json.loads(folder.joinpath(name).read_text("utf-8")) for name in _FILES)


@cache
def shipped_classes() -> Mapping[str, NodeClass]:
    """Return the shipped entries, by class name."""
    return frozen(
        {
            name: known
            for document in _documents()
            for name, known in read_classes(document["classes"]).items()
        }
    )


def reviewed_against() -> tuple[str, ...]:
    """Return the versions of what the shipped entries were reviewed against."""
    return tuple(document["reviewed_against"] for document in _documents())


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowing:
    """What a tenant takes away from the deployment's catalogue; it cannot add to it."""

    #: Only these classes stay; None keeps all.
    allowed: frozenset[str] | None = None
    denied: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCatalogue:
    """The node classes that a workflow may use. What is not listed is refused."""

    classes: Mapping[str, NodeClass] = field(default_factory=shipped_classes)

    def get(self, class_type: str) -> NodeClass | None:
        """Return the entry of a class, None when the class is not allowed."""
        return self.classes.get(class_type)

    def narrowed(self, narrowing: Narrowing) -> NodeCatalogue:
        """Return a catalogue with fewer classes; no entry is added or changed."""
        kept, gone = narrowing.allowed, narrowing.denied
        return NodeCatalogue(
            classes=frozen(
                {
                    name: known
                    for name, known in self.classes.items()
                    if (kept is None or name in kept) and name not in gone
                }
            )
        )

    def widened(self, classes: Mapping[str, NodeClass]) -> NodeCatalogue:
        """Return a catalogue with more classes; theirs win over those of the same name."""
        return NodeCatalogue(classes=frozen({**self.classes, **classes}))

    def extended(self, extension: Extension) -> NodeCatalogue:
        """Return the catalogue that a deployment's own entries make of this one."""
        return self.widened(extension.classes).narrowed(Narrowing(denied=extension.deny))
