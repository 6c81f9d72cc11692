"""
The deployment at Modal: images, secrets and decorated shells, no logic.

``modal deploy deploy/modal_app.py`` deploys it. Containers import this module as well, so what is
decorated must not depend on what only the deploying machine has.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import modal

from genjobs.domain.pins import BaseImage
from genjobs.gpu import stack
from genjobs.gpu.stack import MODELS, STACK, comfyui_settings
from genjobs.settings.deployment import DeploymentSettings, WorkerCalls

if TYPE_CHECKING:
    from fastapi import FastAPI

    from genjobs.gpu.pushed import PushedWorker

HERE: Final = Path(__file__).resolve().parent
REQUIREMENTS: Final = HERE.parent / "requirements"
MINUTE: Final = 60

deployment: Final = DeploymentSettings()
calls: Final = WorkerCalls()
app: Final = modal.App(deployment.app)

# -- what containers are made of ------------------------------------------------------------------


if modal.is_local():
    stack.refuse_other_builder(modal.config.config.get("image_builder_version"))


def with_uv(base: BaseImage) -> modal.Image:
    """Begin with an image at its digest, and put in what installs packages."""
    image = modal.Image.from_registry(stack.written(base.reference()))
    return with_requirements(image, "bootstrap.txt").run_commands(*stack.uv_commands())


def with_requirements(image: modal.Image, name: str) -> modal.Image:
    """Add a file of hashed requirements, for the commands that come next."""
    return image.add_local_file(REQUIREMENTS / name, f"{stack.REQUIREMENTS}/{name}", copy=True)


def with_genjobs(image: modal.Image) -> modal.Image:
    """Add what genjobs needs, by hash, and genjobs itself last: it changes most often."""
    return (
        with_requirements(image, "runtime.txt")
        .run_commands(*stack.genjobs_commands())
        .add_local_python_source("genjobs", ignore=["**/__pycache__", "**/*.pyc"])
    )


cpu_image: Final = with_genjobs(with_uv(STACK.cpu_base))
gpu_image: Final = with_genjobs(
    with_requirements(with_uv(STACK.gpu_base), "comfyui.txt")
    .run_commands(*stack.comfyui_package_commands())  # gigabytes, so before what changes sooner
    .run_commands(*stack.comfyui_commands())
)

database: Final = modal.Secret.from_name(
    deployment.database_secret,
    required_keys=["GENJOBS_DATABASE_URL", "GENJOBS_WORKER_DATABASE_URL"],
)
owner: Final = modal.Secret.from_name(
    deployment.owner_secret, required_keys=["GENJOBS_OWNER_DATABASE_URL"]
)
storage: Final = modal.Secret.from_name(
    deployment.storage_secret,
    required_keys=[
        "GENJOBS_ARTIFACTS_URL",
        "GENJOBS_R2_ACCESS_KEY_ID",
        "GENJOBS_R2_SECRET_ACCESS_KEY",
    ],
)
signing: Final = modal.Secret.from_name(deployment.api_secret, required_keys=["GENJOBS_TOKEN_KEYS"])
models: Final = modal.Volume.from_name(deployment.models_volume, create_if_missing=True, version=2)
environment: Final = {**deployment.environment(), **calls.environment()}

# -- the API --------------------------------------------------------------------------------------


@app.function(
    image=cpu_image,
    env=environment,
    secrets=[database, storage, signing],
    cpu=1.0,
    memory=1024,
    min_containers=deployment.api_min_containers,
    max_containers=deployment.api_max_containers,
    timeout=5 * MINUTE,
)
@modal.concurrent(max_inputs=deployment.api_inputs)
@modal.asgi_app(requires_proxy_auth=deployment.proxy_auth)
def api() -> FastAPI:
    """Serve ``/v1``. Not snapshotted: settings that were read would outlive a changed secret."""
    from genjobs.bootstrap import containers

    return containers.api()


if deployment.proxy_auth:
    reading: Final = modal.Secret.from_name(
        deployment.reader_secret,
        required_keys=[
            "GENJOBS_DATABASE_URL",
            "GENJOBS_ARTIFACTS_URL",
            "GENJOBS_R2_ACCESS_KEY_ID",
            "GENJOBS_R2_SECRET_ACCESS_KEY",
        ],
    )

    @app.function(
        image=cpu_image,
        env={**environment, "GENJOBS_READS_ONLY": "true"},
        secrets=[reading],
        cpu=1.0,
        memory=1024,
        min_containers=deployment.api_min_containers,
        max_containers=deployment.api_max_containers,
        timeout=MINUTE,
    )
    @modal.concurrent(max_inputs=deployment.api_inputs)
    @modal.asgi_app()
    def reader() -> FastAPI:
        """Serve what end users read: their browsers have no proxy token."""
        from genjobs.bootstrap import containers

        return containers.reader()


# -- the GPU worker -------------------------------------------------------------------------------


@app.cls(
    image=gpu_image,
    env={**environment, **comfyui_settings(), **calls.of_worker()},
    secrets=[database, storage],
    volumes={MODELS: models.with_mount_options(read_only=True)},
    gpu=list(deployment.gpus),
    min_containers=deployment.min_containers,
    max_containers=deployment.max_containers,
    buffer_containers=deployment.buffer_containers,
    scaledown_window=deployment.scaledown_seconds,
    retries=0,  # attempts are ours
    timeout=calls.call_seconds(),
    startup_timeout=15 * MINUTE,  # ComfyUI may have to be begun, given up, and started
    enable_memory_snapshot=True,
)
@modal.concurrent(max_inputs=deployment.worker_places)
class Comfy:
    """Runs jobs; every method is asynchronous, or a cancel would kill the container."""

    @modal.enter(snap=True)
    def load(self) -> None:
        """Do what takes long, without a GPU and without a connection: it is snapshotted."""
        from genjobs.bootstrap import containers

        self._prepared = containers.prepare()

    @modal.enter(snap=False)
    async def wake(self) -> None:
        """Let ComfyUI go on, on this GPU, or start it, and open connections."""
        from genjobs.bootstrap import containers

        self._stack = AsyncExitStack()
        self._worker: PushedWorker = await self._stack.enter_async_context(
            containers.worker(self._prepared)
        )

    @modal.method()
    async def run(self, tenant: str, user: str, job: str, attempt: int) -> str:
        """Run one attempt of a job."""
        return await self._worker.run(tenant, user, job, attempt)

    @modal.exit()
    async def leave(self) -> None:
        """Give back what is not done."""
        await self._stack.aclose()


# -- what is done beside them ---------------------------------------------------------------------

_beside: Final[dict[str, Any]] = {"image": cpu_image, "env": environment, "retries": 0}


@app.function(
    **_beside,
    secrets=[database, storage],
    schedule=modal.Cron("* * * * *", timezone="UTC"),
    timeout=3 * MINUTE,
)
async def supervise() -> None:
    """Look after jobs for the rest of the minute."""
    from genjobs.bootstrap import containers

    await containers.supervise()


@app.function(
    **_beside,
    secrets=[database, storage],
    schedule=modal.Cron("* * * * *", timezone="UTC"),
    timeout=20 * MINUTE,
    memory=2048,
)
async def ingest() -> None:
    """Fetch what customers name by URL, for the rest of the minute."""
    from genjobs.bootstrap import containers

    await containers.ingest()


@app.function(**_beside, secrets=[database, owner, storage], timeout=15 * MINUTE)
async def migrate() -> None:
    """Bring the database to this version; harmless when it is there."""
    from genjobs.bootstrap import containers

    await containers.upgrade()


@app.function(image=cpu_image, retries=0, volumes={MODELS: models}, timeout=6 * 60 * MINUTE)
def fetch_models() -> int:
    """Fetch what is missing of the models; return how many that were."""
    from genjobs.gpu.models import fetch_models as fetch

    fetched = fetch(STACK.models, Path(MODELS))
    models.commit()
    return fetched
