"""
The doctor: which checks the settings call for, and with what each looks.

How things are judged is in ``application`` (``diagnose`` and ``examine_...``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from pydantic import ValidationError

from genjobs.application.diagnose import Check
from genjobs.bootstrap.adapters import Adapters
from genjobs.bootstrap.doctor.databases import database_checks
from genjobs.bootstrap.doctor.engines import comfyui_check
from genjobs.bootstrap.doctor.files import store_checks
from genjobs.bootstrap.doctor.platform import platform_checks
from genjobs.bootstrap.doctor.rules import settings_check
from genjobs.bootstrap.loading import load_settings, wrong_settings
from genjobs.settings import Settings
from genjobs.settings.deployment import DeploymentSettings

__all__ = ["load_deployed_settings", "load_deployment", "open_doctor"]


def load_deployment() -> DeploymentSettings:
    """Read what is deployed; ``ConfigurationError`` names what is wrong of it."""
    try:
        return DeploymentSettings()
    except ValidationError as exc:
        raise wrong_settings("GENJOBS_MODAL_", exc) from None


def load_deployed_settings(deployment: DeploymentSettings) -> Settings:
    """
    Return the settings as containers of the deployment have them: what they are told goes first.

    The environment stands in for the secrets, whose values nobody can read back.
    """
    told = {
        name.removeprefix("GENJOBS_").lower(): value
        for name, value in deployment.environment().items()
    }
    return load_settings(**{name: told[name] for name in told if name in Settings.model_fields})


@asynccontextmanager
async def open_doctor(
    settings: Settings, deployment: DeploymentSettings, *, before_deploying: bool = False
) -> AsyncIterator[list[Check]]:
    """Hold the checks; what they open is closed at the end."""
    async with AsyncExitStack() as stack:
        adapters = Adapters(settings, stack)
        yield [
            settings_check(adapters),
            *database_checks(adapters, deployment),
            *store_checks(adapters),
            *platform_checks(settings, deployment, before_deploying=before_deploying),
            comfyui_check(settings),
        ]
