"""
What a whole graph asks for: pixels that its nodes make, and pixels that its samplers work through.

Each node is looked at once, its sources first. What it makes is known from its own numbers and
from what flows to it, so a sampler behind an enlargement costs the enlarged size. All of it is an
upper bound, but for files of the request, which count as a picture or film of common size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from genjobs.domain import limits
from genjobs.domain.catalogue import InputKind, NodeClass
from genjobs.domain.graph import Node
from genjobs.domain.media import MediaKind

#: The side of a picture, and the frames of a film, whose size is not known before it is there.
ASSUMED_SIDE: Final = 1024
ASSUMED_FRAMES: Final = 96
#: The least that a sampler's step counts as, because a step takes its time on a small picture too.
LEAST_STEP_PIXELS: Final = 512 * 512

#: Slot types that hold pictures or sound.
_PICTURES: Final = frozenset({"IMAGE", "MASK", "LATENT", "VIDEO", "AUDIO"})
#: Slot types of which nothing is made or sampled, whatever was measured or read for them.
_PLAIN: Final = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN", "BOUNDING_BOX", "CLIP", "VAE"})
#: Slot types that tell a sampler what to do: what hangs on them costs at every step.
_GUIDES: Final = frozenset({"CONDITIONING", "GUIDER", "SIGMAS", "SAMPLER", "NOISE"})
#: The same, but that several were joined into one does not cost more.
_MODELS: Final = frozenset(
    {
        "AUDIO_ENCODER",
        "AUDIO_ENCODER_OUTPUT",
        "BACKGROUND_REMOVAL",
        "CLIP_VISION",
        "CLIP_VISION_OUTPUT",
        "CONTROL_NET",
        "IC_LORA_PARAMETERS",
        "INTERP_MODEL",
        "LATENT_OPERATION",
        "LATENT_UPSCALE_MODEL",
        "MODEL",
        "MODEL_PATCH",
        "STYLE_MODEL",
        "UPSCALE_MODEL",
        "VHS_VIDEOINFO",
        "WAN_CAMERA_EMBEDDING",
    }
)
_NO_PICTURES: Final = _PLAIN | _GUIDES | _MODELS
_SIZES: Final = ("width", "height", "size", "megapixels")
_COUNTS: Final = ("batch_size",)

#: Returns what a numeric input counts as in a product, None when it is absent.
Counted = Callable[[Node, str], float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """What a node hands on."""

    #: Pixels of the largest frame; 0 when there are no pictures.
    area: float = 0
    #: Frames of all pictures together.
    frames: float = 1
    #: Of a list, how many; a node runs once for each member of the longest list it is given.
    members: float = 1
    #: Pictures that hang on a model or a conditioning, in pixels.
    attached: float = 0
    #: Steps of a schedule.
    steps: float = 0
    #: How often each step is taken: once for each of several conditionings that were joined.
    times: float = 1
    #: How many times larger a sampler makes its pictures.
    enlarges: float = 1

    @property
    def pixels(self) -> float:
        """Return the pixels of all frames."""
        return self.area * self.frames


@dataclass(frozen=True, slots=True)
class _Link:
    flow: Flow
    #: The type of the output slot; empty when the catalogue does not know it.
    type: str

    @property
    def pictures(self) -> bool:
        return self.type not in _NO_PICTURES

    @property
    def guides(self) -> bool:
        return self.type not in _PICTURES | _PLAIN


@dataclass(slots=True)
class Totals:
    """Adds a graph up, node by node, each after its sources."""

    known: Mapping[str, NodeClass]
    counted: Counted
    flows: dict[str, Flow] = field(default_factory=dict)
    made: float = 0
    sampled: float = 0

    def add(self, node: Node) -> str | None:
        """Add a node; return what is wrong if it or the whole graph becomes too large by it."""
        known = self.known[node.id]
        links = [
            _Link(self.flows[value[0]], self._slot_type(value))
            for value in node.inputs.values()
            if isinstance(value, list)
        ]
        given = _given(links, joins=known.joins)
        flow = self._flow(node, known, given, links)
        self.flows[node.id] = flow
        if not known.output_node and _only(known.outputs, _NO_PICTURES):
            return None
        self.made += flow.pixels
        if flow.steps:
            self.sampled += _sampling(given, flow, links)
        if flow.pixels > limits.MAX_NODE_PIXELS:
            return f"would make more than {limits.MAX_NODE_PIXELS:,} pixels (of all its frames)"
        if self.made > limits.MAX_MADE_PIXELS:
            return (
                f"makes the whole workflow ask for more than {limits.MAX_MADE_PIXELS:,} pixels "
                "(of all frames of all nodes)"
            )
        if self.sampled > limits.MAX_SAMPLED_PIXELS:
            return (
                f"makes the whole workflow sample more than {limits.MAX_SAMPLED_PIXELS:,} pixels "
                "(steps x pixels x frames of all samplers)"
            )
        return None

    def _slot_type(self, link: list[object]) -> str:
        source, slot = link
        outputs = self.known[str(source)].outputs
        return outputs[slot] if outputs is not None and isinstance(slot, int) else ""

    def _flow(self, node: Node, known: NodeClass, given: Flow, links: Sequence[_Link]) -> Flow:
        area, frames, times, enlarges = given.area, given.frames, given.times, given.enlarges
        media = {rule.media for rule in known.of_kind(InputKind.FILE).values()}
        if media & {MediaKind.IMAGE, MediaKind.VIDEO}:
            area = max(area, ASSUMED_SIDE**2)
        if MediaKind.VIDEO in media:
            frames = max(frames, ASSUMED_FRAMES * given.members)
        own_area, own_frames = self._own(node, known, given)
        frames = own_frames * given.members or frames
        steps = given.steps if known.steps is None else self._product(node, known.steps)
        factor = self._product(node, known.grows)
        if _only(known.outputs, _NO_PICTURES):
            if known.outputs == ("SAMPLER",):
                enlarges *= factor
            else:
                times *= factor
            area = own_area or area
        elif isinstance(known.grows, tuple) and len(set(known.grows)) == len(known.grows):
            frames *= factor  # repeats; an input named twice enlarges both sides
            area = own_area or area
        else:
            # What either enlarges or sets a size is taken for the larger of the two.
            grown = area * factor if known.grows != 1 or not own_area else 0
            area = max(own_area, grown) * (enlarges if steps else 1)
        area = _padded(area, [self.counted(node, name) for name in known.pads])
        return Flow(
            area=area,
            frames=frames,
            members=max(frames, 1) if known.splits else given.members,
            attached=given.attached + sum(_pixels(link, given.members) for link in links),
            steps=steps,
            times=times,
            enlarges=enlarges,
        )

    def _own(self, node: Node, known: NodeClass, given: Flow) -> tuple[float, float]:
        """Return the area and the frames that the node's own numbers set, 0 for those of others."""
        area = frames = 0.0
        for budget in known.budgets:
            sizes = [name for name in budget.of if is_size(name)]
            counts = [name for name in budget.of if not is_size(name)]
            is_set = [_is_set(node.inputs.get(name)) for name in sizes]
            if any(is_set):
                area = max(area, self._product(node, sizes))
                if given.area and not all(is_set):  # 0 keeps the proportions, which may be any
                    area = max(area, max(self.counted(node, name) or 0 for name in sizes) ** 2)
            if counts and any([*is_set, *(_is_set(node.inputs.get(name)) for name in counts)]):
                frames = max(frames, self._product(node, counts))
        return area, frames

    def _product(self, node: Node, of: float | Sequence[str]) -> float:
        if not isinstance(of, Sequence):
            return of
        counted = (self.counted(node, name) for name in of)
        return math.prod(number for number in counted if number is not None)


