"""
A control plane of Modal on loopback, from what ships in its package: for tests, without an account.

The SDK believes what it is answered here; what the real one would answer is known as far as its
client code says. Names that are not public are used, so the package is pinned exactly.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpclib.server
from google.protobuf.empty_pb2 import Empty
from modal._utils.grpc_testing import patch_mock_servicer
from modal_proto import api_grpc, api_pb2

from tests.deploy.plane_calls import Calls
from tests.deploy.plane_containers import Containers
from tests.deploy.plane_scaling import Scaling
from tests.deploy.plane_web import Web


class Deploys:
    """What ``modal deploy`` asks for."""

    #: What the workspace is set to; a client that was told a version asks for that one.
    builder = "2025.06"
    #: Whether a class with parameters gets a function of its own, as at Modal.
    binds = False

    def __init__(self) -> None:
        super().__init__()
        self._ids: dict[tuple[str, str], str] = {}
        self.functions: dict[str, api_pb2.FunctionData] = {}
        self.images: dict[str, api_pb2.Image] = {}
        self.builders: set[str] = set()
        self.mounts: dict[str, list[str]] = {}
        self.secrets: dict[str, list[str]] = {}
        #: What functions are told in the clear; travels as a secret without a name.
        self.environments: dict[str, dict[str, str]] = {}
        self.volumes: dict[str, str] = {}
        self.published: api_pb2.AppPublishRequest | None = None
        self.layout: dict[str, str] = {}

    def id_of(self, prefix: str, key: str = "") -> str:
        """Return the same id for the same key; a new one without a key."""
        key = key or f"#{len(self._ids)}"
        return self._ids.setdefault((prefix, key), f"{prefix}-{len(self._ids) + 1}")

    async def ClientHello(self, stream: Any) -> None:
        await stream.recv_message()
        await stream.send_message(api_pb2.ClientHelloResponse())

    async def EnvironmentGetOrCreate(self, stream: Any) -> None:
        await stream.recv_message()
        settings = api_pb2.EnvironmentSettings(image_builder_version=self.builder)
        await stream.send_message(
            api_pb2.EnvironmentGetOrCreateResponse(
                environment_id="en-1",
                metadata=api_pb2.EnvironmentMetadata(name="main", settings=settings),
            )
        )

    async def AppGetByDeploymentName(self, stream: Any) -> None:
        await stream.recv_message()
        await stream.send_message(api_pb2.AppGetByDeploymentNameResponse(app_id=""))

    async def AppCreate(self, stream: Any) -> None:
        await stream.recv_message()
        await stream.send_message(
            api_pb2.AppCreateResponse(app_id="ap-1", app_page_url="http://fake")
        )

    async def AppHeartbeat(self, stream: Any) -> None:
        await stream.recv_message()
        await stream.send_message(Empty())

    async def AppClientDisconnect(self, stream: Any) -> None:
        await stream.recv_message()
        await stream.send_message(Empty())

    async def SecretGetOrCreate(self, stream: Any) -> None:
        asked = await stream.recv_message()
        name = self.id_of("st", asked.deployment_name)
        if asked.deployment_name:
            self.secrets[asked.deployment_name] = list(asked.required_keys)
        else:
            self.environments[name] = dict(asked.env_dict)
        await stream.send_message(api_pb2.SecretGetOrCreateResponse(secret_id=name))

    async def VolumeGetOrCreate(self, stream: Any) -> None:
        asked = await stream.recv_message()
        name = self.id_of("vo", asked.deployment_name)
        self.volumes[name] = asked.deployment_name
        await stream.send_message(
            api_pb2.VolumeGetOrCreateResponse(
                volume_id=name,
                version=asked.version,
                metadata=api_pb2.VolumeMetadata(version=asked.version, name=asked.deployment_name),
            )
        )

    async def MountGetOrCreate(self, stream: Any) -> None:
        asked = await stream.recv_message()
        name = self.id_of("mo", asked.deployment_name)
        self.mounts[name] = [file.filename for file in asked.files]
        await stream.send_message(
            api_pb2.MountGetOrCreateResponse(
                mount_id=name,
                handle_metadata=api_pb2.MountHandleMetadata(content_checksum_sha256_hex="00"),
            )
        )

    async def MountPutFile(self, stream: Any) -> None:
        await stream.recv_message()
        await stream.send_message(api_pb2.MountPutFileResponse(exists=True))

    async def MountBatchedCheckExistence(self, stream: Any) -> None:
        await stream.recv_message()  # the answer: nothing is missing
        await stream.send_message(api_pb2.MountBatchedCheckExistenceResponse())

    async def ImageGetOrCreate(self, stream: Any) -> None:
        asked = await stream.recv_message()
        digest = hashlib.sha256(asked.image.SerializeToString(deterministic=True)).hexdigest()
        name = self.id_of("im", digest)
        self.images[name] = asked.image
        self.builders.add(asked.builder_version)
        built = api_pb2.GenericResult(status=api_pb2.GenericResult.GENERIC_STATUS_SUCCESS)
        await stream.send_message(
            api_pb2.ImageGetOrCreateResponse(
                image_id=name,
                result=built,
                metadata=api_pb2.ImageMetadata(image_builder_version=asked.builder_version),
            )
        )

    async def FunctionPrecreate(self, stream: Any) -> None:
        asked = await stream.recv_message()
        name = self.id_of("fu", asked.function_name)
        await stream.send_message(
            api_pb2.FunctionPrecreateResponse(
                function_id=name, handle_metadata=_metadata(asked.function_name, asked)
            )
        )

    async def FunctionCreate(self, stream: Any) -> None:
        asked = await stream.recv_message()
        data = api_pb2.FunctionData()
        if asked.function_data.ranked_functions:
            data.CopyFrom(asked.function_data)
        else:
            data.function_name = asked.function.function_name
            data.is_class = asked.function.is_class
            data.ranked_functions.add(rank=0, function=asked.function)
        name = asked.existing_function_id or self.id_of("fu", data.function_name)
        self.functions[name] = data
        await stream.send_message(
            api_pb2.FunctionCreateResponse(
                function_id=name,
                function_data=data,
                handle_metadata=_metadata(data.function_name, data.ranked_functions[0].function),
            )
        )

    async def ClassCreate(self, stream: Any) -> None:
        await stream.recv_message()
        await stream.send_message(api_pb2.ClassCreateResponse(class_id=self.id_of("cs")))

    async def AppPublish(self, stream: Any) -> None:
        self.published = asked = await stream.recv_message()
        self.layout = {**asked.function_ids, **asked.class_ids}
        await stream.send_message(api_pb2.AppPublishResponse(url="http://fake/app"))

    # -- look-ups -----------------------------------------------------------------------------

    async def ClassGet(self, stream: Any) -> None:
        asked = await stream.recv_message()
        found = self.layout.get(asked.object_tag)
        if found is None:
            raise grpclib.GRPCError(grpclib.Status.NOT_FOUND, asked.object_tag)
        await stream.send_message(api_pb2.ClassGetResponse(class_id=found))

    async def FunctionGet(self, stream: Any) -> None:
        asked = await stream.recv_message()
        found = self.layout.get(asked.object_tag)
        if found is None:
            raise grpclib.GRPCError(grpclib.Status.NOT_FOUND, asked.object_tag)
        data = self.functions[found]
        await stream.send_message(
            api_pb2.FunctionGetResponse(
                function_id=found,
                function=data,
                handle_metadata=_metadata(asked.object_tag, data.ranked_functions[0].function),
            )
        )

    async def FunctionBindParams(self, stream: Any) -> None:
        asked = await stream.recv_message()
        data = self.functions[asked.function_id]
        described = _metadata(data.function_name, data.ranked_functions[0].function)
        described.base_function_id = asked.function_id
        bound = asked.function_id
        if self.binds:
            bound = f"{bound}-bound"
            self.functions[bound] = data
        await stream.send_message(
            api_pb2.FunctionBindParamsResponse(bound_function_id=bound, handle_metadata=described)
        )


@patch_mock_servicer  # what is not defined answers UNIMPLEMENTED
class Plane(Deploys, Calls, Containers, Scaling, Web, api_grpc.ModalClientBase):
    """All of it."""

    def adopt(self, deployed: Plane) -> None:
        """Have what was deployed to another plane, and none of its calls."""
        for name in ("functions", "images", "mounts", "secrets", "environments", "volumes"):
            setattr(self, name, dict(getattr(deployed, name)))
        self.published, self.layout = deployed.published, dict(deployed.layout)

    def described(self, name: str) -> api_pb2.FunctionHandleMetadata:
        """Return what a function's handle would be told."""
        return _metadata(name, self.function(name))

    def function(self, name: str) -> api_pb2.Function:
        """Return what was deployed under a name, its first choice of GPU."""
        [data] = [data for data in self.functions.values() if data.function_name == name]
        return data.ranked_functions[0].function


