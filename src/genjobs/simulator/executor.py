"""
The executor: one thread that runs one prompt at a time and reports what happens.

Interrupts are seen before each node and at each sampler step only, and the flag is cleared when a
prompt begins; so a cancel can be lost between "running" and the beginning, and inside the last
node, exactly as with v0.26.0.
"""

from __future__ import annotations

import copy
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from genjobs.simulator.cache import CacheEntry, NodeCache
from genjobs.simulator.catalogue import Catalogue
from genjobs.simulator.faults import Faults
from genjobs.simulator.folders import Folders
from genjobs.simulator.nodes import NODES, NodeContext
from genjobs.simulator.nodes.failures import describe_failure
from genjobs.simulator.progress import ProgressState
from genjobs.simulator.queue import InterruptFlag, PromptQueue, QueueItem
from genjobs.simulator.scheduling import ExecutionList, is_link
from genjobs.simulator.sockets import SocketHub

logger = logging.getLogger(__name__)


class InterruptedPromptError(Exception):
    """The interrupt flag was seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How the simulated server is set up (ComfyUI: its command line)."""

    #: Seconds one sampler step takes.
    step_seconds: float = 0.05
    #: Preview of prompts that ask for none themselves: "none" or "latent2rgb".
    preview_method: str = "none"
    #: Whether output pictures carry the whole prompt (off: ``--disable-metadata``).
    metadata: bool = True


class PromptExecutor:
    """Runs the queue; all methods but ``start``, ``stop`` and ``__init__`` are its thread's."""

    def __init__(
        self,
        *,
        queue: PromptQueue,
        hub: SocketHub,
        cache: NodeCache,
        catalogue: Catalogue,
        folders: Folders,
        faults: Faults,
        behaviour: Behaviour,
        die: Callable[[], None],
    ) -> None:
        self._queue = queue
        self._hub = hub
        self._cache = cache
        self._catalogue = catalogue
        self._folders = folders
        self._faults = faults
        self._behaviour = behaviour
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
                self._cache.clear()

    def _run_prompt(self, item: QueueItem) -> None:
        client_id = item.extra_data.get("client_id")
        self._queue.interrupt.clear()
        self._hub.client_id = client_id
        run = _Run(self, item)
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

    def _delete_outputs(self, run: _Run) -> None:
        for ui, _ in run.shown.values():
            for each in (entry for entries in ui.values() for entry in entries):
                if isinstance(each, dict) and "filename" in each:
                    folder = self._folders.of_type(each["type"])
                    assert folder is not None
                    (folder / each["subfolder"] / each["filename"]).unlink(missing_ok=True)

    def check(self) -> None:
        """Strike what was ordered for a step; called before each node and at each step."""
        self._faults.block_until_thawed()
        if self._faults.take_death("step"):
            self._die()
        if self._stopped.is_set():
            raise _StoppedError
        if self._queue.interrupt.take():
            raise InterruptedPromptError


class _StoppedError(BaseException):
    """The server is gone; the thread ends without another word."""


