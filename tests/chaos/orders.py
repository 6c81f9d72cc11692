"""What is submitted, and what it must become: any other end is a fault of the product."""

from __future__ import annotations

import base64
import random
from dataclasses import dataclass
from typing import Any

from genjobs.testing import a_workflow, png_bytes
from genjobs.testing.contracts.engine import sampling
from tests.attack_server import AttackServer, answer

Colour = tuple[int, int, int]
_MAX_STEPS = 200
#: Of the simulator.
STEP_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A job to be submitted."""

    #: Its idempotency key.
    key: str
    tenant: int
    user: str
    kind: str
    body: dict[str, Any]
    #: Seconds after it was accepted, or has started, that its cancel is asked for; None when it is
    #: not.
    cancel_after: float | None
    cancel_running: bool = False
    status: str = "completed"
    error: str | None = None
    #: Of every pixel of its output.
    colour: Colour | None = None
    #: Of its output.
    bytes: int | None = None


class Orders:
    """Makes orders, and sees to it that the URLs in them lead somewhere."""

    def __init__(self, chance: random.Random, web: AttackServer, *, tenants: int, users: int):
        self._chance = chance
        self._web = web
        self._tenants = tenants
        self._users = users
        web.on("/missing", answer(status=404))
        web.on("/page", answer(b"<!doctype html><html></html>"))
        self._made = 0

    def next(self) -> Order:
        """Return the next order."""
        chance = self._chance
        kind = chance.choices(
            ("drawn", "sampled", "inline", "fetched", "broken", "missing", "page", "large", "long"),
            (30, 20, 12, 14, 5, 2, 2, 5, 10),
        )[0]
        parts = getattr(self, f"_{kind}")()
        hurried = kind == "long" or chance.random() < 0.1
        if kind == "long" and chance.random() < 0.8:
            parts["cancel_running"] = True
        return self._order(kind, parts, chance.uniform(0, 2.5) if hurried else None)

    def lasting(self, seconds: float, *, tenant: int = 0) -> Order:
        """Return one that renders for at least so long."""
        steps = round(seconds / STEP_SECONDS)
        rounds = -(-steps // _MAX_STEPS)
        graph = sampling(-(-steps // rounds), rounds=rounds)
        return self._order("lasting", {"workflow": graph, "priority": 100}, None, tenant=tenant)

    def _order(
        self,
        kind: str,
        parts: dict[str, Any],
        cancel_after: float | None,
        tenant: int | None = None,
    ) -> Order:
        self._made += 1
        body = {
            name: parts.pop(name) for name in ("workflow", "media", "priority") if name in parts
        }
        place = self._chance.randrange(self._tenants) if tenant is None else tenant
        user = f"u_{self._chance.randrange(self._users)}"
        key = f"order-{self._made}"
        return Order(
            key=key,
            tenant=place,
            user=user,
            kind=kind,
            body={"user_id": user, "metadata": {"order": key}, **body},
            cancel_after=cancel_after,
            **parts,
        )

    def _rgb(self) -> Colour:
        red, green, blue = self._chance.randbytes(3)
        return red, green, blue

    def _drawn(self) -> dict[str, Any]:
        rgb = self._rgb()
        number = int.from_bytes(bytes(rgb))
        return {"workflow": a_workflow(color=number), "colour": _inverted(rgb)}

    def _sampled(self) -> dict[str, Any]:
        steps = self._chance.randint(2, 10)
        return {"workflow": sampling(steps, seed=self._chance.randrange(2**32))}

    def _long(self) -> dict[str, Any]:
        return {"workflow": sampling(40, seed=self._chance.randrange(2**32))}

    def _inline(self) -> dict[str, Any]:
        rgb = self._rgb()
        data = base64.b64encode(png_bytes(16, 16, rgb=rgb)).decode()
        media = [{"name": "photo.png", "data": data}]
        return {"workflow": _inverting(), "media": media, "colour": _inverted(rgb)}

    def _fetched(self) -> dict[str, Any]:
        rgb = self._rgb()
        self._web.on(f"/{bytes(rgb).hex()}", answer(png_bytes(16, 16, rgb=rgb)))
        return self._by_url(bytes(rgb).hex()) | {"colour": _inverted(rgb)}

    def _missing(self) -> dict[str, Any]:
        return self._by_url("missing") | {"status": "failed", "error": "input_unavailable"}

    def _page(self) -> dict[str, Any]:
        return self._by_url("page") | {"status": "failed", "error": "input_refused"}

    def _by_url(self, path: str) -> dict[str, Any]:
        media = [{"name": "photo.png", "url": f"http://example.com/{path}"}]
        return {"workflow": _inverting(), "media": media}

    def _broken(self) -> dict[str, Any]:
        graph = a_workflow(color=int.from_bytes(bytes(self._rgb())))
        failing = {"image": ["2", 0], "message": "no"}
        graph["3"] = {"class_type": "SimulatorFail", "inputs": failing}
        graph["9"]["inputs"]["images"] = ["3", 0]
        return {"workflow": graph, "status": "failed", "error": "node_error"}

    def _large(self) -> dict[str, Any]:
        size = 2_500_000 + self._chance.randrange(1000)
        inputs = {
            "bytes": size,
            "seed": self._chance.randrange(2**31),
            "extension": "mp4",
            "filename_prefix": "film",
        }
        graph = {"1": {"class_type": "SimulatorLargeFile", "inputs": inputs}}
        return {"workflow": graph, "bytes": size}


def _inverting() -> dict[str, Any]:
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": "photo.png"}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "x"}},
    }


def _inverted(rgb: Colour) -> Colour:
    red, green, blue = rgb
    return 255 - red, 255 - green, 255 - blue
