"""
Routes whose parameters are texts: of the path, the query and the header, as they came.

FastAPI draws the documents from their signatures as it does for others; but there is nothing for
it to convert or to inject, and solving for that would be a seventh of the cost of a read.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, get_args, get_origin

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response


class TextRoute(APIRoute):
    """Calls its endpoint with the request and those parameters that were given."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what reads the parameters and calls the endpoint."""
        dependant, endpoint = self.dependant, self.endpoint
        if dependant.dependencies or dependant.body_params or dependant.cookie_params:
            raise TypeError(f"{self.path} takes more than texts: it needs an ordinary route")
        in_path = [field.name for field in dependant.path_params]
        in_query = [
            (field.name, _takes_several(field.field_info.annotation))
            for field in dependant.query_params
        ]
        in_header = [
            (field.name, field.name.replace("_", "-")) for field in dependant.header_params
        ]

        async def handle(request: Request) -> Response:
            given: dict[str, Any] = {name: request.path_params[name] for name in in_path}
            if in_query and request.scope["query_string"]:
                query = request.query_params
                for name, several in in_query:
                    if name in query:
                        given[name] = query.getlist(name) if several else query[name]
            for name, field in in_header:
                value = request.headers.get(field)
                if value is not None:
                    given[name] = value
            response: Response = await endpoint(request, **given)
            return response

        return handle


def _takes_several(annotation: Any) -> bool:
    return any(get_origin(part) is list for part in (annotation, *get_args(annotation)))
