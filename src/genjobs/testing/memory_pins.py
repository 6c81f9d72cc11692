"""Sources of pins in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from genjobs.domain.errors import NotFound, Unavailable
from genjobs.domain.pins import ImageRead, ModelRead


@dataclass(slots=True)
class MemoryPinSources:
    """The ``PinSources`` port on dictionaries; what is put there last is the newest."""

    #: By name, and tag or digest.
    images: dict[tuple[str, str], ImageRead] = field(default_factory=dict)
    #: By URL and reference.
    commits: dict[tuple[str, str], str] = field(default_factory=dict)
    #: By repository and file, oldest first.
    models: dict[tuple[str, str], list[ModelRead]] = field(default_factory=dict)
    #: Nothing answers.
    down: bool = False
    #: What was asked for, in order.
    asked: list[str] = field(default_factory=list)

    def put_image(self, name: str, tag: str, found: ImageRead) -> None:
        """Let a tag lead to an image, which stays there by its digest as well."""
        self.images[name, tag] = self.images[name, found.digest] = found

    async def image(self, name: str, reference: str) -> ImageRead:
        """See the port."""
        self._ask(f"{name} {reference}")
        if (name, reference) not in self.images:
            raise NotFound(f"there is no {name} {reference}")
        return self.images[name, reference]

    async def commit(self, url: str, ref: str) -> str:
        """See the port."""
        self._ask(f"{url} {ref}")
        if (url, ref) not in self.commits:
            raise NotFound(f"{url} has no {ref}")
        return self.commits[url, ref]

    async def model(self, repository: str, file: str, revision: str | None) -> ModelRead:
        """See the port."""
        self._ask(f"{repository} {file} {revision}")
        for found in reversed(self.models.get((repository, file), [])):
            if revision in {None, found.revision}:
                return found
        raise NotFound(f"there is no {file} of {repository}")

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.down:
            raise Unavailable(f"nobody answers about {what}")
