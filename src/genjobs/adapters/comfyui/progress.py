"""Folding ComfyUI's socket messages into one progress that never goes back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genjobs.domain.job import Progress
from genjobs.domain.workflow import Workflow


class ProgressTracker:
    """The progress of one render; every node that the outputs need weighs the same."""

    def __init__(self, workflow: Workflow) -> None:
        self._classes = {
            node_id: workflow.nodes[node_id].class_type for node_id in workflow.needed()
        }
        self._done: set[str] = set()
        self._node: str | None = None
        self._step: tuple[int, int] | None = None
        self._fraction = 0.0

    def ended(self) -> Progress:
        """Return the progress of a render that succeeded, however little of it was reported."""
        self._finished(self._classes)
        return self._progress()

    def fold(self, kind: str, data: Mapping[str, Any]) -> Progress | None:
        """Return the progress after a message of this prompt, None when it says nothing new."""
        match kind:
            case "execution_cached":
                self._finished(data.get("nodes") or ())
            case "executing":
                self._enter(data.get("display_node") or data.get("node"))
            case "executed":
                self._finished([data.get("display_node") or data.get("node")])
            case "progress":
                self._stepped(data.get("node"), data.get("value"), data.get("max"))
            case "progress_state":
                self._state(data.get("nodes") or {})
            case _:
                return None
        return self._progress()

    def _state(self, nodes: Mapping[str, Any]) -> None:
        for node_id, state in nodes.items():
            shown = state.get("display_node_id") or node_id
            if state.get("state") == "finished":
                if shown == node_id:  # a node made by expansion is not the node shown for it
                    self._finished([node_id])
            elif state.get("state") == "running":
                self._stepped(shown, state.get("value"), state.get("max"))

    def _enter(self, node_id: object) -> None:
        if isinstance(node_id, str) and node_id != self._node and node_id in self._classes:
            self._node, self._step = node_id, None

    def _stepped(self, node_id: object, value: object, maximum: object) -> None:
        self._enter(node_id)
        if not isinstance(value, int | float) or not isinstance(maximum, int | float):
            return
        # Nodes without steps of their own report 0 or 1 of 1: that is no step to show.
        if node_id == self._node and maximum > 1:
            self._step = (int(value), int(maximum))

    def _finished(self, nodes: Any) -> None:
        for node_id in nodes:
            if node_id in self._classes:
                self._done.add(node_id)

    def _progress(self) -> Progress:
        total = len(self._classes)
        running = self._node is not None and self._node not in self._done
        share = self._step[0] / self._step[1] if running and self._step else 0.0
        fraction = (len(self._done) + min(max(share, 0.0), 1.0)) / total if total else 1.0
        self._fraction = max(self._fraction, min(fraction, 1.0))
        return Progress(
            fraction=self._fraction,
            node_id=self._node,
            node_class=self._classes.get(self._node) if self._node else None,
            step=self._step[0] if self._step else None,
            steps=self._step[1] if self._step else None,
            nodes_done=len(self._done),
            nodes_total=total,
        )
