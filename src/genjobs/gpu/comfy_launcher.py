"""
Runs in ComfyUI's process, by its Python: ComfyUI's start, stopped before it asks for a device.

``python -c <this text> REPORT MODULES SCRIPT ARGUMENTS...`` runs SCRIPT as ``python SCRIPT
ARGUMENTS...`` does, until it imports what asks for a device. Then MODULES are
imported, a line of JSON is written to the descriptor REPORT, and it waits for a line on its
standard input: what has changed in the environment. All that is before may be in a memory
snapshot; a call that asks for a device before it makes the process useless, and ends it.

Standard library only, and nothing of genjobs: it runs where that is not installed, as a user who
may not read it.
"""

from __future__ import annotations

import functools
import importlib
import importlib.abc
import importlib.machinery
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

#: ComfyUI decides on the device when the first of these is imported, and everything that computes
#: imports it; its kernels ask for one a little sooner. The first to be imported is the gate.
GATES = frozenset({"comfy.model_management", "comfy.quant_ops", "comfy_kitchen"})
#: Exit codes: a device was asked for, and the worker that should say go is gone.
ASKED, ABANDONED = 3, 4
#: What of ``torch.cuda`` asks for a device or binds one.
_QUESTIONS = (
    *("init", "_lazy_init", "is_available", "device_count", "current_device", "set_device"),
    *("get_device_capability", "get_device_name", "get_device_properties", "mem_get_info"),
    *("current_stream", "memory_stats", "synchronize", "empty_cache"),
)


class Launcher(importlib.abc.MetaPathFinder):
    """Watches what is imported, and holds the process at the gate."""

    def __init__(self, report: int, modules: list[str]) -> None:
        self._report = report
        self._modules = modules
        self._asked: list[str] = []
        self._watched: list[tuple[ModuleType, str, Any]] = []
        self._began = time.monotonic()
        self._waits = False

    def find_spec(
        self, fullname: str, path: Any = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find nothing, but watch ``torch.cuda`` from its first moment, and stop at the gate."""
        if fullname in GATES and not self._waits:
            self._waits = True
            self._wait()
            sys.meta_path.remove(self)
            return None
        if fullname != "torch.cuda":
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            load: Callable[[ModuleType], None] = spec.loader.exec_module

            def watched(module: ModuleType) -> None:
                load(module)
                self._watch(module)

            spec.loader.exec_module = watched  # type: ignore[method-assign]
        return spec

    def _watch(self, cuda: ModuleType) -> None:
        for name in _QUESTIONS:
            asks = getattr(cuda, name, None)
            if callable(asks):
                self._watched.append((cuda, name, asks))
                setattr(cuda, name, self._noting(name, asks))

    def _noting(self, name: str, asks: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(asks)
        def noting(*args: Any, **kwargs: Any) -> Any:
            if len(self._asked) < 10:
                caller = sys._getframe(1)
                self._asked.append(f"{name} by {caller.f_globals.get('__name__', '?')}")
            return asks(*args, **kwargs)

        return noting

    def _wait(self) -> None:
        missing = [name for name in self._modules if not _imported(name)]
        said = {
            "asked": self._asked,
            "missing": missing,
            "modules": len(sys.modules),
            "seconds": round(time.monotonic() - self._began, 3),
        }
        os.write(self._report, json.dumps(said).encode() + b"\n")
        os.close(self._report)
        if self._asked:
            os._exit(ASKED)
        line = _line()
        if not line.endswith(b"\n"):
            os._exit(ABANDONED)
        changes = json.loads(line)
        os.environ.update(changes["set"])
        for name in changes["unset"]:
            os.environ.pop(name, None)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        for module, name, asks in self._watched:
            setattr(module, name, asks)
        _differ()


def _imported(name: str) -> bool:
    """Import ``module`` or ``module:attribute``; whether there is such a thing."""
    module, _, attribute = name.partition(":")
    try:
        found = importlib.import_module(module)
        if attribute:
            getattr(found, attribute)
    except Exception:
        return False  # ComfyUI says so itself if it cannot do without
    return True


def _line() -> bytes:
    """Read a line, unbuffered: what comes after it is not ours."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            break
        line += byte
    return line


def _differ() -> None:
    """Let processes that go on from the same memory draw other random numbers."""
    random.seed()
    tempfile._name_sequence = None  # type: ignore[attr-defined]
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()


def main() -> None:
    """See the module."""
    report, modules, script = int(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3]
    os.set_inheritable(report, False)
    sys.argv = sys.argv[3:]
    whole = os.path.abspath(script)
    sys.path[0] = os.path.dirname(whole)
    sys.meta_path.insert(0, Launcher(report, modules))
    with open(whole, "rb") as file:
        code = compile(file.read(), whole, "exec")
    # What it is as a script; runpy would change its arguments.
    sys.modules["__main__"] = module = ModuleType("__main__")
    module.__file__ = whole
    exec(code, module.__dict__)  # noqa: S102  (ComfyUI's own, in its own process)


if __name__ == "__main__":
    main()
