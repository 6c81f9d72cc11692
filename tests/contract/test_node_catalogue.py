"""The record that the catalogue is held against, on a real ComfyUI if one is given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import environment

RECORDED: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "data" / "comfyui" / "object_info_policy.json").read_text()
)


def trimmed(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return of a class what the policy depends on, in the form of the record."""
    return {
        "input": _sections(info["input"]),
        "output": [one if isinstance(one, str) else "COMBO" for one in info["output"]],
        "output_node": bool(info["output_node"]),
    }


def _sections(sections: Mapping[str, Any]) -> dict[str, Any]:
    return {
        part: {name: _spec(*spec) for name, spec in sections[part].items()}
        for part in ("required", "optional")
        if part in sections
    }


def _spec(kind: object, options: Mapping[str, Any] | None = None) -> list[Any]:
    options = options or {}
    kept: dict[str, Any] = {}
    if kind in ("INT", "FLOAT"):
        kept = {key: options[key] for key in ("min", "max") if key in options}
    if kind == "STRING" and options.get("multiline"):
        kept = {"multiline": True}
    kept |= {key: value for key, value in options.items() if key.endswith("_upload") and value}
    if kind == "COMFY_AUTOGROW_V3":
        kept["template"] = {"input": _sections(options["template"]["input"])}
    if kind == "COMFY_DYNAMICCOMBO_V3":
        kept["options"] = [
            {"key": one["key"], "inputs": _sections(one["inputs"])} for one in options["options"]
        ]
    name = "COMBO" if isinstance(kind, list) else kind
    return [name, kept] if kept else [name]


def test_recorded_descriptions_are_those_of_a_real_server() -> None:
    if environment.COMFYUI_URL is None:
        pytest.skip("GENJOBS_TEST_COMFYUI_URL is not set")
    real = httpx.get(f"{environment.COMFYUI_URL}/object_info", timeout=60).json()

    different = [
        name for name, recorded in RECORDED["classes"].items() if recorded != trimmed(real[name])
    ]
    assert different == []
    # It may run without nodes that call outside services, and with nodes of others.
    core = {name for name in real if "VHS_" not in name} - set(RECORDED["api_nodes"])
    assert core >= set(RECORDED["others"])
