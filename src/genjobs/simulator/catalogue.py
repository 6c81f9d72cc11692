"""
The node definitions the simulator offers, as ``/object_info`` shows them.

The definitions are data (``catalogue.json``, taken from a real v0.26.0, plus the nodes that exist
in the simulator only); what a node does is in ``nodes``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from importlib import resources
from typing import Any

from genjobs.simulator.folders import Folders


class Catalogue:
    """Node definitions, with the lists of installed models and input files filled in."""

    def __init__(self, folders: Folders, checkpoints: tuple[str, ...]) -> None:
        self._folders = folders
        text = resources.files("genjobs.simulator").joinpath("catalogue.json").read_text("utf-8")
        self._definitions: dict[str, dict[str, Any]] = json.loads(text)
        required = self._definitions["CheckpointLoaderSimple"]["input"]["required"]
        required["ckpt_name"][0] = list(checkpoints)

    def __contains__(self, class_type: object) -> bool:
        """Return whether a node class is installed."""
        return class_type in self._definitions

    def __iter__(self) -> Iterator[str]:
        """Iterate over the installed node classes."""
        return iter(self._definitions)

    def object_info(self, class_type: str) -> dict[str, Any]:
        """Return the definition of one class; the file list is read at each call."""
        if class_type != "LoadImage":
            return self._definitions[class_type]
        info = deepcopy(self._definitions[class_type])
        info["input"]["required"]["image"][0] = self._folders.input_pictures()
        return info

    def is_output_node(self, class_type: str) -> bool:
        """Return whether the class is executed for its own sake."""
        return bool(self._definitions[class_type]["output_node"])

    def output_types(self, class_type: str) -> tuple[str, ...]:
        """Return the types of the output slots of a class."""
        return tuple(self._definitions[class_type]["output"])

    def inputs(self, class_type: str) -> dict[str, tuple[str, list[Any]]]:
        """Return ``{name: (category, [type, options])}`` for required and optional inputs."""
        found: dict[str, tuple[str, list[Any]]] = {}
        definition = self.object_info(class_type)["input"]
        for category in ("required", "optional"):
            for name, config in definition.get(category, {}).items():
                found[name] = (category, [config[0], config[1] if len(config) > 1 else {}])
        return found

    def hidden_inputs(self, class_type: str) -> dict[str, str]:
        """Return the hidden inputs the executor passes by name (old-style nodes only)."""
        hidden = self._definitions[class_type]["input"].get("hidden", {})
        return {name: kind for name, kind in hidden.items() if isinstance(kind, str)}
