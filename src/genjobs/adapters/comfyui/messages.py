"""
ComfyUI's errors in words that may be shown to a customer.

Its own texts carry server paths, tracebacks and lists of installed models, so nothing of them is
passed on unless it is known to be harmless.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from genjobs.adapters.comfyui.faults import Fault, fault_of
from genjobs.domain.errors import DeviceFailed, JobFailure, NodeError, OutOfMemory, WorkflowRefused

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_NODE_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
#: A first line that is passed on: plain words and numbers, nothing that could be part of a path,
#: an address, a quotation of server data or a file name.
_HARMLESS: Final = re.compile(r"[A-Za-z0-9 ,:;()\[\]=*+_-]{1,200}\.?")
#: Signs, in plain words, of an address, a secret, a long identifier or a list of what there is.
_TELLTALE: Final = re.compile(
    r"\w:\w|::|[A-Za-z0-9_-]{25,}|api.?key|\btoken\b|secret|passw|bearer|credential"
    r"|available|installed|choose|choices|options|one of|not in\b|\bsk-",
    re.IGNORECASE,
)

_REFUSALS: Final = {
    "missing_node_type": "There is no such node class here",
    "invalid_prompt": "There is no such node class here",
    "prompt_no_outputs": "The workflow has no output node",
    "no_prompt": "The workflow is empty",
}
_INPUT_REFUSALS: Final = {
    "value_not_in_list": "has a value that is not available here",
    "value_bigger_than_max": "is larger than allowed",
    "value_smaller_than_min": "is smaller than allowed",
    "invalid_input_type": "is of the wrong type",
    "required_input_missing": "is missing",
    "return_type_mismatch": "is linked to an output of another type",
    "dependency_cycle": "depends on itself",
    "custom_validation_failed": "was not accepted by the node",
    "bad_linked_input": "is not a valid link",
}


def failure_of(error: Mapping[str, Any]) -> JobFailure:
    """Return the failure that an ``execution_error`` message stands for."""
    node_id = _matching(_NODE_ID, error.get("node_id"))
    node_class = _matching(_NODE_ID, error.get("node_type"))
    kind = str(error.get("exception_type") or "").rpartition(".")[2]
    text = str(error.get("exception_message") or "")
    match fault_of(kind, text):
        case Fault.MEMORY:
            return OutOfMemory(node_id=node_id, node_class=node_class)
        case Fault.DEVICE:
            return DeviceFailed(node_id=node_id, node_class=node_class)
    reason: str = _matching(_NAME, kind) or "an error"
    first_line = text.strip().partition("\n")[0]
    if _HARMLESS.fullmatch(first_line) and not _TELLTALE.search(first_line):
        reason = f"{reason}: {first_line}"
    return NodeError(
        f"{_node(node_id, node_class)} failed with {reason}",
        node_id=node_id,
        node_class=node_class,
    )


def refusal_of(answer: object) -> WorkflowRefused:
    """Return the refusal that an answer of ``POST /prompt`` stands for."""
    body = answer if isinstance(answer, Mapping) else {}
    for failed_id, found in _mapping(body.get("node_errors")).items():
        node = _mapping(found)
        for item in node.get("errors") or ():  # the first is enough to go on
            return _node_refusal(failed_id, node.get("class_type"), _mapping(item))
    error = _mapping(body.get("error"))
    extra = _mapping(error.get("extra_info"))
    node_id = _matching(_NODE_ID, extra.get("node_id"))
    node_class = _matching(_NODE_ID, extra.get("class_type"))
    refused = _REFUSALS.get(str(error.get("type")), "ComfyUI refused the workflow")
    where = f": {_node(node_id, node_class)}" if node_id else ""
    return WorkflowRefused(f"{refused}{where}.", node_id=node_id, node_class=node_class)


def _node_refusal(node_id: object, node_class: object, item: Mapping[str, Any]) -> WorkflowRefused:
    known_id, known_class = _matching(_NODE_ID, node_id), _matching(_NODE_ID, node_class)
    where = _node(known_id, known_class)
    # Some kinds name the input only in "details", which for others holds server data.
    name = _matching(_NAME, _mapping(item.get("extra_info")).get("input_name"))
    reason = _INPUT_REFUSALS.get(str(item.get("type")))
    if reason is None:
        text = f"{where} was not accepted: its inputs or links are not valid."
    elif name:
        text = f"Input {name} of {where[:1].lower()}{where[1:]} {reason}."
    else:
        text = f"{where}: an input {reason}."
    return WorkflowRefused(text, node_id=known_id, node_class=known_class)


def _node(node_id: str | None, node_class: str | None) -> str:
    if node_id is None:
        return "A node"
    return f"Node {node_id} ({node_class})" if node_class else f"Node {node_id}"


def _matching(pattern: re.Pattern[str], value: object) -> str | None:
    return value if isinstance(value, str) and pattern.fullmatch(value) else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
