"""
The node catalogue: which ComfyUI node classes a workflow may use, and what each input may hold.

``entries`` holds the types, ``reading`` turns reviewed JSON into them, ``shipped`` is what comes
with genjobs. Judging a graph by a catalogue is in ``workflow_policy``.
"""

from __future__ import annotations

from genjobs.domain.catalogue.entries import Budget, InputKind, InputRule, NodeClass
from genjobs.domain.catalogue.reading import Extension, entry_document, read_extension
from genjobs.domain.catalogue.shipped import (
    Narrowing,
    NodeCatalogue,
    reviewed_against,
    shipped_classes,
)

__all__ = [
    "Budget",
    "Extension",
    "InputKind",
    "InputRule",
    "Narrowing",
    "NodeCatalogue",
    "NodeClass",
    "entry_document",
    "read_extension",
    "reviewed_against",
    "shipped_classes",
]
