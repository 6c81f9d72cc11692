"""
A workflow: ComfyUI's graph in API format, allowed by the catalogue and bound to its media.

The form of a graph is in ``graph``, what it may do in ``workflow_policy``. Which input values
ComfyUI accepts beyond that is ComfyUI's to say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from genjobs.domain.catalogue import InputKind, NodeCatalogue, NodeClass
from genjobs.domain.errors import NoOutputNode, UnknownMedia
from genjobs.domain.graph import Node, document_of, encoded, pointer, read_graph
from genjobs.domain.media import MediaKind
from genjobs.domain.workflow_policy import judge

#: Of a name that ComfyUI adds a number and an extension to; a file system takes 255 in all.
_STEM_BYTES: Final = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class FileUse:
    """A node input that names a media entry."""

    node_id: str
    input_name: str
    media_name: str
    kind: MediaKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """A graph that the catalogue allows, without cycles or dangling links, with an output node."""

    nodes: Mapping[str, Node]
    catalogue: NodeCatalogue
    #: The graph as canonical JSON text, without the inputs that nobody knows.
    encoded: bytes

    def file_uses(self, media_names: frozenset[str]) -> tuple[FileUse, ...]:
        """
        Return which inputs use which media entries.

        Raises:
            UnknownMedia: a file input names something else, for example a path.
        """
        uses = []
        for node, known in self._known():
            for input_name, rule in known.of_kind(InputKind.FILE).items():
                if input_name not in node.inputs:
                    continue
                value = node.inputs[input_name]
                if not isinstance(value, str) or value not in media_names:
                    raise UnknownMedia(
                        f"Input {input_name} of node {node.id} names a file that is not a media "
                        "entry of this request.",
                        pointer=pointer("workflow", node.id, "inputs", input_name),
                        node_id=node.id,
                        node_class=node.class_type,
                    )
                kind = rule.media or MediaKind.FILE
                uses.append(
                    FileUse(node_id=node.id, input_name=input_name, media_name=value, kind=kind)
                )
        return tuple(uses)

    def needed(self) -> frozenset[str]:
        """Return the nodes that the output nodes depend on, those included."""
        wanted = [node.id for node, known in self._known() if known.output_node]
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

        File inputs get the names ComfyUI knows the files by (``files``: media name to that name),
        every save prefix is moved below ``prefix``, so that no job is handed a file that another
        one saved (ComfyUI's cache returns the first submitter's files), and forced inputs are set.

        Raises:
            UnknownMedia: a file input names something that is not in ``files``.
        """
        document = document_of(self.nodes)
        for use in self.file_uses(frozenset(files)):
            document[use.node_id]["inputs"][use.input_name] = files[use.media_name]
        for node, known in self._known():
            inputs = document[node.id]["inputs"]
            for name in known.of_kind(InputKind.PREFIX):
                inputs[name] = f"{prefix}/{_plain_stem(node.inputs.get(name))}"
            for name, rule in known.of_kind(InputKind.FORCED).items():
                inputs[name] = rule.value
        return document

    def _known(self) -> list[tuple[Node, NodeClass]]:
        return [(node, self.catalogue.classes[node.class_type]) for node in self.nodes.values()]


def parse_workflow(document: object, catalogue: NodeCatalogue) -> Workflow:
    """
    Return ``document`` as a workflow.

    Raises:
        UiFormatWorkflow: it is the editor's export.
        InvalidWorkflow: it is not a graph in API format, or the catalogue does not allow it (one
            of the subclasses where one fits).
    """
    nodes = judge(read_graph(document), catalogue)
    workflow = Workflow(nodes=nodes, catalogue=catalogue, encoded=encoded(nodes))
    if not any(catalogue.classes[node.class_type].output_node for node in nodes.values()):
        raise NoOutputNode(pointer="/workflow")
    return workflow


def load_workflow(stored: bytes, catalogue: NodeCatalogue) -> Workflow:
    """Return a stored workflow; it was checked when it was stored and is checked again."""
    return parse_workflow(json.loads(stored), catalogue)


def _plain_stem(prefix: object) -> str:
    """Return the last part of a save prefix in plain characters; folders are genjobs' own."""
    last = prefix.replace("\\", "/").rsplit("/", 1)[-1] if isinstance(prefix, str) else ""
    plain = "".join(char if char.isalnum() or char in "-_" else "_" for char in last)
    short = plain.strip("_")[:64].encode("utf-8", "ignore")[:_STEM_BYTES]
    return short.decode("utf-8", "ignore") or "output"
