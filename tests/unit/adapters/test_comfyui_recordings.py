"""The ComfyUI adapter over every recording of the real server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from genjobs.adapters.comfyui.messages import failure_of, refusal_of
from genjobs.adapters.comfyui.progress import ProgressTracker
from genjobs.adapters.comfyui.results import result_of
from genjobs.domain.catalogue import NodeCatalogue
from genjobs.domain.errors import (
    EngineFailed,
    GenjobsError,
    NodeError,
    NoOutput,
    OutOfMemory,
    RenderInterrupted,
)
from genjobs.domain.ids import ExecutionId
from genjobs.domain.workflow import parse_workflow

DATA = Path(__file__).parents[2] / "data" / "comfyui"
_FORBIDDEN = ("/", "\\", "Traceback", 'File "', ".py", ".safetensors", "site-packages", "[Errno")


def recorded(name: str) -> Any:
    return json.loads((DATA / name).read_text())


def entry_of(name: str) -> tuple[ExecutionId, dict[str, Any]]:
    content = recorded(name)
    if "status" in content:
        return ExecutionId(UUID(content["prompt"][1])), content
    [(prompt_id, entry)] = content.items()
    return ExecutionId(UUID(prompt_id)), entry


def every_public_message() -> list[tuple[str, GenjobsError]]:
    found: list[tuple[str, GenjobsError]] = []
    for name, sample in recorded("prompt_errors.json").items():
        found.append((name, refusal_of(sample["response"])))
    for path in sorted(DATA.glob("history*.json")):
        execution_id, entry = entry_of(path.name)
        try:
            result_of(entry, execution_id, stop_asked=False)
        except GenjobsError as exc:
            found.append((path.name, exc))
    for path in sorted(DATA.glob("ws_*.jsonl")):
        for line in path.read_text().splitlines():
            message = json.loads(line).get("msg")
            if isinstance(message, dict) and message.get("type") == "execution_error":
                found.append((path.name, failure_of(message["data"])))
    return found


def test_no_public_message_carries_what_is_the_servers() -> None:
    messages = every_public_message()

    assert len(messages) > 20
    for source, error in messages:
        for text in (error.message, error.node_id or "", error.node_class or ""):
            for forbidden in _FORBIDDEN:
                assert forbidden not in text, (source, text)


def test_refusals_name_the_node_and_the_input() -> None:
    samples = recorded("prompt_errors.json")
    missing_model = refusal_of(samples["missing model"]["response"])
    assert (missing_model.node_id, missing_model.node_class) == ("4", "CheckpointLoaderSimple")
    assert "ckpt_name" in missing_model.message
    unknown = refusal_of(samples["unknown node"]["response"])
    assert unknown.node_class == "NopeNode"
    assert refusal_of("500 Internal Server Error").code == "workflow_refused"


def test_error_and_interrupt_are_told_apart() -> None:
    execution_id, entry = entry_of("history_error.json")
    with pytest.raises(NodeError) as failed:
        result_of(entry, execution_id, stop_asked=False)
    assert (failed.value.node_id, failed.value.node_class) == ("1", "LoadImage")

    execution_id, entry = entry_of("history_interrupted.json")
    with pytest.raises(RenderInterrupted):
        result_of(entry, execution_id, stop_asked=True)
    with pytest.raises(EngineFailed):
        result_of(entry, execution_id, stop_asked=False)


def test_allocation_failure_is_out_of_memory() -> None:
    execution_id, entry = entry_of("history_alloc_error_cpu.json")
    with pytest.raises(OutOfMemory):
        result_of(entry, execution_id, stop_asked=False)


@pytest.mark.parametrize(
    "kind",
    [
        "torch.OutOfMemoryError",
        "torch.cuda.OutOfMemoryError",
        "MemoryError",
        "numpy._core._exceptions._ArrayMemoryError",
    ],
)
def test_cuda_out_of_memory_is_recognised(kind: str) -> None:
    error = {"node_id": "3", "node_type": "KSampler", "exception_type": kind}
    assert isinstance(failure_of(error), OutOfMemory)


def test_accelerator_error_for_want_of_memory_is_recognised() -> None:
    error = {
        "exception_type": "torch.AcceleratorError",
        "exception_message": "CUDA error: out of memory\nCompile with TORCH_USE_CUDA_DSA.",
    }
    assert isinstance(failure_of(error), OutOfMemory)


def test_plain_reason_of_a_node_is_passed_on() -> None:
    text = "mat1 and mat2 shapes cannot be multiplied (77x2048 and 768x320)"
    error = {"node_id": "3", "exception_type": "RuntimeError", "exception_message": f"{text}\nmore"}
    assert failure_of(error).message == f"Node 3 failed with RuntimeError: {text}"


@pytest.mark.parametrize(
    "text",
    [
        "Cannot connect to host cache:6379 ssl:default",
        "Cannot connect to fe80::1",
        "Invalid API key abc",
        "wrong password hunter2",
        "Unknown model foo, available: a, b, c",
        "sampler x not in euler, heun",
        "no file 0123456789abcdef0123456789abcdef",
    ],
)
def test_reason_that_may_tell_of_the_server_is_not_passed_on(text: str) -> None:
    error = {"node_id": "3", "exception_type": "ValueError", "exception_message": text}
    assert failure_of(error).message == "Node 3 failed with ValueError"


@pytest.mark.parametrize(
    "name",
    ["history_success.json", "history_cached.json", "history_cached_but_file_deleted.json"],
)
def test_file_outside_the_renders_own_folder_is_never_delivered(name: str) -> None:
    # The recordings saved elsewhere ("tenA/x"): as another tenant's cached file would look.
    execution_id, entry = entry_of(name)
    with pytest.raises(NoOutput):
        result_of(entry, execution_id, stop_asked=False)


def test_cached_without_outputs_is_no_output() -> None:
    execution_id, entry = entry_of("history_cached_no_client_id.json")
    with pytest.raises(NoOutput):
        result_of(entry, execution_id, stop_asked=False)


def test_video_under_images_audio_and_text_are_found_and_temp_is_not() -> None:
    execution_id = ExecutionId(UUID(int=7))
    folder = f"genjobs/{execution_id}"

    def file(name: str, **parts: str) -> dict[str, str]:
        return {"filename": name, "subfolder": folder, "type": "output", **parts}

    outputs = {
        "1": {"images": [file("v.mp4")], "animated": [True]},
        "2": {"audio": [file("a.flac", subfolder=f"{folder}/deep")]},
        "3": {"text": ["hello"]},
        "4": {"images": [file("t.png", type="temp"), file("v.mp4")]},
        "5": {"images": [file("up.png", subfolder=f"{folder}/../x"), file("../up.png")]},
        "6": {"images": [file("b.png", subfolder=f"{folder}0")]},
        "7": "nonsense",
    }
    rendered = result_of(
        {"status": {"status_str": "success"}, "outputs": outputs}, execution_id, stop_asked=False
    )

    assert [item.name for item in rendered.outputs] == ["v.mp4", "a.flac", "text_3_1.txt"]


@pytest.mark.parametrize(
    "name",
    [
        "ws_success.jsonl",
        "ws_progress_ksampler.jsonl",
        "ws_interrupted.jsonl",
        "ws_reconnect.jsonl",
    ],
)
def test_progress_over_a_recorded_socket_never_goes_back(name: str) -> None:
    graph = recorded("history_success.json" if "success" in name else "history_interrupted.json")
    [entry] = graph.values()
    document = entry["prompt"][2]
    for node in document.values():  # the recorded one took more steps than a workflow may
        if "steps" in node["inputs"]:
            node["inputs"]["steps"] = 20
    tracker = ProgressTracker(parse_workflow(document, NodeCatalogue()))
    fractions = []
    for line in (DATA / name).read_text().splitlines():
        message = json.loads(line).get("msg")
        if isinstance(message, dict):
            progress = tracker.fold(message["type"], message["data"])
            if progress is not None:
                fractions.append(progress.fraction)

    assert len(fractions) > 5
    assert fractions == sorted(fractions)
    assert 0.0 <= fractions[0] <= fractions[-1] <= 1.0
    if name == "ws_success.jsonl":
        assert fractions[-1] == 1.0
