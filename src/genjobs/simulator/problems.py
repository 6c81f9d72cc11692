"""Errors in a submitted prompt, as the API tells them, and the rule for prompt ids."""

from __future__ import annotations

import uuid
from typing import Any

Problem = dict[str, Any]


class InvalidPromptError(Exception):
    """The prompt is refused with 400; holds the two members of the answer."""

    def __init__(self, error: Problem, node_errors: dict[str, Problem]) -> None:
        super().__init__(error["type"])
        self.error = error
        self.node_errors = node_errors


def problem(kind: str, message: str, details: str, **extra_info: Any) -> Problem:
    """Return one error in the shape every error of the API has."""
    return {"type": kind, "message": message, "details": details, "extra_info": extra_info}


def checked_prompt_id(value: Any) -> str:
    """
    Return the id of a new prompt: ``value``, or a minted one for None.

    Raises:
        InvalidPromptError: not a UUID in canonical lowercase hyphenated form.

    """
    if value is None:
        return str(uuid.uuid4())
    if not is_canonical_uuid(value):
        message = "prompt_id must be a valid UUID"
        details = (
            "prompt_id must be a UUID string in canonical lowercase hyphenated form; "
            "omit it to let the server generate one"
        )
        raise InvalidPromptError(problem("invalid_prompt_id", message, details), {})
    return str(value)


def is_canonical_uuid(value: object) -> bool:
    """Return whether ``value`` is a UUID spelled the one way the server accepts."""
    if not isinstance(value, str):
        return False
    try:
        return str(uuid.UUID(value)) == value
    except ValueError:
        return False
