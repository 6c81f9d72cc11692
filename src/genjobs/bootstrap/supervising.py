"""From adapters to the supervisor; see the package."""

from __future__ import annotations

from genjobs.application.erasing import EraseWhatIsAsked
from genjobs.application.escalate import EscalateCancels
from genjobs.application.purge import PurgeFiles
from genjobs.application.purge_uploads import PurgeUploads
from genjobs.application.reconcile import ReconcileFiles
from genjobs.application.supervise import Supervise
from genjobs.application.sweep import SweepFiles
from genjobs.bootstrap.adapters import Adapters
from genjobs.domain.supervision import Patience


async def build_supervisor(adapters: Adapters) -> Supervise:
    """Return the supervisor."""
    supervision, clock = await adapters.supervision(), adapters.clock()
    artifacts, uploads = await adapters.artifacts(), await adapters.upload_ledger()
    return Supervise(
        ledger=await adapters.ledger(),
        ingests=await adapters.ingests(),
        supervision=supervision,
        escalate=EscalateCancels(
            supervision=supervision,
            workers=adapters.workers(),
            clock=clock,
            patience=Patience.of(adapters.settings.deadlines()),
        ),
        erase=EraseWhatIsAsked(
            artifacts=artifacts,
            erasures=await adapters.erasure_ledger(),
            clock=clock,
            settle=adapters.settings.deadlines().lease,
        ),
        purge=PurgeFiles(artifacts=artifacts, retention=await adapters.retention(), clock=clock),
        reconcile=ReconcileFiles(
            artifacts=artifacts, reconciliation=await adapters.reconciliation(), clock=clock
        ),
        sweep=SweepFiles(
            artifacts=artifacts, supervision=supervision, uploads=uploads, clock=clock
        ),
        purge_uploads=PurgeUploads(uploads=uploads, artifacts=artifacts),
        clock=clock,
        signals=await adapters.signals(),
    )
