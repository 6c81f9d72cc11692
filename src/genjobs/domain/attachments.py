"""How a file is named to whoever downloads it."""

from __future__ import annotations

from urllib.parse import quote


def content_disposition(filename: str) -> str:
    """
    Return an attachment header: a plain fallback, and the exact name (RFC 6266, RFC 8187).

    Characters that UTF-8 cannot carry (lone surrogates) become ``?``.
    """
    name = filename.encode("utf-8", "replace").decode()
    plain = "".join(
        char if char.isascii() and char.isprintable() and char not in '"\\%' else "_"
        for char in name
    )
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
