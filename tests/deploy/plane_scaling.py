"""Autoscalers at the control plane: what a function scales by, as deployed and as told since."""

from __future__ import annotations

import asyncio
from typing import Any

import grpclib
from modal_proto import api_pb2


class Scaling:
    """What a client asks for that reads and sets by what a function scales."""

    #: Seconds before anything here is answered; what is told holds at once.
    delay: float

    def __init__(self) -> None:
        super().__init__()
        #: By function id: what it was told since it was deployed.
        self.overrides: dict[str, api_pb2.AutoscalerSettings] = {}
        #: The most containers that the account allows of a function.
        self.most_containers = 0
        #: What requests are refused with, if they are.
        self.refuses: grpclib.Status | None = None

    async def FunctionGetSchedulingParams(self, stream: Any) -> None:
        asked = await stream.recv_message()
        settings = self.scaling_of(asked.function_id)
        await asyncio.sleep(self.delay)
        await stream.send_message(
            api_pb2.FunctionGetSchedulingParamsResponse(
                autoscaler_configuration=api_pb2.AutoscalerConfiguration(settings=settings)
            )
        )

    async def FunctionUpdateSchedulingParams(self, stream: Any) -> None:
        asked = await stream.recv_message()
        self.scaling_of(asked.function_id)
        told = self.overrides.setdefault(asked.function_id, api_pb2.AutoscalerSettings())
        told.MergeFrom(asked.settings)
        if self.most_containers and told.max_containers > self.most_containers:
            told.max_containers = self.most_containers
        await asyncio.sleep(self.delay)
        await stream.send_message(
            api_pb2.FunctionUpdateSchedulingParamsResponse(
                current_settings=self.scaling_of(asked.function_id)
            )
        )

    def scaling_of(self, function_id: str) -> api_pb2.AutoscalerSettings:
        """Return by what a function scales now."""
        if self.refuses is not None:
            raise grpclib.GRPCError(self.refuses, "of the plane")
        data = self.functions.get(function_id)  # type: ignore[attr-defined]
        if data is None:
            raise grpclib.GRPCError(grpclib.Status.NOT_FOUND, function_id)
        settings = api_pb2.AutoscalerSettings()
        settings.CopyFrom(data.ranked_functions[0].function.autoscaler_settings)
        settings.MergeFrom(self.overrides.get(function_id, api_pb2.AutoscalerSettings()))
        return settings
