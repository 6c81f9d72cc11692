"""Reading the settings, with errors that name a setting and never its value."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_settings import SettingsError

from genjobs.domain.errors import ConfigurationError
from genjobs.settings import Settings
from genjobs.settings.comfyui import ComfyUISettings

_T = TypeVar("_T")


def load_settings(**given: Any) -> Settings:
    """
    Read the settings; ``given`` ones go before the environment.

    Raises:
        ConfigurationError: names each one that is wrong, never its value.
    """
    return _read(lambda: Settings(**given))


def load_comfyui_settings() -> ComfyUISettings:
    """Read the settings of ComfyUI alone, of which none is secret; fails as ``load_settings``."""
    return _read(ComfyUISettings)


def _read(read: Callable[[], _T]) -> _T:
    try:
        return read()
    except ValidationError as exc:
        raise wrong_settings("GENJOBS_", exc) from None
    except SettingsError as exc:  # a list that is not JSON; it names the field, not the value
        raise ConfigurationError(str(exc)) from None


def wrong_settings(prefix: str, exc: ValidationError) -> ConfigurationError:
    """Return what is wrong, by the names that settings have in the environment."""
    return ConfigurationError(
        "; ".join(
            f"{prefix + str(item['loc'][0]).upper() if item['loc'] else 'settings'}: {item['msg']}"
            for item in exc.errors(include_url=False, include_input=False, include_context=False)
        )
    )


def version() -> str:
    """Return the installed version of genjobs; ``source`` where only its files were copied to."""
    try:
        return importlib.metadata.version("genjobs")
    except importlib.metadata.PackageNotFoundError:
        return "source"
