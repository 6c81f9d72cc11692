"""Containers at the control plane: they are given inputs, told of cancels, and say what became."""

from __future__ import annotations

import asyncio
from typing import Any

from google.protobuf.empty_pb2 import Empty
from modal_proto import api_pb2

from tests.deploy.plane_calls import input_of

#: Seconds: the client asks anew after each answer, but only after a pause if there was no cancel.
_LONG_POLL = 40


class Containers:
    """What a container asks for."""

    def __init__(self) -> None:
        super().__init__()
        #: Of each function, by its id: calls no container has got yet.
        self._waiting: dict[str, asyncio.Queue[str]] = {}
        #: Calls that a container has.
        self.taken: set[str] = set()
        self._interrupted: asyncio.Queue[str] = asyncio.Queue()
        self.outputs: dict[str, api_pb2.GenericResult] = {}
        self.task_results: list[api_pb2.GenericResult] = []
        #: What containers asked for, in order.
        self.heard: list[str] = []

    def bring(self, call_id: str, function_id: str) -> None:
        """Let a container of the function have a call; "" ends the one that takes it."""
        self._waiting.setdefault(function_id, asyncio.Queue()).put_nowait(call_id)

    def interrupt(self, call_id: str) -> bool:
        """Tell the container that has a call; whether one has it."""
        if call_id not in self.taken:
            return False
        self._interrupted.put_nowait(input_of(call_id))
        return True

    async def ContainerHello(self, stream: Any) -> None:
        await stream.recv_message()
        self.heard.append("hello")
        await stream.send_message(Empty())

    async def ContainerCheckpoint(self, stream: Any) -> None:
        await stream.recv_message()
        self.heard.append("checkpoint")
        await stream.send_message(Empty())

    async def ContainerHeartbeat(self, stream: Any) -> None:
        await stream.recv_message()
        answer = api_pb2.ContainerHeartbeatResponse()
        try:
            async with asyncio.timeout(_LONG_POLL):
                answer.cancel_input_event.input_ids.append(await self._interrupted.get())
        except TimeoutError:
            pass
        await stream.send_message(answer)

    async def FunctionGetInputs(self, stream: Any) -> None:
        asked = await stream.recv_message()
        call_id = await self._waiting.setdefault(asked.function_id, asyncio.Queue()).get()
        answer = api_pb2.FunctionGetInputsResponse()
        if call_id:
            given = self.spawned[call_id]  # type: ignore[attr-defined]
            self.taken.add(call_id)
            answer.inputs.add(
                input_id=input_of(call_id), input=given.input, function_call_id=call_id
            )
        else:
            answer.inputs.add(kill_switch=True)
        await stream.send_message(answer)

    async def FunctionPutOutputs(self, stream: Any) -> None:
        asked = await stream.recv_message()
        for output in asked.outputs:
            call_id = output.input_id.removeprefix("in-").removesuffix("-0")
            self.taken.discard(call_id)
            self.outputs[call_id] = output.result
            self.results.setdefault(  # type: ignore[attr-defined]
                call_id,
                api_pb2.FunctionGetOutputsItem(
                    idx=0,
                    input_id=output.input_id,
                    result=output.result,
                    data_format=output.data_format,
                ),
            )
        await stream.send_message(Empty())

    async def ContainerStop(self, stream: Any) -> None:
        asked = await stream.recv_message()
        self.heard.append(f"stop {asked.task_id} {asked.graceful}")
        # The request for inputs that is open is answered. That the real one does so as well is
        # taken from what the client says of it.
        for function_id in self._waiting:
            self.bring("", function_id)
        await stream.send_message(api_pb2.ContainerStopResponse())

    async def TaskResult(self, stream: Any) -> None:
        asked = await stream.recv_message()
        self.task_results.append(asked.result)
        await stream.send_message(Empty())

    async def VolumeCommit(self, stream: Any) -> None:
        await stream.recv_message()
        await stream.send_message(api_pb2.VolumeCommitResponse())
