"""
The order in which the nodes of a prompt run.

Reproduces the visible order of ComfyUI's scheduler (``comfy_execution/graph.py``): ancestors are
collected from each output node depth first; of the nodes that are ready, an output node goes first,
then one that feeds an output node, then one that feeds such a feeder, then the first collected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


class ExecutionList:
    """Nodes still to run, with what each is waiting for."""

    def __init__(
        self,
        prompt: Mapping[str, Any],
        is_cached: Callable[[str], bool],
        is_output: Callable[[str], bool],
    ) -> None:
        self._prompt = prompt
        self._is_cached = is_cached
        self._is_output = is_output
        self._waiting: dict[str, int] = {}
        self._blocking: dict[str, list[str]] = {}

    def add(self, output: str) -> None:
        """Add an output node and every ancestor that has no cached result."""
        stack = [output]
        links: list[tuple[str, str]] = []
        while stack:
            node_id = stack.pop()
            if node_id in self._waiting:
                continue
            self._waiting[node_id] = 0
            self._blocking[node_id] = []
            for value in self._prompt[node_id]["inputs"].values():
                if is_link(value) and not self._is_cached(value[0]):
                    stack.append(value[0])
                    links.append((value[0], node_id))
        for source, target in links:
            if target not in self._blocking[source]:
                self._blocking[source].append(target)
                self._waiting[target] += 1

    def next(self) -> str | None:
        """Return the node to run now, or None when all have run."""
        ready = [node_id for node_id, count in self._waiting.items() if count == 0]
        tests: tuple[Callable[[str], bool], ...] = (
            self._is_output,
            lambda node: any(self._is_output(each) for each in self._blocking[node]),
            lambda node: any(
                self._is_output(after)
                for each in self._blocking[node]
                for after in self._blocking[each]
            ),
        )
        for test in tests:
            for node_id in ready:
                if test(node_id):
                    return node_id
        return ready[0] if ready else None

    def complete(self, node_id: str) -> None:
        """Take a node that has run out of the list."""
        del self._waiting[node_id]
        for blocked in self._blocking.pop(node_id):
            self._waiting[blocked] -= 1


def is_link(value: object) -> bool:
    """Return whether an input value points at an output slot: ``["4", 0]``."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], int | float)
    )
