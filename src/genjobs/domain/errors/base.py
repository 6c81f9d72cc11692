"""The root of the error tree, and walking it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar


class GenjobsError(Exception):
    """Something went wrong in genjobs."""

    #: Stable identifier; never renamed once released.
    code: ClassVar[str] = "error"
    #: Whether the same request or job may succeed when tried again unchanged.
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str | None = None,
        *,
        pointer: str | None = None,
        node_id: str | None = None,
        node_class: str | None = None,
    ) -> None:
        self.message = message or default_message(type(self))
        #: JSON pointer (RFC 6901) into the request body, when one member is at fault.
        self.pointer = pointer
        self.node_id = node_id
        self.node_class = node_class
        super().__init__(self.message)


def default_message(cls: type[GenjobsError]) -> str:
    """Return the class's public message: the first line of its docstring."""
    return (cls.__doc__ or GenjobsError.__name__).strip().splitlines()[0]


def leaves(root: type[GenjobsError] = GenjobsError) -> Iterator[type[GenjobsError]]:
    """Yield every class below ``root`` in the order of the drawn tree."""
    for child in root.__subclasses__():
        yield child
        yield from leaves(child)
