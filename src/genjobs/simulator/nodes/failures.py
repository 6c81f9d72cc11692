"""
How the failure of a node is told to the client: with type, message and a server's traceback.

The frames are those recorded from v0.26.0 (paths under ``/comfy``); messages may name real paths
under the base directory. Both are what a client must not pass on to its users.
"""

from __future__ import annotations

from typing import Any

_EXECUTION = (
    '  File "/comfy/execution.py", line 542, in execute\n',
    '  File "/comfy/execution.py", line 341, in get_output_data\n',
    '  File "/comfy/execution.py", line 315, in _async_map_node_over_list\n',
    '  File "/comfy/execution.py", line 303, in process_inputs\n',
)


class NodeFailure(Exception):
    """An exception of a library the simulator does not have, under that library's name."""

    def __init__(self, exception_type: str, message: str, frames: tuple[str, ...]) -> None:
        super().__init__(message)
        self.exception_type = exception_type
        self.frames = frames


def describe_failure(error: Exception) -> dict[str, Any]:
    """Return the members of ``execution_error`` that tell what went wrong."""
    if isinstance(error, NodeFailure):
        name, frames = error.exception_type, error.frames
    else:
        module = type(error).__module__
        name = type(error).__qualname__
        name = name if module == "builtins" else f"{module}.{name}"
        frames = ('  File "/comfy/nodes.py", line 1720, in run\n',)
    return {
        "exception_message": f"{error}\n",
        "exception_type": name,
        "traceback": [*_EXECUTION, *frames],
    }
