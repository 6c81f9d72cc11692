"""The node catalogue of a deployment: what is shipped, and what its own file changes of it."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

from genjobs.domain.catalogue import Extension, NodeCatalogue, read_extension
from genjobs.domain.errors import ConfigurationError
from genjobs.settings import Settings

_MOST_BYTES = 4 * 1024 * 1024


def node_catalogue(settings: Settings) -> NodeCatalogue:
    """
    Return the node classes that workflows may use in this deployment.

    Raises:
        ConfigurationError: the deployment's file cannot be read, is wrong, or holds an entry that
            nobody reviewed.
    """
    catalogue = NodeCatalogue()
    if settings.comfyui_url.startswith("simulator:"):
        catalogue = catalogue.extended(simulator_entries())
    if settings.node_catalogue is not None:
        catalogue = catalogue.extended(load_extension(settings.node_catalogue))
    return catalogue


def simulator_entries() -> Extension:
    """Return the entries of the nodes that only the simulator has."""
    entries = resources.files("genjobs.simulator").joinpath("node_entries.json")
    return read_extension(json.loads(entries.read_text("utf-8")))


def load_extension(path: Path) -> Extension:
    """Return a deployment's own entries; ``ConfigurationError`` says what is wrong with them."""
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise ConfigurationError(f"node_catalogue is larger than {_MOST_BYTES} bytes")
        document = json.loads(content)
    except OSError as exc:
        raise ConfigurationError(f"node_catalogue cannot be read: {exc.strerror}") from None
    except (ValueError, RecursionError):
        raise ConfigurationError("node_catalogue is not valid JSON in UTF-8") from None
    try:
        return read_extension(document)
    except ConfigurationError as exc:
        raise ConfigurationError(f"node_catalogue: {exc.message}") from None
