"""Which deployed class runs the jobs: ``modal://<app>/<class>``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from genjobs.domain.errors import ConfigurationError

_URL: Final = re.compile(r"modal://([A-Za-z0-9][A-Za-z0-9._-]{0,63})/([A-Za-z_][A-Za-z0-9_]{0,63})")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModalPlace:
    """A class of a deployed app."""

    app: str
    worker: str


def parse_place(url: str) -> ModalPlace:
    """
    Read ``dispatch_url``.

    Raises:
        ConfigurationError: it is not of that form.
    """
    found = _URL.fullmatch(url)
    if found is None:
        raise ConfigurationError("dispatch_url is not of the form modal://<app>/<class>")
    return ModalPlace(app=found[1], worker=found[2])
