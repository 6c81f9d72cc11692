"""What exceptions of nodes mean for the machine, on messages as PyTorch and ComfyUI word them."""

from __future__ import annotations

import pytest

from genjobs.adapters.comfyui.faults import Fault, fault_of
from genjobs.adapters.comfyui.messages import failure_of
from genjobs.domain.errors import DeviceFailed, NodeError, OutOfMemory

_TAIL = (
    "\nCUDA kernel errors might be asynchronously reported at some other API call, so the "
    "stacktrace below might be incorrect.\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1"
    "\nCompile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.\n"
)

DEVICE = [
    ("torch.AcceleratorError", f"CUDA error: device-side assert triggered{_TAIL}"),
    ("RuntimeError", f"CUDA error: device-side assert triggered{_TAIL}"),
    ("RuntimeError", f"CUDA error: an illegal memory access was encountered{_TAIL}"),
    ("torch.AcceleratorError", f"CUDA error: an illegal memory access was encountered{_TAIL}"),
    ("RuntimeError", f"CUDA error: unspecified launch failure{_TAIL}"),
    ("RuntimeError", f"CUDA error: misaligned address{_TAIL}"),
    ("RuntimeError", f"CUDA error: uncorrectable ECC error encountered{_TAIL}"),
    ("RuntimeError", f"CUDA error: unknown error{_TAIL}"),
    (
        "RuntimeError",
        "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx( handle, opa)`",
    ),
    ("RuntimeError", "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    ("RuntimeError", "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"),
    ("RuntimeError", "NVML_SUCCESS == r INTERNAL ASSERT FAILED at CUDACachingAllocator"),
    ("RuntimeError", "No CUDA GPUs are available"),
    ("RuntimeError", "Triton Error [CUDA]: an illegal memory access was encountered"),
    ("RuntimeError", "HIP error: unspecified launch failure"),
    ("RuntimeError", "CUDA driver error: unknown error"),
]
MEMORY = [
    (
        "torch.OutOfMemoryError",
        "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 23.69 GiB "
        "of which 4.12 MiB is free.\nThis error means you ran out of memory on your GPU.\n",
    ),
    ("torch.cuda.OutOfMemoryError", "Allocation on device "),
    ("torch.AcceleratorError", f"CUDA error: out of memory{_TAIL}"),
    ("RuntimeError", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    (
        "RuntimeError",
        "[enforce fail at alloc_cpu.cpp:119] err == 0. DefaultCPUAllocator: can't allocate memory:"
        " you tried to allocate 4398046511104 bytes. Error code 12 (Cannot allocate memory)",
    ),
    ("numpy._core._exceptions._ArrayMemoryError", "Unable to allocate 3.00 TiB for an array"),
    ("MemoryError", ""),
]
NODE = [
    ("RuntimeError", "mat1 and mat2 shapes cannot be multiplied (77x2048 and 768x320)"),
    ("RuntimeError", "Expected all tensors to be on the same device, cuda:0 and cpu!"),
    ("PIL.UnidentifiedImageError", "cannot identify image file"),
    ("AssertionError", "Torch not compiled with CUDA enabled"),
    ("ValueError", "an error of a node that speaks of CUDA and of memory"),
    ("", ""),
]


@pytest.mark.parametrize(
    ("kind", "message", "fault"),
    [(*case, Fault.DEVICE) for case in DEVICE]
    + [(*case, Fault.MEMORY) for case in MEMORY]
    + [(*case, Fault.NODE) for case in NODE],
)
def test_exception_is_known_for_what_it_means(kind: str, message: str, fault: Fault) -> None:
    assert fault_of(kind, message) is fault


@pytest.mark.parametrize(
    ("case", "failure", "retryable"),
    [(DEVICE[0], DeviceFailed, True), (MEMORY[0], OutOfMemory, False), (NODE[0], NodeError, False)],
)
def test_failure_says_which_node_and_nothing_of_the_machine(
    case: tuple[str, str], failure: type[NodeError], retryable: bool
) -> None:
    kind, message = case
    found = failure_of(
        {
            "node_id": "3",
            "node_type": "KSampler",
            "exception_type": kind,
            "exception_message": message,
        }
    )
    assert type(found) is failure
    assert (found.node_id, found.node_class, found.retryable) == ("3", "KSampler", retryable)
    assert "CUDA" not in found.message
