"""ComfyUI's HTTP routes: one call each, with a time-out, a size limit and an outcome."""

from __future__ import annotations

import asyncio
import json
import tempfile
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import IO, Any, Final, TypeGuard

import httpx

from genjobs.domain.errors import EngineFailed, NoOutput

_MAX_JSON: Final = 64 * 1024 * 1024
_CHUNK: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A status and its JSON body (None when the body is not JSON)."""

    status: int
    body: Any


class Unreachable(Exception):
    """No answer: connection refused, cut or timed out; ``refused`` when nobody listens."""

    def __init__(self, reason: str, *, refused: bool) -> None:
        super().__init__(reason)
        self.refused = refused


class ComfyUIClient:
    """Calls one ComfyUI."""

    def __init__(self, url: str, *, answer: timedelta) -> None:
        # Code that holds Python's lock freezes ComfyUI's server for ten seconds and more.
        seconds = answer.total_seconds()
        self._whole_answer = 2 * seconds
        self._http = httpx.AsyncClient(
            base_url=url,
            timeout=httpx.Timeout(connect=5.0, read=seconds, write=60.0, pool=10.0),
            trust_env=False,
            follow_redirects=False,
            limits=httpx.Limits(max_connections=20, keepalive_expiry=30.0),
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def submit(self, prompt: Mapping[str, Any], prompt_id: str, client_id: str) -> Answer:
        """Queue a prompt; it is not idempotent, so nobody may repeat it blindly."""
        body = {"prompt": prompt, "prompt_id": prompt_id, "client_id": client_id}
        return await self._call("POST", "/prompt", body)

    async def history(self, prompt_id: str) -> Mapping[str, Any] | None:
        """Return the history entry of an ended prompt, None while there is none."""
        answer = await self._call("GET", f"/history/{prompt_id}")
        if answer.status != 200 or not isinstance(answer.body, dict):
            raise Unreachable(f"/history answered {answer.status}", refused=False)
        found = answer.body.get(prompt_id)
        return found if isinstance(found, dict) else None

    async def is_queued(self, prompt_id: str) -> bool:
        """Whether a prompt waits or runs."""
        answer = await self._call("GET", "/queue")
        if answer.status != 200 or not isinstance(answer.body, dict):
            raise Unreachable(f"/queue answered {answer.status}", refused=False)
        return any(
            isinstance(item, list) and prompt_id in item[1:2]
            for key in ("queue_running", "queue_pending")
            for item in answer.body.get(key) or ()
        )

    async def cancel(self, prompt_id: str) -> None:
        """Ask for this prompt, and no other, to be stopped; the answer proves nothing."""
        answer = await self._call("POST", f"/api/jobs/{prompt_id}/cancel", {})
        if answer.status == 404:  # before 0.26: dequeue it, or interrupt it if it is running
            await self._call("POST", "/queue", {"delete": [prompt_id]})
            await self._call("POST", "/interrupt", {"prompt_id": prompt_id})

    async def free(self) -> None:
        """Ask for models and cached results to be dropped, once nothing runs."""
        await self._call("POST", "/free", {"unload_models": True, "free_memory": True})

    async def forget(self, prompt_id: str) -> None:
        """Remove a prompt from the history."""
        await self._call("POST", "/history", {"delete": [prompt_id]})

    async def alive(self) -> None:
        """Raise ``Unreachable`` unless the server answers."""
        answer = await self._call("GET", "/system_stats")
        if answer.status != 200:
            raise Unreachable(f"answered {answer.status}", refused=False)

    async def version(self) -> str | None:
        """Return what the server says that it is, None if it does not; raises as ``alive``."""
        answer = await self._call("GET", "/system_stats")
        if answer.status != 200:
            raise Unreachable(f"answered {answer.status}", refused=False)
        system = answer.body.get("system") if isinstance(answer.body, dict) else None
        said = system.get("comfyui_version") if isinstance(system, dict) else None
        return said[:40] if isinstance(said, str) else None

    async def upload(self, folder: str, filename: str, chunks: AsyncIterator[bytes]) -> str:
        """Store an input file and return the name that nodes use; raises ``EngineFailed``."""
        with tempfile.TemporaryFile() as spool:
            # Through a file: multipart bodies are read from one, and memory stays flat.
            async for chunk in chunks:
                await asyncio.to_thread(spool.write, chunk)
            spool.seek(0)
            answer = await self._upload(folder, filename, spool)
        if answer.status != 200 or not isinstance(answer.body, dict):
            raise EngineFailed("ComfyUI did not take an input file.")
        subfolder, name = answer.body.get("subfolder"), answer.body.get("name")
        if subfolder != folder or name != filename:
            raise EngineFailed("ComfyUI stored an input file under another name.")
        return f"{folder}/{filename}"

    async def _upload(self, folder: str, filename: str, file: IO[bytes]) -> Answer:
        try:
            response = await self._http.post(
                "/upload/image",
                files={"image": (filename, file, "application/octet-stream")},
                data={"subfolder": folder, "type": "input", "overwrite": "true"},
            )
        except httpx.RequestError as exc:
            raise EngineFailed("ComfyUI cannot be reached.") from exc
        return _answer(response.status_code, response.content)

    @asynccontextmanager
    async def view(self, reference: Mapping[str, str]) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open an output file; ``NoOutput`` when there is none, ``EngineFailed`` otherwise."""
        request = self._http.build_request("GET", "/view", params=dict(reference))
        try:
            response = await self._http.send(request, stream=True)
        except httpx.RequestError as exc:
            raise EngineFailed("ComfyUI cannot be reached.") from exc
        try:
            if response.status_code == 404:
                raise NoOutput("ComfyUI reported an output file that it does not have.")
            if response.status_code != 200:
                raise EngineFailed("ComfyUI did not deliver an output file.")
            async with aclosing(_chunks(response)) as chunks:
                yield chunks
        finally:
            await response.aclose()

    async def _call(self, method: str, path: str, body: object = None) -> Answer:
        try:
            async with (
                asyncio.timeout(self._whole_answer),
                self._http.stream(method, path, json=body) as response,
            ):
                content = bytearray()
                async for chunk in response.aiter_bytes():
                    content += chunk
                    if len(content) > _MAX_JSON:
                        raise Unreachable(f"{path} answered too much", refused=False)
                return _answer(response.status_code, bytes(content))
        except httpx.ConnectError as exc:
            raise Unreachable(type(exc).__name__, refused=True) from exc
        except (httpx.RequestError, TimeoutError) as exc:
            raise Unreachable(type(exc).__name__, refused=False) from exc


def is_uuid(value: object) -> TypeGuard[str]:
    """Whether ``value`` is a UUID in the form ComfyUI takes, so that it fits into a path."""
    try:
        return isinstance(value, str) and str(uuid.UUID(value)) == value
    except ValueError:
        return False


async def _chunks(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    # Translated here and not around the block of who reads: its failures are its own.
    try:
        async for chunk in response.aiter_bytes(_CHUNK):
            yield chunk
    except httpx.RequestError as exc:
        raise EngineFailed("ComfyUI cannot be reached.") from exc


def _answer(status: int, content: bytes) -> Answer:
    try:
        return Answer(status=status, body=json.loads(content))
    except ValueError:
        return Answer(status=status, body=None)
