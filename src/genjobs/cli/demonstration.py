"""
The demo: everything on this machine, and one job with an input picture over HTTP.

It is a client of the API like any other; nothing is short-circuited.
"""

from __future__ import annotations

import asyncio
import base64
import io
import sys
from pathlib import Path
from typing import Any, Final

import httpx
from PIL import Image

from genjobs import bootstrap
from genjobs.cli import serving
from genjobs.domain.errors import ConfigurationError
from genjobs.settings import Settings

_USER: Final = "demo-user"
_POLL_SECONDS: Final = 0.2
_LIMIT_SECONDS: Final = 600.0
_MODEL: Final = "tiny_sd15.safetensors"


async def run(settings: Settings, *, port: int, once: bool, quiet: bool) -> dict[str, Any] | None:
    """
    Run the demo and return the final job; None when it was stopped before.

    Raises:
        ConfigurationError: the settings are those of production, or the port is taken.
    """
    if settings.env == "production":
        raise ConfigurationError("the demo is not for production")
    shown = Screen(quiet=quiet)
    shown.say("starting Postgres, API, worker and supervisor ...")
    final: dict[str, Any] | None = None
    client: asyncio.Task[None] | None = None

    async def visit(base_url: str, stop: asyncio.Event) -> None:
        nonlocal final
        try:
            final = await _job(settings, base_url, shown)
        finally:
            if once or final is None:
                stop.set()
        if not once:
            shown.say("still serving; stop it with Ctrl-C")

    def ready(base_url: str, stop: asyncio.Event) -> None:
        nonlocal client
        client = asyncio.create_task(visit(base_url, stop))

    await serving.serve(
        settings,
        host="127.0.0.1",
        port=port,
        worker=True,
        supervisor=True,
        ingester=True,
        ready=ready,
    )
    if client is not None:
        client.cancel()
        results = await asyncio.gather(client, return_exceptions=True)
        if isinstance(results[0], Exception):
            raise results[0]
    return final


async def _job(settings: Settings, base_url: str, shown: Screen) -> dict[str, Any]:
    key = bootstrap.api_key(settings)
    shown.say(f"API at {base_url} (documented at {base_url}/docs), key {key}")
    async with httpx.AsyncClient(
        base_url=base_url,
        headers={"Authorization": f"Bearer {key}"},
        timeout=30,
        trust_env=False,
    ) as http:
        answer = await http.post("/v1/jobs", json=sample_job(settings))
        answer.raise_for_status()
        job: dict[str, Any] = answer.json()
        shown.say(f"submitted {job['id']} for {_USER}, with an input picture")
        async with asyncio.timeout(_LIMIT_SECONDS):
            job = await _watch(http, job, shown)
        if job["status"] != "completed":
            shown.say(f"{job['status']}: {(job['error'] or {}).get('message')}")
            return job
        for output in job["outputs"]:
            path = await _download(http, output, settings.data_directory / "demo")
            shown.say(f"output {path} ({output['content_type']}, {output['bytes']} bytes)")
            shown.say(f"signed URL {output['url']}")
        return job


async def _watch(http: httpx.AsyncClient, job: dict[str, Any], shown: Screen) -> dict[str, Any]:
    etag = ""
    while job["status"] in {"queued", "running"}:
        await asyncio.sleep(_POLL_SECONDS)
        answer = await http.get(
            job["urls"]["self"], params={"user_id": _USER}, headers={"If-None-Match": etag}
        )
        if answer.status_code == 304:
            continue
        answer.raise_for_status()
        etag = answer.headers["etag"]
        job = answer.json()
        shown.progress(job)
    shown.end_progress()
    return job


async def _download(http: httpx.AsyncClient, output: dict[str, Any], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{output['id']}{Path(output['name']).suffix}"
    async with http.stream("GET", output["url"]) as answer:
        answer.raise_for_status()
        with path.open("wb") as file:
            async for chunk in answer.aiter_bytes():
                file.write(chunk)
    return path.resolve()


def sample_job(settings: Settings) -> dict[str, Any]:
    """Return the request of the demo: a picture, blended with a sampled one where there is one."""
    nodes: dict[str, Any] = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "photo.png"}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "9": {
            "class_type": "SaveImage",
            "inputs": {"images": ["2", 0], "filename_prefix": "demo"},
        },
    }
    if settings.comfyui_url.startswith("simulator:"):
        nodes |= _sampler_nodes()
        nodes["9"]["inputs"]["images"] = ["8", 0]
    return {
        "user_id": _USER,
        "workflow": nodes,
        "media": [{"name": "photo.png", "data": base64.b64encode(sample_picture()).decode()}],
        "metadata": {"source": "demo"},
    }


def _sampler_nodes() -> dict[str, Any]:
    text = {"clip": ["3", 1]}
    return {
        "3": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": _MODEL}},
        "4": {"class_type": "CLIPTextEncode", "inputs": {"text": "a lighthouse", **text}},
        "5": {"class_type": "CLIPTextEncode", "inputs": {"text": "", **text}},
        "6": {
            "class_type": "EmptyLatentImage",
            "inputs": {"width": 256, "height": 256, "batch_size": 1},
        },
        "7": {
            "class_type": "KSampler",
            "inputs": {
                "seed": 7,
                "steps": 30,
                "cfg": 7.0,
                "sampler_name": "euler",
                "scheduler": "normal",
                "denoise": 1.0,
                "model": ["3", 0],
                "positive": ["4", 0],
                "negative": ["5", 0],
                "latent_image": ["6", 0],
            },
        },
        "10": {"class_type": "VAEDecode", "inputs": {"samples": ["7", 0], "vae": ["3", 2]}},
        "8": {
            "class_type": "ImageBlend",
            "inputs": {
                "image1": ["2", 0],
                "image2": ["10", 0],
                "blend_factor": 0.35,
                "blend_mode": "normal",
            },
        },
    }


def sample_picture() -> bytes:
    """Return a PNG of 256 x 256: two gradients, so that an inversion is easy to see."""
    red = Image.linear_gradient("L")
    picture = Image.merge("RGB", (red, red.rotate(90), Image.radial_gradient("L")))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


class Screen:
    """Tells people what happens, on standard error; rewrites the progress line on a terminal."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._live = sys.stderr.isatty()
        self._last = ""

    def say(self, text: str) -> None:
        """Print one line."""
        if not self._quiet:
            print(f"demo: {text}", file=sys.stderr, flush=True)  # noqa: T201

    def progress(self, job: dict[str, Any]) -> None:
        """Show how far the job is."""
        progress = job["progress"]
        text = f"{job['status']}"
        if job["phase"]:
            text += f" / {job['phase']}"
        if progress:
            filled = round(progress["fraction"] * 30)
            text += (
                f" [{'#' * filled:30}] {progress['fraction']:4.0%} {progress['node_class'] or ''}"
            )
            if progress["step"] is not None:
                text += f" step {progress['step']}/{progress['steps']}"
        if self._quiet or text == self._last:
            return
        self._last = text
        if self._live:
            print(f"\r\x1b[2Kdemo: {text}", end="", file=sys.stderr, flush=True)  # noqa: T201
        else:
            self.say(text)

    def end_progress(self) -> None:
        """Leave the progress line."""
        if self._live and not self._quiet:
            print(file=sys.stderr)  # noqa: T201
