"""Judging what a deployment needs at the platform of its GPU workers: names, keys, versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from genjobs.domain.diagnosis import Finding, failed, ok, skipped, warning
from genjobs.domain.errors import Unavailable
from genjobs.domain.ports import PlatformExaminer


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What must be there."""

    app: str
    worker: str
    functions: Sequence[str]
    #: Secrets by name, with the keys that are read.
    secrets: Mapping[str, Sequence[str]]
    volume: str
    image_builder: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExaminePlatform:
    """Looks names up; ends with the first that nobody answers, for the others would wait too."""

    examiner: PlatformExaminer
    wanted: Wanted

    async def __call__(self) -> Sequence[Finding]:
        """Return what is found."""
        found: list[Finding] = []
        for look in (self._secrets, self._volume, self._deployed, self._image_builder):
            try:
                found += await look()
            except Unavailable as exc:
                found.append(failed("modal", "modal_unreachable", exc.message))
                break
        return found

    async def _secrets(self) -> list[Finding]:
        found = []
        for name, keys in self.wanted.secrets.items():
            shown = f"{name} with {', '.join(keys)}"
            there = await self.examiner.has_secret(name, keys)
            found.append(_named(f"modal.secret.{name}", "modal_secret_missing", shown, there=there))
        return found

    async def _volume(self) -> list[Finding]:
        name = self.wanted.volume
        there = await self.examiner.has_volume(name)
        return [_named("modal.volume", "modal_volume_missing", name, there=there)]

    async def _deployed(self) -> list[Finding]:
        wanted, asks = self.wanted, self.examiner
        if not await asks.has_app(wanted.app):
            return [
                failed("modal.app", "modal_app_missing", f"{wanted.app} is not deployed"),
                skipped("modal.functions", "the app is not deployed"),
            ]
        there = {wanted.worker: await asks.has_worker(wanted.app, wanted.worker)}
        for name in wanted.functions:
            there[name] = await asks.has_function(wanted.app, name)
        missing, app = [name for name in there if not there[name]], ok("modal.app", wanted.app)
        if missing:
            shown = f"{wanted.app} has no {', '.join(missing)}"
            return [app, failed("modal.functions", "modal_function_missing", shown)]
        return [app, ok("modal.functions", ", ".join(there))]

    async def _image_builder(self) -> list[Finding]:
        name, wanted = "modal.image_builder", self.wanted.image_builder
        seen = await self.examiner.image_builder()
        if wanted is None or seen is None:
            return [skipped(name, "its version is not known")]
        if seen != wanted:
            shown = f"{seen}, where the pins were made for {wanted}"
            return [warning(name, "image_builder_differs", shown)]
        return [ok(name, seen)]


def judge_pins(unresolved: Mapping[str, str], *, before_deploying: bool) -> Finding:
    """Return whether images can be built; what runs already was built without them."""
    name = "images.pins"
    if not unresolved:
        return ok(name, "all resolved")
    shown = "; ".join(f"{pin}: {reason}" for pin, reason in unresolved.items())
    found = failed if before_deploying else warning
    return found(name, "pins_unresolved", shown)


def judge_proxy_auth(*, required: bool, second_function: bool) -> Finding:
    """Return whether browsers of end users reach the API."""
    name = "modal.proxy_auth"
    if not required:
        return ok(name, "off: keys and tokens are all that callers need")
    if not second_function:
        return warning(name, "proxy_auth_shuts_browsers", "on, without a function for browsers")
    return ok(name, "on, with a read-only function for browsers")


def _named(check: str, code: str, shown: str, *, there: bool) -> Finding:
    return ok(check, shown) if there else failed(check, code, f"there is no {shown}")
