"""Web requests at the control plane: inputs of a web function, their bodies, its answers."""

from __future__ import annotations

import asyncio
from typing import Any

from google.protobuf.empty_pb2 import Empty
from modal._serialization import deserialize_data_format, serialize, serialize_data_format
from modal_proto import api_pb2


class Web:
    """What a container of a web function asks for besides."""

    def __init__(self) -> None:
        super().__init__()
        self._bodies: dict[str, bytes] = {}
        self.messages: dict[str, list[dict[str, Any]]] = {}

    def request(
        self,
        call_id: str,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        function: str = "api",
    ) -> None:
        """Let a request come in; a container gets it as a call."""
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "scheme": "https",
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("genjobs.test", 443),
        }
        self._bodies[call_id] = body
        self.messages[call_id] = []
        given = api_pb2.FunctionPutInputsItem(
            input=api_pb2.FunctionInput(
                args=serialize(((scope,), {})), data_format=api_pb2.DATA_FORMAT_PICKLE
            )
        )
        self.spawned[call_id] = given  # type: ignore[attr-defined]
        self.bring(call_id, self.layout[function])  # type: ignore[attr-defined]

    async def FunctionCallGetDataIn(self, stream: Any) -> None:
        asked = await stream.recv_message()
        message = {
            "type": "http.request",
            "body": self._bodies[asked.function_call_id],
            "more_body": False,
        }
        data = serialize_data_format(message, api_pb2.DATA_FORMAT_ASGI)
        if asked.last_index == 0:
            await stream.send_message(
                api_pb2.DataChunk(index=1, data_format=api_pb2.DATA_FORMAT_ASGI, data=data)
            )
        await asyncio.sleep(60)  # a client that does not go away

    async def FunctionCallPutDataOut(self, stream: Any) -> None:
        asked = await stream.recv_message()
        for chunk in asked.data_chunks:
            if chunk.data_format == api_pb2.DATA_FORMAT_ASGI:
                message = deserialize_data_format(chunk.data, chunk.data_format, None)
                self.messages[asked.function_call_id].append(message)
        await stream.send_message(Empty())
