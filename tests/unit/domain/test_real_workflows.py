"""Real workflows of public repositories: accepted, or refused for a reason that is named."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from genjobs.domain.catalogue import InputKind, NodeCatalogue
from genjobs.domain.errors import GenjobsError, InvalidInput
from genjobs.domain.workflow import Workflow, parse_workflow

FOLDER = Path(__file__).parents[2] / "data" / "workflows"
GRAPHS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.json"))
}
#: Code, node class and input of what is refused; what it is, is told in SOURCES.md.
REFUSED: dict[str, tuple[str, str, str]] = {
    "animatediff_controlnet_lora": (
        "workflow_node_not_allowed",
        "ControlNetLoaderAdvanced",
        "class_type",
    ),
    "flux_fill_template": ("workflow_input_not_allowed", "FluxGuidance", "guidance"),
    "flux_inpaint_custom_nodes": (
        "workflow_node_not_allowed",
        "StringFunction|pysssss",
        "class_type",
    ),
    "flux_lora_from_url": ("workflow_input_not_allowed", "LoraLoader", "lora_name"),
    "gemini_api_node": ("workflow_node_not_allowed", "GeminiImage2Node", "class_type"),
    "qwen_image_edit_url": ("media_unknown", "LoadImage", "image"),
    "sd15_inpaint_websocket": ("workflow_node_not_allowed", "SaveImageWebsocket", "class_type"),
    "sd35_ipadapter_url": ("workflow_node_not_allowed", "IPAdapterSD3Loader", "class_type"),
    "video_matting_url": ("workflow_node_not_allowed", "Robust Video Matting", "class_type"),
}
ACCEPTED = sorted(GRAPHS.keys() - REFUSED.keys())


def submitted(graph: dict[str, Any]) -> tuple[Workflow, dict[str, Any]]:
    """Parse and bind a graph; every plain file name in it is a media entry of the request."""
    workflow = parse_workflow(graph, NodeCatalogue())
    names = [value for _, _, value, kind in values(workflow) if kind is InputKind.FILE]
    media = [name for name in names if isinstance(name, str) and "/" not in name]
    return workflow, workflow.bound({name: f"genjobs/1/{name}" for name in media}, "genjobs/1")


def values(workflow: Workflow) -> Iterator[tuple[str, str, Any, InputKind]]:
    for node in workflow.nodes.values():
        for name, value in node.inputs.items():
            rule = workflow.catalogue.classes[node.class_type].rule(name)
            assert rule is not None
            yield node.id, name, value, rule.kind


def test_there_are_enough_and_each_expected_refusal_is_of_one() -> None:
    assert len(GRAPHS) >= 15
    assert GRAPHS.keys() > REFUSED.keys()
    assert len(ACCEPTED) >= 15


@pytest.mark.parametrize("name", ACCEPTED)
def test_real_workflow_is_accepted_whole(name: str) -> None:
    workflow, document = submitted(GRAPHS[name])

    assert document.keys() == GRAPHS[name].keys()
    assert workflow.needed()
    for node_id, node in document.items():
        given = GRAPHS[name][node_id]["inputs"]
        known = workflow.catalogue.classes[node["class_type"]]
        dropped = given.keys() - node["inputs"].keys()
        assert not dropped & known.inputs.keys()
        for key, value in node["inputs"].items():
            rule = known.rule(key)
            if rule is not None and rule.kind not in {InputKind.FILE, InputKind.PREFIX}:
                assert value == given[key]


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refusal_names_node_input_and_rule(name: str) -> None:
    code, node_class, member = REFUSED[name]
    with pytest.raises(InvalidInput) as refused:
        submitted(GRAPHS[name])

    error = refused.value
    assert (error.code, error.node_class) == (code, node_class)
    assert error.pointer is not None
    assert error.pointer.endswith(f"/{member}")
    assert error.node_id is not None
    assert error.node_id in error.message


DANGEROUS: dict[InputKind, list[Any]] = {
    InputKind.FILE: [
        "http://169.254.169.254/x.png",
        "../../secret.png",
        "/proc/self/environ",
        "C:\\x.png",
        "..\\x.png",
        "x.png [output]",
        "x.png [temp]",
        "x.png\x00.txt",
        ["1", 0],
    ],
    InputKind.MODEL: ["http://example.com/x.safetensors", "../../x", "/x", "a\\..\\b", ["1", 0]],
    InputKind.CHOICE: ["https://example.com", "../../x", "/etc/passwd"],
    InputKind.LINK: ["http://example.com", "/etc/passwd"],
    InputKind.PREFIX: ["http://example.com/x"],
    InputKind.TEXT: ["x" * 20_001, "embedding:../../../etc/passwd"],
    InputKind.INTEGER: ["http://example.com", 1e300],
    InputKind.NUMBER: ["http://example.com", 1e300],
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_real_workflow_with_one_dangerous_value_is_refused_there(name: str) -> None:
    workflow, _ = submitted(GRAPHS[name])
    files = {value: "f" for _, _, value, kind in values(workflow) if kind is InputKind.FILE}
    first = next(iter(GRAPHS[name]))
    for node_id, key, _, kind in values(workflow):
        for value in DANGEROUS.get(kind, ()):
            graph = copy.deepcopy(GRAPHS[name])
            if isinstance(value, list) and node_id == first:
                continue  # would be a cycle
            graph[node_id]["inputs"][key] = [first, 0] if isinstance(value, list) else value
            with pytest.raises(GenjobsError) as refused:
                parse_workflow(graph, NodeCatalogue()).bound(files, "genjobs/1")
            assert refused.value.code in {"workflow_input_not_allowed", "media_unknown"} or (
                isinstance(value, list) and refused.value.code == "workflow_cycle"
            )
            if refused.value.code != "workflow_cycle":
                assert refused.value.pointer == f"/workflow/{node_id}/inputs/{key}"
