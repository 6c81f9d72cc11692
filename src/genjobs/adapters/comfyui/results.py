"""Reading ``/history``: what a finished prompt made, or why it did not."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any, Final

import structlog

from genjobs.adapters.comfyui.messages import failure_of
from genjobs.domain import limits
from genjobs.domain.errors import EngineFailed, NodeError, NoOutput, RenderInterrupted
from genjobs.domain.ids import ExecutionId
from genjobs.domain.media import MediaKind
from genjobs.domain.ports import EngineFile, Rendered

_log = structlog.get_logger(__name__)
_FOLDER: Final = "genjobs"


#: Folder below ComfyUI's temp folder ("" for itself) and file name.
PreviewFile = tuple[str, str]


def folder_of(execution_id: ExecutionId) -> str:
    """Return the folder, below ComfyUI's input and output folders, of one render's files."""
    return f"{_FOLDER}/{execution_id}"


def result_of(entry: Mapping[str, Any], execution_id: ExecutionId, *, stop_asked: bool) -> Rendered:
    """
    Return what a history entry says was rendered.

    Raises:
        RenderInterrupted: it was interrupted, and we had asked for that.
        NodeError, OutOfMemory, NoOutput, EngineFailed: as their docstrings say.
    """
    status = entry.get("status") or {}
    if status.get("status_str") != "success":
        _raise_failure(status, stop_asked=stop_asked)
    files = tuple(_outputs(entry.get("outputs") or {}, folder_of(execution_id)))
    if not files:
        raise NoOutput
    if len(files) > limits.MAX_OUTPUTS:
        raise NodeError(f"The workflow made more than {limits.MAX_OUTPUTS} outputs.")
    return Rendered(outputs=files)


def previews_of(entry: Mapping[str, Any]) -> tuple[PreviewFile, ...]:
    """Return the files of the temp folder that a history entry names, to be removed with it."""
    found = []
    for lists in _mapping(entry.get("outputs")).values():
        for items in _mapping(lists).values():
            for item in items if isinstance(items, list) else ():
                if isinstance(item, Mapping) and item.get("type") == "temp":
                    folder, name = str(item.get("subfolder") or ""), item.get("filename")
                    if isinstance(name, str) and _is_plain(folder, name):
                        found.append((folder, name))
    return tuple(found)


def _raise_failure(status: Mapping[str, Any], *, stop_asked: bool) -> None:
    # Interrupted and failed look alike but for the last message.
    for kind, data in reversed(status.get("messages") or []):
        if kind == "execution_error":
            raise failure_of(data)
        if kind == "execution_interrupted":
            if stop_asked:
                raise RenderInterrupted
            raise EngineFailed("The render was interrupted from outside.")
    raise EngineFailed


def _outputs(outputs: Mapping[str, Any], folder: str) -> Iterator[EngineFile]:
    """Walk every list of every node: video is under "images", and the keys are no fixed set."""
    seen: set[tuple[str, str]] = set()
    for node_id, lists in outputs.items():
        if not isinstance(lists, Mapping):
            continue
        texts = 0
        for key, items in lists.items():
            if not isinstance(items, list):
                continue
            for item in items:
                if isinstance(item, str) and key == "text":
                    texts += 1
                    yield _text(node_id, texts, item)
                elif isinstance(item, Mapping) and isinstance(item.get("filename"), str):
                    file = _file(node_id, item, folder)
                    if file is not None and (file.reference["subfolder"], file.name) not in seen:
                        seen.add((file.reference["subfolder"], file.name))
                        yield file


def _file(node_id: str, item: Mapping[str, Any], folder: str) -> EngineFile | None:
    if item.get("type") != "output":  # previews and inputs are not delivered
        return None
    subfolder, name = str(item.get("subfolder") or ""), item["filename"]
    inside = subfolder == folder or subfolder.startswith(f"{folder}/")
    if not inside or not _is_plain(subfolder, name):
        # Another render's file, handed out by ComfyUI's cache, or a node that chose its own
        # place: never delivered.
        _log.warning("comfyui.foreign_output_skipped", node_id=node_id)
        return None
    return EngineFile(
        node_id=node_id,
        name=name,
        reference={"filename": name, "subfolder": subfolder, "type": "output"},
        kind=MediaKind.FILE,
    )


def _is_plain(folder: str, name: str) -> bool:
    """Whether a folder and a file name stay where they seem to be."""
    if "\\" in folder + name or "/" in name or name in {"", ".", ".."}:
        return False
    inside = not folder.startswith("/") and ".." not in folder.split("/")
    return not folder or (inside and posixpath.normpath(folder) == folder)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(node_id: str, number: int, text: str) -> EngineFile:
    if len(text.encode("utf-8", "replace")) > limits.MAX_TEXT_OUTPUT_BYTES:
        raise NodeError(
            f"Node {node_id} made a text of more than {limits.MAX_TEXT_OUTPUT_BYTES} bytes.",
            node_id=node_id,
        )
    plain_id = "".join(char if char.isalnum() else "_" for char in node_id)
    return EngineFile(
        node_id=node_id,
        name=f"text_{plain_id}_{number}.txt",
        reference={},
        kind=MediaKind.TEXT,
        text=text,
    )
