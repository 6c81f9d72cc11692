"""Reading the settings, with errors that name a setting and never its value."""

from __future__ import annotations

import importlib.metadata

from pydantic import ValidationError
from pydantic_settings import SettingsError

from genjobs.domain.errors import ConfigurationError
from genjobs.settings import Settings


def load_settings() -> Settings:
    """Read the settings; ``ConfigurationError`` names each one that is wrong, never its value."""
    try:
        return Settings()
    except ValidationError as exc:
        wrong = "; ".join(
            f"{'GENJOBS_' + str(item['loc'][0]).upper() if item['loc'] else 'settings'}: "
            f"{item['msg']}"
            for item in exc.errors(include_url=False, include_input=False, include_context=False)
        )
        raise ConfigurationError(wrong) from None
    except SettingsError as exc:  # a list that is not JSON; it names the field, not the value
        raise ConfigurationError(str(exc)) from None


def version() -> str:
    """Return the installed version of genjobs; ``source`` where only its files were copied to."""
    try:
        return importlib.metadata.version("genjobs")
    except importlib.metadata.PackageNotFoundError:
        return "source"
