"""A registry of images and a hub of models that answer in this process, and a git repository."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx

REGISTRY = "registry-1.docker.io"
TOKENS = "tokens.example.com"
BLOBS = "blobs.example.com"
HUB = "hub.example.com"
#: What the registry gives everybody.
TOKEN = "of-everybody"
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def as_json(document: Any) -> bytes:
    return json.dumps(document).encode()


@dataclass(slots=True)
class Places:
    """The scene of the contract; ``spoil`` changes an answer on its way out."""

    folder: Path
    image: str = "python"
    model: str = "owner/tiny"
    content: dict[str, bytes] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    revisions: dict[str, dict[str, Any]] = field(default_factory=dict)
    down: bool = False
    spoil: Callable[[httpx.Request, httpx.Response], httpx.Response] | None = None
    requests: list[httpx.Request] = field(default_factory=list)

    # -- images -------------------------------------------------------------------------------

    def keep(self, document: Any) -> str:
        content = as_json(document)
        self.content[digest_of(content)] = content
        return digest_of(content)

    def put_image(self, tag: str, python: str | None) -> str:
        variables = ["PATH=/usr/local/bin"] + ([f"PYTHON_VERSION={python}"] if python else [])
        config = self.keep({"architecture": "amd64", "config": {"Env": variables}})
        manifest = self.keep({"mediaType": MANIFEST, "config": {"digest": config}, "layers": []})
        other = self.keep({"mediaType": MANIFEST, "config": {"digest": "sha256:" + "1" * 64}})
        platforms = [(other, "linux", "arm64"), (manifest, "linux", "amd64")]
        self.tags[tag] = self.keep(
            {
                "mediaType": INDEX,
                "manifests": [
                    {"digest": digest, "platform": {"os": system, "architecture": machine}}
                    for digest, system, machine in platforms
                ],
            }
        )
        return self.tags[tag]

    def registry(self, request: httpx.Request) -> httpx.Response:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            scope = "repository:library/python:pull"
            challenge = f'Bearer realm="https://{TOKENS}/token",service="images",scope="{scope}"'
            return httpx.Response(401, headers={"WWW-Authenticate": challenge})
        prefix, kind, what = request.url.path.rsplit("/", 2)
        digest = what if kind == "blobs" else self.tags.get(what, what)
        if prefix != "/v2/library/python" or digest not in self.content:
            return httpx.Response(404)
        if kind == "blobs":
            return httpx.Response(307, headers={"Location": f"https://{BLOBS}/{digest}"})
        assert INDEX in request.headers["Accept"]
        headers = {"Docker-Content-Digest": digest}
        return httpx.Response(200, headers=headers, content=self.content[digest])

    # -- repositories -------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return str(self.folder / "repository")

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")
        command = ("git", "-C", self.url, *identity, *arguments)
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
        return done.stdout.strip()

    def put_commit(self, ref: str) -> str:
        if not Path(self.url).exists():
            Path(self.url).mkdir()
            self.git("init", "-q")
        self.git("commit", "-q", "--allow-empty", "-m", "one more")
        commit = self.git("rev-parse", "HEAD")
        if ref.startswith("refs/tags/"):  # an object of its own that leads to the commit
            self.git("tag", "-a", "-m", "a tag", ref.removeprefix("refs/tags/"))
        else:
            self.git("update-ref", ref, commit)
        return commit

    # -- models -------------------------------------------------------------------------------

    def put_model(self, file: str, content: bytes, licence: str | None) -> str:
        revision = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        sha256 = hashlib.sha256(content).hexdigest()
        kept = {"sha256": sha256, "size": len(content), "pointerSize": 134}
        self.revisions[revision] = {
            "sha": revision,
            "siblings": [{"rfilename": "README.md"}, {"rfilename": file, "lfs": kept}],
            "cardData": {"license": licence} if licence else None,
        }
        return revision

    def hub(self, request: httpx.Request) -> httpx.Response:
        assert "Authorization" not in request.headers
        name, _, revision = request.url.path.removeprefix("/api/models/").partition("/revision/")
        if unquote(name) != self.model:
            return httpx.Response(401)
        found = self.revisions.get(revision) if revision else [*self.revisions.values()][-1]
        return httpx.Response(200, json=found) if found else httpx.Response(404)

    # -- all of them --------------------------------------------------------------------------

    def take_down(self) -> None:
        self.down = True
        shutil.rmtree(self.url)

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.down:
            raise httpx.ConnectError("nobody is there", request=request)
        match request.url.host:
            case "registry-1.docker.io":
                answer = self.registry(request)
            case "tokens.example.com":
                assert request.url.params["service"] == "images"
                answer = httpx.Response(200, json={"token": TOKEN})
            case "blobs.example.com":
                assert "Authorization" not in request.headers
                answer = httpx.Response(200, content=self.content[request.url.path[1:]])
            case _:
                answer = self.hub(request)
        return answer if self.spoil is None else self.spoil(request, answer)
