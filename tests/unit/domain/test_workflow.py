"""Workflow graphs: what is refused, and what is sent to ComfyUI."""

from __future__ import annotations

from typing import Any

import pytest

from genjobs.domain.catalogue import InputKind, InputRule, NodeCatalogue, NodeClass
from genjobs.domain.errors import CyclicWorkflow, InputNotAllowed, InvalidWorkflow, UnknownMedia
from genjobs.domain.media import MediaKind
from genjobs.domain.workflow import Workflow, load_workflow, parse_workflow
from genjobs.testing import a_workflow
from genjobs.testing.contracts.engine import loading


def parsed(graph: dict[str, Any], catalogue: NodeCatalogue | None = None) -> Workflow:
    return parse_workflow(graph, catalogue or NodeCatalogue())


def test_workflow_survives_storage() -> None:
    workflow = parsed(a_workflow())
    assert load_workflow(workflow.encoded, NodeCatalogue()) == workflow


def test_editor_leftovers_are_dropped() -> None:
    graph = a_workflow()
    graph["1"]["_meta"] = {"title": "secret name"}
    assert b"secret" not in parsed(graph).encoded


def test_thousand_nodes_in_a_row_are_fine() -> None:
    graph: dict[str, Any] = {"0": a_workflow()["1"]}
    for n in range(1, 999):
        graph[str(n)] = {"class_type": "ImageInvert", "inputs": {"image": [str(n - 1), 0]}}
    graph["999"] = {"class_type": "SaveImage", "inputs": {"images": ["998", 0]}}
    assert len(parsed(graph).needed()) == 1000


def test_node_linked_to_itself_is_a_cycle() -> None:
    graph = a_workflow()
    graph["2"]["inputs"]["image"] = ["2", 0]
    with pytest.raises(CyclicWorkflow) as refused:
        parsed(graph)
    assert refused.value.node_id == "2"


def test_diamond_is_no_cycle() -> None:
    graph = a_workflow()
    blend = {"image1": ["1", 0], "image2": ["2", 0], "blend_factor": 0.5, "blend_mode": "normal"}
    graph["3"] = {"class_type": "ImageBlend", "inputs": blend}
    graph["9"]["inputs"]["images"] = ["3", 0]
    assert parsed(graph).needed() == {"1", "2", "3", "9"}


def test_node_that_no_output_needs_is_not_counted() -> None:
    graph = a_workflow()
    graph["50"] = {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}}
    assert "50" not in parsed(graph).needed()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", {1, 2}, b"bytes"])
def test_what_json_cannot_carry_is_refused(value: object) -> None:
    with pytest.raises(InvalidWorkflow):
        parsed(a_workflow(x=value))


def test_endless_nesting_is_refused() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(InvalidWorkflow):
        parsed(a_workflow(x=deep))


def test_files_and_prefixes_are_replaced() -> None:
    graph = loading()
    graph["9"]["inputs"]["filename_prefix"] = "../%year%/my pic"
    document = parsed(graph).bound({"photo.png": "genjobs/1/input_0.png"}, "genjobs/1")

    assert document["1"]["inputs"]["image"] == "genjobs/1/input_0.png"
    assert document["9"]["inputs"]["filename_prefix"] == "genjobs/1/my_pic"
    assert graph["9"]["inputs"]["filename_prefix"] == "../%year%/my pic"  # the original is kept


@pytest.mark.parametrize(
    "prefix", ["", "/", "..", "%date%", 5, None, ["1", 0], "a/" * 50, "\U00020000" * 90]
)
def test_any_prefix_becomes_a_plain_one(prefix: object) -> None:
    graph = a_workflow()
    graph["9"]["inputs"]["filename_prefix"] = prefix
    stem = parsed(graph).bound({}, "genjobs/1")["9"]["inputs"]["filename_prefix"]
    assert stem.startswith("genjobs/1/")
    assert stem.removeprefix("genjobs/1/").replace("_", "").replace("-", "").isalnum()
    assert len(stem.encode()) < 200  # a number and an extension follow, and files have 255 bytes


def test_every_known_file_input_must_name_media() -> None:
    for name, known in NodeCatalogue().classes.items():
        for input_name in known.of_kind(InputKind.FILE):
            graph = a_workflow()
            graph["x"] = {"class_type": name, "inputs": {input_name: "/etc/passwd"}}
            with pytest.raises(UnknownMedia):
                parsed(graph).file_uses(frozenset({"photo.png"}))


def test_linked_file_input_is_refused_because_a_node_could_build_a_path() -> None:
    graph = loading()
    graph["5"] = {"class_type": "PrimitiveString", "inputs": {"value": "photo.png"}}
    graph["1"]["inputs"]["image"] = ["5", 0]
    with pytest.raises(InputNotAllowed) as refused:
        parsed(graph)
    assert refused.value.pointer == "/workflow/1/inputs/image"


def test_catalogue_can_be_widened() -> None:
    clip = InputRule(kind=InputKind.FILE, media=MediaKind.VIDEO)
    catalogue = NodeCatalogue().widened({"Mine": NodeClass(inputs={"clip": clip})})
    graph = a_workflow()
    graph["x"] = {"class_type": "Mine", "inputs": {"clip": "v.mp4"}}
    [use] = parsed(graph, catalogue).file_uses(frozenset({"v.mp4"}))
    assert (use.node_id, use.input_name, use.kind) == ("x", "clip", MediaKind.VIDEO)
