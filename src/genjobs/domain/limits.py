"""
Limits of one request, fixed by the HTTP contract; what a tenant may use is not here.

Where it says so, a deployment's settings decide.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

MAX_BODY_BYTES: Final = 8 * 1024 * 1024
MAX_INLINE_MEDIA_BYTES: Final = 4 * 1024 * 1024  # decoded, all entries of a request together
MAX_MEDIA: Final = 10  # of one job; a deployment may say otherwise
#: Of one file by URL or upload; a deployment may say less, or more up to the second.
MAX_MEDIA_BYTES: Final = 50 * 1024 * 1024
MOST_MEDIA_BYTES: Final = 1024 * 1024 * 1024
MAX_MEDIA_NAME_CHARS: Final = 128
MAX_WORKFLOW_BYTES: Final = 1024 * 1024  # of the canonical JSON text
MAX_WORKFLOW_NODES: Final = 1_000
MAX_NODE_ID_CHARS: Final = 128
MAX_CLASS_CHARS: Final = 256
MAX_INPUT_NAME_CHARS: Final = 256
MAX_WORKFLOW_DEPTH: Final = 16  # of objects and lists within each other, the workflow's own two too
MAX_TEXT_CHARS: Final = 20_000  # of a prompt
MAX_LINE_CHARS: Final = 255  # of any other text in a workflow
#: How often a workflow may multiply what it starts from: enlarging, repeating, joining.
MAX_GROWTH: Final = 4096
MAX_JOINED_CHARS: Final = 100_000  # of a text that a node makes of several
#: Pixels of all frames that one node may make, and all nodes together: as pictures in ComfyUI's
#: memory, 12 bytes each. A sample of sound counts as one.
MAX_NODE_PIXELS: Final = 3 * 2**30
MAX_MADE_PIXELS: Final = 2**33
#: Steps x pixels x frames of all samplers: some hours of a large video model on a large GPU.
MAX_SAMPLED_PIXELS: Final = 2**35
MAX_METADATA_KEYS: Final = 20
MAX_METADATA_KEY_CHARS: Final = 40
MAX_METADATA_VALUE_CHARS: Final = 500
MAX_IDEMPOTENCY_KEY_CHARS: Final = 255
IDEMPOTENCY_LIFE: Final = timedelta(hours=24)
MAX_PAGE: Final = 100
MAX_QUEUE_POSITION: Final = 1_000
MAX_OUTPUTS: Final = 1_000
MAX_TEXT_OUTPUT_BYTES: Final = 1024 * 1024
PRIORITY_RANGE: Final = (-100, 100)
QUEUE_TIMEOUT_RANGE: Final = (timedelta(seconds=1), timedelta(days=1))
RUN_TIMEOUT_RANGE: Final = (timedelta(seconds=1), timedelta(hours=6))
RETENTION_RANGE: Final = (timedelta(minutes=5), timedelta(days=365))
