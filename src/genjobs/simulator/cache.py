"""
The cache of node results, shared by every prompt and client, as in ComfyUI.

A key is the class, the inputs and the ancestry of a node; node ids, clients and prompt ids are not
part of it, so one client's result (with its file names) is served to another. Rules: v0.26.0 run
with ``--cache-lru``, ``--cache-classic`` and ``--cache-none``.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from genjobs.simulator.folders import Folders, file_digest

CacheMode = Literal["lru", "classic", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEntry:
    """What a node produced: its output slots and, for output nodes, what the client is shown."""

    outputs: tuple[Any, ...]
    ui: dict[str, Any] | None
    meta: dict[str, Any] | None


class NodeCache:
    """Results by signature; used by the executor's thread only."""

    def __init__(self, mode: CacheMode, max_entries: int, folders: Folders) -> None:
        self._mode = mode
        self._max_entries = max_entries
        self._folders = folders
        self._entries: OrderedDict[str, CacheEntry] = OrderedDict()
        self._signatures: dict[str, str] = {}

    def begin(self, prompt: Mapping[str, Any]) -> None:
        """Sign the nodes of the next prompt and drop what the mode does not keep for it."""
        self._signatures = {}
        for node_id in prompt:
            self._sign(prompt, node_id)
        current = set(self._signatures.values())
        surplus = {"lru": len(self._entries) - self._max_entries}.get(
            self._mode, len(self._entries)
        )
        for signature in list(self._entries):
            if self._mode == "none":
                del self._entries[signature]
            elif surplus > 0 and signature not in current:
                del self._entries[signature]
                surplus -= 1

    def get(self, node_id: str) -> CacheEntry | None:
        """Return what is known of a node of the present prompt."""
        signature = self._signatures[node_id]
        entry = self._entries.get(signature)
        if entry is not None:
            self._entries.move_to_end(signature)
        return entry

    def put(self, node_id: str, entry: CacheEntry) -> None:
        """Keep the result of a node of the present prompt."""
        self._entries[self._signatures[node_id]] = entry

    def clear(self) -> None:
        """Forget everything (``/free`` with ``free_memory``)."""
        self._entries.clear()

    def _sign(self, prompt: Mapping[str, Any], node_id: str) -> str:
        if node_id in self._signatures:
            return self._signatures[node_id]
        # Stands for what an invalid branch, which never runs, may hold: nothing, a cycle, rubbish.
        self._signatures[node_id] = uuid.uuid4().hex
        node = prompt.get(node_id)
        if not isinstance(node, dict) or not isinstance(node.get("inputs"), dict):
            return self._signatures[node_id]
        inputs = []
        for name, value in sorted(node["inputs"].items()):
            if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str):
                inputs.append([name, "link", self._sign(prompt, value[0]), value[1]])
            else:
                inputs.append([name, "value", value])
        text = json.dumps([node["class_type"], self._changed(node), inputs], default=str)
        self._signatures[node_id] = hashlib.sha256(text.encode()).hexdigest()
        return self._signatures[node_id]

    def _changed(self, node: Mapping[str, Any]) -> str:
        """Return what beside the inputs decides the result: for LoadImage the file's content."""
        if node["class_type"] != "LoadImage":
            return ""
        try:
            return file_digest(self._folders.input_path(str(node["inputs"].get("image"))))
        except (OSError, ValueError):
            return uuid.uuid4().hex  # unreadable: never equal to anything
