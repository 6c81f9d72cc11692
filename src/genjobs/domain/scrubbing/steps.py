"""
What a format's parser may do with the file that streams by; nothing here knows a format.

A parser is a generator: it yields steps and bytes of its own making, and is sent what it took.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from enum import Enum, auto


class Fate(Enum):
    """What becomes of bytes that pass."""

    KEEP = auto()
    BLANK = auto()
    DROP = auto()


@dataclass(frozen=True, slots=True)
class Take:
    """Ask for the next ``size`` bytes; fewer come only at the end of the file."""

    size: int


@dataclass(frozen=True, slots=True)
class Pass:
    """Let ``size`` bytes by, None for all that is left."""

    size: int | None
    fate: Fate = Fate.KEEP


Parser = Generator[Take | Pass | bytes, bytes, None]
