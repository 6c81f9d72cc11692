"""The long-running commands, where workers are called and do not pull."""

from __future__ import annotations

import pytest

from genjobs.cli import serving
from genjobs.domain.errors import ConfigurationError
from genjobs.settings import Settings


async def test_worker_command_refuses_to_pull_what_is_called() -> None:
    settings = Settings.model_validate({"dispatch_url": "modal://app/Worker"})
    with pytest.raises(ConfigurationError, match="DISPATCH_URL"):
        await serving.work(settings)
