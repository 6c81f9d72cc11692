"""The shipped catalogue against a recorded ComfyUI, and catalogues made of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from genjobs.domain.catalogue import (
    InputKind,
    InputRule,
    Narrowing,
    NodeCatalogue,
    NodeClass,
    entry_document,
    read_extension,
    reviewed_against,
    shipped_classes,
)
from genjobs.domain.errors import ConfigurationError

RECORDED: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "data" / "comfyui" / "object_info_policy.json").read_text()
)
#: What the input types of ComfyUI may become in the catalogue; any other type is a link.
KINDS = {
    "INT": {InputKind.INTEGER},
    "FLOAT": {InputKind.NUMBER},
    "BOOLEAN": {InputKind.BOOLEAN},
    "STRING": {InputKind.TEXT, InputKind.LINE, InputKind.PREFIX},
    "COMBO": {InputKind.CHOICE, InputKind.MODEL, InputKind.FILE},
    "COMFY_DYNAMICCOMBO_V3": {InputKind.CHOICE},
    "BOUNDING_BOX": {InputKind.NUMBERS},
    "*": {InputKind.VALUE},
    "IMAGECOMPARE": {InputKind.FORCED},
    "COMFY_MATCHTYPE_V3": {InputKind.LINK, InputKind.VALUE},
}


def core() -> dict[str, NodeClass]:
    return {name: known for name, known in shipped_classes().items() if name[:4] != "VHS_"}


def real_inputs(sections: dict[str, Any], head: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield the names, types and options of a class's inputs, those that grow among them."""
    for section in sections.values():
        for name, (kind, *options) in section.items():
            found = options[0] if options else {}
            if kind == "COMFY_AUTOGROW_V3":
                [(_, inner, *more)] = [
                    (key, *spec)
                    for part in found["template"]["input"].values()
                    for key, spec in part.items()
                ]
                yield f"{head}{name}.*", inner, more[0] if more else {}
                continue
            yield head + name, kind, found
            for choice in found.get("options", ()):
                yield from real_inputs(choice["inputs"], f"{head}{name}.")


def test_every_shipped_core_class_is_in_the_recorded_server() -> None:
    assert core().keys() == RECORDED["classes"].keys()
    assert reviewed_against()[0] == f"ComfyUI {RECORDED['comfyui']}"
    assert 150 < len(core()) < 400


@pytest.mark.parametrize("name", sorted(RECORDED["classes"]))
def test_entry_lists_the_inputs_and_outputs_of_the_real_class(name: str) -> None:
    real, known = RECORDED["classes"][name], core()[name]
    inputs = {key: (kind, options) for key, kind, options in real_inputs(real["input"])}

    assert known.inputs.keys() == inputs.keys()
    assert known.output_node is real["output_node"]
    assert list(known.outputs or ()) == real["output"]
    for key, (kind, options) in inputs.items():
        rule = known.inputs[key]
        assert rule.kind in KINDS.get(kind, {InputKind.LINK}), key
        assert (rule.kind is InputKind.FILE) is any(flag.endswith("_upload") for flag in options)
        assert (rule.kind is InputKind.PREFIX) is (key == "filename_prefix"), key
        if rule.maximum is not None and "max" in options:
            assert rule.maximum <= options["max"], key
        if rule.maximum is not None:
            assert rule.minimum is not None, key
            assert rule.minimum >= options["min"], key
        if (rule.kind, rule.minimum) == (InputKind.TEXT, None):
            assert not known.of_kind(InputKind.FILE), key  # free text is for nodes without I/O
    assert (
        not known.output_node
        or not known.outputs
        or known.of_kind(InputKind.PREFIX)
        or (name in {"PreviewImage", "PreviewAny", "PreviewAudio", "ImageCompare"})
    )


