"""Routes about prompts: submit, queue, history, interrupt, jobs."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from genjobs.simulator.answers import json_answer, read_json, server_error
from genjobs.simulator.catalogue import Catalogue
from genjobs.simulator.faults import Faults
from genjobs.simulator.folders import Folders
from genjobs.simulator.jobs import BadJobsQueryError, find_job, list_jobs
from genjobs.simulator.problems import (
    InvalidPromptError,
    checked_prompt_id,
    is_canonical_uuid,
    problem,
)
from genjobs.simulator.queue import PromptQueue, QueueItem
from genjobs.simulator.validation import validate_prompt

_SECRETS = ("auth_token_comfy_org", "api_key_comfy_org")


class PromptRoutes:
    """The endpoints that touch the queue."""

    def __init__(
        self,
        *,
        queue: PromptQueue,
        catalogue: Catalogue,
        folders: Folders,
        faults: Faults,
        die: Callable[[], None],
    ) -> None:
        self._queue = queue
        self._catalogue = catalogue
        self._folders = folders
        self._faults = faults
        self._die = die
        self._numbers = itertools.count()

    async def submit(self, request: Request) -> Response:
        """``POST /prompt``."""
        body = await read_json(request)
        if "number" in body:
            number: float = float(body["number"])
        else:
            number = next(self._numbers) * (-1 if body.get("front") else 1)
        try:
            if "prompt" not in body:
                text = "No prompt provided"
                raise InvalidPromptError(problem("no_prompt", text, text), {})
            item, node_errors = self._item(number, body)
        except InvalidPromptError as error:
            return json_answer({"error": error.error, "node_errors": error.node_errors}, 400)
        self._queue.put(item)
        if self._faults.take_death("prompt"):
            self._die()
        if self._faults.take("queue_and_answer_500"):
            return server_error()
        answer = {"prompt_id": item.prompt_id, "number": number, "node_errors": node_errors}
        return json_answer(answer)

    def _item(self, number: float, body: dict[str, Any]) -> tuple[QueueItem, dict[str, Any]]:
        prompt = body["prompt"]
        prompt_id = checked_prompt_id(body.get("prompt_id"))
        targets = body.get("partial_execution_targets")
        valid = validate_prompt(prompt, targets, self._catalogue, self._folders)
        extra_data = body.get("extra_data", {})
        if "client_id" in body:
            extra_data["client_id"] = body["client_id"]
        for name in _SECRETS:
            if name in extra_data:
                del extra_data[name]
        extra_data["create_time"] = int(time.time() * 1000)
        item = QueueItem(
            number=number,
            prompt_id=prompt_id,
            prompt=prompt,
            extra_data=extra_data,
            outputs=valid.outputs,
        )
        return item, valid.node_errors

    async def queue_size(self, _request: Request) -> Response:
        """``GET /prompt``."""
        return json_answer({"exec_info": {"queue_remaining": self._queue.remaining()}})

    async def queue(self, _request: Request) -> Response:
        """``GET /queue``."""
        running, pending = self._queue.snapshot()
        return json_answer(
            {
                "queue_running": [item.as_list() for item in running],
                "queue_pending": [item.as_list() for item in pending],
            }
        )

    async def change_queue(self, request: Request) -> Response:
        """``POST /queue``: clear or delete; waiting prompts only."""
        body = await read_json(request)
        if body.get("clear"):
            self._queue.clear()
        for prompt_id in body.get("delete", ()):
            if not self._faults.take("lose_cancels"):
                self._queue.delete(prompt_id)
        return Response()

    async def history(self, request: Request) -> Response:
        """``GET /history``."""
        query = request.query_params
        max_items = int(query["max_items"]) if "max_items" in query else None
        offset = int(query.get("offset", -1))
        return json_answer(self._queue.history(max_items, offset))

    async def history_of(self, request: Request) -> Response:
        """``GET /history/{id}``."""
        return json_answer(self._queue.history_of(request.path_params["prompt_id"]))

    async def change_history(self, request: Request) -> Response:
        """``POST /history``: clear or delete."""
        body = await read_json(request)
        if body.get("clear"):
            self._queue.delete_history()
        for prompt_id in body.get("delete", ()):
            self._queue.delete_history(prompt_id)
        return Response()

    async def interrupt(self, request: Request) -> Response:
        """``POST /interrupt``: what runs, or one prompt if it is the running one."""
        try:
            body = await read_json(request)
        except ValueError:
            body = {}
        if self._faults.take("lose_cancels"):
            return Response()
        prompt_id = body.get("prompt_id")
        if not prompt_id:
            self._queue.interrupt.set()
        else:
            self._queue.interrupt_if_running(prompt_id)
        return Response()

    async def free(self, request: Request) -> Response:
        """``POST /free``: forget cached results once the running prompt has ended."""
        body = await read_json(request)
        for name in ("unload_models", "free_memory"):
            if body.get(name, False):
                self._queue.set_flag(name)
        return Response()

    async def jobs(self, request: Request) -> Response:
        """``GET /api/jobs``."""
        try:
            return json_answer(list_jobs(self._queue, request.query_params))
        except BadJobsQueryError as error:
            return json_answer({"error": str(error)}, 400)

    async def job(self, request: Request) -> Response:
        """``GET /api/jobs/{id}``."""
        job = find_job(self._queue, request.path_params["job_id"])
        return json_answer({"error": "Job not found"}, 404) if job is None else json_answer(job)

    async def cancel_job(self, request: Request) -> Response:
        """``POST /api/jobs/{id}/cancel``."""
        return json_answer({"cancelled": self._cancel(request.path_params["job_id"])})

    async def cancel_jobs(self, request: Request) -> Response:
        """``POST /api/jobs/cancel``."""
        try:
            body = await read_json(request)
        except ValueError:
            return json_answer({"error": "Request body must be valid JSON"}, 400)
        job_ids = body.get("job_ids") if isinstance(body, dict) else None
        if not isinstance(job_ids, list):
            return json_answer({"error": "job_ids must be a list"}, 400)
        invalid = [each for each in job_ids if not is_canonical_uuid(each)]
        if invalid:
            shown = [each if isinstance(each, str) else repr(each) for each in invalid]
            text = "job_ids contains invalid id(s)"
            return json_answer({"error": text, "invalid_ids": shown}, 400)
        cancelled = [self._cancel(each) for each in job_ids]
        return json_answer({"cancelled": any(cancelled)})

    def _cancel(self, job_id: str) -> bool:
        running, pending = self._queue.snapshot()
        known = any(item.prompt_id == job_id for item in (*running, *pending))
        if known and self._faults.take("lose_cancels"):
            return True
        if any(item.prompt_id == job_id for item in running):
            return self._queue.interrupt_if_running(job_id)
        return self._queue.delete(job_id) or self._queue.interrupt_if_running(job_id)
