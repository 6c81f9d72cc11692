"""What a graph may hold by the catalogue; every kind of input meets what it must refuse."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genjobs.domain import limits
from genjobs.domain.catalogue import InputKind, InputRule, Narrowing, NodeClass
from genjobs.domain.errors import (
    DanglingLink,
    InputNotAllowed,
    InvalidMedia,
    InvalidWorkflow,
    NodeNotAllowed,
    NoOutputNode,
    UnknownMedia,
    WorkflowLimit,
)
from genjobs.domain.graph import pointer
from genjobs.domain.workflow import Workflow
from genjobs.testing import a_workflow
from tests.unit.domain.graphs import LINK, SHIPPED, parsed, refusal, using

ADDRESS = "http://169.254.169.254/latest"
PATHS = ["../../secret.png", "/etc/passwd", "C:\\x.png", "..\\x.png", "a\x00.png"]
SUFFIXED = ["x.png [output]", "x.png [temp]", "x.png [input]"]
#: Dicts that ComfyUI unwraps, lists that are no links, nothing nested is a value anywhere.
NESTED: list[Any] = [{"__value__": "/etc/passwd"}, {"a": {"b": 1}}, {}]
WRONG: dict[InputKind, list[Any]] = {
    InputKind.LINK: [ADDRESS, *PATHS, 1, True, "", *NESTED],
    InputKind.INTEGER: ["ten", ADDRESS, True, 2**65, -(2**65), 1e300, *NESTED],
    InputKind.NUMBER: ["ten", ADDRESS, False, 1e300, -1e300, *NESTED],
    InputKind.BOOLEAN: ["true", ADDRESS, 1, *NESTED],
    InputKind.CHOICE: [ADDRESS, *PATHS, *SUFFIXED, "x" * 256, LINK, *NESTED],
    InputKind.MODEL: [ADDRESS, *PATHS, *SUFFIXED, "x" * 256, "a\\b", "", 5, LINK, *NESTED],
    InputKind.TEXT: ["x" * 20_001, "a\x00b", "embedding:../x", *NESTED],
    InputKind.LINE: [ADDRESS, *PATHS, "x" * 256, LINK, *NESTED],
    InputKind.VALUE: ["x" * 20_001, *NESTED],
    InputKind.NUMBERS: [ADDRESS, 1, {}, {"x": "1"}, {"__value__": 1}, {"x": True}, NESTED[0]],
    InputKind.FILE: [LINK],
    InputKind.PREFIX: [ADDRESS, f"a/{ADDRESS}"],
    InputKind.FORCED: [ADDRESS],
    InputKind.REFUSED: [ADDRESS, "x", 1, False, LINK, {"crf": "x"}],
}


ALL_INPUTS = [
    (name, key, rule)
    for name, known in SHIPPED.classes.items()
    for key, rule in known.inputs.items()
]


def test_every_kind_has_values_that_it_refuses() -> None:
    assert WRONG.keys() == set(InputKind)


@pytest.mark.parametrize("class_type", sorted(SHIPPED.classes))
def test_each_input_of_each_class_refuses_what_its_kind_may_not_hold(class_type: str) -> None:
    known = SHIPPED.classes[class_type]
    for key, rule in known.inputs.items():
        name = key.replace(".*", ".image0")
        for value in WRONG[rule.kind]:
            error = refusal(using(class_type, **{name: value}))
            assert type(error) is InputNotAllowed, (name, value)
            assert error.pointer == pointer("workflow", "x", "inputs", name)
            assert (error.node_id, error.node_class) == ("x", class_type)
            assert name in error.message
            assert "169.254" not in error.message
        for limit, step in ((rule.maximum, 1), (rule.minimum, -1)):
            if limit is not None:
                error = refusal(using(class_type, **{name: limit + step}))
                assert type(error) is WorkflowLimit
                assert name in error.message


@pytest.mark.parametrize(
    ("class_type", "name"),
    [(name, key) for name, key, rule in ALL_INPUTS if rule.kind is InputKind.FILE],
)
@pytest.mark.parametrize(
    "value", [ADDRESS, *PATHS, *SUFFIXED, *NESTED, "", 0, True, "photo.png [output]", " photo.png"]
)
def test_file_input_that_names_no_media_entry_is_refused(
    class_type: str, name: str, value: object
) -> None:
    workflow = parsed(using(class_type, **{name: value}))
    with pytest.raises(UnknownMedia) as refused:
        workflow.bound({"photo.png": "genjobs/1/input_0.png"}, "genjobs/1")
    assert refused.value.pointer == f"/workflow/x/inputs/{name}"


@pytest.mark.parametrize(
    ("class_type", "name"),
    [(name, key) for name, key, rule in ALL_INPUTS if rule.kind is InputKind.PREFIX],
)
@pytest.mark.parametrize("value", ["../../custom_nodes/x/__init__", "/abs", "a\\..\\b", LINK, None])
def test_save_prefix_is_always_below_the_jobs_own(
    class_type: str, name: str, value: object
) -> None:
    workflow = parsed(using(class_type, **{name: value}))
    saved = workflow.bound({}, "genjobs/1")["x"]["inputs"][name]
    folder, _, stem = saved.rpartition("/")
    assert folder == "genjobs/1"
    assert stem.replace("_", "").isalnum()
    assert "color" not in workflow.nodes["x"].links().values()


@pytest.mark.parametrize("value", [True, None, "true", LINK, 1])
def test_metadata_of_a_video_is_never_saved(value: object) -> None:
    graph = using("VHS_VideoCombine", images=LINK, save_metadata=value)
    inputs = parsed(graph).bound({}, "genjobs/1")["x"]["inputs"]
    assert inputs["save_metadata"] is False
    absent = parsed(using("VHS_VideoCombine", images=LINK)).bound({}, "genjobs/1")
    assert absent["x"]["inputs"]["save_metadata"] is False


@pytest.mark.parametrize("value", ["[0:v]movie=/etc/passwd", "yuv420p -i /etc/passwd", "", 5, True])
@pytest.mark.parametrize("name", ["dither", "pix_fmt", "profile", "format"])
def test_what_ends_up_in_an_ffmpeg_command_is_one_of_the_known_choices(
    name: str, value: object
) -> None:
    error = refusal(using("VHS_VideoCombine", images=LINK, **{name: value}))
    assert type(error) is InputNotAllowed
    assert error.pointer == f"/workflow/x/inputs/{name}"


def test_formats_that_do_not_name_their_file_are_refused() -> None:
    parsed(using("VHS_VideoCombine", images=LINK, format="video/h264-mp4", crf=19))
    error = refusal(using("VHS_VideoCombine", images=LINK, format="video/16bit-png"))
    assert type(error) is InputNotAllowed


@pytest.mark.parametrize(
    "class_type",
    ["GeminiImage2Node", "RegexReplace", "CheckpointSave", "Load3D", "KSampIer", "ksampler", " "],
)
def test_class_that_is_not_listed_is_refused_with_its_node(class_type: str) -> None:
    error = refusal(using(class_type))
    assert type(error) is NodeNotAllowed
    assert (error.pointer, error.node_id) == ("/workflow/x/class_type", "x")
    assert error.node_class == class_type
    assert class_type in error.message


def test_class_is_refused_even_when_no_output_needs_it() -> None:
    assert refusal(using("SaveTrainingDataset")).code == "workflow_node_not_allowed"


def test_narrowed_catalogue_refuses_what_the_shipped_one_allows() -> None:
    graph = a_workflow()
    used = frozenset({"EmptyImage", "ImageInvert", "SaveImage"})
    narrow = SHIPPED.narrowed(Narrowing(denied=frozenset({"ImageInvert"})))
    assert refusal(graph, narrow).node_class == "ImageInvert"
    parsed(graph, SHIPPED.narrowed(Narrowing(allowed=used)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("upload", "image"),
        ("choose file to upload", "image"),
        ("speak_and_recognation", {"__value__": [False, True]}),
        ("control_after_generate", "randomize"),
        ("videopreview", {"params": {"filename": "x.mp4", "format": "video/mp4"}, "hidden": False}),
        ("image.", "x"),
        ("seed", None),
        ("link", LINK),
    ],
)
def test_input_that_the_class_does_not_have_is_dropped(name: str, value: object) -> None:
    workflow = parsed(using("LoadImage", image="photo.png", **{name: value}))
    assert dict(workflow.nodes["x"].inputs) == {"image": "photo.png"}
    assert json.loads(workflow.encoded)["x"]["inputs"] == {"image": "photo.png"}


@pytest.mark.parametrize("value", [ADDRESS, {"a": {"b": [ADDRESS]}}])
def test_address_in_an_unknown_input_is_refused(value: object) -> None:
    error = refusal(using("LoadImage", image="photo.png", url=value))
    assert (type(error), error.pointer) == (InputNotAllowed, "/workflow/x/inputs/url")


def test_null_is_dropped() -> None:
    workflow = parsed(using("LoraLoader", lora_name=None, strength_model=1, model=None))
    assert dict(workflow.nodes["x"].inputs) == {"strength_model": 1}


def test_prompt_may_name_an_address_and_come_from_another_node() -> None:
    parsed(using("CLIPTextEncode", text=f"a cat like {ADDRESS}"))
    graph = using("CLIPTextEncode", text=["s", 0])
    graph["s"] = {"class_type": "StringConcatenate", "inputs": {"string_a": "a", "string_b": "b"}}
    parsed(graph)


def test_number_written_as_text_becomes_a_number() -> None:
    workflow = parsed(using("EmptyLatentImage", width="512", height=" 512 ", batch_size="1"))
    assert dict(workflow.nodes["x"].inputs) == {"width": 512, "height": 512, "batch_size": 1}


@pytest.mark.parametrize("seed", [0, 2**64 - 1, 12345678901234567890, -1])
def test_any_seed_is_fine(seed: int) -> None:
    assert parsed(using("RandomNoise", noise_seed=seed)).nodes["x"].inputs["noise_seed"] == seed


def test_link_to_an_output_slot_that_is_not_there_is_refused() -> None:
    error = refusal(using("ImageInvert", image=["color", 1]))
    assert (type(error), error.pointer) == (DanglingLink, "/workflow/x/inputs/image")


def test_where_files_lie_is_not_shown() -> None:
    graph = using("PreviewAny", source=["v", 0])
    graph["v"] = {"class_type": "VHS_VideoCombine", "inputs": {"images": LINK}}
    error = refusal(graph)
    assert (type(error), error.pointer) == (InputNotAllowed, "/workflow/x/inputs/source")


def test_rectangle_is_a_set_of_numbers() -> None:
    region = {"x": 0, "y": 0, "width": 64, "height": 64}
    workflow = parsed(using("ImageCropV2", image=LINK, crop_region=region))
    assert workflow.nodes["x"].inputs["crop_region"] == region


def test_workflow_may_be_nested_only_so_deep() -> None:
    value: Any = 1
    for _ in range(limits.MAX_WORKFLOW_DEPTH):
        value = {"a": value}
    error = refusal(a_workflow(x=value))
    assert (type(error), error.pointer) == (WorkflowLimit, "/workflow")


def test_workflow_without_an_output_node_is_refused() -> None:
    graph = a_workflow()
    del graph["9"]
    assert type(refusal(graph)) is NoOutputNode


def test_entry_of_a_deployment_is_judged_like_a_shipped_one() -> None:
    known = NodeClass(
        inputs={
            "url": InputRule(kind=InputKind.REFUSED),
            "mode": InputRule(kind=InputKind.CHOICE, options=("a", "b")),
            "more.*": InputRule(kind=InputKind.LINK),
        }
    )
    catalogue = SHIPPED.widened({"Mine": known})
    parsed(using("Mine", mode="a", **{"more.a": LINK, "more.image_12": LINK}), catalogue)
    assert type(refusal(using("Mine", mode="c"), catalogue)) is InputNotAllowed
    assert type(refusal(using("Mine", url=""), catalogue)) is InputNotAllowed
    odd = parsed(using("Mine", **{"more.": LINK, "more.a.b": LINK, "more.ä": LINK}), catalogue)
    assert dict(odd.nodes["x"].inputs) == {}


_scalar: st.SearchStrategy[object] = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([ADDRESS, *PATHS, *SUFFIXED])
)
_value: st.SearchStrategy[object] = st.recursive(
    _scalar | st.tuples(st.sampled_from(["1", "2", "x"]), st.integers(0, 3)).map(list),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, Any]:
    graph: dict[str, Any] = {}
    for n in range(draw(st.integers(1, 5))):
        name = draw(st.sampled_from(sorted(SHIPPED.classes)))
        keys = sorted(SHIPPED.classes[name].inputs)
        given_keys = st.sampled_from(keys) | st.text(max_size=6) if keys else st.text(max_size=6)
        inputs = draw(st.dictionaries(given_keys, _value, max_size=4))
        graph[str(n)] = {"class_type": name, "inputs": inputs}
    graph["save"] = {"class_type": "SaveImage", "inputs": {"images": ["0", 0]}}
    return graph


@settings(max_examples=300, deadline=None)
@given(graphs())
def test_any_graph_of_allowed_classes_is_a_workflow_or_refused(graph: dict[str, Any]) -> None:
    try:
        workflow = parsed(graph)
        document = workflow.bound({"photo.png": "genjobs/1/input_0.png"}, "genjobs/1")
    except (InvalidWorkflow, InvalidMedia) as error:
        refused = error
    else:
        check_bound(workflow, document)
        return
    assert (refused.pointer or "").startswith("/workflow")


def check_bound(workflow: Workflow, document: dict[str, Any]) -> None:
    assert parsed(json.loads(workflow.encoded)).encoded == workflow.encoded
    for node_id, node in document.items():
        known = SHIPPED.classes[node["class_type"]]
        for name, value in node["inputs"].items():
            rule = known.rule(name)
            assert rule is not None
            if rule.kind is InputKind.FILE:
                assert value == "genjobs/1/input_0.png"
            elif rule.kind is InputKind.PREFIX:
                assert value.startswith("genjobs/1/")
            elif rule.maximum is not None and not isinstance(value, list):
                assert math.isfinite(value), (node_id, name)
                assert value <= rule.maximum, (node_id, name)
