"""What is drawn of workflows and media: allowed node classes, accepted types, limits."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import fields
from importlib import resources
from typing import Final

from genjobs.adapters.safe_fetch import FetchLimits
from genjobs.application.ingesting import Ingester
from genjobs.bootstrap.catalogue import simulator_entries
from genjobs.domain import limits, workflow_costs, workflow_policy, workflow_totals
from genjobs.domain.catalogue import InputKind, NodeClass, shipped_classes
from genjobs.domain.ingests import IngestRules
from genjobs.domain.media import ACCEPTED_INPUTS, MediaKind
from genjobs.domain.media_limits import MediaLimits
from genjobs.domain.url_policy import UrlPolicy
from genjobs.domain.workflow_costs import written as number

#: What is limited, the limit, and what becomes of a request or job over it.
_Row = tuple[str, str, str]
_FILES: Final = ("core_nodes.json", "video_helper_suite.json")


def node_classes(note: str) -> str:
    """Return docs/nodes.md."""
    lines = [
        "# Allowed node classes",
        "",
        note,
        "What a workflow may use unless the deployment says otherwise; see",
        "[workflows.md](workflows.md). An input without a remark is judged by its kind, which the",
        "entries in `src/genjobs/domain/catalogue/` tell.",
    ]
    for name in _FILES:
        file = resources.files("genjobs.domain.catalogue").joinpath(name)
        document = json.loads(file.read_text("utf-8"))
        classes = {key: shipped_classes()[key] for key in document["classes"]}
        lines += ["", f"## {document['reviewed_against']}: {len(classes)} classes", ""]
        lines += _class_table(classes)
    lines += ["", "## The simulator's own", "", "Allowed with `simulator://` only.", ""]
    lines += _class_table(dict(simulator_entries().classes))
    return "\n".join(lines) + "\n"


def _class_table(classes: dict[str, NodeClass]) -> Iterator[str]:
    remarks = {name: "; ".join(_remarks(classes[name])) for name in sorted(classes)}
    yield "| class | remarks |"
    yield "|---|---|"
    for name, said in remarks.items():
        if said:
            yield f"| `{name}` | {said} |"
    if plain := [f"`{name}`" for name, said in remarks.items() if not said]:
        yield ""
        yield "And, without remarks:"
        yield from textwrap.wrap(
            ", ".join(plain) + ".", 100, break_long_words=False, break_on_hyphens=False
        )


def _remarks(known: NodeClass) -> Iterator[str]:
    for name, rule in known.of_kind(InputKind.FILE).items():
        yield f"`{name}` names {rule.media or MediaKind.FILE} media"
    if known.of_kind(InputKind.PREFIX):
        yield "saves"
    elif known.output_node:
        yield "shows"
    for name in known.of_kind(InputKind.REFUSED):
        yield f"`{name}` may not be set"
    for name, rule in known.of_kind(InputKind.FORCED).items():
        yield f"`{name}` is always {json.dumps(rule.value)}"
    for name, rule in known.inputs.items():
        if rule.maximum is not None:
            least = "" if rule.minimum is None else f"from {number(rule.minimum)} "
            most = f"{'to' if least else 'at most'} {number(rule.maximum)}"
            yield f"`{name}` {least}{most}"
    if isinstance(known.grows, tuple):
        yield f"makes `{' x '.join(known.grows)}` times what it is given"
    elif known.grows != 1:
        yield f"makes {number(known.grows)} times what it is given"
    for budget in known.budgets:
        if len(set(budget.of)) == 1:  # its own limit says the same
            continue
        yield f"`{' x '.join(budget.of)}` at most {number(budget.maximum)}"


def accepted_types() -> Sequence[str]:
    """Return the table of what media may be."""
    lines = ["| kind | types |", "|---|---|"]
    for kind in (MediaKind.IMAGE, MediaKind.VIDEO, MediaKind.AUDIO):
        types = sorted(one.content_type for one in ACCEPTED_INPUTS if one.kind is kind)
        lines.append(f"| {kind} | {', '.join(f'`{one}`' for one in types)} |")
    return lines


def workflow_limits() -> Sequence[str]:
    """Return the table of what bounds a workflow."""
    return _table(
        [
            ("request body", _bytes(limits.MAX_BODY_BYTES), "`body_too_large`"),
            (
                "the graph as compact JSON, in UTF-8",
                _bytes(limits.MAX_WORKFLOW_BYTES),
                "`workflow_too_large`",
            ),
            ("nodes", number(limits.MAX_WORKFLOW_NODES), "`workflow_too_large`"),
            (
                "objects and lists within each other, the graph's own two among them",
                number(limits.MAX_WORKFLOW_DEPTH),
                "`workflow_limit`",
            ),
            (
                "characters of a node id, a class name, an input name",
                f"{limits.MAX_NODE_ID_CHARS}, {limits.MAX_CLASS_CHARS}, "
                f"{limits.MAX_INPUT_NAME_CHARS}",
                "`workflow_invalid`",
            ),
            (
                "characters of a `text` or `value`",
                number(limits.MAX_TEXT_CHARS),
                "`workflow_input_not_allowed`",
            ),
            (
                "characters of a `choice`, `model` or `line`",
                number(limits.MAX_LINE_CHARS),
                "`workflow_input_not_allowed`",
            ),
            (
                "members of a set of `numbers`",
                number(workflow_policy._MOST_NUMBERS),
                "`workflow_input_not_allowed`",
            ),
            (
                "any number, up or down",
                f"2^{workflow_costs._LARGEST.hex().rpartition('+')[2]}",
                "`workflow_input_not_allowed`",
            ),
            (
                "one input, or the product of some inputs of a node",
                "[nodes.md](nodes.md)",
                "`workflow_limit`",
            ),
            (
                "times that the graph multiplies what it starts from",
                number(limits.MAX_GROWTH),
                "`workflow_limit`",
            ),
            (
                "characters of a text that a node joins",
                number(limits.MAX_JOINED_CHARS),
                "`workflow_limit`",
            ),
            (
                "pixels of all frames that one node makes",
                number(limits.MAX_NODE_PIXELS),
                "`workflow_limit`",
            ),
            (
                "pixels of all frames that all nodes make",
                number(limits.MAX_MADE_PIXELS),
                "`workflow_limit`",
            ),
            (
                "steps x pixels x frames of all samplers",
                number(limits.MAX_SAMPLED_PIXELS),
                "`workflow_limit`",
            ),
            (
                "a picture of the request, or a measured side, counts at least as",
                f"{workflow_totals.ASSUMED_SIDE} x {workflow_totals.ASSUMED_SIDE}, "
                f"{workflow_totals.ASSUMED_SIDE}",
                "",
            ),
            (
                "a film of the request, or a measured count, counts at least as",
                f"{workflow_totals.ASSUMED_FRAMES} frames, {workflow_totals.ASSUMED_FRAMES}",
                "",
            ),
            (
                "a sound of the request counts as",
                f"{number(workflow_totals.ASSUMED_SAMPLES)} samples",
                "",
            ),
            (
                "a sampler's step counts at least as",
                f"{number(workflow_totals.LEAST_STEP_PIXELS)} pixels",
                "",
            ),
        ]
    )


def media_limits() -> Sequence[str]:
    """Return the table of what bounds media."""
    media, policy, fetch, ingest = MediaLimits(), UrlPolicy(), FetchLimits(), IngestRules()
    content, failed = "content", "`input_unavailable`"
    return _table(
        [
            ("entries (`GENJOBS_MAX_MEDIA`)", number(limits.MAX_MEDIA), "`media_too_many`"),
            ("characters of a name", number(limits.MAX_MEDIA_NAME_CHARS), "`media_invalid`"),
            ("`data` of all entries", _bytes(limits.MAX_INLINE_MEDIA_BYTES), "`media_too_large`"),
            ("characters of a URL", number(policy.max_length), "`url_not_allowed`"),
            (
                "ports of a URL (`GENJOBS_FETCH_PORTS`)",
                ", ".join(map(str, sorted(policy.ports))),
                "`url_not_allowed`",
            ),
            ("a file by URL (`GENJOBS_MAX_MEDIA_BYTES`)", _bytes(media.bytes), "`input_refused`"),
            ("redirects", number(fetch.redirects), failed),
            ("connecting to one address", _seconds(fetch.connect), failed),
            ("from the look-up to the end of the headers, each hop", _seconds(fetch.head), failed),
            ("silence", _seconds(fetch.window), failed),
            (
                f"least rate, over every {_seconds(fetch.window)}",
                f"{number(fetch.rate)} bytes/s",
                failed,
            ),
            ("one download", _seconds(fetch.total), failed),
            (
                "tries (`GENJOBS_INGEST_TRIES`)",
                f"{ingest.tries}, {_seconds(ingest.backoff.total_seconds())} apart at first",
                failed,
            ),
            (
                "all media of a job (`GENJOBS_INGEST_SECONDS`)",
                _seconds(ingest.deadline.total_seconds()),
                failed,
            ),
            (
                "jobs fetched at once, of a tenant and of a user (`GENJOBS_INGESTS_PER_TENANT`, "
                "`GENJOBS_INGESTS_PER_USER`)",
                f"{ingest.per_tenant} and {ingest.per_user}",
                "wait",
            ),
            ("jobs fetched at once by a process", number(_places()), "wait"),
            ("pixels of a picture", number(media.picture_pixels), content),
            ("a side of it", number(media.picture_side), content),
            ("its frames", number(media.picture_frames), content),
            ("pixels of all frames", number(media.picture_total_pixels), content),
            ("streams of video and sound", number(media.media_streams), content),
            ("streams of any sort", number(media.streams), content),
            ("length of a video", _seconds(media.video_seconds), content),
            ("length of sound", _seconds(media.audio_seconds), content),
            ("pixels of a video", number(media.video_pixels), content),
            ("a side of it", number(media.video_side), content),
            ("its frames per second", number(media.video_rate), content),
            ("samples per second", number(media.sample_rate), content),
            ("channels", number(media.channels), content),
            ("processor time to decode", _seconds(media.cpu_seconds), content),
            ("memory to decode", _bytes(media.memory_bytes), content),
        ]
    )


def _places() -> int:
    [places] = [field.default for field in fields(Ingester) if field.name == "places"]
    assert isinstance(places, int)
    return places


def _table(rows: Sequence[_Row]) -> Sequence[str]:
    return [
        "| what | at most | over it |",
        "|---|---|---|",
        *(f"| {what} | {most} | {then} |" for what, most, then in rows),
    ]


def _bytes(value: int) -> str:
    return f"{number(value)} bytes"


def _seconds(value: float) -> str:
    return f"{value:g} s"
