"""
What a site's backend does with genjobs, in plain httpx: submit, follow, cancel, hand out the files.

    GENJOBS_URL=http://127.0.0.1:8000 GENJOBS_API_KEY=$(cat .genjobs/api-key) \
        python examples/site_backend.py
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import httpx

WORKFLOW = {
    "1": {
        "class_type": "EmptyImage",
        "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 255},
    },
    "9": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "order"}},
}


class Refused(Exception):
    """genjobs does not take this, or not soon; ``problem`` has ``code``, ``detail``, ``errors``."""

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(f"{problem['code']}: {problem['detail']}")
        self.problem = problem


def ask(http: httpx.Client, method: str, path: str, seconds: float = 60, **parts: Any) -> Any:
    """Send until answered: all of these requests may be repeated, a submit thanks to its key."""
    until = time.monotonic() + seconds
    while True:
        pause, reason = 1.0, {"code": "unreachable", "detail": "genjobs cannot be reached"}
        try:
            answer = http.request(method, path, **parts)
            if answer.status_code < 400:
                return answer
            if "problem+json" in answer.headers["Content-Type"]:  # else a proxy speaks
                reason = answer.json()
            # 409 (the user is being erased), 429 and 503 say when to come back; 4xx else is final.
            if answer.status_code < 500 and not reason.get("retryable"):
                raise Refused(reason)
            pause = float(answer.headers.get("Retry-After", pause))
        except httpx.TransportError:
            pass
        if time.monotonic() + pause > until:  # such as a quota of the day: tell the user
            raise Refused(reason)
        time.sleep(pause)


def submit(http: httpx.Client, user: str, order: str, workflow: dict[str, Any]) -> str:
    """Return the order's job; however often an order is sent, it is one job."""
    body = {"user_id": user, "workflow": workflow, "metadata": {"order": order}}
    answer = ask(http, "POST", "/v1/jobs", json=body, headers={"Idempotency-Key": order})
    return str(answer.json()["id"])


def follow(http: httpx.Client, user: str, job_id: str) -> Iterator[dict[str, Any]]:
    """Yield the job whenever it has changed, until it is final; unchanged reads cost little."""
    etag, path, status = "", f"/v1/jobs/{job_id}", ""
    while status not in {"completed", "failed", "cancelled"}:
        headers = {"If-None-Match": etag} if etag else {}
        answer = ask(http, "GET", path, params={"user_id": user}, headers=headers)
        if answer.status_code == 200:
            job, etag = answer.json(), answer.headers["ETag"]
            status = job["status"]
            yield job
        time.sleep(float(answer.headers.get("Retry-After", 0)))


def main() -> None:
    """Render an order, cancel another, and be refused a third."""
    key = {"Authorization": f"Bearer {os.environ['GENJOBS_API_KEY']}"}
    with httpx.Client(base_url=os.environ["GENJOBS_URL"], headers=key, timeout=30) as http:
        job_id = submit(http, "u_42", "order-1", WORKFLOW)
        for job in follow(http, "u_42", job_id):
            print(job["status"], job["progress"] or job["queue"] or job["error"] or "")
        for output in job["outputs"]:  # the link is signed: the key is not sent to the store
            print(output["name"], len(httpx.get(output["url"]).raise_for_status().content))
        unwanted = submit(http, "u_42", "order-2", WORKFLOW)
        ask(http, "DELETE", f"/v1/jobs/{unwanted}", params={"user_id": "u_42"})
        *_, job = follow(http, "u_42", unwanted)
        print(job["status"], job["cancellation"])  # or it had ended before
        try:
            submit(http, "u_42", "order-3", {"1": {"class_type": "Nonsense", "inputs": {}}})
        except Refused as refusal:
            print(
                refusal.problem["code"], [error["pointer"] for error in refusal.problem["errors"]]
            )


if __name__ == "__main__":
    main()
