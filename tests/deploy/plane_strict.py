"""A control plane that has only what somebody made, and says so of what is looked up."""

from __future__ import annotations

import asyncio
from typing import Any

import grpclib
from modal_proto import api_pb2

from genjobs.gpu.stack import STACK
from tests.deploy.plane import Plane

_MAKE = api_pb2.OBJECT_CREATION_TYPE_CREATE_IF_MISSING


class StrictPlane(Plane):
    """Has only what was made, and says so of what is looked up."""

    builder = str(STACK.image_builder)

    def __init__(self) -> None:
        super().__init__()
        #: Keys of secrets that somebody made.
        self.made: dict[str, set[str]] = {}
        self.made_volumes: set[str] = set()
        #: Seconds before a secret is told of.
        self.slow = 0.0
        #: Lines of the app's log.
        self.log: list[str] = []

    async def AppGetOrCreate(self, stream: Any) -> None:
        asked = await stream.recv_message()
        if self.published is None or asked.app_name != self.published.name:
            raise grpclib.GRPCError(grpclib.Status.NOT_FOUND, "no such app")
        await stream.send_message(api_pb2.AppGetOrCreateResponse(app_id="ap-1"))

    async def SecretGetOrCreate(self, stream: Any) -> None:
        asked = await stream.recv_message()
        await asyncio.sleep(self.slow)
        keys = self.made.get(asked.deployment_name)
        if keys is None or not keys >= set(asked.required_keys):
            raise grpclib.GRPCError(grpclib.Status.NOT_FOUND, "no such secret, or a key is missing")
        await stream.send_message(api_pb2.SecretGetOrCreateResponse(secret_id="st-1"))

    async def VolumeGetOrCreate(self, stream: Any) -> None:
        asked = await stream.recv_message()
        assert asked.object_creation_type != _MAKE  # an examination makes nothing
        if asked.deployment_name not in self.made_volumes:
            raise grpclib.GRPCError(grpclib.Status.NOT_FOUND, "no such volume")
        await stream.send_message(
            api_pb2.VolumeGetOrCreateResponse(
                volume_id="vo-1", metadata=api_pb2.VolumeMetadata(name=asked.deployment_name)
            )
        )

    async def AppCountLogs(self, stream: Any) -> None:
        asked = await stream.recv_message()
        bucket = api_pb2.AppCountLogsResponse.LogBucket(
            bucket_start_at=asked.since, stdout_logs=len(self._lines(asked.search_text))
        )
        await stream.send_message(api_pb2.AppCountLogsResponse(buckets=[bucket]))

    async def AppFetchLogs(self, stream: Any) -> None:
        asked = await stream.recv_message()
        items = [
            api_pb2.TaskLogs(data=line + "\n", timestamp=asked.since.ToNanoseconds() / 1e9)
            for line in self._lines(asked.search_text)
        ]
        batch = api_pb2.TaskLogsBatch(task_id="ta-1", items=items)
        await stream.send_message(api_pb2.AppFetchLogsResponse(batches=[batch] if items else []))

    def _lines(self, text: str) -> list[str]:
        return [line for line in self.log if text in line]
