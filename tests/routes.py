"""The routes of an application, found in the application."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Route

from genjobs.domain.tenancy import Scope

#: Who needs no credential: probes, and files whose address is signed.
PUBLIC = {"/health", "/livez", "/readyz", "/files/{key:path}"}
#: What FastAPI makes itself, of the code alone.
DOCUMENTS = {"/openapi.json", "/docs", "/docs/oauth2-redirect"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A route with one of its methods."""

    method: str
    path: str
    #: What the handler declares with ``requires``; None when it declares nothing.
    scope: Scope | None

    def filled(self, **values: str) -> str:
        """Return the path with its parameters filled in."""
        return re.sub(r"\{(\w+)[^}]*\}", lambda match: values.get(match[1], "x"), self.path)


def routes_of(app: FastAPI) -> list[Found]:
    """Return every route, in whatever it is included; fails on what it cannot look into."""
    return list(_walk(app.routes))


def _walk(routes: list[Any]) -> Iterator[Found]:
    for route in routes:
        if isinstance(route, Route | APIRoute):
            for method in sorted((route.methods or {"ANY"}) - {"HEAD"}) or ["HEAD"]:
                scope = getattr(route.endpoint, "required_scope", None)
                yield Found(method=method, path=route.path, scope=scope)
        elif hasattr(route, "original_router"):
            yield from _walk(route.original_router.routes)
        else:  # a mounted application, a socket: nobody has said who may enter
            raise AssertionError(f"{route!r} is guarded by nothing that is known here")
