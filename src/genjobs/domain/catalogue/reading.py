"""
Reading reviewed entries from JSON, strictly, and writing them.

An input is its kind (``"link"``) or an object (``{"kind": "integer", "max": 200}``). What a
member means is told in ``entries`` and, for reviewers, in docs/workflows.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from genjobs.domain.catalogue.entries import Budget, InputKind, InputRule, NodeClass, frozen
from genjobs.domain.errors import ConfigurationError
from genjobs.domain.media import MediaKind

_NUMERIC: Final = frozenset({InputKind.INTEGER, InputKind.NUMBER})
_MEMBERS: Final = frozenset(
    {
        "inputs",
        "outputs",
        "output_node",
        "budgets",
        "passes",
        "measures",
        "grows",
        "joins",
        "steps",
        "pads",
        "splits",
    }
)
_REVIEW: Final = frozenset({"reviewed", "notes"})
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """What a deployment changes about the shipped catalogue."""

    classes: Mapping[str, NodeClass] = field(default_factory=dict)
    deny: frozenset[str] = frozenset()


def read_extension(document: object) -> Extension:
    """
    Return a deployment's own entries: ``{"classes": {name: entry}, "deny": [name]}``.

    Raises:
        ConfigurationError: a member is wrong or missing, or an entry is not ``"reviewed": true``.
    """
    root = _object(document, "the catalogue", {"classes", "deny"})
    classes = {}
    for name, entry in _object(root.get("classes", {}), "classes").items():
        where = f"classes.{name}"
        members = _object(entry, where, _MEMBERS | _REVIEW)
        if members.get("reviewed") is not True:
            raise ConfigurationError(f'{where} is not reviewed: it needs "reviewed": true')
        classes[name] = _node_class(members, where)
    deny = _strings(root.get("deny", []), "deny")
    return Extension(classes=frozen(classes), deny=frozenset(deny))


def read_classes(document: object) -> Mapping[str, NodeClass]:
    """Return the classes of a shipped file; ``ConfigurationError`` says what is wrong in it."""
    entries = _object(document, "classes")
    return frozen(
        {name: _node_class(_object(entry, name, _MEMBERS), name) for name, entry in entries.items()}
    )


def _node_class(members: Mapping[str, Any], where: str) -> NodeClass:
    inputs = {
        name: _rule(value, f"{where}.inputs.{name}")
        for name, value in _object(members.get("inputs", {}), f"{where}.inputs").items()
    }
    outputs = members.get("outputs")
    budgets = tuple(
        _budget(item, f"{where}.budgets.{index}", inputs)
        for index, item in enumerate(_list(members.get("budgets", []), f"{where}.budgets"))
    )
    passes = _strings(members.get("passes", []), f"{where}.passes")
    if unknown := set(passes) - inputs.keys():
        raise ConfigurationError(f"{where}.passes names no input: {min(unknown)}")
    return NodeClass(
        inputs=frozen(inputs),
        outputs=None if outputs is None else _strings(outputs, f"{where}.outputs"),
        output_node=_boolean(members.get("output_node", False), f"{where}.output_node"),
        budgets=budgets,
        passes=passes,
        measures=_boolean(members.get("measures", False), f"{where}.measures"),
        grows=_factor(members.get("grows", 1), f"{where}.grows", inputs),
        joins=_boolean(members.get("joins", False), f"{where}.joins"),
        steps=(_factor(members["steps"], f"{where}.steps", inputs) if "steps" in members else None),
        pads=_numeric_inputs(members.get("pads", []), f"{where}.pads", inputs),
        splits=_boolean(members.get("splits", False), f"{where}.splits"),
    )


def _rule(value: object, where: str) -> InputRule:
    members = _object(
        {"kind": value} if isinstance(value, str) else value,
        where,
        {"kind", "min", "max", "options", "media", "value"},
    )
    kind = _one_of(InputKind, members.get("kind"), f"{where}.kind")
    bounds = {"min", "max"} & members.keys()
    if bounds and kind not in _NUMERIC:
        raise ConfigurationError(f"{where}: only a number has bounds")
    if ("options" in members) > (kind is InputKind.CHOICE):
        raise ConfigurationError(f"{where}: only a choice has options")
    if ("media" in members) is not (kind is InputKind.FILE):
        raise ConfigurationError(f"{where}: a file has media, and nothing else has")
    if ("value" in members) is not (kind is InputKind.FORCED):
        raise ConfigurationError(f"{where}: a forced input has a value, and nothing else has")
    forced = members.get("value")
    if forced is not None and not isinstance(forced, str | bool):
        forced = _number(forced, f"{where}.value")
    return InputRule(
        kind=kind,
        minimum=_number(members["min"], f"{where}.min") if "min" in members else None,
        maximum=_number(members["max"], f"{where}.max") if "max" in members else None,
        options=_strings(members.get("options", []), f"{where}.options"),
        media=(
            _one_of(MediaKind, members["media"], f"{where}.media") if "media" in members else None
        ),
        value=forced,
    )


def _budget(value: object, where: str, inputs: Mapping[str, InputRule]) -> Budget:
    members = _object(value, where, {"of", "max"})
    of = _numeric_inputs(members.get("of"), f"{where}.of", inputs)
    return Budget(of=of, maximum=_number(members.get("max"), f"{where}.max"))


def _factor(value: object, where: str, inputs: Mapping[str, InputRule]) -> float | tuple[str, ...]:
    if isinstance(value, list):
        return _numeric_inputs(value, where, inputs)
    return _number(value, where)


def _numeric_inputs(value: object, where: str, inputs: Mapping[str, InputRule]) -> tuple[str, ...]:
    names = _strings(value, where)
    for name in names:
        if name not in inputs or inputs[name].kind not in _NUMERIC:
            raise ConfigurationError(f"{where}: {name} is no numeric input")
    return names


def _object(
    value: object, where: str, allowed: frozenset[str] | set[str] | None = None
) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ConfigurationError(f"{where} must be an object")
    if allowed is not None and (unknown := value.keys() - allowed):
        raise ConfigurationError(f"{where} has the unknown member {min(unknown)!r}")
    return value


def _list(value: object, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise ConfigurationError(f"{where} must be a list")
    return value


def _strings(value: object, where: str) -> tuple[str, ...]:
    items = _list(value, where)
    if not all(isinstance(item, str) and item for item in items):
        raise ConfigurationError(f"{where} must be a list of names")
    return tuple(items)


def _boolean(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise ConfigurationError(f"{where} must be true or false")
    return value


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigurationError(f"{where} must be a number")
    return value


def _one_of(enum: type[_T], value: object, where: str) -> _T:
    try:
        return enum(value)  # type: ignore[call-arg]
    except ValueError:
        raise ConfigurationError(f"{where} is of no known kind") from None


def entry_document(known: NodeClass) -> dict[str, Any]:
    """Return an entry as the JSON that :func:`read_classes` reads back to the same entry."""
    document: dict[str, Any] = {}
    if known.output_node:
        document["output_node"] = True
    document["inputs"] = {name: _rule_document(rule) for name, rule in known.inputs.items()}
    if known.outputs is not None:
        document["outputs"] = list(known.outputs)
    if known.budgets:
        document["budgets"] = [
            {"of": list(budget.of), "max": budget.maximum} for budget in known.budgets
        ]
    if known.passes:
        document["passes"] = list(known.passes)
    for name, factor in (("grows", known.grows), ("steps", known.steps)):
        if factor != NodeClass.__dataclass_fields__[name].default:
            document[name] = list(factor) if isinstance(factor, tuple) else factor
    if known.pads:
        document["pads"] = list(known.pads)
    for name in ("measures", "joins", "splits"):
        if getattr(known, name):
            document[name] = True
    return document


def _rule_document(rule: InputRule) -> str | dict[str, Any]:
    document: dict[str, Any] = {"kind": rule.kind.value}
    if rule.minimum is not None:
        document["min"] = rule.minimum
    if rule.maximum is not None:
        document["max"] = rule.maximum
    if rule.options:
        document["options"] = list(rule.options)
    if rule.media is not None:
        document["media"] = rule.media.value
    if rule.kind is InputKind.FORCED:
        document["value"] = rule.value
    return rule.kind.value if len(document) == 1 else document
