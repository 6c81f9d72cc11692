"""
Files of models, by the API of the Hugging Face hub.

The hub keeps large files by their SHA-256 and says it; whoever fetches the file proves it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from genjobs.adapters.pin_sources.asking import Asker
from genjobs.domain.errors import NotFound, Unavailable
from genjobs.domain.pins import ModelRead

_HASH: Final = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ModelHub:
    """Reads what everybody may read; no token is sent."""

    asker: Asker
    #: Address without a slash at its end.
    url: str

    async def read(self, repository: str, file: str, revision: str | None) -> ModelRead:
        """See the port."""
        url = f"{self.url}/api/models/{quote(repository)}"
        if revision is not None:
            url += f"/revision/{quote(revision, safe='')}"
        answer = await self.asker.get(url, params={"blobs": "true"}, follow=True)
        if answer.status in {401, 403, 404}:
            raise NotFound(f"{answer.host} has no {repository} that everybody may read")
        document = answer.document()
        found = document.get("sha")
        if not isinstance(found, str) or revision not in {None, found}:
            raise Unavailable(f"{answer.host} answered with another revision")
        sha256, size = _large_file(document, file, f"{repository} at {answer.host}")
        return ModelRead(revision=found, sha256=sha256, bytes=size, licence=_licence(document))


def _large_file(document: dict[str, Any], file: str, where: str) -> tuple[str, int]:
    siblings = document.get("siblings")
    for sibling in siblings if isinstance(siblings, list) else ():
        if not isinstance(sibling, dict) or sibling.get("rfilename") != file:
            continue
        match sibling.get("lfs"):
            case {"sha256": str(sha256), "size": int(size)} if _HASH.fullmatch(sha256) and size > 0:
                return sha256, size
        raise NotFound(f"{where} keeps {file} without a hash of its content")
    raise NotFound(f"{where} has no {file}")


def _licence(document: dict[str, Any]) -> str | None:
    card = document.get("cardData")
    if not isinstance(card, dict):
        return None
    licence = card.get("license")
    if licence == "other":  # then it has a name of its own
        licence = card.get("license_name")
    return licence if isinstance(licence, str) and licence else None
