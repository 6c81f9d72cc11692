"""One prompt being executed: its nodes in order and the messages about them."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from genjobs.simulator.cache import CacheEntry, NodeCache
from genjobs.simulator.catalogue import Catalogue
from genjobs.simulator.folders import Folders
from genjobs.simulator.nodes import NODES, NodeContext
from genjobs.simulator.nodes.failures import describe_failure
from genjobs.simulator.progress import ProgressState
from genjobs.simulator.queue import QueueItem
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Workbench:
    """What every run of this server uses."""

    hub: SocketHub
    cache: NodeCache
    catalogue: Catalogue
    folders: Folders
    behaviour: Behaviour


class PromptRun:
    """One prompt being executed; ``check`` raises when it has to stop."""

    def __init__(self, bench: Workbench, item: QueueItem, check: Callable[[], None]) -> None:
        self._bench = bench
        self._hub = bench.hub
        self._cache = bench.cache
        self._catalogue = bench.catalogue
        self._check = check
        self._item = item
        self._prompt = item.prompt
        self._progress = ProgressState(item.prompt_id, self._hub)
        self._executed: list[str] = []
        #: Of every node that needs no run any more, cached ones included.
        self._results: dict[str, CacheEntry] = {}
        self.messages: list[list[Any]] = []
        #: What the client is shown, by node: (ui, meta).
        self.shown: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}

    def execute(self) -> bool:
        """Run every node that needs it; false when the prompt failed or was interrupted."""
        self._tell("execution_start")
        self._cache.begin(self._prompt)
        for each in self._prompt:
            if (known := self._cache.get(each)) is not None:
                self._results[each] = known
        self._tell("execution_cached", nodes=list(self._results))
        todo = ExecutionList(
            self._prompt,
            self._results.__contains__,
            lambda node_id: self._catalogue.is_output_node(self._prompt[node_id]["class_type"]),
        )
        for output in self._item.outputs:
            todo.add(output)
        while (node_id := todo.next()) is not None:
            entry = self._cache.get(node_id)  # an equal node of this prompt may have run by now
            if entry is not None:
                self._results[node_id] = entry
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
            self._check()
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
        except Exception as error:  # any failure of a node is reported, like theirs
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
        entry = CacheEntry(outputs=result.outputs, ui=result.ui, meta=meta)
        self._results[node_id] = entry
        self._cache.put(node_id, entry)
        return True

    def _inputs(self, node_id: str) -> dict[str, Any]:
        node = self._prompt[node_id]
        known = self._catalogue.inputs(node["class_type"])
        inputs: dict[str, Any] = {}
        for name, value in node["inputs"].items():
            if is_link(value):
                inputs[name] = self._results[value[0]].outputs[value[1]]
            elif name in known:
                inputs[name] = value
        for name, kind in self._catalogue.hidden_inputs(node["class_type"]).items():
            hidden = {"PROMPT": self._prompt}.get(kind, self._item.extra_data.get(name))
            inputs[name] = hidden
        return inputs

    def _context(self, node_id: str) -> NodeContext:
        behaviour = self._bench.behaviour
        method = self._item.extra_data.get("preview_method") or behaviour.preview_method

        def report(value: int, maximum: int, preview: bytes | None) -> None:
            self._check()
            self._progress.step(node_id, value, maximum, preview)

        return NodeContext(
            folders=self._bench.folders,
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
