"""Calls at the control plane: spawned, polled, cancelled."""

from __future__ import annotations

import asyncio
from typing import Any

from google.protobuf.empty_pb2 import Empty
from modal_proto import api_pb2

_Status = api_pb2.GenericResult


class Calls:
    """What a client asks for that spawns, polls and cancels."""

    def __init__(self) -> None:
        super().__init__()
        #: Calls that were spawned, with their inputs; and how those ended that have.
        self.spawned: dict[str, api_pb2.FunctionPutInputsItem] = {}
        self.results: dict[str, api_pb2.FunctionGetOutputsItem] = {}
        #: Which function each is of.
        self.called: dict[str, str] = {}
        self.cancels: list[tuple[str, bool]] = []
        #: Whether a cancel shows in the call's state.
        self.heeds_cancels = True
        #: Seconds before anything here is answered.
        self.delay = 0.0

    async def FunctionMap(self, stream: Any) -> None:
        asked = await stream.recv_message()
        await asyncio.sleep(self.delay)
        call_id = f"fc-{len(self.spawned) + 1}"
        [given] = asked.pipelined_inputs
        self.spawned[call_id] = given
        self.called[call_id] = asked.function_id
        self.bring(call_id, asked.function_id)  # type: ignore[attr-defined]
        await stream.send_message(
            api_pb2.FunctionMapResponse(
                function_call_id=call_id,
                function_call_jwt="jwt",
                max_inputs_outstanding=1000,
                pipelined_inputs=[
                    api_pb2.FunctionPutInputsResponseItem(
                        idx=0, input_id=input_of(call_id), input_jwt="jwt"
                    )
                ],
            )
        )

    async def FunctionGetOutputs(self, stream: Any) -> None:
        asked = await stream.recv_message()
        await asyncio.sleep(self.delay)
        ended = self.results.get(asked.function_call_id)
        known = asked.function_call_id in self.spawned
        await stream.send_message(
            api_pb2.FunctionGetOutputsResponse(
                outputs=[ended] if ended else [],
                num_unfinished_inputs=1 if known and not ended else 0,
            )
        )

    async def FunctionCallCancel(self, stream: Any) -> None:
        asked = await stream.recv_message()
        await asyncio.sleep(self.delay)
        call_id = asked.function_call_id
        self.cancels.append((call_id, asked.terminate_containers))
        running = self.interrupt(call_id)  # type: ignore[attr-defined]
        if self.heeds_cancels and not running and call_id in self.spawned:
            self.end(call_id, _Status.GENERIC_STATUS_TERMINATED)
        await stream.send_message(Empty())

    def end(self, call_id: str, status: int, **result: Any) -> None:
        """Let a call have ended."""
        self.results.setdefault(
            call_id,
            api_pb2.FunctionGetOutputsItem(
                idx=0,
                input_id=input_of(call_id),
                result=api_pb2.GenericResult(status=status, **result),  # type: ignore[arg-type]
                data_format=api_pb2.DATA_FORMAT_PICKLE,
            ),
        )


def input_of(call_id: str) -> str:
    """Return the id of a call's one input."""
    return f"in-{call_id}-0"
