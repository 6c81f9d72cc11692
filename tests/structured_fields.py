"""Structured fields (RFC 9651) as the rate limit fields use them: a list of text items."""

from __future__ import annotations

import re

_TEXT = r'"(?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"'
_ITEM = re.compile(rf"({_TEXT})((?:; *[a-z*][a-z0-9_.*-]*=-?\d{{1,15}})*)")


def parse(field: str) -> dict[str, dict[str, int]]:
    """Return the items with their parameters; fails on anything that is not strictly one."""
    found: dict[str, dict[str, int]] = {}
    for item in re.split(r"[ \t]*,[ \t]*", field):
        match = _ITEM.fullmatch(item)
        assert match, field
        parameters = [part.split("=") for part in match[2].split(";") if part]
        found[match[1].strip('"')] = {name.strip(): int(value) for name, value in parameters}
        assert len(found[match[1].strip('"')]) == len(parameters)
    return found