def test_numbers_that_decide_the_cost_have_a_limit() -> None:
    costly = {"width", "height", "batch_size", "length", "steps", "amount", "seconds", "scale_by"}
    harmless = {  # these cut out of a picture, place something in it, or only describe it
        "ImageCrop",
        "CropMask",
        "LatentCrop",
        "PrimitiveBoundingBox",
        "ConditioningSetArea",
        "ConditioningSetAreaPercentage",
        "ConditioningSetAreaPercentageVideo",
        "CLIPTextEncodeSDXL",
        "CLIPTextEncodeSDXLRefiner",
        "CLIPTextEncodePixArtAlpha",
        "ModelSamplingFlux",
        "Flux2Scheduler",
        "ImageFromBatch",
        "LatentFromBatch",
        "LatentCut",
        "RebatchImages",
        "RebatchLatents",
    }
    unlimited = {
        (name, key)
        for name, known in core().items()
        for key, rule in known.inputs.items()
        if key.rpartition(".")[2] in costly and rule.maximum is None and name not in harmless
    }
    assert unlimited - {("Flux2Scheduler", "steps")} == set()
    assert core()["Flux2Scheduler"].inputs["steps"].maximum == 200


def test_what_takes_steps_says_so() -> None:
    for name, known in shipped_classes().items():
        if "steps" in known.inputs and known.grows == 1:
            assert known.steps == ("steps",), name


def test_what_has_width_and_height_and_more_has_a_budget() -> None:
    for name, known in shipped_classes().items():
        limited = {key for key, rule in known.inputs.items() if rule.maximum is not None} & {
            "width",
            "height",
            "batch_size",
            "length",
        }
        if {"width", "height"} <= limited:
            assert [set(budget.of) >= limited for budget in known.budgets] == [True], name


NEVER = [
    "RegexMatch",
    "RegexExtract",
    "RegexReplace",
    "StringFormat",
    "JsonExtractString",
    "ComfyMathExpression",
    "SaveImageDataSetToFolder",
    "SaveImageTextDataSetToFolder",
    "LoadImageDataSetFromFolder",
    "LoadImageTextDataSetFromFolder",
    "MakeTrainingDataset",
    "SaveTrainingDataset",
    "LoadTrainingDataset",
    "TrainLoraNode",
    "LoraModelLoader",
    "SaveLoRA",
    "LossGraphNode",
    "CheckpointSave",
    "CLIPSave",
    "VAESave",
    "ModelSave",
    "LoraSave",
    "ImageOnlyCheckpointSave",
    "LoadLatent",
    "SaveLatent",
    "LoadImageOutput",
    "GLSLShader",
    "WebcamCapture",
    "RecordAudio",
    "Load3D",
    "Load3DAdvanced",
    "Preview3D",
    "SaveGLB",
    "Painter",
    "SaveSVGNode",
    "DiffusersLoader",
    "CustomCombo",
    "CheckpointLoader",
    "TorchCompileModel",
    "TextGenerate",
    "VHS_LoadVideoPath",
    "VHS_LoadImages",
    "VHS_LoadVideoFFmpegPath",
    "VHS_LoadImagePath",
    "VHS_LoadImagesPath",
    "VHS_LoadAudio",
    "VHS_PruneOutputs",
    "VHS_BatchManager",
    "VHS_SelectFilename",
    "VHS_SelectLatest",
    "VHS_LoadVideoFFmpeg",
    "LoadImageFromUrl",
    *RECORDED["api_nodes"],
]


def test_classes_that_spend_write_or_run_code_are_not_shipped() -> None:
    assert len(RECORDED["api_nodes"]) > 200
    assert set(NEVER) & shipped_classes().keys() == set()
    assert set(RECORDED["others"]) & shipped_classes().keys() == set()


def test_entries_survive_writing_and_reading() -> None:
    written = {
        name: {**entry_document(known), "reviewed": True}
        for name, known in shipped_classes().items()
    }
    extension = read_extension(json.loads(json.dumps({"classes": written})))
    assert extension.classes == shipped_classes()


