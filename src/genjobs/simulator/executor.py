"""
The executor: one thread that runs one prompt at a time and reports what happens.

Interrupts are seen before each node and at each sampler step only, and the flag is cleared when a
prompt begins; so a cancel can be lost between "running" and the beginning, and inside the last
node, exactly as with v0.26.0.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from genjobs.simulator.faults import Faults
from genjobs.simulator.nodes.failures import NodeFailure
from genjobs.simulator.prompt_run import InterruptedPromptError, PromptRun, Workbench
from genjobs.simulator.queue import PromptQueue, QueueItem


class PromptExecutor:
    """Runs the queue; all methods but ``start``, ``stop`` and ``__init__`` are its thread's."""

    def __init__(
        self,
        *,
        queue: PromptQueue,
        bench: Workbench,
        faults: Faults,
        die: Callable[[], None],
    ) -> None:
        self._queue = queue
        self._bench = bench
        self._hub = bench.hub
        self._faults = faults
        self._die = die
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="simulator-executor", daemon=True)

    def start(self) -> None:
        """Start taking prompts from the queue."""
        self._thread.start()

    def stop(self) -> None:
        """End at the next check, as a killed process would: no message, no history. No wait."""
        self._stopped.set()
        self._queue.close()

    def _run(self) -> None:
        while not self._stopped.is_set():
            item = self._queue.get()
            if item is not None:
                try:
                    self._run_prompt(item)
                except _StoppedError:
                    return
            flags = self._queue.take_flags()
            if flags.get("free_memory"):
                self._bench.cache.clear()

    def _run_prompt(self, item: QueueItem) -> None:
        client_id = item.extra_data.get("client_id")
        self._queue.interrupt.clear()
        self._hub.client_id = client_id
        run = PromptRun(self._bench, item, self._check)
        success = run.execute()
        result: dict[str, Any] | None = {
            "outputs": {node: ui for node, (ui, _) in run.shown.items()},
            "status": {
                "status_str": "success" if success else "error",
                "completed": success,
                "messages": run.messages,
            },
            "meta": {node: meta for node, (_, meta) in run.shown.items()},
        }
        self._hub.last_node_id = None
        if success and self._faults.take("lose_outputs"):
            self._delete_outputs(run)
        if self._faults.take("lose_histories"):
            result = None
        self._queue.done(item, result)
        if client_id is not None:
            data = {"node": None, "prompt_id": item.prompt_id}
            self._hub.send("executing", data, client_id)

    def _delete_outputs(self, run: PromptRun) -> None:
        for ui, _ in run.shown.values():
            for each in (entry for entries in ui.values() for entry in entries):
                if isinstance(each, dict) and "filename" in each:
                    folder = self._bench.folders.base / each["type"] / each["subfolder"]
                    (folder / each["filename"]).unlink(missing_ok=True)

    def _check(self) -> None:
        """Strike what was ordered for a step; called before each node and at each step."""
        self._faults.block_until_thawed()
        if self._faults.take_death("step"):
            self._die()
        if self._stopped.is_set():
            raise _StoppedError
        if self._queue.interrupt.take():
            raise InterruptedPromptError
        if self._faults.take("fail_memory"):
            raise NodeFailure("torch.OutOfMemoryError", "Allocation on device 0 failed.", ())
        if self._faults.take("fail_device"):
            raise RuntimeError("CUDA error: device-side assert triggered")


class _StoppedError(BaseException):
    """The server is gone; the thread ends without another word."""
