"""The simulator as a process that a worker starts: ``python -m genjobs.simulator PORT FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

from genjobs.simulator.server import serve_simulator

if __name__ == "__main__":
    serve_simulator(Path(sys.argv[2]), int(sys.argv[1]), announce=lambda _: None)
