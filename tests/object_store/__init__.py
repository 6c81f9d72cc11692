"""
An S3 store for tests: moto, behind a gate that is as strict as a real one and fails on demand.

``signatures`` recomputes every signature, since moto verifies none; ``gate`` is the server.
"""

from __future__ import annotations

from tests.object_store.gate import Fault, Gate, Seen, open_gate
from tests.object_store.signatures import CREDENTIALS

__all__ = ["CREDENTIALS", "Fault", "Gate", "Seen", "open_gate"]
