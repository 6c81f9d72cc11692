"""From settings to how jobs reach workers: pulled by them, or in calls at Modal."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from genjobs.bootstrap.database import DatabaseAdapters
from genjobs.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from genjobs.domain.ports import Caller, CallLedger, PoolControl, Signals, WorkerControl


class DispatchAdapters(DatabaseAdapters):
    """The adapters between jobs and workers."""

    @property
    def pushes(self) -> bool:
        """
        Whether an engine has to be called; else workers pull.

        Raises:
            ConfigurationError: the dispatch URL has an unknown scheme.
        """
        scheme, _, _ = self.settings.dispatch_url.partition(":")
        if scheme not in {"local", "modal"}:
            raise ConfigurationError(f"dispatch_url has the unknown scheme {scheme!r}")
        return scheme == "modal"

    async def signals(self) -> Signals:
        """Return this process's word to those who take jobs or run them."""
        if "signals" not in self._opened:
            from genjobs.adapters.local.signals import LocalSignals

            local = LocalSignals()
            self._opened["signals"] = await self._dispatching(local) if self.pushes else local
        signals: Signals = self._opened["signals"]
        return signals

    async def _dispatching(self, waiters: Signals) -> Signals:
        from genjobs.application.dispatch import Dispatching, DispatchJobs

        dispatching = Dispatching(
            dispatch=DispatchJobs(
                ledger=await self.ledger(),
                calls=await self.calls(),
                caller=self.caller(),
                clock=self.clock(),
            ),
            waiters=waiters,
        )
        self._stack.push_async_callback(dispatching.drain)  # before what it uses is closed
        return dispatching

    async def calls(self) -> CallLedger:
        """Return what is kept of calls."""
        from genjobs.adapters.postgres import PostgresCallLedger

        pool = await self._worker_pool()
        return self._once("calls", lambda: PostgresCallLedger(pool))

    def caller(self) -> Caller:
        """Return what calls the engine."""
        need_modal()
        from genjobs.adapters.modal import ModalCaller, parse_place

        return self._once("caller", lambda: ModalCaller(parse_place(self.settings.dispatch_url)))

    def workers(self) -> WorkerControl:
        """Return what ends workers that do not answer."""
        if self.pushes:
            need_modal()
            from genjobs.adapters.modal import ModalWorkerControl

            return self._once("workers", ModalWorkerControl)
        from genjobs.adapters.local.processes import LocalWorkerControl

        return self._once("workers", LocalWorkerControl)

    def pool(self) -> PoolControl | None:
        """Return what scales the pool of workers; None where they come by themselves."""
        if not self.pushes:
            return None
        need_modal()
        from genjobs.adapters.modal import ModalPoolControl, parse_place

        place = parse_place(self.settings.dispatch_url)
        return self._once("pool", lambda: ModalPoolControl(place))


def need_modal() -> None:
    """Raise ``ConfigurationError`` when Modal's package is not installed."""
    if importlib.util.find_spec("modal") is None:
        raise ConfigurationError("modal:// needs: pip install 'genjobs[modal]'")
