"""The environment of the test run: read once, then cleaned, so that tests choose their settings."""

from __future__ import annotations

import os
from typing import Final

# What is meant for the suite stays, for the processes that share its work (pytest -n) read it too.
_GIVEN: Final = {name: value for name, value in os.environ.items() if name[:13] == "GENJOBS_TEST_"}
for _name in [name for name in os.environ if name[:8] == "GENJOBS_"]:
    if _name not in _GIVEN:
        del os.environ[_name]

#: A superuser's URL; without it the suite starts a Postgres of its own.
DATABASE_URL: Final = _GIVEN.get("GENJOBS_TEST_DATABASE_URL")
#: A real ComfyUI to hold the engine's contract against, and its base directory if it is here.
COMFYUI_URL: Final = _GIVEN.get("GENJOBS_TEST_COMFYUI_URL")
COMFYUI_DIRECTORY: Final = _GIVEN.get("GENJOBS_TEST_COMFYUI_DIRECTORY")
#: How to start a real ComfyUI of one's own, with {port} in it, for tests that kill it; its base
#: directory is the one above.
COMFYUI_COMMAND: Final = _GIVEN.get("GENJOBS_TEST_COMFYUI_COMMAND")
#: A user of this machine who can run that command, for a ComfyUI that is somebody else.
COMFYUI_USER: Final = _GIVEN.get("GENJOBS_TEST_COMFYUI_USER")
#: Where its packages are, if they are not its Python's own.
COMFYUI_PYTHONPATH: Final = _GIVEN.get("GENJOBS_TEST_COMFYUI_PYTHONPATH")
#: What the chaos run takes its choices from; without it each run makes others.
CHAOS_SEED: Final = _GIVEN.get("GENJOBS_TEST_CHAOS_SEED")
#: How long the soak may take; its clock makes the same eight hours of it.
SOAK_SECONDS: Final = float(_GIVEN.get("GENJOBS_TEST_SOAK_SECONDS", "600"))
