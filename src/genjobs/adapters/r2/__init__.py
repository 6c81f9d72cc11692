"""
The artifact store on Cloudflare R2, or on any other store that speaks S3.

The one home of aioboto3. ``place`` reads the URL, ``client`` opens the client, ``calls`` bounds
and repeats single requests and translates their errors, ``uploads`` and ``downloads`` stream one
file, ``presigning`` signs URLs, ``store`` is the port, ``reasons`` tells operators why it failed.
"""

from __future__ import annotations

from genjobs.adapters.r2.calls import Patience
from genjobs.adapters.r2.client import Credentials, open_r2_store
from genjobs.adapters.r2.place import Place, parse_place
from genjobs.adapters.r2.reasons import explain
from genjobs.adapters.r2.store import R2ArtifactStore

__all__ = [
    "Credentials",
    "Patience",
    "Place",
    "R2ArtifactStore",
    "explain",
    "open_r2_store",
    "parse_place",
]
