"""
Contract suites: one public pytest class per port, run on the fake and on every real adapter.

Subclass one, give it the fixture it names, and its tests are yours::

    class TestMyStore(ArtifactStoreContract):
        @pytest.fixture
        def store(self) -> ArtifactStore:
            return MyStore()

Tests are asynchronous and need anyio's pytest plugin (``anyio_mode = "auto"``).
"""

from __future__ import annotations

from genjobs.testing.contracts.administration import (
    AdministrationBackend,
    AdministrationContract,
)
from genjobs.testing.contracts.artifact_store import (
    ArtifactOutageContract,
    ArtifactStoreContract,
)
from genjobs.testing.contracts.calls import (
    CallerContract,
    CallLedgerContract,
    CallsBackend,
    Platform,
)
from genjobs.testing.contracts.care import CancelNoticesContract, EngineKeeperContract
from genjobs.testing.contracts.directories import KeyDirectoryContract
from genjobs.testing.contracts.engine import EngineContract
from genjobs.testing.contracts.engine_basics import EngineBasicsContract, EngineOutageContract
from genjobs.testing.contracts.erasure_backend import ErasureBackend
from genjobs.testing.contracts.erasures import ErasureContract, ErasureOutageContract
from genjobs.testing.contracts.ingest_backend import INGEST_RULES, IngestBackend
from genjobs.testing.contracts.ingest_ledger import IngestLedgerContract
from genjobs.testing.contracts.inspection import MediaInspectorContract
from genjobs.testing.contracts.job_fencing import JobFencingContract
from genjobs.testing.contracts.job_ledger import JobLedgerContract
from genjobs.testing.contracts.job_limits import JobLimitsContract
from genjobs.testing.contracts.job_races import JobOutageContract, JobRacesContract
from genjobs.testing.contracts.job_store import JobStoreContract
from genjobs.testing.contracts.jobs_backend import JobsBackend
from genjobs.testing.contracts.network import Publish, ResolverContract, UrlFetcherContract
from genjobs.testing.contracts.pins import PinScene, PinSourcesContract
from genjobs.testing.contracts.plans import PlansContract
from genjobs.testing.contracts.pool import (
    PoolControlContract,
    PoolLedgerContract,
    PoolLedgerOutageContract,
    PoolOutageContract,
)
from genjobs.testing.contracts.pool_backend import PoolBackend
from genjobs.testing.contracts.reconciliation import (
    ReconciliationBackend,
    ReconciliationContract,
    ReconciliationOutageContract,
)
from genjobs.testing.contracts.retention import (
    RETENTION_RULES,
    RetentionBackend,
    RetentionContract,
    RetentionOutageContract,
)
from genjobs.testing.contracts.signed_files import SignedFilesContract, SignedPutOutageContract
from genjobs.testing.contracts.signed_puts import Send, SignedPutContract
from genjobs.testing.contracts.signed_urls import Fetch, Fetched, SignedUrlContract
from genjobs.testing.contracts.silent_cancels import SilentCancelsContract
from genjobs.testing.contracts.small import (
    AuthenticatorContract,
    ClockContract,
    IdSourceContract,
    MediaProbeContract,
    SignalsContract,
)
from genjobs.testing.contracts.supervision import (
    SupervisionContract,
    SupervisionOutageContract,
)
from genjobs.testing.contracts.supervision_backend import SupervisionBackend
from genjobs.testing.contracts.tenancy_backend import Arrangement, TenancyBackend
from genjobs.testing.contracts.token_codec import TokenCodecContract
from genjobs.testing.contracts.uploads import UploadsContract
from genjobs.testing.contracts.uploads_backend import UploadsBackend
from genjobs.testing.contracts.worker_control import ControlledWorkers, WorkerControlContract

__all__ = [
    "INGEST_RULES",
    "RETENTION_RULES",
    "AdministrationBackend",
    "AdministrationContract",
    "Arrangement",
    "ArtifactOutageContract",
    "ArtifactStoreContract",
    "AuthenticatorContract",
    "CallLedgerContract",
    "CallerContract",
    "CallsBackend",
    "CancelNoticesContract",
    "ClockContract",
    "ControlledWorkers",
    "EngineBasicsContract",
    "EngineContract",
    "EngineKeeperContract",
    "EngineOutageContract",
    "ErasureBackend",
    "ErasureContract",
    "ErasureOutageContract",
    "Fetch",
    "Fetched",
    "IdSourceContract",
    "IngestBackend",
    "IngestLedgerContract",
    "JobFencingContract",
    "JobLedgerContract",
    "JobLimitsContract",
    "JobOutageContract",
    "JobRacesContract",
    "JobStoreContract",
    "JobsBackend",
    "KeyDirectoryContract",
    "MediaInspectorContract",
    "MediaProbeContract",
    "PinScene",
    "PinSourcesContract",
    "PlansContract",
    "Platform",
    "PoolBackend",
    "PoolControlContract",
    "PoolLedgerContract",
    "PoolLedgerOutageContract",
    "PoolOutageContract",
    "Publish",
    "ReconciliationBackend",
    "ReconciliationContract",
    "ReconciliationOutageContract",
    "ResolverContract",
    "RetentionBackend",
    "RetentionContract",
    "RetentionOutageContract",
    "Send",
    "SignalsContract",
    "SignedFilesContract",
    "SignedPutContract",
    "SignedPutOutageContract",
    "SignedUrlContract",
    "SilentCancelsContract",
    "SupervisionBackend",
    "SupervisionContract",
    "SupervisionOutageContract",
    "TenancyBackend",
    "TokenCodecContract",
    "UploadsBackend",
    "UploadsContract",
    "UrlFetcherContract",
    "WorkerControlContract",
]
