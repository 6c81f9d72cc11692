"""
What a graph asks for, as far as numbers in it tell: sizes, frames, steps, how it multiplies them.

An estimate before anything runs, to refuse what can only fail or block a worker; memory and time
are bounded for good by the container and the run time-out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NoReturn

from genjobs.domain import limits
from genjobs.domain.catalogue import Budget, InputRule, NodeClass
from genjobs.domain.errors import InputNotAllowed, InvalidWorkflow, WorkflowLimit
from genjobs.domain.graph import Node, pointer, sources_first

_LARGEST: Final = 2.0**64  # seeds are unsigned 64-bit numbers
_DECIMAL: Final = re.compile(r"[+-]?\d{1,20}(\.\d{1,20})?", re.ASCII)
#: What a number counts as in a product when a node measures it: that is known when it runs only.
_MEASURED_SIZE: Final = 1024
_MEASURED_COUNT: Final = 96
_SIZES: Final = ("width", "height", "size")


@dataclass(frozen=True, slots=True)
class _Number:
    """What a numeric input can be: its largest value, whether it may also be a measured one."""

    largest: float = 0
    measured: bool = False


@dataclass(slots=True)
class Costs:
    """Checks the numbers of a judged graph."""

    nodes: Mapping[str, Node]
    known: Mapping[str, NodeClass]
    _given: dict[str, _Number | None] = field(default_factory=dict)

    def check(self) -> None:
        """
        Raise ``WorkflowLimit`` for what is too large.

        Raises:
            InputNotAllowed: a number that decides the cost comes from a node that may make any.
        """
        grown: dict[str, float] = {}
        for node in sources_first(self.nodes):
            known = self.known[node.id]
            # Sources come first, so that what they give on is known without recursion.
            self._given[node.id] = self._gives(node, known)
            for name in node.inputs:
                if isinstance(node.inputs[name], list) and known.costs(name):
                    self._check_linked(node, name, known.rule(name))
            for budget in known.budgets:
                self._check_budget(node, budget)
            grown[node.id] = self._growth(node, known, grown)
            if grown[node.id] > limits.MAX_GROWTH:
                _raise(
                    WorkflowLimit,
                    node,
                    None,
                    f"would make more than {limits.MAX_GROWTH} times what the workflow starts from",
                )

    def _gives(self, node: Node, known: NodeClass) -> _Number | None:
        """Return what number the node gives on, None when it may be any."""
        if known.measures:
            return _Number(measured=True)
        if not known.passes:
            return None
        given = [self._number(node, name) for name in known.passes if name in node.inputs]
        sure = [number for number in given if number is not None]
        if len(sure) < len(given):
            return None
        return _Number(
            largest=max((number.largest for number in sure), default=0),
            measured=any(number.measured for number in sure),
        )

    def _number(self, node: Node, name: str) -> _Number | None:
        value = node.inputs.get(name)
        if isinstance(value, list):
            return self._given[value[0]]
        number = as_number(value)
        return None if number is None else _Number(largest=abs(number))

    def _check_linked(self, node: Node, name: str, rule: InputRule | None) -> None:
        number = self._number(node, name)
        if number is None:
            _raise(
                InputNotAllowed,
                node,
                name,
                "has a limit, so it may be linked only to a node that holds or measures a number",
            )
        if rule is not None and rule.maximum is not None and number.largest > rule.maximum:
            _raise(WorkflowLimit, node, name, f"must be at most {rule.maximum:g}")

    def _check_budget(self, node: Node, budget: Budget) -> None:
        if self._product(node, budget.of) > budget.maximum:
            _raise(
                WorkflowLimit,
                node,
                None,
                f"asks for {' x '.join(budget.of)} of more than {budget.maximum:g}",
            )

    def _product(self, node: Node, names: tuple[str, ...]) -> float:
        product = 1.0
        for name in names:
            number = self._number(node, name)
            if number is not None:  # absent: ComfyUI says whether it may be
                size = name.endswith(_SIZES)
                assumed = (_MEASURED_SIZE if size else _MEASURED_COUNT) if number.measured else 0
                product *= max(number.largest, assumed)
        return product

    def _growth(self, node: Node, known: NodeClass, grown: Mapping[str, float]) -> float:
        given = [grown[source] for source in node.links().values()]
        start = sum(given) if known.joins else max(given, default=1)
        grows = known.grows
        factor = self._product(node, grows) if isinstance(grows, tuple) else grows
        return max(1.0, start * factor)


def as_number(value: object) -> float | int | None:
    """Return a JSON number, or a text that ComfyUI would take for one; None for anything else."""
    if isinstance(value, str) and _DECIMAL.fullmatch(value.strip()):
        value = float(value) if "." in value else int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) and abs(value) <= _LARGEST else None


def _raise(error: type[InvalidWorkflow], node: Node, name: str | None, why: str) -> NoReturn:
    what = f"Node {node.id}" if name is None else f"Input {name} of node {node.id}"
    place = ("inputs", name) if name is not None else ()
    raise error(
        f"{what} ({node.class_type}) {why}.",
        pointer=pointer("workflow", node.id, *place),
        node_id=node.id,
        node_class=node.class_type,
    )