class _Run:
    """One prompt being executed."""

    def __init__(self, executor: PromptExecutor, item: QueueItem) -> None:
        self._executor = executor
        self._hub = executor._hub  # noqa: SLF001 - the two classes are one unit
        self._cache = executor._cache  # noqa: SLF001
        self._catalogue = executor._catalogue  # noqa: SLF001
        self._item = item
        self._prompt = item.prompt
        self._progress = ProgressState(item.prompt_id, self._hub)
        self._executed: list[str] = []
        self.messages: list[list[Any]] = []
        #: What the client is shown, by node: (ui, meta).
        self.shown: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}

    def execute(self) -> bool:
        self._tell("execution_start")
        self._cache.begin(self._prompt)
        cached = [node_id for node_id in self._prompt if self._cache.get(node_id) is not None]
        self._tell("execution_cached", nodes=cached)
        todo = ExecutionList(
            self._prompt,
            lambda node_id: self._cache.get(node_id) is not None,
            lambda node_id: self._catalogue.is_output_node(self._prompt[node_id]["class_type"]),
        )
        for node_id in self._item.outputs:
            todo.add(node_id)
        while (node_id := todo.next()) is not None:
            entry = self._cache.get(node_id)
            if entry is not None:
                self._show_cached(node_id, entry)
            elif not self._run_node(node_id):
                return False
            else:
                self._executed.append(node_id)
            self._progress.finish(node_id)
            todo.complete(node_id)
        self._tell("execution_success")
        return True

    def _show_cached(self, node_id: str, entry: CacheEntry) -> None:
        if self._hub.client_id is None:
            return  # v0.26.0 loses the outputs of cached nodes when nobody listens
        self._send_executed(node_id, entry.ui)
        if entry.ui is not None and entry.meta is not None:
            self.shown[node_id] = (entry.ui, entry.meta)

    def _run_node(self, node_id: str) -> bool:
        class_type = self._prompt[node_id]["class_type"]
        self._progress.start(node_id)
        inputs = self._inputs(node_id)
        client_id = self._hub.client_id
        if client_id is not None:
            self._hub.last_node_id = node_id
            data = {"node": node_id, "display_node": node_id, "prompt_id": self._item.prompt_id}
            self._hub.send("executing", data, client_id)
        try:
            self._executor.check()
            result = NODES[class_type](inputs, self._context(node_id))
        except InterruptedPromptError:
            self._tell(
                "execution_interrupted",
                broadcast=True,
                node_id=node_id,
                node_type=class_type,
                executed=list(self._executed),
            )
            return False
        except Exception as error:  # noqa: BLE001 - any failure of a node is reported, like theirs
            logger.debug("node %s failed", node_id, exc_info=True)
            self._tell(
                "execution_error",
                node_id=node_id,
                node_type=class_type,
                executed=list(self._executed),
                **describe_failure(error),
                current_inputs={name: [_shown(value)] for name, value in inputs.items()},
                current_outputs=list(self._prompt),
            )
            return False
        meta = None
        if result.ui:
            meta = {
                "node_id": node_id,
                "display_node": node_id,
                "parent_node": None,
                "real_node_id": node_id,
            }
            self.shown[node_id] = (result.ui, meta)
            if client_id is not None:
                self._send_executed(node_id, result.ui)
        self._cache.put(node_id, CacheEntry(outputs=result.outputs, ui=result.ui, meta=meta))
        return True

    def _inputs(self, node_id: str) -> dict[str, Any]:
        node = self._prompt[node_id]
        known = self._catalogue.inputs(node["class_type"])
        inputs: dict[str, Any] = {}
        for name, value in node["inputs"].items():
            if is_link(value):
                source = self._cache.get(value[0])
                assert source is not None, "a scheduled node's sources have results"
                inputs[name] = source.outputs[value[1]]
            elif name in known:
                inputs[name] = value
        for name, kind in self._catalogue.hidden_inputs(node["class_type"]).items():
            hidden = {"PROMPT": self._prompt}.get(kind, self._item.extra_data.get(name))
            inputs[name] = hidden
        return inputs

    def _context(self, node_id: str) -> NodeContext:
        executor = self._executor
        behaviour = executor._behaviour  # noqa: SLF001
        method = self._item.extra_data.get("preview_method") or behaviour.preview_method

        def report(value: int, maximum: int, preview: bytes | None) -> None:
            executor.check()
            self._progress.step(node_id, value, maximum, preview)

        return NodeContext(
            folders=executor._folders,  # noqa: SLF001
            step_seconds=behaviour.step_seconds,
            previews=method not in ("none", "default"),
            metadata=behaviour.metadata,
            report=report,
        )

    def _send_executed(self, node_id: str, ui: dict[str, Any] | None) -> None:
        data = {
            "node": node_id,
            "display_node": node_id,
            "output": ui,
            "prompt_id": self._item.prompt_id,
        }
        self._hub.send("executed", data, self._hub.client_id)

    def _tell(self, event: str, *, broadcast: bool = False, **data: Any) -> None:
        message = {**data, "prompt_id": self._item.prompt_id, "timestamp": int(time.time() * 1000)}
        self.messages.append([event, copy.deepcopy(message)])
        if self._hub.client_id is not None or broadcast:
            self._hub.send(event, message, self._hub.client_id)


def _shown(value: Any) -> Any:
    """Return an input as ``execution_error`` shows it: plain values as they are, others as text."""
    return value if value is None or isinstance(value, int | float | str) else str(value)
