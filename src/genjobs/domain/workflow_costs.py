"""
What a graph asks for, as far as numbers in it tell: sizes, frames, steps, how it multiplies them.

An estimate before anything runs, to refuse what can only fail or block a worker; memory and time
are bounded for good by the container and the run time-out. What the whole graph comes to is in
``workflow_totals``.
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
from genjobs.domain.workflow_flows import Flow
from genjobs.domain.workflow_totals import ASSUMED_FRAMES, ASSUMED_SIDE, Totals, is_size

_LARGEST: Final = 2.0**64  # seeds are unsigned 64-bit numbers
_MEGAPIXEL: Final = 2**20  # pixels
_DECIMAL: Final = re.compile(r"[+-]?\d{1,20}(\.\d{1,20})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Number:
    """What a numeric input can be: its largest value, and what it may be if it was measured."""

    largest: float = 0
    #: As a size and as a count; 0 when it was not measured. It is known only when the node runs.
    size: float = 0
    count: float = 0


@dataclass(slots=True)
class Costs:
    """Checks the numbers of a judged graph."""

    nodes: Mapping[str, Node]
    known: Mapping[str, NodeClass]
    _given: dict[str, _Number | None] = field(default_factory=dict)

    def check(self) -> Totals:
        """
        Raise ``WorkflowLimit`` for what is too large; return what the whole graph comes to.

        Raises:
            InputNotAllowed: a number that decides the cost comes from a node that may make any.
        """
        grown: dict[str, float] = {}
        totals = Totals(known=self.known, counted=self._counted)
        for node in sources_first(self.nodes):
            known = self.known[node.id]
            for name in node.inputs:
                if isinstance(node.inputs[name], list) and known.costs(name):
                    self._check_linked(node, name, known.rule(name))
            for budget in known.budgets:
                self._check_budget(node, budget)
            if (too_much := totals.add(node)) is not None:
                _raise(WorkflowLimit, node, None, too_much)
            # Sources come first, so that what they give on is known without recursion.
            self._given[node.id] = self._gives(node, known, totals.flows[node.id])
            grown[node.id] = self._growth(node, known, grown)
            if grown[node.id] > limits.MAX_GROWTH:
                _raise(
                    WorkflowLimit,
                    node,
                    None,
                    f"would make more than {limits.MAX_GROWTH:,} times what the graph starts from",
                )
        return totals

    def _gives(self, node: Node, known: NodeClass, flow: Flow) -> _Number | None:
        """Return what number the node gives on, None when it may be any."""
        if known.measures:
            return _Number(
                size=max(ASSUMED_SIDE, math.sqrt(flow.area)),
                count=max(ASSUMED_FRAMES, flow.frames),
            )
        if not known.passes:
            return None
        given = [self._number(node, name) for name in known.passes if name in node.inputs]
        sure = [number for number in given if number is not None]
        if len(sure) < len(given):
            return None
        return _Number(
            largest=max((number.largest for number in sure), default=0),
            size=max((number.size for number in sure), default=0),
            count=max((number.count for number in sure), default=0),
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
            _raise(WorkflowLimit, node, name, f"must be at most {written(rule.maximum)}")

    def _check_budget(self, node: Node, budget: Budget) -> None:
        if self._product(node, budget.of) > budget.maximum:
            _raise(
                WorkflowLimit,
                node,
                None,
                f"asks for {' x '.join(budget.of)} of more than {written(budget.maximum)}",
            )

    def _counted(self, node: Node, name: str) -> float | None:
        """Return what a number counts as in a product; None if it is absent, which may be fine."""
        number = self._number(node, name)
        if number is None:
            return None
        rule = self.known[node.id].rule(name)
        most = rule.maximum if rule is not None else None
        if is_size(name):
            largest = max(number.largest, number.size) or ASSUMED_SIDE  # 0 keeps what there is
        elif number.count:
            largest = max(number.largest, number.count)
        else:
            largest = number.largest or most or ASSUMED_FRAMES  # 0 stands for no limit
        return largest * (_MEGAPIXEL if name.endswith("megapixels") else 1)

    def _product(self, node: Node, names: tuple[str, ...]) -> float:
        counted = (self._counted(node, name) for name in names)
        return math.prod(number for number in counted if number is not None)

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


def written(number: float) -> str:
    """Return a number as people read it."""
    return f"{int(number):,}" if number == int(number) else f"{number:,.10g}"


def _raise(error: type[InvalidWorkflow], node: Node, name: str | None, why: str) -> NoReturn:
    what = f"Node {node.id}" if name is None else f"Input {name} of node {node.id}"
    place = ("inputs", name) if name is not None else ()
    raise error(
        f"{what} ({node.class_type}) {why}.",
        pointer=pointer("workflow", node.id, *place),
        node_id=node.id,
        node_class=node.class_type,
    )
