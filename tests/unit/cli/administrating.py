"""Running administrating commands on fakes, as a shell would run them on a database."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from genjobs.adapters.public_keys import PemKeys
from genjobs.application.administer_credentials import AdministerCredentials
from genjobs.application.administer_tenants import AdministerTenants
from genjobs.application.administer_users import AdministerUsers
from genjobs.application.erase import EraseUser, GetErasure
from genjobs.bootstrap import Administration
from genjobs.cli import main
from genjobs.domain.catalogue import NodeCatalogue
from genjobs.settings import Settings
from genjobs.testing import (
    FakeClock,
    MemoryCredentialAdministration,
    MemoryErasures,
    MemoryJobs,
    MemoryTenantAdministration,
    SequentialIds,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on standard output."""
        return json.loads(self.out)


@dataclass(slots=True)
class Shell:
    """Runs commands, all on the same data."""

    capture: pytest.CaptureFixture[str]
    patch: pytest.MonkeyPatch
    jobs: MemoryJobs = field(default_factory=lambda: MemoryJobs(limits=Settings().default_limits()))
    clock: FakeClock = field(default_factory=FakeClock)
    ids: SequentialIds = field(default_factory=SequentialIds)
    made: int = 0

    @asynccontextmanager
    async def open(self, settings: Settings) -> AsyncIterator[Administration]:
        """Open the administrators' side on the fakes."""
        tenants = MemoryTenantAdministration(self.jobs)
        erasures = MemoryErasures(self.jobs)
        yield Administration(
            tenants=AdministerTenants(
                tenants=tenants,
                catalogue=NodeCatalogue(),
                defaults=settings.default_limits(),
                clock=self.clock,
                ids=self.ids,
            ),
            credentials=AdministerCredentials(
                tenants=tenants,
                credentials=MemoryCredentialAdministration(self.jobs),
                public_keys=PemKeys(),
                clock=self.clock,
                random=self._random,
            ),
            users=AdministerUsers(
                tenants=tenants,
                erase_user=EraseUser(erasures=erasures, clock=self.clock, ids=self.ids),
                get_erasure=GetErasure(erasures=erasures),
            ),
        )

    def run(self, *arguments: str, stdin: str = "") -> Ran:
        """Run a command."""
        self.patch.setattr("sys.stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as ended:
            main(arguments, administration=self.open)
        out, err = self.capture.readouterr()
        return Ran(code=int(ended.value.code or 0), out=out, err=err)

    def done(self, *arguments: str, stdin: str = "") -> Any:
        """Run a command that must end well, and return its JSON."""
        ran = self.run(*arguments, "--json", stdin=stdin)
        assert ran.code == 0, ran.err
        return ran.json

    def _random(self, count: int) -> bytes:
        self.made += 1
        return hashlib.sha512(str(self.made).encode()).digest()[:count]
