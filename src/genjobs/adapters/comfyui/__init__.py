"""The ``WorkflowEngine`` port over a real ComfyUI (v0.26) by HTTP and WebSocket."""

from __future__ import annotations

from genjobs.adapters.comfyui.engine import ComfyUIEngine
from genjobs.adapters.comfyui.patience import Patience

__all__ = ["ComfyUIEngine", "Patience"]
