"""
The driven ports: what genjobs needs from the outside, as Protocols whose docstrings are contracts.

Every "must" below is a test in ``genjobs.testing.contracts`` that the in-memory fake and each
real adapter pass. An adapter translates its vendor's errors at its edge: callers see only classes
of ``domain.errors``; a backend that cannot be reached, or does not answer in time, is
``Unavailable``.
"""

from __future__ import annotations

from genjobs.domain.ports.access import (
    KeyDirectory,
    TenantDirectory,
    TokenCodec,
)
from genjobs.domain.ports.administration import (
    CredentialAdministration,
    PublicKeyReader,
    TenantAdministration,
)
from genjobs.domain.ports.artifacts import (
    ArtifactStore,
    ListedFile,
    SignedFile,
    SignedFiles,
    SignedPut,
    SignedTarget,
)
from genjobs.domain.ports.care import (
    CancelNotices,
    EngineKeeper,
    Retirement,
)
from genjobs.domain.ports.dispatch import Caller, CallLedger
from genjobs.domain.ports.engine import (
    EngineFile,
    Rendered,
    StopSignal,
    WorkflowEngine,
)
from genjobs.domain.ports.erasures import ErasureLedger, ErasureStore
from genjobs.domain.ports.examination import (
    DatabaseExaminer,
    LoginFacts,
    NotReached,
    PlatformExaminer,
    SchemaFacts,
    SignedTrial,
    TlsFacts,
)
from genjobs.domain.ports.ingests import IngestLedger
from genjobs.domain.ports.jobs import (
    JobLedger,
    JobStore,
    Overview,
    Pruned,
)
from genjobs.domain.ports.media import (
    MediaFacts,
    MediaInspector,
    MediaProbe,
    PictureSize,
)
from genjobs.domain.ports.network import (
    Resolver,
    UrlFetcher,
)
from genjobs.domain.ports.pins import PinSources
from genjobs.domain.ports.pool import (
    PoolControl,
    PoolLedger,
)
from genjobs.domain.ports.reconciliation import Reconciliation
from genjobs.domain.ports.retention import RetentionLedger
from genjobs.domain.ports.supervision import (
    Supervision,
    WorkerControl,
)
from genjobs.domain.ports.system import (
    Authenticator,
    Clock,
    IdSource,
    Signals,
)
from genjobs.domain.ports.uploads import (
    UploadLedger,
    UploadStore,
)

__all__ = [
    "ArtifactStore",
    "Authenticator",
    "CallLedger",
    "Caller",
    "CancelNotices",
    "Clock",
    "CredentialAdministration",
    "DatabaseExaminer",
    "EngineFile",
    "EngineKeeper",
    "ErasureLedger",
    "ErasureStore",
    "IdSource",
    "IngestLedger",
    "JobLedger",
    "JobStore",
    "KeyDirectory",
    "ListedFile",
    "LoginFacts",
    "MediaFacts",
    "MediaInspector",
    "MediaProbe",
    "NotReached",
    "Overview",
    "PictureSize",
    "PinSources",
    "PlatformExaminer",
    "PoolControl",
    "PoolLedger",
    "Pruned",
    "PublicKeyReader",
    "Reconciliation",
    "Rendered",
    "Resolver",
    "RetentionLedger",
    "Retirement",
    "SchemaFacts",
    "Signals",
    "SignedFile",
    "SignedFiles",
    "SignedPut",
    "SignedTarget",
    "SignedTrial",
    "StopSignal",
    "Supervision",
    "TenantAdministration",
    "TenantDirectory",
    "TlsFacts",
    "TokenCodec",
    "UploadLedger",
    "UploadStore",
    "UrlFetcher",
    "WorkerControl",
    "WorkflowEngine",
]
