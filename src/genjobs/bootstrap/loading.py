"""Reading the settings, with errors that name a setting and never its value."""

from __future__ import annotations

import importlib.metadata
from typing import TypeVar

from pydantic import ValidationError
from pydantic_settings import SettingsError

from genjobs.domain.errors import ConfigurationError
from genjobs.settings import Settings
from genjobs.settings.comfyui import ComfyUISettings

_T = TypeVar("_T")


def load_settings() -> Settings:
    """Read the settings; ``ConfigurationError`` names each one that is wrong, never its value."""
    return _read(Settings)


def load_comfyui_settings() -> ComfyUISettings:
    """Read the settings of ComfyUI alone, of which none is secret; fails as ``load_settings``."""
    return _read(ComfyUISettings)


def _read(wanted: type[_T]) -> _T:
    try:
        return wanted()
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
