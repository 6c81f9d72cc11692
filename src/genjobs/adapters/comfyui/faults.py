"""
What an exception of a node means for the machine: nothing, too little memory, or a broken device.

The one place that knows PyTorch's words for it. What is shown to a customer is in ``messages``.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final


class Fault(StrEnum):
    """What failed."""

    #: The node, by what it was given.
    NODE = "node"
    #: There is not enough memory for what the workflow asks; another attempt would end alike.
    MEMORY = "memory"
    #: The device's context is lost: every later render of this process would fail.
    DEVICE = "device"


#: PyTorch's, Python's own and NumPy's.
_MEMORY_TYPES: Final = frozenset({"OutOfMemoryError", "MemoryError", "_ArrayMemoryError"})
_MEMORY: Final = re.compile(
    r"out of memory|can't allocate memory|not enough memory|CUBLAS_STATUS_ALLOC_FAILED"
    r"|CUDNN_STATUS_ALLOC_FAILED",
    re.IGNORECASE,
)
#: PyTorch's own class for what a device reports by itself.
_DEVICE_TYPES: Final = frozenset({"AcceleratorError"})
_DEVICE: Final = re.compile(
    r"\b(CUDA|HIP) (driver )?error\b|device-side assert|illegal memory access"
    r"|unspecified launch failure|misaligned address|uncorrectable ECC|Triton Error \[CUDA\]"
    r"|CU(BLAS|DNN|FFT|SOLVER|SPARSE)_STATUS_(EXECUTION_FAILED|INTERNAL_ERROR|NOT_INITIALIZED"
    r"|MAPPING_ERROR)|NVML_SUCCESS == r|No CUDA GPUs are available|GPU is lost",
    re.IGNORECASE,
)


def fault_of(exception_type: str, message: str) -> Fault:
    """Return what an exception of this type, perhaps with its module, and message stands for."""
    kind = exception_type.rpartition(".")[2]
    # Memory first: the device reports its lack as an error of its own, too.
    if kind in _MEMORY_TYPES or _MEMORY.search(message):
        return Fault.MEMORY
    if kind in _DEVICE_TYPES or _DEVICE.search(message):
        return Fault.DEVICE
    return Fault.NODE
