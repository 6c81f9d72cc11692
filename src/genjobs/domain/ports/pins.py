"""The port to where pins are read: registries of images, git repositories, a hub of models."""

from __future__ import annotations

from typing import Protocol

from genjobs.domain.pins import ImageRead, ModelRead


class PinSources(Protocol):
    """
    Says what a name that may move stands for at this moment. Changes nothing anywhere.

    Every method raises ``NotFound`` when there is no such thing, or none that everybody may read;
    and ``Unavailable`` when a source does not answer in time, answers with too much, or with
    something that contradicts itself. ``ConfigurationError``: what is needed to ask is missing.
    """

    async def image(self, name: str, reference: str) -> ImageRead:
        """
        Return the digest behind a tag, or read what has that digest.

        The image must be one for Linux on x86-64; of an index it is the index's digest.
        """

    async def commit(self, url: str, ref: str) -> str:
        """Return the commit that a reference in full (``refs/tags/v1``) leads to."""

    async def model(self, repository: str, file: str, revision: str | None) -> ModelRead:
        """Return what a file is at a revision; without one, at the newest."""
