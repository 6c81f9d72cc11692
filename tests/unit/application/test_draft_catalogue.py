"""Drafts of catalogue entries: guesses that nobody can load before a person reviewed them."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from genjobs.application.draft_catalogue import draft_catalogue
from genjobs.domain.catalogue import read_extension, shipped_classes
from genjobs.domain.errors import ConfigurationError, InvalidRequest

RECORDED: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "data" / "comfyui" / "object_info_policy.json").read_text()
)
CUSTOM: dict[str, Any] = {
    "input": {
        "required": {
            "images": ["IMAGE"],
            "picture": [["a.png"], {"image_upload": True}],
            "clip_file": ["COMBO", {"options": [], "video_upload": True}],
            "lora_name": [["x.safetensors"]],
            "sampler_name": [["euler"]],
            "directory": [["in"]],
            "video_path": ["STRING", {"default": "input/"}],
            "url": ["STRING", {"multiline": True}],
            "python_code": ["STRING", {"multiline": True}],
            "prompt": ["STRING", {"multiline": True}],
            "colour": ["STRING", {}],
            "filename_prefix": ["STRING", {"default": "x"}],
            "width": ["INT", {"min": 16, "max": 16384}],
            "height": ["INT", {"min": 16, "max": 4096}],
            "length": ["INT", {"min": 1, "max": 16384}],
            "steps": ["INT", {"min": 1, "max": 10000}],
            "window": ["INT", {"min": 1, "max": 5000}],
            "share": ["FLOAT", {"min": 0, "max": 1}],
            "on": ["BOOLEAN", {}],
            "any": ["*"],
            "either": ["STRING,FILE_3D"],
            "number": ["INT,FLOAT"],
            "odd": [{"weird": 1}],
            "empty": [],
        },
        "optional": {
            "more": [
                "COMFY_AUTOGROW_V3",
                {"template": {"input": {"required": {"mask": ["MASK", {}]}}, "prefix": "mask"}},
            ],
            "mode": [
                "COMFY_DYNAMICCOMBO_V3",
                {
                    "options": [
                        {"key": "a", "inputs": {"required": {"width": ["INT", {"max": 99999}]}}},
                        {"key": "b", "inputs": {}},
                    ]
                },
            ],
        },
        "hidden": {"prompt": "PROMPT"},
    },
    "output": ["IMAGE", ["a", "b"]],
    "output_node": True,
    "python_module": "custom_nodes.mine",
}
INFO = {"Mine": CUSTOM, "KSampler": RECORDED["classes"]["KSampler"]}


def drafted() -> dict[str, Any]:
    found = draft_catalogue(INFO, shipped_classes().keys())
    assert found["classes"].keys() == {"Mine"}
    entry: dict[str, Any] = found["classes"]["Mine"]
    return entry


def test_draft_guesses_each_input_and_refuses_what_looks_like_a_place() -> None:
    entry = drafted()

    assert entry["inputs"] == {
        "images": "link",
        "picture": {"kind": "file", "media": "image"},
        "clip_file": {"kind": "file", "media": "video"},
        "lora_name": "model",
        "sampler_name": "choice",
        "directory": "refused",
        "video_path": "refused",
        "url": "refused",
        "python_code": "refused",
        "prompt": "text",
        "colour": "line",
        "filename_prefix": "prefix",
        "width": {"kind": "integer", "min": 16, "max": 8192},
        "height": {"kind": "integer", "min": 16, "max": 4096},
        "length": {"kind": "integer", "min": 1, "max": 1025},
        "steps": {"kind": "integer", "min": 1, "max": 200},
        "window": "integer",
        "share": "number",
        "on": "boolean",
        "any": "value",
        "either": "refused",
        "number": "number",
        "odd": "refused",
        "empty": "refused",
        "more.*": "link",
        "mode": {"kind": "choice", "options": ["a", "b"]},
        "mode.width": {"kind": "integer", "min": 0, "max": 8192},
    }
    assert entry["budgets"] == [{"of": ["width", "height", "length"], "max": 2**28}]
    assert entry["steps"] == ["steps"]
    assert (entry["outputs"], entry["output_node"]) == (["IMAGE", "COMBO"], True)


def test_draft_says_what_a_reviewer_must_look_at() -> None:
    notes = "\n".join(drafted()["notes"])
    for word in ("custom_nodes.mine", "picture", "url", "prompt", "colour", "window", "odd"):
        assert word in notes
    paid = draft_catalogue({"Paid": {**CUSTOM, "api_node": True}}, ())["classes"]["Paid"]
    assert any("cost money" in note for note in paid["notes"])


def test_draft_says_that_a_node_reads_what_other_jobs_saved() -> None:
    picture = ["COMBO", {"image_upload": True, "image_folder": "output"}]
    info = {"LoadImageOutput": {"input": {"required": {"image": picture}}, "output": ["IMAGE"]}}
    entry = draft_catalogue(info, ())["classes"]["LoadImageOutput"]

    assert entry["inputs"] == {"image": "refused"}
    assert any("output folder" in note for note in entry["notes"])


def test_draft_is_not_loaded_before_it_is_reviewed() -> None:
    found = draft_catalogue(INFO, shipped_classes().keys())
    with pytest.raises(ConfigurationError, match="Mine is not reviewed"):
        read_extension(found)

    reviewed = copy.deepcopy(found)
    reviewed["classes"]["Mine"]["reviewed"] = True
    assert read_extension(reviewed).classes.keys() == {"Mine"}


def test_wanted_classes_are_drafted_even_when_they_are_shipped() -> None:
    found = draft_catalogue(INFO, shipped_classes().keys(), ["KSampler"])
    assert found["classes"].keys() == {"KSampler"}
    assert found["classes"]["KSampler"]["inputs"]["steps"] == {
        "kind": "integer",
        "min": 1,
        "max": 200,
    }


def test_every_recorded_class_can_be_drafted() -> None:
    found = draft_catalogue(RECORDED["classes"], ())
    assert found["classes"].keys() == RECORDED["classes"].keys()
    assert not any(entry["reviewed"] for entry in found["classes"].values())


@pytest.mark.parametrize("info", [[], None, "x", {"A": []}, {"A": {}}, {"A": {"input": []}}])
def test_what_is_no_object_info_is_refused(info: object) -> None:
    with pytest.raises(InvalidRequest):
        draft_catalogue(info, ())


def test_class_that_object_info_lacks_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="Nope"):
        draft_catalogue(INFO, (), ["Nope"])


@pytest.mark.parametrize(
    "spec",
    [
        None,
        5,
        [None],
        ["COMFY_AUTOGROW_V3"],
        ["COMFY_AUTOGROW_V3", {"template": 5}],
        ["COMFY_DYNAMICCOMBO_V3", {"options": 5}],
        ["COMFY_DYNAMICCOMBO_V3", {"options": [{}]}],
        ["COMFY_DYNAMICCOMBO_V3", {"options": [5]}],
        ["COMFY_DYNAMICCOMBO_V3", {"options": [{"key": "a", "inputs": {"required": 5}}]}],
        ["lower case"],
    ],
)
def test_input_in_an_unknown_form_is_refused_in_the_draft(spec: object) -> None:
    info = {"Odd": {"input": {"required": {"odd": spec}}, "output": None}}
    entry = draft_catalogue(info, ())["classes"]["Odd"]
    odd = [rule for name, rule in entry["inputs"].items() if name.startswith("odd")]
    assert "refused" in odd or odd == [{"kind": "choice", "options": ["a"]}]
