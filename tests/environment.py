"""The environment of the test run: read once, then cleaned, so that tests choose their settings."""

from __future__ import annotations

import os
from typing import Final

_GIVEN: Final = {
    name: os.environ.pop(name) for name in list(os.environ) if name.startswith("GENJOBS_")
}

#: A superuser's URL; without it the suite starts a Postgres of its own.
DATABASE_URL: Final = _GIVEN.get("GENJOBS_TEST_DATABASE_URL")
#: A real ComfyUI to hold the engine's contract against, and its base directory if it is here.
COMFYUI_URL: Final = _GIVEN.get("GENJOBS_TEST_COMFYUI_URL")
COMFYUI_DIRECTORY: Final = _GIVEN.get("GENJOBS_TEST_COMFYUI_DIRECTORY")
