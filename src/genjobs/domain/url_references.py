"""
What a relative reference means at the URL it was found at: RFC 3986 section 5.2.

Text in, text out; nothing is judged here, and nothing is parsed a second way: what comes out goes
through ``url_policy`` like any URL.
"""

from __future__ import annotations

import re
from typing import Final

_REFERENCE: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*:)?(?P<authority>//[^/?#]*)?(?P<path>[^?#]*)(?P<rest>.*)",
    re.ASCII | re.DOTALL,
)


def resolve_reference(reference: str, *, origin: str, target: str) -> str:
    """Return the URL that ``reference`` means at ``origin`` (scheme and authority) + ``target``."""
    match = _REFERENCE.fullmatch(reference)
    if match is None or match["scheme"]:
        return reference
    if match["authority"] is not None:
        return origin.partition("//")[0] + reference
    path, rest = match["path"], match["rest"]
    if not path and not rest.startswith("?"):
        return origin + target  # the same document
    base = target.partition("?")[0]
    if not path:
        return origin + base + rest
    if not path.startswith("/"):
        path = base[: base.rindex("/") + 1] + path
    return origin + _without_dots(path) + rest


def _without_dots(path: str) -> str:
    """Return an absolute path without its ``.`` and ``..`` segments."""
    segments = path.split("/")[1:]
    kept: list[str] = []
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return "/" + "/".join(kept)
