"""
A whole job on a real ComfyUI that is a user of its own, with a custom node that tries to get out.

Runs as root, when ``GENJOBS_TEST_COMFYUI_USER`` names a user who can run the command of
``GENJOBS_TEST_COMFYUI_COMMAND``: both in one step, and prepared as for a memory snapshot.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from genjobs.bootstrap.engine import prepare_engine
from genjobs.domain.lifecycle import JobStatus
from genjobs.gpu.confinement import SHARED_FOLDERS, Confinement
from genjobs.settings.comfyui import ComfyUISettings
from genjobs.testing import a_workflow
from tests import environment
from tests.integration.test_cancel_ladder import open_ladder
from tests.postgres import Database

NODE = Path(__file__).parents[1] / "data/comfyui/hostile"
CATALOGUE = {
    "classes": {
        "HostileProbe": {"reviewed": True, "inputs": {"image": "link"}, "outputs": ["IMAGE"]}
    }
}
#: What ComfyUI is given, and what it sets for itself.
ITS_OWN = {"DO_NOT_TRACK", "HF_HUB_DISABLE_TELEMETRY", "PYTHONPATH", "HOME", "TMPDIR", "PATH"}
pytestmark = [
    pytest.mark.skipif(
        os.geteuid() != 0 or environment.COMFYUI_USER is None,
        reason="GENJOBS_TEST_COMFYUI_USER is not set, or this is not root",
    ),
    pytest.mark.slow,
]


@pytest.mark.parametrize("way", ["started", "prepared", "without a user"])
async def test_hostile_node_of_a_real_comfyui_reaches_nothing(
    database: Database, open_folder: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """The last way is what the others are held against: there it reaches nearly everything."""
    assert environment.COMFYUI_USER is not None
    walled, prepared = way != "without a user", way == "prepared"
    base, data, secrets = (open_folder / name for name in ("base", "data", "secrets"))
    for folder in (data, secrets):
        folder.mkdir(mode=0o700)
    (secrets / "key").write_text("secret")
    nodes = base / "custom_nodes" / "hostile"
    shutil.copytree(NODE, nodes, ignore=shutil.ignore_patterns("__pycache__"))
    target = {"base": base, "data": data, "secrets": secrets}
    told: dict[str, Any] = {
        **{name: str(path) for name, path in target.items()},
        "shared": SHARED_FOLDERS,
    }
    told["trace"] = walled
    (nodes / "target.json").write_text(json.dumps(told))
    catalogue = open_folder / "nodes.json"
    catalogue.write_text(json.dumps(CATALOGUE))
    for name in ("GENJOBS_SIGNING_KEY", "AWS_SECRET_ACCESS_KEY", "MODAL_TOKEN_SECRET"):
        monkeypatch.setenv(name, "signs the files of a test, of nothing else")
    if environment.COMFYUI_PYTHONPATH is not None:
        monkeypatch.setenv("PYTHONPATH", environment.COMFYUI_PYTHONPATH)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    given: dict[str, Any] = {
        "comfyui_url": f"http://127.0.0.1:{port}",
        "comfyui_command": f"{environment.COMFYUI_COMMAND} --whitelist-custom-nodes hostile",
        "comfyui_directory": base,
        "comfyui_user": environment.COMFYUI_USER if walled else None,
        "comfyui_environment": ["PYTHONPATH"],
        "comfyui_snapshot": prepared,
    }
    begun = await asyncio.to_thread(
        prepare_engine, ComfyUISettings.model_validate({**given, "data_directory": data})
    )
    assert (begun is not None) == prepared
    confinement = Confinement.of(environment.COMFYUI_USER)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(secrets / "socket"))
        listening.listen()
        async with open_ladder(
            database, data, prepared=begun, node_catalogue=catalogue, **given
        ) as ladder:
            assert ladder.keeper.prepared == prepared
            graph = a_workflow()
            graph["7"] = {"class_type": "HostileProbe", "inputs": {"image": ["1", 0]}}
            graph["9"]["inputs"]["images"] = ["7", 0]
            done = await ladder.ends(await ladder.submit(graph), JobStatus.COMPLETED)
            assert len(done.outputs) == 1
            stray = int(await text_of(base / "user" / "stray"))
            assert Path(f"/proc/{stray}").exists()
    if not walled:
        os.kill(stray, signal.SIGKILL)
        report = json.loads(await text_of(base / "user" / "run.json"))
        reached = {"worker's environ", "worker's fd", "signal", "worker's key", "worker's socket"}
        assert reached | {"write to custom_nodes", "write to worker's data"} <= set(report["could"])
        return
    assert not Path(f"/proc/{stray}").exists()

    for stage in ("import", "run"):
        report = json.loads(await text_of(base / "user" / f"{stage}.json"))
        assert report["could"] == []
        assert report["writable"] == ["output", "temp", "user"]
        assert not [name for name in report["environment"] if name.startswith(FOREIGN)]
        assert set(report["environment"]) <= ITS_OWN | {
            name for name in report["environment"] if name.startswith(HANDED_ON)
        }
        assert report["ids"] == sorted({confinement.user, confinement.group})
        assert report["groups"] == []
        assert (report["no new rights"], int(report["capabilities"], 16)) == ("1", 0)
        assert report["modules"] == []
        assert {"--disable-metadata", "--disable-api-nodes"} <= set(report["arguments"])
        assert set(report["listens"]) == ({"0100007F"} if stage == "run" else set())


FOREIGN = ("GENJOBS_", "AWS_", "MODAL_", "PG")
HANDED_ON = ("LC_", "LANG", "CUDA_", "NVIDIA_", "PYTORCH_", "TORCH", "KMP_", "TZ", "OCL_")


async def text_of(path: Path) -> str:
    async with asyncio.timeout(30):
        while not path.exists() or not (text := path.read_text()):
            await asyncio.sleep(0.05)
    return text
