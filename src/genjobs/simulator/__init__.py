"""
A ComfyUI v0.26.0 that needs no GPU: the same HTTP and WebSocket protocol, for demo and tests.

A dozen core nodes are really executed, with Pillow; sampling without a model takes real steps and
draws noise. What the real server does wrong (lost cancels, a cache shared by all, stale sockets,
paths in messages) it does wrong too, and ``Faults`` orders worse. Stands alone: imports nothing
else of genjobs.
"""

from __future__ import annotations

from genjobs.simulator.app import Simulator, create_simulator
from genjobs.simulator.faults import Faults
from genjobs.simulator.server import RunningSimulator, running_simulator, serve_simulator

__all__ = [
    "Faults",
    "RunningSimulator",
    "Simulator",
    "create_simulator",
    "running_simulator",
    "serve_simulator",
]
