"""``python -m genjobs``: the ``genjobs`` command."""

from __future__ import annotations

from genjobs.cli import main

main()
