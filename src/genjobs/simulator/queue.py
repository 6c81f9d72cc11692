"""
The prompt queue, the running prompt, the interrupt flag and the history.

Strictly one prompt runs at a time; the lowest number goes first. Everything is in memory and gone
with the process, as in ComfyUI.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

MAXIMUM_HISTORY = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueItem:
    """One submitted prompt; never changed after it was queued."""

    number: float
    prompt_id: str
    prompt: dict[str, Any]
    extra_data: dict[str, Any]
    outputs: list[str]

    def as_list(self) -> list[Any]:
        """Return the five members the API shows."""
        return [self.number, self.prompt_id, self.prompt, self.extra_data, self.outputs]


class InterruptFlag:
    """The one interrupt flag of the process: set by any request, read by whatever runs."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Ask whatever runs next to look to stop."""
        self._event.set()

    def clear(self) -> None:
        """Forget the request; the executor does so at the start of each prompt."""
        self._event.clear()

    def take(self) -> bool:
        """Return whether the flag was set, and clear it."""
        was_set = self._event.is_set()
        self._event.clear()
        return was_set


@dataclass(slots=True)
class PromptQueue:
    """The shared state between the routes (event loop) and the executor (its own thread)."""

    interrupt: InterruptFlag
    on_change: Callable[[], None]
    _condition: threading.Condition = field(default_factory=threading.Condition)
    _heap: list[tuple[float, str, int, QueueItem]] = field(default_factory=list)
    _running: QueueItem | None = None
    _history: dict[str, dict[str, Any]] = field(default_factory=dict)
    _order: itertools.count[int] = field(default_factory=itertools.count)
    _flags: dict[str, bool] = field(default_factory=dict)
    _closed: bool = False

    def put(self, item: QueueItem) -> None:
        """
        Queue a prompt.

        Raises:
            TypeError: number and id equal those of a queued prompt. The prompt IS queued all the
                same: the original compares the next members of the tuples, which are dicts.

        """
        with self._condition:
            clash = any(each[:2] == (item.number, item.prompt_id) for each in self._heap)
            entry = (item.number, item.prompt_id, next(self._order), item)
            heapq.heappush(self._heap, entry)
            if clash:
                self._condition.notify()
                raise TypeError("'<' not supported between instances of 'dict' and 'dict'")
            self.on_change()
            self._condition.notify()

    def get(self) -> QueueItem | None:
        """Wait for the next prompt and mark it running; None when only flags changed or closed."""
        with self._condition:
            while not self._heap:
                if self._closed or self._flags:
                    return None
                self._condition.wait()
            if self._closed:
                return None
            self._running = heapq.heappop(self._heap)[3]
            self.on_change()
            return self._running

    def done(self, item: QueueItem, result: dict[str, Any] | None) -> None:
        """End the running prompt and write its history, unless ``result`` is None."""
        with self._condition:
            self._running = None
            if result is not None:
                if len(self._history) > MAXIMUM_HISTORY:
                    del self._history[next(iter(self._history))]
                self._history[item.prompt_id] = {"prompt": item.as_list(), **result}
            self.on_change()

    def snapshot(self) -> tuple[list[QueueItem], list[QueueItem]]:
        """Return what runs and what waits (in heap order, as the API shows it)."""
        with self._condition:
            running = [self._running] if self._running else []
            return running, [entry[3] for entry in self._heap]

    def remaining(self) -> int:
        """Return how many prompts wait or run."""
        with self._condition:
            return len(self._heap) + (self._running is not None)

    def interrupt_if_running(self, prompt_id: str) -> bool:
        """Set the interrupt flag if that prompt is the running one."""
        with self._condition:
            running = self._running is not None and self._running.prompt_id == prompt_id
            if running:
                self.interrupt.set()
            return running

    def delete(self, prompt_id: str) -> bool:
        """Take the first waiting prompt of that id out; it leaves no trace."""
        with self._condition:
            for index, entry in enumerate(self._heap):
                if entry[1] == prompt_id:
                    del self._heap[index]
                    heapq.heapify(self._heap)
                    self.on_change()
                    return True
            return False

    def clear(self) -> None:
        """Take every waiting prompt out."""
        with self._condition:
            self._heap.clear()
            self.on_change()

    def history(self, max_items: int | None = None, offset: int = -1) -> dict[str, dict[str, Any]]:
        """Return finished prompts, oldest first; the newest ``max_items`` by default."""
        with self._condition:
            items = list(self._history.items())
        if offset < 0 and max_items is not None:
            offset = len(items) - max_items
        items = items[max(offset, 0) :]
        return dict(items if max_items is None else items[:max_items])

    def history_of(self, prompt_id: str) -> dict[str, dict[str, Any]]:
        """Return the history of one prompt, empty when there is none."""
        with self._condition:
            found = self._history.get(prompt_id)
            return {} if found is None else {prompt_id: found}

    def delete_history(self, prompt_id: str | None = None) -> None:
        """Forget one finished prompt, or all of them."""
        with self._condition:
            if prompt_id is None:
                self._history.clear()
            else:
                self._history.pop(prompt_id, None)

    def set_flag(self, name: str) -> None:
        """Leave an order (``/free``) for the executor; done between prompts."""
        with self._condition:
            self._flags[name] = True
            self._condition.notify()

    def take_flags(self) -> dict[str, bool]:
        """Return the orders left since the last call."""
        with self._condition:
            flags, self._flags = self._flags, {}
            return flags

    def close(self) -> None:
        """Let the executor's thread end; nothing more is taken from the queue."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
