"""Which schema this version's statements need; light, so that serving imports no migrations."""

from __future__ import annotations

from typing import Final

#: Revisions are numbered, so a database that is ahead (another version is being rolled out) can
#: be told from one that is behind.
HEAD: Final = "0006"