def _metadata(name: str, function: Any) -> api_pb2.FunctionHandleMetadata:
    described = api_pb2.FunctionHandleMetadata(
        function_name=name,
        function_type=function.function_type,
        app_id="ap-1",
        definition_id="de-1",
        max_object_size_bytes=2 * 1024 * 1024,
        web_url="http://fake.modal.run" if function.webhook_config.type else "",
        function_schema=function.function_schema,
        supported_input_formats=function.supported_input_formats,
        supported_output_formats=function.supported_output_formats,
    )
    if hasattr(function, "class_parameter_info"):
        described.class_parameter_info.CopyFrom(function.class_parameter_info)
    for key, method in function.method_definitions.items():
        described.method_handle_metadata[key].CopyFrom(
            api_pb2.FunctionHandleMetadata(
                function_name=method.function_name,
                function_type=method.function_type,
                is_method=True,
                use_method_name=key,
                function_schema=method.function_schema,
                supported_input_formats=method.supported_input_formats,
                supported_output_formats=method.supported_output_formats,
                app_id="ap-1",
            )
        )
    return described


class Served:
    """A plane in a thread of its own, its address, and its loop."""

    def __init__(self) -> None:
        self.plane = Plane()
        self.url = ""
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(),), daemon=True)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        server = grpclib.server.Server([self.plane])
        await server.start("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server._server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._stop.wait()
        server.close()

    def environment(self) -> dict[str, str]:
        """Return what a process needs to take it for Modal."""
        return {
            "MODAL_SERVER_URL": self.url,
            "MODAL_TOKEN_ID": "ak-x",
            "MODAL_TOKEN_SECRET": "as-x",
            "MODAL_ENVIRONMENT": "main",
        }

    def tell(self, order: Callable[..., object], *values: object) -> None:
        """Have the plane do something in its own thread."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(order, *values)

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(10)

    def stop(self) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(5)


@contextlib.contextmanager
def serve() -> Iterator[Served]:
    """Serve a plane on a free port of loopback."""
    served = Served()
    served.start()
    try:
        yield served
    finally:
        served.stop()
