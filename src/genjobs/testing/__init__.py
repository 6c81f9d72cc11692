"""
Public test kit: fakes of every port, factories, contract suites, and a harness.

Other teams write unit tests against this; nothing in production imports it. The fakes are small
real implementations: each passes the contract suite that the real adapter passes. Only
``contracts`` needs pytest.
"""

from __future__ import annotations

from genjobs.testing.clock import FakeClock, SequentialIds
from genjobs.testing.factories import (
    a_new_job,
    a_principal,
    a_tenant_id,
    a_workflow,
    an_input,
    an_owner,
    an_upload,
    png_bytes,
)
from genjobs.testing.harness import Harness, open_harness
from genjobs.testing.memory_access import (
    MemoryKeyDirectory,
    MemoryTenantDirectory,
    a_key_record,
    a_key_text,
)
from genjobs.testing.memory_administration import (
    MemoryCredentialAdministration,
    MemoryTenantAdministration,
)
from genjobs.testing.memory_artifacts import MemoryArtifactStore
from genjobs.testing.memory_calls import MemoryCaller, MemoryCallLedger
from genjobs.testing.memory_care import MemoryCancelNotices, ScriptedKeeper
from genjobs.testing.memory_erasures import MemoryErasureLedger, MemoryErasures
from genjobs.testing.memory_ingests import MemoryIngestLedger
from genjobs.testing.memory_ledger import MemoryJobLedger
from genjobs.testing.memory_pins import MemoryPinSources
from genjobs.testing.memory_pool import MemoryPoolControl, MemoryPoolLedger
from genjobs.testing.memory_reconciliation import MemoryReconciliation
from genjobs.testing.memory_retention import MemoryRetention
from genjobs.testing.memory_rows import MemoryJobs
from genjobs.testing.memory_store import MemoryJobStore
from genjobs.testing.memory_supervision import MemorySupervision, MemoryWorkerControl
from genjobs.testing.memory_tenants import MemoryTenants
from genjobs.testing.memory_uploads import MemoryUploadLedger, MemoryUploadStore
from genjobs.testing.memory_web import HeadInspector, MemoryUrlFetcher
from genjobs.testing.scripted_engine import Script, ScriptedEngine

__all__ = [
    "FakeClock",
    "Harness",
    "HeadInspector",
    "MemoryArtifactStore",
    "MemoryCallLedger",
    "MemoryCaller",
    "MemoryCancelNotices",
    "MemoryCredentialAdministration",
    "MemoryErasureLedger",
    "MemoryErasures",
    "MemoryIngestLedger",
    "MemoryJobLedger",
    "MemoryJobStore",
    "MemoryJobs",
    "MemoryKeyDirectory",
    "MemoryPinSources",
    "MemoryPoolControl",
    "MemoryPoolLedger",
    "MemoryReconciliation",
    "MemoryRetention",
    "MemorySupervision",
    "MemoryTenantAdministration",
    "MemoryTenantDirectory",
    "MemoryTenants",
    "MemoryUploadLedger",
    "MemoryUploadStore",
    "MemoryUrlFetcher",
    "MemoryWorkerControl",
    "Script",
    "ScriptedEngine",
    "ScriptedKeeper",
    "SequentialIds",
    "a_key_record",
    "a_key_text",
    "a_new_job",
    "a_principal",
    "a_tenant_id",
    "a_workflow",
    "an_input",
    "an_owner",
    "an_upload",
    "open_harness",
    "png_bytes",
]
