"""
Judging the artifact store by using it: a small file is put, read, listed, signed for, and removed.

What is stored is below a tenant of its own, which has no jobs: should it stay behind, the
supervisor's sweep finds that it belongs to none.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from genjobs.domain.artifacts import ArtifactKey, input_key, job_prefix, upload_key
from genjobs.domain.diagnosis import Finding, failed, ok, skipped, warning
from genjobs.domain.errors import NotFound, Unavailable
from genjobs.domain.ids import JobId, TenantId, UploadId
from genjobs.domain.ports import ArtifactStore, Clock, IdSource, NotReached, SignedTrial, TlsFacts
from genjobs.domain.tenancy import Owner

#: Owns what an examination stores, for the moment that it does.
_OWNER: Final = Owner(
    tenant_id=TenantId(UUID("01900000-0000-7000-8000-00000000d0c7")), user_id="doctor"
)
_BODY: Final = b"genjobs doctor was here\n"
_TYPE: Final = "text/plain"
_LIFE: Final = timedelta(minutes=5)
#: Providers renew certificates a month before they end.
_RENEWAL: Final = timedelta(days=10)
_STEPS: Final = ("write", "read", "list", "signed_get", "signed_put", "delete")


@dataclass(slots=True, kw_only=True)
class ExamineStore:
    """Uses a store for a few requests; a file that cannot be removed is told of."""

    artifacts: ArtifactStore
    #: Uses URLs as clients do.
    trial: SignedTrial
    clock: Clock
    ids: IdSource
    #: Says why the store was unavailable: a code of ``domain.fixes``, and what was seen.
    explain: Callable[[Unavailable], tuple[str, str]]
    _job: JobId = field(init=False)
    _file: ArtifactKey = field(init=False)
    _upload: ArtifactKey = field(init=False)

    def __post_init__(self) -> None:
        now = self.clock.now()
        self._job = JobId(self.ids.uuid7(now))
        self._file = input_key(_OWNER, self._job, 0)
        self._upload = upload_key(_OWNER, UploadId(self.ids.uuid7(now)))

    async def __call__(self) -> Sequence[Finding]:
        """Return what is found, step by step; what is put is removed, however this ends."""
        try:
            written = await self._step("write", self._write)
            if written.code is not None:
                await self._step("delete", self._delete)  # it may be there all the same
                rest = [skipped(f"store.{name}", "nothing could be written") for name in _STEPS[1:]]
                return [written, *rest]
            found = [
                written,
                await self._step("read", self._read),
                await self._step("list", self._list),
                await self._step("signed_get", self._signed_get),
                await self._step("signed_put", self._signed_put),
            ]
        except BaseException:
            await self._step("delete", self._delete)
            raise
        return [*found, await self._step("delete", self._delete)]

    async def _step(self, name: str, work: Callable[[str], Awaitable[Finding]]) -> Finding:
        check = f"store.{name}"
        try:
            return await work(check)
        except Unavailable as exc:
            code, seen = self.explain(exc)
            if name == "delete":
                code, seen = "store_not_deleted", f"{seen}; {self._file} stays behind"
            return failed(check, code, seen)

    async def _write(self, check: str) -> Finding:
        stored = await self.artifacts.put(self._file, _chunks(), content_type=_TYPE)
        if stored.sha256 != hashlib.sha256(_BODY).hexdigest():
            return failed(check, "store_wrong_bytes", "another digest was measured")
        return ok(check, f"{stored.bytes} bytes written")

    async def _read(self, check: str) -> Finding:
        whole = await self._part(0, None)
        part = await self._part(8, 6)
        size = await self.artifacts.stat(self._file)
        if (whole, part, size) != (_BODY, _BODY[8:14], len(_BODY)):
            return failed(check, "store_wrong_bytes", "the file, or a part of it, came otherwise")
        return ok(check, "read whole and in part")

    async def _part(self, start: int, length: int | None) -> bytes:
        try:
            async with self.artifacts.read(self._file, start=start, length=length) as chunks:
                return b"".join([chunk async for chunk in chunks])
        except NotFound:
            return b""

    async def _list(self, check: str) -> Finding:
        prefix = job_prefix(_OWNER, self._job)
        listed = await self.artifacts.list_files(prefix, after="", limit=10)
        if [file.key for file in listed] != [self._file]:
            return failed(check, "store_wrong_bytes", "a listing does not show what was written")
        return ok(check, "listed")

    async def _signed_get(self, check: str) -> Finding:
        url = self.artifacts.signed_url(
            self._file,
            expires_at=self.clock.now() + _LIFE,
            filename="doctor.txt",
            content_type=_TYPE,
        )
        served = await self.trial.get(url)
        if served is None:
            return failed(check, "signed_get_refused", "a link that was just signed is refused")
        if served != _BODY:
            return failed(check, "store_wrong_bytes", "a link serves something else")
        # Another file name in the answer: covered by the signature, so it must be of no use.
        if await self.trial.get(url.replace("doctor.txt", "doctor.exe")) is not None:
            return failed(check, "tampered_url_accepted", "a link that was changed is served")
        return ok(check, "served by a signed link, and refused by a changed one")

    async def _signed_put(self, check: str) -> Finding:
        signed = self.artifacts.signed_put(
            self._upload,
            expires_at=self.clock.now() + _LIFE,
            content_type=_TYPE,
            length=len(_BODY),
        )
        if await self.trial.put(signed, _BODY + b"more"):
            return failed(check, "tampered_url_accepted", "a file of another length was taken")
        if not await self.trial.put(signed, _BODY):
            return failed(check, "signed_put_refused", "an upload that was just signed is refused")
        if await self.artifacts.stat(self._upload) != len(_BODY):
            return failed(check, "store_wrong_bytes", "an upload that was taken is not there")
        return ok(check, "taken by a signed link, and refused with another length")

    async def _delete(self, check: str) -> Finding:
        await self.artifacts.delete([self._file, self._upload])
        for key in (self._file, self._upload):
            if await self.artifacts.stat(key) is not None:
                return failed(check, "store_not_deleted", f"{key} stays behind")
        return ok(check, "removed")


async def _chunks() -> AsyncIterator[bytes]:
    yield _BODY


def judge_store_tls(facts: TlsFacts | NotReached | None, now: datetime) -> Finding:
    """Return whether the way to the store is protected; None is an endpoint without TLS."""
    name = "store.tls"
    if facts is None:
        return warning(name, "store_unencrypted", "the endpoint is http")
    if isinstance(facts, NotReached):
        return failed(name, facts.code, facts.seen)
    shown = f"{facts.version}, certificate until {facts.certificate_ends:%Y-%m-%d}"
    if facts.certificate_ends - now < _RENEWAL:
        return warning(name, "tls_expires_soon", shown)
    return ok(name, shown)
