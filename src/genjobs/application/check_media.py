"""
Check a media entry: is it what its first bytes say, and what the nodes that use it take?

Used at submit for what came along, and by the ingest for what was fetched.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from genjobs.application.local_files import scratch_folder
from genjobs.domain.errors import InspectionFailed, MediaTypeRefused, Unavailable
from genjobs.domain.media import MediaKind
from genjobs.domain.ports import MediaFacts, MediaInspector


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckMedia:
    """The check."""

    inspector: MediaInspector

    async def __call__(self, path: Path, kinds: frozenset[MediaKind]) -> MediaFacts:
        """
        Return what the file is.

        Raises:
            MediaTypeRefused: it is not of ``kinds``, or of no type that is accepted.
            MediaContentRefused: it is broken or over a limit.
            InspectionFailed: it cannot be inspected, and may be the reason itself.
            Unavailable: it cannot be inspected just now.
        """
        facts = await self.inspector.inspect(path)
        for kind in kinds:
            if facts.media_type.kind is not kind:
                raise MediaTypeRefused(
                    f"The content is {facts.media_type.content_type}, but its node input takes "
                    f"{kind.value}."
                )
        return facts

    async def content(self, content: bytes, kinds: frozenset[MediaKind]) -> MediaFacts:
        """Check what is in memory; see the call. ``Unavailable`` is all that may mend itself."""
        async with scratch_folder() as folder:
            path = folder / "content"
            try:
                await asyncio.to_thread(path.write_bytes, content)
            except OSError as exc:
                raise Unavailable("A file cannot be stored just now.") from exc
            try:
                return await self(path, kinds)
            except InspectionFailed as exc:
                raise Unavailable("A file cannot be inspected just now.") from exc
