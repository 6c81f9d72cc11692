"""
The form of a graph: nodes, links, and that they are what they should be.

A node is ``{"class_type": str, "inputs": {name: value}}``; a value that is a list is a link
``[node id, output slot]``. What the nodes may do is judged in ``workflow_policy``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from genjobs.domain import limits
from genjobs.domain.errors import (
    CyclicWorkflow,
    DanglingLink,
    InvalidWorkflow,
    UiFormatWorkflow,
    WorkflowLimit,
    WorkflowTooLarge,
)

_UI_KEYS = frozenset({"nodes", "links", "last_node_id", "last_link_id"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node of a graph."""

    id: str
    class_type: str
    inputs: Mapping[str, Any]

    def links(self) -> Mapping[str, str]:
        """Return the linked inputs: input name to the id of the node it comes from."""
        return {name: value[0] for name, value in self.inputs.items() if isinstance(value, list)}


def canonical_json(value: object) -> bytes:
    """Return one text for equal JSON values; member order is kept, it can carry meaning."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def pointer(*parts: str) -> str:
    """Return a JSON pointer (RFC 6901)."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def document_of(nodes: Mapping[str, Node]) -> dict[str, dict[str, Any]]:
    """Return the graph as ComfyUI takes it; inputs are copied, their values are not."""
    return {
        node.id: {"class_type": node.class_type, "inputs": dict(node.inputs)}
        for node in nodes.values()
    }


def read_graph(document: object) -> Mapping[str, Node]:
    """
    Return the nodes of a graph without dangling links or cycles, by id.

    Raises:
        UiFormatWorkflow: it is the editor's export.
        InvalidWorkflow: it is not a graph in API format (one of the subclasses where one fits).
    """
    if not isinstance(document, dict) or not document:
        raise InvalidWorkflow(
            "The workflow must be a JSON object with at least one node.", pointer="/workflow"
        )
    if isinstance(document.get("nodes"), list) or len(_UI_KEYS & document.keys()) > 1:
        raise UiFormatWorkflow(pointer="/workflow")
    if len(document) > limits.MAX_WORKFLOW_NODES:
        raise WorkflowTooLarge(
            f"The workflow has {len(document)} nodes; at most {limits.MAX_WORKFLOW_NODES} are "
            "allowed.",
            pointer="/workflow",
        )
    _check_depth(document)
    nodes = {node_id: _node(node_id, value) for node_id, value in document.items()}
    if len(encoded(nodes)) > limits.MAX_WORKFLOW_BYTES:
        raise WorkflowTooLarge(
            f"The workflow is larger than {limits.MAX_WORKFLOW_BYTES} bytes.", pointer="/workflow"
        )
    _check_links(nodes)
    _check_acyclic(nodes)
    return nodes


def encoded(nodes: Mapping[str, Node]) -> bytes:
    """Return the graph as canonical JSON text; ``InvalidWorkflow`` if JSON cannot carry it."""
    try:
        return canonical_json(document_of(nodes))
    except (TypeError, ValueError, RecursionError):
        # Not a number, half a surrogate pair, nested without end, or no JSON value at all.
        raise InvalidWorkflow(
            "The workflow holds a value that JSON cannot carry.", pointer="/workflow"
        ) from None


def sources_first(nodes: Mapping[str, Node]) -> Iterator[Node]:
    """Yield the nodes so that each comes after all it is linked to (Kahn 1962); none in a cycle."""
    waiting = {node.id: set(node.links().values()) for node in nodes.values()}
    users: dict[str, list[str]] = {node_id: [] for node_id in nodes}
    for node_id, sources in waiting.items():
        for source in sources:
            users[source].append(node_id)
    free = [node_id for node_id, sources in waiting.items() if not sources]
    while free:
        done = free.pop()
        yield nodes[done]
        for user in users[done]:
            waiting[user].discard(done)
            if not waiting[user]:
                free.append(user)


def _node(node_id: object, value: object) -> Node:
    if not isinstance(node_id, str) or not node_id or len(node_id) > limits.MAX_NODE_ID_CHARS:
        raise InvalidWorkflow(
            f"A node id must have 1 to {limits.MAX_NODE_ID_CHARS} characters.", pointer="/workflow"
        )
    at = pointer("workflow", node_id)
    if not node_id.isprintable():  # it is stored and shown: no NUL, no half surrogate pair
        raise InvalidWorkflow("A node id holds a character that is not printable.", pointer=at)
    if not isinstance(value, dict):
        raise InvalidWorkflow(f"Node {node_id} is not an object.", pointer=at)
    class_type = value.get("class_type")
    if not isinstance(class_type, str) or not 0 < len(class_type) <= limits.MAX_CLASS_CHARS:
        raise InvalidWorkflow(
            f"Node {node_id} has no class_type.", pointer=f"{at}/class_type", node_id=node_id
        )
    if not class_type.isprintable():
        raise InvalidWorkflow(
            f"The class_type of node {node_id} is not printable.", pointer=f"{at}/class_type"
        )
    inputs = value.get("inputs")
    if not isinstance(inputs, dict):
        raise InvalidWorkflow(
            f"Node {node_id} has no inputs object.", pointer=f"{at}/inputs", node_id=node_id
        )
    for name, item in inputs.items():
        if not isinstance(name, str) or len(name) > limits.MAX_INPUT_NAME_CHARS:
            raise InvalidWorkflow(
                f"An input name of node {node_id} has more than {limits.MAX_INPUT_NAME_CHARS} "
                "characters.",
                pointer=f"{at}/inputs",
                node_id=node_id,
            )
        if isinstance(item, list):
            _check_link_form(node_id, name, item)
    # Editor leftovers such as _meta are dropped: ComfyUI ignores them.
    return Node(id=node_id, class_type=class_type, inputs=inputs)


def _check_depth(document: object) -> None:
    level: list[object] = [document]
    for _ in range(limits.MAX_WORKFLOW_DEPTH + 1):
        level = [
            member
            for value in level
            if isinstance(value, dict | list)
            for member in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return
    raise WorkflowLimit(
        f"The workflow is nested deeper than {limits.MAX_WORKFLOW_DEPTH} levels.",
        pointer="/workflow",
    )


def _check_link_form(node_id: str, name: str, link: list[object]) -> None:
    slot_ok = len(link) == 2 and isinstance(link[1], int) and not isinstance(link[1], bool)
    if not slot_ok or not isinstance(link[0], str) or link[1] < 0:  # type: ignore[operator]
        raise InvalidWorkflow(
            f"Input {name} of node {node_id} is a list but not a link [node id, output slot].",
            pointer=pointer("workflow", node_id, "inputs", name),
            node_id=node_id,
        )


def _check_links(nodes: Mapping[str, Node]) -> None:
    for node in nodes.values():
        for name, source in node.links().items():
            if source not in nodes:
                raise DanglingLink(
                    f"Input {name} of node {node.id} is linked to node {source}, which is not in "
                    "the workflow.",
                    pointer=pointer("workflow", node.id, "inputs", name),
                    node_id=node.id,
                    node_class=node.class_type,
                )


def _check_acyclic(nodes: Mapping[str, Node]) -> None:
    left = nodes.keys() - {node.id for node in sources_first(nodes)}
    if left:
        node = next(nodes[node_id] for node_id in nodes if node_id in left)
        raise CyclicWorkflow(
            pointer=pointer("workflow", node.id), node_id=node.id, node_class=node.class_type
        )
