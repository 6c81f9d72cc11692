"""What `genjobs doctor` may find, drawn from the fixes."""

from __future__ import annotations

from collections.abc import Sequence

from genjobs.domain.fixes import FIXES_BY_PART


def fixes() -> Sequence[str]:
    """Return a table of codes and fixes for each part that is looked at."""
    lines: list[str] = []
    for part, codes in FIXES_BY_PART.items():
        lines += ["", f"**{part[0].upper()}{part[1:]}**", "", "| code | fix |", "|---|---|"]
        lines += [f"| `{code}` | {fix} |" for code, fix in codes.items()]
    return [*lines[1:], ""]
