"""The checks of Modal, of what images are made of, and of who gets past proxy authentication."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from genjobs.application.diagnose import Check
from genjobs.application.examine_platform import (
    ExaminePlatform,
    Wanted,
    judge_pins,
    judge_proxy_auth,
)
from genjobs.domain.diagnosis import Finding, failed, skipped
from genjobs.domain.errors import Unavailable
from genjobs.gpu.stack import STACK, unresolved
from genjobs.settings import Settings
from genjobs.settings.deployment import DeploymentSettings

if TYPE_CHECKING:
    from genjobs.adapters.modal import ModalExaminer

#: Functions of the deployment, as ``deploy/modal_app.py`` names them, the worker's class apart.
FUNCTIONS: Final = ("api", "supervise", "ingest", "migrate", "fetch_models")
#: The one for browsers of end users, where callers of the API need a proxy token.
READER: Final = "reader"
_LIMIT = timedelta(seconds=60)  # a dozen requests


def platform_checks(
    settings: Settings, deployment: DeploymentSettings, *, before_deploying: bool
) -> list[Check]:
    """Return the checks; where workers pull there is nothing to look at."""

    async def modal() -> Sequence[Finding]:
        if not settings.dispatch_url.startswith("modal:"):
            return [skipped("modal", "workers pull here, nothing is at Modal")]
        examiner = _examiner()
        if examiner is None:
            return [skipped("modal", _reason())]
        return await ExaminePlatform(examiner=examiner, wanted=wanted(settings, deployment))()

    async def pins() -> Sequence[Finding]:
        if not settings.dispatch_url.startswith("modal:"):
            return [skipped("images.pins", "no images are built for workers that pull")]
        return [judge_pins(unresolved(), before_deploying=before_deploying)]

    async def proxy_auth() -> Sequence[Finding]:
        if not settings.dispatch_url.startswith("modal:"):
            return [skipped("modal.proxy_auth", "nothing is at Modal")]
        if not deployment.proxy_auth:
            return [judge_proxy_auth(required=False, second_function=False)]
        examiner = _examiner()
        try:
            there = examiner is not None and await examiner.has_function(deployment.app, READER)
        except Unavailable as exc:
            return [failed("modal.proxy_auth", "modal_unreachable", exc.message)]
        return [judge_proxy_auth(required=True, second_function=there)]

    return [
        Check(name="images.pins", look=pins),
        Check(name="modal", look=modal, limit=_LIMIT),
        Check(name="modal.proxy_auth", look=proxy_auth),
    ]


def wanted(settings: Settings, deployment: DeploymentSettings) -> Wanted:
    """Return what must be at Modal."""
    from genjobs.adapters.modal import parse_place

    place = parse_place(settings.dispatch_url)
    storage = ["GENJOBS_ARTIFACTS_URL", "GENJOBS_R2_ACCESS_KEY_ID", "GENJOBS_R2_SECRET_ACCESS_KEY"]
    builder, secrets = STACK.image_builder, {}
    if deployment.proxy_auth:
        secrets[deployment.reader_secret] = ["GENJOBS_DATABASE_URL", *storage]
    return Wanted(
        app=place.app,
        worker=place.worker,
        functions=FUNCTIONS,
        secrets={
            deployment.database_secret: ["GENJOBS_DATABASE_URL", "GENJOBS_WORKER_DATABASE_URL"],
            deployment.owner_secret: ["GENJOBS_OWNER_DATABASE_URL"],
            deployment.storage_secret: storage,
            deployment.api_secret: ["GENJOBS_TOKEN_KEYS"],
            **secrets,
        },
        volume=deployment.models_volume,
        image_builder=builder if isinstance(builder, str) else None,
    )


def _examiner() -> ModalExaminer | None:
    if importlib.util.find_spec("modal") is None:
        return None
    from genjobs.adapters.modal import ModalExaminer, has_token

    return ModalExaminer() if has_token() else None


def _reason() -> str:
    if importlib.util.find_spec("modal") is None:
        return "Modal's package is not installed: pip install 'genjobs[modal]'"
    return "this machine has no token for Modal: `modal token set`"
