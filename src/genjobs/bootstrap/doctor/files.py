"""The checks of the artifact store, with a patience of seconds instead of minutes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from genjobs.application.diagnose import Check
from genjobs.application.examine_store import ExamineStore, judge_store_tls
from genjobs.bootstrap.adapters import Adapters
from genjobs.domain.diagnosis import Finding, skipped

if TYPE_CHECKING:
    from genjobs.domain.errors import Unavailable

_LIMIT = timedelta(seconds=90)  # a dozen requests
_TLS = "store.tls"


def store_checks(adapters: Adapters) -> list[Check]:
    """Return the checks: using it, and what protects the way to it."""
    return [
        Check(name="store", look=lambda: _used(adapters), limit=_LIMIT),
        Check(name=_TLS, look=lambda: _tls(adapters)),
    ]


async def _used(adapters: Adapters) -> Sequence[Finding]:
    clock, ids = adapters.clock(), adapters.ids()
    files = adapters.signed_files()
    if files is not None:
        from genjobs.adapters.local.trial import DirectoryTrial

        examine = ExamineStore(
            artifacts=await adapters.artifacts(),
            trial=DirectoryTrial(files, clock),
            clock=clock,
            ids=ids,
            explain=_of_directory,
        )
        return await examine()
    from genjobs.adapters.r2 import Patience, explain
    from genjobs.adapters.signed_trial import HttpTrial
    from genjobs.bootstrap.object_storage import r2_store

    patience = Patience(connect=4, silence=5, attempt=6, total=10, tries=2, pause=0.2, grace=1)
    async with r2_store(adapters.settings, patience) as artifacts:
        examine = ExamineStore(
            artifacts=artifacts, trial=HttpTrial(), clock=clock, ids=ids, explain=explain
        )
        return await examine()


async def _tls(adapters: Adapters) -> Sequence[Finding]:
    if adapters.signed_files() is not None:
        return [skipped(_TLS, "files are in a directory of this machine")]
    from genjobs.adapters.r2 import parse_place
    from genjobs.adapters.signed_trial import look_at_tls

    parts = urlsplit(parse_place(adapters.settings.artifacts_url).endpoint)
    if parts.scheme != "https" or parts.hostname is None:
        return [judge_store_tls(None, adapters.clock().now())]
    facts = await look_at_tls(parts.hostname, parts.port or 443)
    return [judge_store_tls(facts, adapters.clock().now())]


def _of_directory(error: Unavailable) -> tuple[str, str]:
    return "store_unreachable", error.message
