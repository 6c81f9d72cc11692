"""What operators are told of a deployment by a smoke job: what the API says, and Modal's log."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib.util
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic import AnyHttpUrl, ValidationError

from genjobs.bootstrap.doctor import load_deployment
from genjobs.bootstrap.loading import wrong_settings
from genjobs.cli.running import tell
from genjobs.cli.smoking import SmokeFailed, smoke
from genjobs.domain.errors import Unavailable
from genjobs.settings.smoke import SmokeSettings

#: How far this machine's clock may be from that of Modal's log.
_SKEW: Final = timedelta(seconds=30)
#: Lines of a log come a little late.
_TRIES: Final = 4
_PAUSE_SECONDS: Final = 2.0


async def smoke_and_tell() -> tuple[dict[str, Any], bool]:
    """
    Return what is shown, and whether the job was not done.

    Raises:
        ConfigurationError: settings are missing or wrong.
        Unavailable: Modal, which is asked for the address, does not answer.
    """
    deployment = load_deployment()
    settings = await _addressed(smoke_settings(), deployment.app)
    rollback, begun = f"modal app rollback {deployment.app}", datetime.now(UTC)
    try:
        seen = await smoke(settings, lambda text: tell(f"smoke: {text}"))
    except SmokeFailed as exc:
        told = {"status": "failed", "job": exc.job, "code": exc.code, "message": exc.message}
        return told | {"rollback": rollback}, True
    shown: dict[str, Any] = {"status": "completed", **dataclasses.asdict(seen)}
    shown |= await _start(deployment.app, begun - _SKEW)
    return shown | {"rollback": rollback}, False


def smoke_settings() -> SmokeSettings:
    """Read them; ``ConfigurationError`` names what is wrong."""
    try:
        return SmokeSettings()
    except ValidationError as exc:
        raise wrong_settings("GENJOBS_SMOKE_", exc) from None


async def _addressed(settings: SmokeSettings, app: str) -> SmokeSettings:
    """Return the settings with the address that Modal gave the API, unless they have one."""
    if settings.url is not None or importlib.util.find_spec("modal") is None:
        return settings
    from genjobs.adapters.modal import ModalExaminer, has_token

    if not has_token():
        return settings
    url = await ModalExaminer().web_url(app, "api")
    return settings.model_copy(update={"url": AnyHttpUrl(url)}) if url else settings


async def _start(app: str, since: datetime) -> dict[str, Any]:
    """Return how the container started that took the job, as far as Modal's log tells."""
    nothing: dict[str, Any] = {"container_ready_seconds": None, "snapshot": None}
    if importlib.util.find_spec("modal") is None:
        return nothing | {"snapshot": "unknown: Modal's package is not installed"}
    from genjobs.adapters.modal import has_token, starts_since

    if not has_token():
        return nothing | {"snapshot": "unknown: no token for Modal here"}
    for attempt in range(_TRIES):
        try:
            starts = await starts_since(app, since)
        except Unavailable as exc:
            return nothing | {"snapshot": f"unknown: {exc.message}"}
        if starts:
            last = starts[-1]
            words = {True: "restored", False: "not restored", None: "unknown"}
            return {
                "container_ready_seconds": last.ready_seconds,
                "snapshot": words[last.restored],
            }
        if attempt + 1 < _TRIES:
            await asyncio.sleep(_PAUSE_SECONDS)
    return nothing | {"snapshot": "no container was started: a warm one took the job"}
