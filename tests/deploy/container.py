"""A container of a deployed function: Modal's own entry point, run here as a process."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from modal_proto import api_pb2

from genjobs.settings.deployment import WORKER
from tests.deploy.deploying import ROOT
from tests.deploy.plane import Served

#: Of the container, as its worker says in call ids.
TASK = "ta-01TEST"


def arguments(served: Served, name: str) -> api_pb2.ContainerArguments:
    """Return what Modal would tell the container."""
    plane = served.plane
    assert plane.published is not None
    layout = api_pb2.AppLayout(
        function_ids=plane.published.function_ids, class_ids=plane.published.class_ids
    )
    for tag, object_id in plane.published.function_ids.items():
        layout.objects.add(object_id=object_id, function_handle_metadata=plane.described(tag))
    for object_id in plane.published.class_ids.values():
        layout.objects.add(object_id=object_id, class_handle_metadata=api_pb2.ClassHandleMetadata())
    function = plane.function(name)
    known = {entry.object_id for entry in layout.objects}
    for dependency in function.object_dependencies:
        if dependency.object_id not in known:
            layout.objects.add(object_id=dependency.object_id)
    return api_pb2.ContainerArguments(
        task_id=TASK,
        function_id=plane.published.function_ids[name],
        app_id="ap-1",
        function_def=function,
        app_layout=layout,
        environment_name="main",
    )


@asynccontextmanager
async def running(
    served: Served,
    folder: Path,
    settings: dict[str, str],
    name: str = f"{WORKER}.*",
    *,
    checkpoint: str = "",
) -> AsyncIterator[asyncio.subprocess.Process]:
    """
    Run a container of a function; its process is ended at the end.

    With ``checkpoint`` it stops for a snapshot, and goes on when ``folder`` has ``restored``.
    """
    told = folder / "arguments"
    given = arguments(served, name)
    given.checkpoint_id = checkpoint
    if checkpoint:  # as the server says it of a function that asked for snapshots
        assert given.function_def.checkpointing_enabled
        given.function_def.is_checkpointing_function = True
    told.write_bytes(given.SerializeToString())
    snapshot = {
        "MODAL_ENABLE_SNAP_RESTORE": "1",
        "MODAL_RESTORE_STATE_PATH": str(folder / "restored"),
    }
    home = folder / "root"  # where the module is alone, as in a container
    home.mkdir(exist_ok=True)
    shutil.copy(ROOT / "deploy/modal_app.py", home)
    with (folder / "container.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "modal._container_entrypoint"),
            cwd=home,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(home),
                "PYTHONPATH": str(home),
                "MODAL_CONTAINER_ARGUMENTS_PATH": str(told),
                "MODAL_SERVER_URL": served.url,
                "MODAL_TASK_ID": TASK,
                "MODAL_IS_REMOTE": "1",
                **(snapshot if checkpoint else {}),
                **settings,
            },
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
