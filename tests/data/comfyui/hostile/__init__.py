"""
A custom node that tries what it must not be able to, when it is imported and when it runs.

``target.json`` beside it says where the worker keeps what; reports are left where it may write.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import sys
import threading
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_TARGET = json.loads((_HERE / "target.json").read_text())
_BASE = Path(_TARGET["base"])
_WORKER = os.getppid()


def _listed(path):
    return os.listdir(path) and None


def _read(path):
    with open(path, "rb") as file:
        file.read(1)


def _written(path):
    with open(path, "wb") as file:
        file.write(b"mine")
    os.unlink(path)


def _connected(path):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(2)
        client.connect(path)


def _became_root():
    os.setuid(0)


def _traced():
    import ctypes

    if ctypes.CDLL(None, use_errno=True).ptrace(16, _WORKER, 0, 0) != 0:  # PTRACE_ATTACH
        raise PermissionError


def _attempts():
    for name in ("environ", "mem", "maps", "auxv", "stack", f"task/{_WORKER}/environ"):
        yield f"worker's {name}", _read, f"/proc/{_WORKER}/{name}"
    for name in ("fd", "cwd/", "root/", "map_files"):
        yield f"worker's {name}", _listed, f"/proc/{_WORKER}/{name}"
    yield "signal", lambda pid: os.kill(pid, signal.SIGCONT), _WORKER
    if _TARGET["trace"]:  # where it works, the worker stops
        yield "trace", lambda _: _traced(), None
    yield "become root", lambda _: _became_root(), None
    yield "worker's home", _listed, os.path.expanduser("~root")
    for name in ("data", "secrets"):
        yield f"worker's {name}", _listed, _TARGET[name]
        yield f"write to worker's {name}", _written, os.path.join(_TARGET[name], "x")
    yield "worker's key", _read, os.path.join(_TARGET["secrets"], "key")
    yield "worker's socket", _connected, os.path.join(_TARGET["secrets"], "socket")
    yield "its log", _read, os.path.join(_TARGET["data"], "comfyui.log")
    for name in ("input", "models", "custom_nodes", "custom_nodes/hostile", "."):
        yield f"write to {name}", _written, _BASE / name / "x"
    yield "write to ComfyUI", _written, Path(sys.modules["folder_paths"].__file__).parent / "x"
    yield "raw socket", lambda _: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close(), None


def _writable_places():
    """Yield the folders of this machine, two levels deep, that take a file; and of its own."""
    shared = set(_TARGET["shared"]) | {"/proc", "/sys", "/dev/fd", "/dev/pts"}
    for top, folders, _ in os.walk("/"):
        folders[:] = [f for f in folders if os.path.join(top, f) not in shared]
        if top.count("/") > 2:
            folders[:] = []
        if os.access(top, os.W_OK) and stat.S_ISDIR(os.lstat(top).st_mode):
            yield top
    for top, _, _ in os.walk(_BASE):
        if os.access(top, os.W_OK):
            yield str(Path(top).relative_to(_BASE)).partition("/")[0]


def _servers():
    """Return where this process listens."""
    links = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            links.add(os.readlink(f"/proc/self/fd/{fd}"))
        except OSError:
            continue
    found = []
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            parts = line.split()
            if parts[3] == "0A" and f"socket:[{parts[9]}]" in links:
                found.append(parts[1].partition(":")[0])
    return found


def _report(stage):
    could = []
    for name, attempt, target in _attempts():
        try:
            attempt(target)
        except Exception:
            continue
        could.append(name)
    status = dict(
        line.split(":\t", 1)
        for line in Path("/proc/self/status").read_text().splitlines()
        if ":\t" in line
    )
    report = {
        "could": could,
        "writable": sorted(set(_writable_places())),
        "environment": sorted(os.environ),
        "ids": sorted({*os.getresuid(), *os.getresgid()}),
        "groups": os.getgroups(),
        "no new rights": status["NoNewPrivs"].strip(),
        "capabilities": status["CapEff"].strip(),
        "arguments": sys.argv,
        "modules": sorted(
            name for name in sys.modules if name.startswith(("comfyui_manager", "comfy_api_nodes"))
        ),
        "listens": _servers(),
        "threads": threading.active_count(),
    }
    place = _BASE / "user" / f"{stage}.json"
    part = place.with_suffix(".part")
    part.write_text(json.dumps(report))
    os.rename(part, place)


class HostileProbe:
    """Hands a picture on, and tries everything on its way."""

    CATEGORY = "tests"
    FUNCTION = "run"
    RETURN_TYPES = ("IMAGE",)

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802  (ComfyUI's name)
        return {"required": {"image": ("IMAGE",)}}

    def run(self, image):
        _report("run")
        if os.fork() == 0:  # leaves the group of the process that will be killed
            os.setsid()
            if os.fork() == 0:
                (_BASE / "user" / "stray").write_text(str(os.getpid()))
                signal.pause()
            os._exit(0)
        return (image,)


_report("import")
NODE_CLASS_MAPPINGS = {"HostileProbe": HostileProbe}
