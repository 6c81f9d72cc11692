"""
What the catalogue says of one node class: its inputs, its outputs, what it costs.

Reading entries from JSON is in ``reading``; judging a graph by them in ``workflow_policy``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from genjobs.domain.media import MediaKind

#: Ends the name of an input that stands for any number of them (``images.*``: ``images.image0``).
ANY_MEMBER: Final = ".*"


class InputKind(StrEnum):
    """What an input may hold."""

    #: What another node makes, never a value of its own: a model, pictures, a latent.
    LINK = "link"
    #: A whole number, or a link.
    INTEGER = "integer"
    #: A number, or a link.
    NUMBER = "number"
    #: True or false, or a link.
    BOOLEAN = "boolean"
    #: One of a list that ComfyUI checks, or that the catalogue names; never a link.
    CHOICE = "choice"
    #: The name of an installed model, below its folder; never a link.
    MODEL = "model"
    #: Free text of a node that reads and writes nothing: a prompt. May hold an address.
    TEXT = "text"
    #: A short text with a meaning to the node: a list of numbers, a colour. Never a link.
    LINE = "line"
    #: A plain value of any type, or a link, of a node that only shows it.
    VALUE = "value"
    #: A set of numbers by name, such as a rectangle; or a link.
    NUMBERS = "numbers"
    #: The name of a media entry of the request; never a link.
    FILE = "file"
    #: Where a node saves to; always replaced.
    PREFIX = "prefix"
    #: Always set by genjobs to one value, whatever the caller says.
    FORCED = "forced"
    #: A path, an address, or anything else that no caller may set.
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputRule:
    """What one input may hold."""

    kind: InputKind
    #: Bounds of a number, both allowed. A number with a ``maximum`` costs time or memory.
    minimum: float | None = None
    maximum: float | None = None
    #: All values a choice may have; empty when ComfyUI checks the choice itself.
    options: tuple[str, ...] = ()
    #: What file a file input takes.
    media: MediaKind | None = None
    #: What a forced input is set to.
    value: str | bool | float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The product of some numeric inputs of one node may not be larger than ``maximum``."""

    of: tuple[str, ...]
    maximum: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeClass:
    """What is known of one node class. An input that is not listed is dropped."""

    inputs: Mapping[str, InputRule] = field(default_factory=dict)
    #: The types of the output slots; None when they are not known.
    outputs: tuple[str, ...] | None = None
    #: Runs and reports results even though no other node depends on it.
    output_node: bool = False
    budgets: tuple[Budget, ...] = ()
    #: Gives on a number that is the value of one of these inputs.
    passes: tuple[str, ...] = ()
    #: Gives on a number that it measured on pictures or sound, so one that is bounded already.
    measures: bool = False
    #: Makes this many times what it is given: a number, or the product of these inputs.
    grows: float | tuple[str, ...] = 1
    #: Makes as much as all that it is given together, instead of as the largest.
    joins: bool = False
    #: Steps that it makes a schedule of, or takes: a number, or the product of these inputs. None
    #: when a schedule that it is given tells.
    steps: float | tuple[str, ...] | None = None
    #: Widths that it adds around a picture.
    pads: tuple[str, ...] = ()
    #: Gives on a list of single pictures, for each of which what follows runs.
    splits: bool = False

    def rule(self, input_name: str) -> InputRule | None:
        """Return the rule for an input, None when the class has no such input."""
        found = self.inputs.get(input_name)
        if found is None and "." in input_name:
            head, _, member = input_name.rpartition(".")
            # What grows in the editor is numbered or lettered: image0, value_1, a.
            if member.isascii() and member.replace("_", "").isalnum() and len(member) <= 64:
                found = self.inputs.get(head + ANY_MEMBER)
        return found

    def of_kind(self, kind: InputKind) -> Mapping[str, InputRule]:
        """Return the inputs of one kind."""
        return {name: rule for name, rule in self.inputs.items() if rule.kind is kind}

    def costs(self, input_name: str) -> bool:
        """Return whether the size of this number decides what the node costs."""
        rule = self.rule(input_name)
        return (rule is not None and rule.maximum is not None) or any(
            input_name in budget.of for budget in self.budgets
        )


def frozen(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a read-only view of a copy."""
    return MappingProxyType(dict(values))
