"""`modal deploy` as a process, against a control plane."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from genjobs.gpu.stack import STACK
from tests.deploy.plane import Served

ROOT = Path(__file__).resolve().parents[2]


def deploy(served: Served, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "modal", "deploy", str(ROOT / "deploy/modal_app.py")],
        cwd=folder,
        text=True,
        capture_output=True,
        env={
            **os.environ,
            "MODAL_IMAGE_BUILDER_VERSION": str(STACK.image_builder),
            **served.environment(),
            **environment,
        },
        timeout=120,
        check=False,
    )
