"""
Digests of images, by the OCI distribution API.

A registry that wants a token says where to get one; everybody gets one for what is public. What
comes is hashed here: a registry is not taken at its word about a digest.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any, Final

from genjobs.adapters.pin_sources.asking import Answer, Asker
from genjobs.domain.errors import NotFound, Unavailable
from genjobs.domain.pins import ImageRead

_HUB_HOST: Final = "registry-1.docker.io"
_HUB_NAMES: Final = {"docker.io", "index.docker.io", "registry-1.docker.io"}
_INDEXES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFESTS: Final = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_PARAMETER: Final = re.compile(r'(\w+)="([^"]*)"')
_PLATFORM: Final = ("linux", "amd64")


def registry_of(name: str) -> tuple[str, str]:
    """Return host and path of an image's name, as Docker reads it."""
    host, _, path = name.partition("/")
    if not path or not ("." in host or ":" in host or host == "localhost"):
        host, path = "docker.io", name
    if host in _HUB_NAMES:
        return _HUB_HOST, path if "/" in path else f"library/{path}"
    return host, path


@dataclass(frozen=True, slots=True)
class ImageRegistry:
    """Reads images of any registry that speaks the API."""

    asker: Asker
    #: By host and path: what the registry wants to see.
    _tokens: dict[tuple[str, str], str] = field(default_factory=dict)

    async def read(self, name: str, reference: str) -> ImageRead:
        """See the port."""
        host, path = registry_of(name)
        digest, document = await self._manifest(host, path, reference)
        if "manifests" in document:
            _, document = await self._manifest(host, path, _of_platform(document, name))
        config = _digest_in(document.get("config"), host)
        return ImageRead(digest=digest, python=_python(await self._blob(host, path, config)))

    async def _manifest(self, host: str, path: str, reference: str) -> tuple[str, dict[str, Any]]:
        answer = await self._get(
            host, path, f"manifests/{reference}", accept=", ".join(_INDEXES + _MANIFESTS)
        )
        if answer.status in {401, 403, 404}:
            raise NotFound(f"{host} has no {path} {reference} that everybody may read")
        document = answer.document()
        digest = _digest_of(answer.content)
        said = answer.headers.get("Docker-Content-Digest", digest)
        if said != digest or (_DIGEST.fullmatch(reference) and reference != digest):
            raise Unavailable(f"{host} answered with another content than its digest says")
        return digest, document

    async def _blob(self, host: str, path: str, digest: str) -> dict[str, Any]:
        answer = await self._get(host, path, f"blobs/{digest}", follow=True)
        document = answer.document()
        if _digest_of(answer.content) != digest:
            raise Unavailable(f"{host} answered with another content than its digest says")
        return document

    async def _get(
        self, host: str, path: str, what: str, *, accept: str = "*/*", follow: bool = False
    ) -> Answer:
        url = f"https://{host}/v2/{path}/{what}"
        headers = {"Accept": accept}
        if token := self._tokens.get((host, path)):
            headers["Authorization"] = f"Bearer {token}"
        answer = await self.asker.get(url, headers=headers, follow=follow)
        if answer.status == 401 and not token:
            headers["Authorization"] = f"Bearer {await self._token(host, path, answer)}"
            answer = await self.asker.get(url, headers=headers, follow=follow)
        return answer

    async def _token(self, host: str, path: str, refusal: Answer) -> str:
        """Get what a registry wants to see, from where it says that everybody gets it."""
        challenge = refusal.headers.get("WWW-Authenticate", "")
        wanted = dict(_PARAMETER.findall(challenge))
        realm = wanted.pop("realm", "")
        if not challenge.lower().startswith("bearer ") or not realm.startswith("https://"):
            raise Unavailable(f"{host} wants to be asked in a way that is not known here")
        asked = {name: wanted[name] for name in ("service", "scope") if name in wanted}
        asked.setdefault("scope", f"repository:{path}:pull")
        answer = await self.asker.get(realm, params=asked)
        if answer.status in {401, 403}:
            raise NotFound(f"{host} has no {path} that everybody may read")
        document = answer.document()
        token = document.get("token") or document.get("access_token")
        if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
            raise Unavailable(f"{answer.host} gave no token")
        self._tokens[host, path] = token
        return token


def _digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _of_platform(index: dict[str, Any], name: str) -> str:
    manifests = index["manifests"]
    for manifest in manifests if isinstance(manifests, list) else ():
        platform = manifest.get("platform") if isinstance(manifest, dict) else None
        if (
            isinstance(platform, dict)
            and (platform.get("os"), platform.get("architecture")) == _PLATFORM
        ):
            return _digest_in(manifest, name)
    raise NotFound(f"{name} has no image for {'/'.join(_PLATFORM)}")


def _digest_in(descriptor: object, where: str) -> str:
    digest = descriptor.get("digest") if isinstance(descriptor, dict) else None
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise Unavailable(f"{where} answered with something else than expected")
    return digest


def _python(config: dict[str, Any]) -> str | None:
    """Return what images of Python say about themselves in their environment."""
    inner = config.get("config")
    variables = inner.get("Env") if isinstance(inner, dict) else None
    for variable in variables if isinstance(variables, list) else ():
        if isinstance(variable, str) and variable.startswith("PYTHON_VERSION="):
            return variable.partition("=")[2]
    return None
