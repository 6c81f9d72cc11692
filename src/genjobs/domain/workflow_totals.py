"""
What a whole graph asks for: pixels that its nodes make, and pixels that its samplers work through.

Each node is looked at once, its sources first. What it makes is known from its own numbers and
from what flows to it, so a sampler behind an enlargement costs the enlarged size. All of it is an
upper bound, but for files of the request, which count as a picture or film of common size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from genjobs.domain import limits
from genjobs.domain.catalogue import InputKind, NodeClass
from genjobs.domain.graph import Node
from genjobs.domain.media import MediaKind
from genjobs.domain.workflow_flows import (
    NO_PICTURES,
    Flow,
    Link,
    frames_of,
    given_by,
    only,
    pixels_of,
)

#: The side of a picture, and the frames of a film, whose size is not known before it is there.
ASSUMED_SIDE: Final = 1024
ASSUMED_FRAMES: Final = 96
#: Samples of a second of sound, two channels; and of a file of some minutes.
SECOND_SAMPLES: Final = 2 * 48_000
ASSUMED_SAMPLES: Final = 300 * SECOND_SAMPLES
#: The least that a sampler's step counts as, because a step takes its time on a small picture too.
LEAST_STEP_PIXELS: Final = 512 * 512

_SIZES: Final = ("width", "height", "size", "megapixels")
_COUNTS: Final = ("batch_size",)
_SECONDS: Final = frozenset({"seconds"})

#: Returns what a numeric input counts as in a product, None when it is absent.
Counted = Callable[[Node, str], float | None]


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
            Link(self.flows[value[0]], self._slot_type(value))
            for value in node.inputs.values()
            if isinstance(value, list)
        ]
        given = given_by(links, joins=known.joins)
        flow = self._flow(node, known, given, links)
        self.flows[node.id] = flow
        if (known.outputs is None or "STRING" in known.outputs) and (
            flow.text > limits.MAX_JOINED_CHARS
        ):
            return f"would make a text of more than {limits.MAX_JOINED_CHARS:,} characters"
        if not known.output_node and only(known.outputs, NO_PICTURES):
            return None
        made = flow.pixels + flow.sound
        self.made += made
        if flow.steps:
            self.sampled += _sampling(given, flow, links)
        return self._excess(made)

    def _excess(self, made: float) -> str | None:
        """Return which limit the node, which makes so much, or the graph up to it is beyond."""
        if made > limits.MAX_NODE_PIXELS:
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

    def _flow(self, node: Node, known: NodeClass, given: Flow, links: Sequence[Link]) -> Flow:
        own_area, own_frames = self._own(node, known, given)
        given = self._with_files(node, known, given)
        area, frames, sound = given.area, given.frames, given.sound
        times, enlarges = given.times, given.enlarges
        frames = own_frames * given.members or frames
        steps = given.steps if known.steps is None else self._product(node, known.steps)
        factor = self._product(node, known.grows)
        if only(known.outputs, NO_PICTURES):
            if known.outputs == ("SAMPLER",):
                enlarges *= factor
            else:
                times *= factor
            area = own_area or area
        elif isinstance(known.grows, tuple) and len(set(known.grows)) == len(known.grows):
            sound *= factor
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
            sound=sound,
            text=given.text + _text(node, known),
            attached=given.attached + sum(pixels_of(link, given.members) for link in links),
            steps=steps,
            times=times,
            enlarges=enlarges,
        )

    def _with_files(self, node: Node, known: NodeClass, given: Flow) -> Flow:
        """Return what comes to the node, with what its files may hold and its own sound."""
        media = {rule.media for rule in known.of_kind(InputKind.FILE).values()}
        area, frames = given.area, given.frames
        if media & {MediaKind.IMAGE, MediaKind.VIDEO}:
            area = max(area, ASSUMED_SIDE**2)
        if MediaKind.VIDEO in media:
            frames = max(frames, ASSUMED_FRAMES * given.members)
        sound = max(given.sound, self._own_sound(node, known))
        if MediaKind.AUDIO in media:
            sound = max(sound, ASSUMED_SAMPLES)
        return replace(given, area=area, frames=frames, sound=sound)

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

    def _own_sound(self, node: Node, known: NodeClass) -> float:
        """Return the samples of sound that the node's own numbers set."""
        for budget in known.budgets:
            if known.outputs == ("AUDIO",):
                return self._product(node, budget.of)
            if _SECONDS & set(budget.of):
                return self._product(node, budget.of) * SECOND_SAMPLES
        return 0

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


def _sampling(given: Flow, flow: Flow, links: Sequence[Link]) -> float:
    frames = max((frames_of(link, given.members) for link in links), default=1)
    pixels = flow.area * max(frames, flow.frames) + given.attached
    least = LEAST_STEP_PIXELS * given.members
    return flow.steps * flow.times * max(least, pixels)


def _text(node: Node, known: NodeClass) -> int:
    values = (node.inputs.get(name) for name in known.of_kind(InputKind.TEXT))
    return sum(len(value) for value in values if isinstance(value, str))


def _padded(area: float, widths: Sequence[float | None]) -> float:
    # (a + x)(b + y) is at most the square of the mean of both factors, for a square of that area.
    added = sum(width for width in widths if width is not None)
    return float((math.sqrt(area) + added / 2) ** 2) if added else area
