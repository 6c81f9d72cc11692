"""The contract of sources of pins."""

from __future__ import annotations

import hashlib
from typing import Protocol

import pytest

from genjobs.domain.errors import NotFound, Unavailable
from genjobs.domain.ports import PinSources

_TAG = "refs/tags/v1"
_FILE = "weights/tiny.safetensors"


class PinScene(Protocol):
    """What there is to be read, by the names it is asked for by."""

    @property
    def image(self) -> str:
        """Name of an image."""

    @property
    def url(self) -> str:
        """URL of a git repository."""

    @property
    def model(self) -> str:
        """Repository of a model."""

    def put_image(self, tag: str, python: str | None) -> str:
        """Let the tag lead to a new image for Linux on x86-64, and return its digest."""

    def put_commit(self, ref: str) -> str:
        """Let the reference lead to a new commit, and return it."""

    def put_model(self, file: str, content: bytes, licence: str | None) -> str:
        """Let the newest revision have the file, and return that revision."""

    def take_down(self) -> None:
        """Let nothing answer any more."""


class PinSourcesContract:
    """Needs the fixtures ``sources`` and ``scene``."""

    @pytest.fixture
    def sources(self) -> PinSources:
        """Return the sources under test."""
        raise NotImplementedError

    @pytest.fixture
    def scene(self) -> PinScene:
        """Return what decides what the sources under test find."""
        raise NotImplementedError

    async def test_tag_is_the_image_that_it_leads_to_now(
        self, sources: PinSources, scene: PinScene
    ) -> None:
        older = scene.put_image("3.11", "3.11.13")
        assert (await sources.image(scene.image, "3.11")).digest == older
        newer = scene.put_image("3.11", "3.11.14")
        found = await sources.image(scene.image, "3.11")
        assert (found.digest, found.python) == (newer, "3.11.14")
        assert older != newer

    async def test_image_is_there_by_its_digest(self, sources: PinSources, scene: PinScene) -> None:
        older = scene.put_image("3.11", "3.11.13")
        scene.put_image("3.11", "3.11.14")
        found = await sources.image(scene.image, older)
        assert (found.digest, found.python) == (older, "3.11.13")

    async def test_image_need_not_say_its_python(
        self, sources: PinSources, scene: PinScene
    ) -> None:
        digest = scene.put_image("bare", None)
        found = await sources.image(scene.image, "bare")
        assert (found.digest, found.python) == (digest, None)

    async def test_image_that_is_not_there_is_not_found(
        self, sources: PinSources, scene: PinScene
    ) -> None:
        scene.put_image("3.11", "3.11.13")
        for reference in ("3.12", "sha256:" + "0" * 64):
            with pytest.raises(NotFound):
                await sources.image(scene.image, reference)

    async def test_reference_is_the_commit_that_it_leads_to_now(
        self, sources: PinSources, scene: PinScene
    ) -> None:
        tagged = scene.put_commit(_TAG)
        older = scene.put_commit("refs/heads/main")
        assert await sources.commit(scene.url, "refs/heads/main") == older
        newer = scene.put_commit("refs/heads/main")
        assert await sources.commit(scene.url, "refs/heads/main") == newer
        assert await sources.commit(scene.url, _TAG) == tagged
        assert len({tagged, older, newer}) == 3

    async def test_reference_that_is_not_there_is_not_found(
        self, sources: PinSources, scene: PinScene
    ) -> None:
        scene.put_commit("refs/heads/main")
        for ref in ("refs/heads/mai", "refs/tags/main", "main"):
            with pytest.raises(NotFound):
                await sources.commit(scene.url, ref)

    async def test_model_is_what_it_is_at_a_revision(
        self, sources: PinSources, scene: PinScene
    ) -> None:
        older = scene.put_model(_FILE, b"older", "apache-2.0")
        newer = scene.put_model(_FILE, b"the newer", None)
        found = await sources.model(scene.model, _FILE, None)
        assert (found.revision, found.bytes, found.licence) == (newer, 9, None)
        assert found.sha256 == hashlib.sha256(b"the newer").hexdigest()
        found = await sources.model(scene.model, _FILE, older)
        assert (found.revision, found.bytes, found.licence) == (older, 5, "apache-2.0")
        assert found.sha256 == hashlib.sha256(b"older").hexdigest()

    async def test_model_that_is_not_there_is_not_found(
        self, sources: PinSources, scene: PinScene
    ) -> None:
        revision = scene.put_model(_FILE, b"content", "apache-2.0")
        for repository, file, at in (
            (scene.model, "other", None),
            (scene.model, "other", revision),
            (scene.model, _FILE, "0" * 40),
            ("nobody/nothing", _FILE, None),
        ):
            with pytest.raises(NotFound):
                await sources.model(repository, file, at)

    async def test_source_that_does_not_answer_is_unavailable(
        self, sources: PinSources, scene: PinScene
    ) -> None:
        scene.put_image("3.11", "3.11.13")
        scene.put_commit(_TAG)
        scene.put_model(_FILE, b"content", "apache-2.0")
        scene.take_down()
        with pytest.raises(Unavailable):
            await sources.image(scene.image, "3.11")
        with pytest.raises(Unavailable):
            await sources.commit(scene.url, _TAG)
        with pytest.raises(Unavailable):
            await sources.model(scene.model, _FILE, None)
