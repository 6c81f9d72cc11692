"""
The ``MediaInspector`` port: files from outside are decoded whole in processes that can do no harm.

``inspector`` and ``warm_process`` are the near side. The far side starts at ``child``, which loads
the decoders once, looks at nothing, and forks a confined process (``sandbox``) for each file. There
``structure``, ``pictures``, ``further_frames`` and ``films`` judge. ``verdicts`` is what the two
sides say to each other. Nothing of a file is ever read on the near side but its first bytes.
"""

from __future__ import annotations

from genjobs.adapters.media_inspection.inspector import SubprocessInspector

__all__ = ["SubprocessInspector"]
