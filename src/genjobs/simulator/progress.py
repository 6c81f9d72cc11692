"""
The progress of the running prompt and the messages about it.

Every message carries all nodes that have begun, cumulatively, as ``progress_state`` does.
"""

from __future__ import annotations

from typing import Any

from genjobs.simulator.sockets import SocketHub


class ProgressState:
    """The nodes of one prompt that run or have run."""

    def __init__(self, prompt_id: str, hub: SocketHub) -> None:
        self._prompt_id = prompt_id
        self._hub = hub
        self._nodes: dict[str, dict[str, Any]] = {}

    def start(self, node_id: str) -> None:
        """Report that a node begins."""
        self._nodes[node_id] = {"value": 0.0, "max": 1.0, "state": "running"}
        self._send()

    def finish(self, node_id: str) -> None:
        """Report that a node has ended; one served from the cache never began."""
        node = self._nodes.setdefault(node_id, {"value": 1, "max": 1})
        node.update(value=node["max"], state="finished")
        self._send()

    def step(self, node_id: str, value: int, maximum: int, preview: bytes | None) -> None:
        """Report a step inside a node, with a JPEG preview if there is one."""
        self._nodes[node_id] = {"value": value, "max": maximum, "state": "running"}
        self._send()
        with_metadata = self._hub.wants_preview_metadata()
        if preview is not None and with_metadata:
            metadata = {"node_id": node_id, "prompt_id": self._prompt_id, **_same_ids(node_id)}
            self._hub.send_preview(preview, metadata)
        data = {"value": value, "max": maximum, "prompt_id": self._prompt_id, "node": node_id}
        self._hub.send("progress", data, self._hub.client_id)
        if preview is not None and not with_metadata:
            self._hub.send_preview(preview, None)

    def _send(self) -> None:
        nodes = {
            node_id: {
                **state,
                "node_id": node_id,
                "prompt_id": self._prompt_id,
                **_same_ids(node_id),
            }
            for node_id, state in self._nodes.items()
        }
        data = {"prompt_id": self._prompt_id, "nodes": nodes}
        self._hub.send("progress_state", data, self._hub.client_id)


def _same_ids(node_id: str) -> dict[str, Any]:
    """Return the ids that differ inside expanded subgraphs, of which the simulator has none."""
    return {"display_node_id": node_id, "parent_node_id": None, "real_node_id": node_id}
