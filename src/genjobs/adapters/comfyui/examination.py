"""Looking at a ComfyUI as it is, for examinations: whether it answers, and which version it is."""

from __future__ import annotations

from datetime import timedelta

from genjobs.adapters.comfyui.client import ComfyUIClient, Unreachable
from genjobs.domain.ports import NotReached


async def look_at(url: str, *, limit: timedelta) -> str | NotReached:
    """Return the version that a ComfyUI says of itself, ``unknown`` if none; or why it does not."""
    client = ComfyUIClient(url, answer=limit)
    try:
        return await client.version() or "unknown"
    except Unreachable as exc:
        return NotReached(code="comfyui_unreachable", seen=str(exc))
    finally:
        await client.close()