def test_narrowing_never_adds() -> None:
    shipped = NodeCatalogue()
    narrowed = shipped.narrowed(
        Narrowing(
            allowed=frozenset({"KSampler", "SaveImage", "Evil"}), denied=frozenset({"SaveImage"})
        )
    )

    assert narrowed.classes.keys() == {"KSampler"}
    assert narrowed.get("KSampler") == shipped.get("KSampler")
    assert shipped.narrowed(Narrowing()).classes == shipped.classes
    assert "SaveImage" not in shipped.narrowed(Narrowing(denied=frozenset({"SaveImage"}))).classes


def test_deployment_widens_and_denies() -> None:
    document = {
        "classes": {"Mine": {"reviewed": True, "notes": ["fine"], "inputs": {"a": "link"}}},
        "deny": ["SaveVideo"],
    }
    catalogue = NodeCatalogue().extended(read_extension(document))

    assert catalogue.get("Mine") == NodeClass(inputs={"a": InputRule(kind=InputKind.LINK)})
    assert catalogue.get("SaveVideo") is None
    assert catalogue.get("KSampler") == NodeCatalogue().get("KSampler")


def entry(**members: Any) -> dict[str, Any]:
    return {"classes": {"Mine": {"reviewed": True, **members}}}


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ([], "the catalogue"),
        ({"clases": {}}, "clases"),
        ({"classes": []}, "classes"),
        ({"classes": {"Mine": []}}, "classes.Mine"),
        ({"classes": {"Mine": {"inputs": {}}}}, "classes.Mine is not reviewed"),
        ({"classes": {"Mine": {"reviewed": "true"}}}, "classes.Mine is not reviewed"),
        ({"classes": {"Mine": {"reviewed": False}}}, "classes.Mine is not reviewed"),
        ({"deny": "SaveImage"}, "deny"),
        ({"deny": [1]}, "deny"),
        (entry(input={}), "'input'"),
        (entry(inputs={"a": "anything"}), "classes.Mine.inputs.a.kind"),
        (entry(inputs={"a": {}}), "classes.Mine.inputs.a.kind"),
        (entry(inputs={"a": {"kind": "link", "max": 3}}), "inputs.a: only a number has bounds"),
        (entry(inputs={"a": {"kind": "integer", "max": "3"}}), "inputs.a.max"),
        (entry(inputs={"a": {"kind": "integer", "max": True}}), "inputs.a.max"),
        (entry(inputs={"a": {"kind": "number", "max": float("nan")}}), "inputs.a.max"),
        (entry(inputs={"a": {"kind": "link", "options": ["x"]}}), "only a choice has options"),
        (entry(inputs={"a": "file"}), "a file has media"),
        (entry(inputs={"a": {"kind": "file", "media": "html"}}), "inputs.a.media"),
        (entry(inputs={"a": {"kind": "link", "media": "image"}}), "a file has media"),
        (entry(inputs={"a": "forced"}), "a forced input has a value"),
        (entry(inputs={"a": {"kind": "forced", "value": []}}), "inputs.a.value"),
        (entry(inputs={"a": {"kind": "link", "maximum": 3}}), "'maximum'"),
        (entry(inputs={"a": "link"}, budgets=[{"of": ["a"], "max": 1}]), "a is no numeric input"),
        (entry(budgets=[{"of": ["b"], "max": 1}]), "b is no numeric input"),
        (entry(budgets={}), "budgets must be a list"),
        (entry(passes=["a"]), "passes names no input: a"),
        (entry(grows=["a"]), "a is no numeric input"),
        (entry(grows="2"), "grows"),
        (entry(measures=1), "measures"),
        (entry(steps="20"), "steps"),
        (entry(steps=["a"]), "a is no numeric input"),
        (entry(pads=["a"]), "a is no numeric input"),
        (entry(splits="yes"), "splits"),
        (entry(output_node="yes"), "output_node"),
        (entry(outputs=[1]), "outputs"),
    ],
)
def test_wrong_entry_is_refused_with_its_place(document: object, place: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read_extension(document)
    assert place in refused.value.message
