"""
A workflow: ComfyUI's graph in API format, checked and bound to its media.

A node is ``{"class_type": str, "inputs": {name: value}}``; a value that is a list is a link
``[node id, output slot]``. Which input values ComfyUI accepts is ComfyUI's to say; this module
refuses what is not a graph at all and every file reference that is not the job's own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from genjobs.domain import limits
from genjobs.domain.catalogue import NodeCatalogue, NodeClass
from genjobs.domain.errors import (
    CyclicWorkflow,
    DanglingLink,
    InvalidWorkflow,
    NoOutputNode,
    UiFormatWorkflow,
    UnknownMedia,
    WorkflowTooLarge,
)
from genjobs.domain.media import MediaKind

_UI_KEYS = frozenset({"nodes", "links", "last_node_id", "last_link_id"})
_NOTHING_KNOWN = NodeClass()
_SAVE_PREFIX = "filename_prefix"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node of a graph."""

    id: str
    class_type: str
    inputs: Mapping[str, Any]

    def links(self) -> Mapping[str, str]:
        """Return the linked inputs: input name to the id of the node it comes from."""
        return {name: value[0] for name, value in self.inputs.items() if isinstance(value, list)}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileUse:
    """A node input that names a media entry."""

    node_id: str
    input_name: str
    media_name: str
    kind: MediaKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """A graph without cycles, dangling links or foreign members, with an output node."""

    nodes: Mapping[str, Node]
    catalogue: NodeCatalogue
    #: The graph as canonical JSON text.
    encoded: bytes

    def file_uses(self, media_names: frozenset[str]) -> tuple[FileUse, ...]:
        """
        Return which inputs use which media entries.

        Raises:
            UnknownMedia: a file input names something else, for example a path.
        """
        uses = []
        for node, known in self._known():
            for input_name, kind in known.files.items():
                value = node.inputs.get(input_name)
                if value is None or isinstance(value, list):  # absent, or linked to a node
                    continue
                if not isinstance(value, str) or value not in media_names:
                    raise UnknownMedia(
                        f"Input {input_name} of node {node.id} names a file that is not a media "
                        "entry of this request.",
                        pointer=pointer("workflow", node.id, "inputs", input_name),
                        node_id=node.id,
                        node_class=node.class_type,
                    )
                uses.append(
                    FileUse(node_id=node.id, input_name=input_name, media_name=value, kind=kind)
                )
        return tuple(uses)

    def needed(self) -> frozenset[str]:
        """Return the nodes that the output nodes depend on, those included."""
        wanted = [
            node.id
            for node, known in self._known()
            if known.output or self.catalogue.get(node.class_type) is None
        ]
        found: set[str] = set()
        while wanted:
            node_id = wanted.pop()
            if node_id not in found:
                found.add(node_id)
                wanted.extend(self.nodes[node_id].links().values())
        return frozenset(found)

    def bound(self, files: Mapping[str, str], prefix: str) -> dict[str, Any]:
        """
        Return the document to send to ComfyUI.

        File inputs get the names ComfyUI knows the files by (``files``: media name to that name)
        and every save prefix is moved below ``prefix``, so that no job is handed a file that
        another one saved (ComfyUI's cache returns the first submitter's files). An input of the
        usual name is taken for a save prefix in classes that nobody knows, too.

        Raises:
            UnknownMedia: a file input names something that is not in ``files``.
        """
        document = _document(self.nodes)
        for use in self.file_uses(frozenset(files)):
            document[use.node_id]["inputs"][use.input_name] = files[use.media_name]
        for node, known in self._known():
            for name in (*known.prefixes, *({_SAVE_PREFIX} & node.inputs.keys())):
                document[node.id]["inputs"][name] = f"{prefix}/{_plain_stem(node.inputs.get(name))}"
        return document

    def _known(self) -> list[tuple[Node, NodeClass]]:
        return [
            (node, self.catalogue.get(node.class_type) or _NOTHING_KNOWN)
            for node in self.nodes.values()
        ]


def parse_workflow(document: object, catalogue: NodeCatalogue) -> Workflow:
    """
    Return ``document`` as a workflow.

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
    nodes = {node_id: _node(node_id, value) for node_id, value in document.items()}
    encoded = _encoded(nodes)
    if len(encoded) > limits.MAX_WORKFLOW_BYTES:
        raise WorkflowTooLarge(
            f"The workflow is larger than {limits.MAX_WORKFLOW_BYTES} bytes.", pointer="/workflow"
        )
    _check_links(nodes)
    _check_acyclic(nodes)
    workflow = Workflow(nodes=nodes, catalogue=catalogue, encoded=encoded)
    _check_output(workflow)
    return workflow


def load_workflow(encoded: bytes, catalogue: NodeCatalogue) -> Workflow:
    """Return a stored workflow; it was checked when it was stored and is checked again."""
    return parse_workflow(json.loads(encoded), catalogue)


def canonical_json(value: object) -> bytes:
    """Return one text for equal JSON values; member order is kept, it can carry meaning."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def pointer(*parts: str) -> str:
    """Return a JSON pointer (RFC 6901)."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def _document(nodes: Mapping[str, Node]) -> dict[str, dict[str, Any]]:
    return {
        node.id: {"class_type": node.class_type, "inputs": dict(node.inputs)}
        for node in nodes.values()
    }


def _encoded(nodes: Mapping[str, Node]) -> bytes:
    try:
        return canonical_json(_document(nodes))
    except (TypeError, ValueError, RecursionError):
        # Not a number, half a surrogate pair, nested without end, or no JSON value at all.
        raise InvalidWorkflow(
            "The workflow holds a value that JSON cannot carry.", pointer="/workflow"
        ) from None


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
        if isinstance(item, list):
            _check_link_form(node_id, name, item)
    # Editor leftovers such as _meta are dropped: ComfyUI ignores them.
    return Node(id=node_id, class_type=class_type, inputs=inputs)


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
    """Remove nodes whose sources are all gone (Kahn 1962); what remains holds a cycle."""
    waiting = {node.id: set(node.links().values()) for node in nodes.values()}
    users: dict[str, list[str]] = {node_id: [] for node_id in nodes}
    for node_id, sources in waiting.items():
        for source in sources:
            users[source].append(node_id)
    free = [node_id for node_id, sources in waiting.items() if not sources]
    while free:
        done = free.pop()
        del waiting[done]
        for user in users[done]:
            waiting[user].discard(done)
            if not waiting[user]:
                free.append(user)
    if waiting:
        node = nodes[next(iter(waiting))]
        raise CyclicWorkflow(
            pointer=pointer("workflow", node.id), node_id=node.id, node_class=node.class_type
        )


def _check_output(workflow: Workflow) -> None:
    # A class nobody knows may be an output node of a custom package: ComfyUI will tell.
    known = [workflow.catalogue.get(node.class_type) for node in workflow.nodes.values()]
    if not any(entry is None or entry.output for entry in known):
        raise NoOutputNode(pointer="/workflow")


def _plain_stem(prefix: object) -> str:
    """Return the last part of a save prefix in plain characters; folders are genjobs' own."""
    last = prefix.replace("\\", "/").rsplit("/", 1)[-1] if isinstance(prefix, str) else ""
    plain = "".join(char if char.isalnum() or char in "-_" else "_" for char in last)
    return plain.strip("_")[:64] or "output"
