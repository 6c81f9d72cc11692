"""
Judging a graph by the node catalogue: classes, inputs, links, costs.

What is not listed is refused (a class) or dropped (an input). Nothing here knows single node
classes; the catalogue says which input may hold what. Values are never echoed in a refusal.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from genjobs.domain import limits
from genjobs.domain.catalogue import InputKind, InputRule, NodeCatalogue, NodeClass
from genjobs.domain.errors import (
    DanglingLink,
    InputNotAllowed,
    InvalidWorkflow,
    NodeNotAllowed,
    WorkflowLimit,
)
from genjobs.domain.graph import Node, pointer
from genjobs.domain.plain_text import choice_fault, has_address, model_name_fault, prompt_fault
from genjobs.domain.workflow_costs import Costs, as_number, written

#: Types of output slots whose values tell where files lie on the server.
PATH_TYPES: Final = frozenset({"VHS_FILENAMES"})
_LINKED: Final = frozenset(
    {
        InputKind.LINK,
        InputKind.INTEGER,
        InputKind.NUMBER,
        InputKind.BOOLEAN,
        InputKind.TEXT,
        InputKind.VALUE,
        InputKind.NUMBERS,
    }
)
#: Neither kept nor looked at: genjobs sets them when the workflow is bound.
_REPLACED: Final = frozenset({InputKind.FORCED, InputKind.PREFIX})
_MOST_NUMBERS: Final = 16
#: Characters of a value that goes nowhere in which an address is looked for.
_LOOKED_AT: Final = 4096
_Fault = str | None


def judge(nodes: Mapping[str, Node], catalogue: NodeCatalogue) -> Mapping[str, Node]:
    """
    Return the nodes with only those inputs that the catalogue knows.

    ``nodes`` must be a graph without dangling links or cycles. Which media a file input names is
    not judged here.

    Raises:
        NodeNotAllowed: a node is of a class that the catalogue does not list.
        InputNotAllowed: an input holds what its kind may not hold.
        WorkflowLimit: a number, or what a node or the whole graph makes of them, is too large.
        DanglingLink: a link names an output slot that its node does not have.
    """
    known: dict[str, NodeClass] = {}
    for node in nodes.values():
        found = catalogue.get(node.class_type)
        if found is None:
            raise NodeNotAllowed(
                f"Node {node.id} is of class {node.class_type}, which is not allowed here.",
                pointer=pointer("workflow", node.id, "class_type"),
                node_id=node.id,
                node_class=node.class_type,
            )
        known[node.id] = found
    judged = {
        node.id: _NodeJudge(node=node, known=known[node.id], nodes=nodes, classes=known).kept()
        for node in nodes.values()
    }
    Costs(judged, known).check()
    return judged


@dataclass(frozen=True, slots=True, kw_only=True)
class _NodeJudge:
    """Judges the inputs of one node."""

    node: Node
    known: NodeClass
    nodes: Mapping[str, Node]
    classes: Mapping[str, NodeClass]

    def kept(self) -> Node:
        kept: dict[str, Any] = {}
        for name, value in self.node.inputs.items():
            rule = self.known.rule(name)
            if rule is None or rule.kind in _REPLACED:
                # An input that ComfyUI ignores, or that genjobs sets: no harm, unless it shows
                # that the caller expects something to be fetched.
                if _text_has_address(value):
                    self._refuse(name, "holds an address")
                if rule is not None and isinstance(value, str):
                    kept[name] = value[-limits.MAX_LINE_CHARS :]
            elif value is not None:  # null is what an export holds where nothing is chosen
                kept[name] = self._judged(name, value, rule)
        return Node(id=self.node.id, class_type=self.node.class_type, inputs=kept)

    def _judged(self, name: str, value: object, rule: InputRule) -> object:
        if rule.kind is InputKind.REFUSED:
            self._refuse(name, "may not be set")
        if isinstance(value, list):
            self._check_link(name, value, rule)
            return value
        if rule.kind is InputKind.FILE:  # which media there are is known later
            return value
        if rule.kind in (InputKind.INTEGER, InputKind.NUMBER):
            return self._number(name, value, rule)
        fault = _fault(value, rule)
        if fault is not None:
            self._refuse(name, fault)
        return value

    def _check_link(self, name: str, link: list[Any], rule: InputRule) -> None:
        if rule.kind not in _LINKED:
            self._refuse(name, "takes no link, only a value of its own")
        source, slot = self.nodes[link[0]], link[1]
        outputs = self.classes[source.id].outputs
        if outputs is None:
            return
        if slot >= len(outputs):
            raise DanglingLink(
                f"Input {name} of node {self.node.id} is linked to output slot {slot} of node "
                f"{source.id}, which has {len(outputs)}.",
                pointer=pointer("workflow", self.node.id, "inputs", name),
                node_id=self.node.id,
                node_class=self.node.class_type,
            )
        if outputs[slot] in PATH_TYPES and rule.kind is not InputKind.LINK:
            self._refuse(name, "may not show where files lie")

    def _number(self, name: str, value: object, rule: InputRule) -> float:
        number = as_number(value)
        if rule.kind is InputKind.INTEGER:
            if number is None or number != int(number):
                self._refuse(name, "must be a whole number or a link")
            number = int(number)  # 2.0 is what some editors send, and ComfyUI takes
        if number is None:
            self._refuse(name, "must be a number or a link")
        if rule.minimum is not None and number < rule.minimum:
            self._limit(name, f"must be at least {written(rule.minimum)}")
        if rule.maximum is not None and number > rule.maximum:
            self._limit(name, f"must be at most {written(rule.maximum)}")
        return number

    def _refuse(self, name: str, why: str) -> NoReturn:
        self._raise(InputNotAllowed, name, why)

    def _limit(self, name: str, why: str) -> NoReturn:
        self._raise(WorkflowLimit, name, why)

    def _raise(self, error: type[InvalidWorkflow], name: str, why: str) -> NoReturn:
        raise error(
            f"Input {name} of node {self.node.id} ({self.node.class_type}) {why}.",
            pointer=pointer("workflow", self.node.id, "inputs", name),
            node_id=self.node.id,
            node_class=self.node.class_type,
        )


def _fault(value: object, rule: InputRule) -> _Fault:
    """Return what is wrong with a value that is neither a link nor a number, if anything is."""
    match rule.kind:
        case InputKind.LINK:
            return "takes a link only"
        case InputKind.BOOLEAN:
            return None if isinstance(value, bool) else "must be true, false or a link"
        case InputKind.NUMBERS:
            return None if _is_set_of_numbers(value) else "must be a set of numbers or a link"
        case InputKind.TEXT | InputKind.VALUE:
            return _text_fault(value, limits.MAX_TEXT_CHARS, prompt_fault)
        case InputKind.MODEL:
            if not isinstance(value, str):
                return "must be the name of a model"
            return _text_fault(value, limits.MAX_LINE_CHARS, model_name_fault)
        case _:
            if rule.options and value not in rule.options:
                return "is none of the choices that are allowed"
            return _text_fault(value, limits.MAX_LINE_CHARS, choice_fault)


def _text_fault(value: object, longest: int, fault_of: Any) -> _Fault:
    if isinstance(value, bool | int | float):
        return None
    if not isinstance(value, str):
        return "must be a plain value"
    if len(value) > longest:
        return f"may have at most {longest} characters"
    fault = fault_of(value)
    return None if fault is None else f"holds {fault}"


def _text_has_address(value: object) -> bool:
    if isinstance(value, dict):
        value = json.dumps(value, ensure_ascii=False)
    return isinstance(value, str) and has_address(value[:_LOOKED_AT])


def _is_set_of_numbers(value: object) -> bool:
    return (
        isinstance(value, dict)
        and 0 < len(value) <= _MOST_NUMBERS
        and all(
            isinstance(name, str)
            and name.isidentifier()
            and not name.startswith("_")
            and not isinstance(number, bool)
            and isinstance(number, int | float)
            and math.isfinite(number)
            for name, number in value.items()
        )
    )
