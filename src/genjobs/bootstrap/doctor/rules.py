"""The check of the settings themselves: that they fit together, as far as reading cannot tell."""

from __future__ import annotations

from collections.abc import Sequence

from genjobs.application.diagnose import Check
from genjobs.bootstrap.adapters import Adapters
from genjobs.domain.diagnosis import Finding, failed, ok, warning
from genjobs.settings import Environment

_NAME = "settings"


def settings_check(adapters: Adapters) -> Check:
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
        return found or [ok(_NAME, f"{settings.env.value}, and they fit together")]

    return Check(name=_NAME, look=look)