def is_size(name: str) -> bool:
    """Return whether a numeric input of this name is a side or an area, and no count."""
    return name.endswith(_SIZES) and not name.endswith(_COUNTS)


def _is_set(value: object) -> bool:
    return value is not None and value != 0  # 0 stands for "as it is" and "no limit"


def _only(outputs: tuple[str, ...] | None, types: frozenset[str]) -> bool:
    return outputs is not None and bool(outputs) and types.issuperset(outputs)


def _frames(link: _Link, members: float) -> float:
    # What is no list is used again for each member of the list beside it.
    return link.flow.frames * members / link.flow.members


def _pixels(link: _Link, members: float) -> float:
    return link.flow.area * _frames(link, members) if link.pictures else 0


def _given(links: Sequence[_Link], *, joins: bool) -> Flow:
    """Return what the links bring together."""
    members = max((link.flow.members for link in links), default=1)
    pictures = [link for link in links if link.pictures]
    guides = [link.flow for link in links if link.guides]
    frames = [_frames(link, members) for link in pictures if link.flow.area]
    times = [link.flow.times for link in links if link.guides and link.type not in _MODELS]
    return Flow(
        area=max((link.flow.area for link in pictures), default=0),
        frames=(sum(frames) if joins else max(frames)) if frames else members,
        members=members,
        attached=max((flow.attached for flow in guides), default=0),
        steps=max((flow.steps for flow in guides), default=0),
        times=(sum(times) if joins else max(times)) if times else 1,
        enlarges=max((flow.enlarges for flow in guides), default=1),
    )


def _sampling(given: Flow, flow: Flow, links: Sequence[_Link]) -> float:
    frames = max((_frames(link, given.members) for link in links), default=1)
    pixels = flow.area * max(frames, flow.frames) + given.attached
    least = LEAST_STEP_PIXELS * given.members
    return flow.steps * flow.times * max(least, pixels)


def _padded(area: float, widths: Sequence[float | None]) -> float:
    # (a + x)(b + y) is at most the square of the mean of both factors, for a square of that area.
    added = sum(width for width in widths if width is not None)
    return float((math.sqrt(area) + added / 2) ** 2) if added else area
