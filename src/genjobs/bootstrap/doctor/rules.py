"""The check of the settings themselves: that they fit together, as far as reading cannot tell."""

from __future__ import annotations

from collections.abc import Sequence

from genjobs.application.diagnose import Check
from genjobs.bootstrap.adapters import Adapters
from genjobs.domain.deadlines import Deadlines
from genjobs.domain.diagnosis import Finding, failed, ok, warning
from genjobs.settings import Environment
from genjobs.settings.deployment import DeploymentSettings

_NAME = "settings"


def settings_check(adapters: Adapters, deployment: DeploymentSettings) -> Check:
    """Return the check; what adapters refuse is a ``ConfigurationError``, and told as such."""

    async def look() -> Sequence[Finding]:
        settings = adapters.settings
        found: list[Finding] = []
        if settings.env is not Environment.PRODUCTION:
            found.append(warning(_NAME, "not_production", "GENJOBS_ENV is local"))
        elif not settings.token_keys:
            found.append(failed(_NAME, "no_token_keys", "GENJOBS_TOKEN_KEYS is empty"))
        if settings.token_keys:
            adapters.token_codec()
        adapters.catalogue()
        settings.default_limits()
        settings.upload_rules()
        if adapters.pushes:
            from genjobs.adapters.modal import parse_place

            parse_place(settings.dispatch_url)
            mine = deployment.call_seconds(settings.deadlines())
            if mine > (theirs := deployment.call_seconds(Deadlines())):
                shown = f"an attempt may take {mine} s, a call at Modal {theirs} s"
                found.append(failed(_NAME, "deadlines_too_long", shown))
        return found or [ok(_NAME, f"{settings.env.value}, and they fit together")]

    return Check(name=_NAME, look=look)
