"""
What flows along the links of a graph, as far as it decides what the graph costs.

How a node changes it, and what it comes to, is in ``workflow_totals``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

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
NO_PICTURES: Final = _PLAIN | _GUIDES | _MODELS


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """What a node hands on."""

    #: Pixels of the largest frame; 0 when there are no pictures.
    area: float = 0
    #: Frames of all pictures together.
    frames: float = 1
    #: Of a list, how many; a node runs once for each member of the longest list it is given.
    members: float = 1
    #: Samples of sound, a latent's as what it is decoded to.
    sound: float = 0
    #: Characters of text.
    text: float = 0
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
class Link:
    """One link to a node, and what flows along it."""

    flow: Flow
    #: The type of the output slot; empty when the catalogue does not know it.
    type: str

    @property
    def pictures(self) -> bool:
        """Whether it may bring pictures or sound."""
        return self.type not in NO_PICTURES

    @property
    def guides(self) -> bool:
        """Whether it may tell a sampler what to do."""
        return self.type not in _PICTURES | _PLAIN

    @property
    def texts(self) -> bool:
        """Whether it may bring a text."""
        return self.type == "STRING" or self.type not in _PICTURES | NO_PICTURES


def only(outputs: tuple[str, ...] | None, types: frozenset[str]) -> bool:
    """Return whether all that a node gives on is of these types."""
    return outputs is not None and bool(outputs) and types.issuperset(outputs)


def frames_of(link: Link, members: float) -> float:
    """Return its frames; what is no list is used again for each member of the list beside it."""
    return link.flow.frames * members / link.flow.members


def pixels_of(link: Link, members: float) -> float:
    """Return the pixels of its pictures, used as often as its frames are."""
    return link.flow.area * frames_of(link, members) if link.pictures else 0


def given_by(links: Sequence[Link], *, joins: bool) -> Flow:
    """Return what the links bring together."""
    members = max((link.flow.members for link in links), default=1)
    pictures = [link for link in links if link.pictures]
    guides = [link.flow for link in links if link.guides]
    add = sum if joins else max
    frames = [frames_of(link, members) for link in pictures if link.flow.area]
    times = [link.flow.times for link in links if link.guides and link.type not in _MODELS]
    sounds = [link.flow.sound * members / link.flow.members for link in pictures]
    texts = [link.flow.text for link in links if link.texts]
    return Flow(
        area=max((link.flow.area for link in pictures), default=0),
        frames=add(frames) if frames else members,
        members=members,
        sound=add(sounds) if sounds else 0,
        text=add(texts) if texts else 0,
        attached=max((flow.attached for flow in guides), default=0),
        steps=max((flow.steps for flow in guides), default=0),
        times=add(times) if times else 1,
        enlarges=max((flow.enlarges for flow in guides), default=1),
    )
