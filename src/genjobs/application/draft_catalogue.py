"""
Draft catalogue entries from what a ComfyUI says of its node classes (``GET /object_info``).

A draft is a guess for a person to review: ``"reviewed"`` is false, ``"notes"`` says what to look
at, and no deployment loads it before a person has said otherwise. object_info does not tell what
a node's code does with its inputs.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from genjobs.domain.catalogue import Budget, InputKind, InputRule, NodeClass, entry_document
from genjobs.domain.catalogue.entries import ANY_MEMBER
from genjobs.domain.errors import InvalidRequest
from genjobs.domain.media import MediaKind

#: Limits that a draft proposes for numbers of these names; the shipped entries use the same.
MOST_SIDE: Final = 8192  # pixels
MOST_BATCH: Final = 64
MOST_FRAMES: Final = 1025
MOST_STEPS: Final = 200
MOST_PICTURE: Final = 8192 * 8192  # pixels x batch
MOST_VIDEO: Final = 2**28  # pixels x frames x batch: 1280 x 720 x 291

_LIMITS: Final = {
    **dict.fromkeys(("width", "height", "target_width", "target_height"), MOST_SIDE),
    **dict.fromkeys(("batch_size", "batch", "amount", "repeat"), MOST_BATCH),
    **dict.fromkeys(("length", "frames", "num_frames", "video_frames"), MOST_FRAMES),
    "steps": MOST_STEPS,
}
_FRAMES: Final = frozenset({"length", "frames", "num_frames", "video_frames"})
_UPLOADS: Final = {
    "image_upload": MediaKind.IMAGE,
    "animated_image_upload": MediaKind.IMAGE,
    "video_upload": MediaKind.VIDEO,
    "audio_upload": MediaKind.AUDIO,
    "file_upload": MediaKind.FILE,
}
_MODEL: Final = re.compile(
    r"(ckpt|lora|unet|vae|clip|model|control_net|encoder\w*)_name\d*$|^name$"
)
_PREFIX: Final = re.compile(r"^(file)?name_?prefix$|^(output|save)_prefix$|^prefix$")
_PLACE: Final = re.compile(
    r"path|dir(ectory)?$|folder|url|uri|^file|file(s|name|names)?$|command|cmd|script|code$|host|"
    r"api_?key|token$|secret|password|expression|regex|pattern|eval",
    re.IGNORECASE,
)
_KINDS: Final = {
    "INT": InputKind.INTEGER,
    "FLOAT": InputKind.NUMBER,
    "BOOLEAN": InputKind.BOOLEAN,
    "*": InputKind.VALUE,
    "BOUNDING_BOX": InputKind.NUMBERS,
}
_TYPE_NAME: Final = re.compile(r"[A-Z][A-Z0-9_]*(,[A-Z][A-Z0-9_]*)*")


def draft_catalogue(
    object_info: object, known: Collection[str], wanted: Collection[str] = ()
) -> dict[str, Any]:
    """
    Return drafts as a deployment's catalogue file, to be reviewed class by class.

    Args:
        object_info: The answer of ``GET /object_info``, parsed.
        known: Classes that need no draft.
        wanted: Only these classes; empty for all that are not known.

    Raises:
        InvalidRequest: ``object_info`` is not what it should be, or lacks a wanted class.
    """
    if not isinstance(object_info, dict) or not all(
        isinstance(info, dict) and isinstance(info.get("input"), dict)
        for info in object_info.values()
    ):
        raise InvalidRequest("This is not an answer of GET /object_info.")
    if missing := [name for name in wanted if name not in object_info]:
        raise InvalidRequest(f"object_info has no class {missing[0]!r}.")
    names = [name for name in object_info if (name in wanted if wanted else name not in known)]
    return {"classes": {name: _draft(object_info[name]) for name in sorted(names)}, "deny": []}


def _draft(info: Mapping[str, Any]) -> dict[str, Any]:
    known, notes = draft_entry(info)
    return {"reviewed": False, "notes": notes, **entry_document(known)}


def draft_entry(info: Mapping[str, Any]) -> tuple[NodeClass, list[str]]:
    """Return a guess at the entry of one class, and what a reviewer must look at."""
    guess = _Guess()
    for part in ("required", "optional"):
        section = info["input"].get(part)
        for name, spec in section.items() if isinstance(section, dict) else ():
            guess.input(name, spec)
    outputs = info.get("output")
    return (
        NodeClass(
            inputs=guess.inputs,
            outputs=(
                tuple(str(item) if isinstance(item, str) else "COMBO" for item in outputs)
                if isinstance(outputs, list)
                else None
            ),
            output_node=bool(info.get("output_node")),
            budgets=_budgets(guess.numbers()),
            steps=("steps",) if "steps" in guess.numbers() else None,
        ),
        [_read_code(info), *guess.notes, *_questions(info, guess.inputs)],
    )


def _read_code(info: Mapping[str, Any]) -> str:
    place = _module(info) or "its package"
    return f"Read the code ({place}): does it reach files, network or processes?"


def _questions(info: Mapping[str, Any], inputs: Mapping[str, InputRule]) -> Iterator[str]:
    """Yield what a reviewer must ask of the class as a whole, besides reading its code."""
    if info.get("api_node") or "api_nodes" in _module(info):
        yield "It calls an outside service, which may cost money."
    if info.get("output_node") and not any(
        rule.kind is InputKind.PREFIX for rule in inputs.values()
    ):
        yield "It is an output node without a known save prefix: where does it write?"


def _module(info: Mapping[str, Any]) -> str:
    return str(info.get("python_module", ""))


def _budgets(numbers: Collection[str]) -> tuple[Budget, ...]:
    factors = tuple(name for name in numbers if name in {"width", "height", "batch_size"} | _FRAMES)
    if not {"width", "height"} <= set(factors):
        return ()
    video = bool(_FRAMES & set(factors))
    return (Budget(of=factors, maximum=MOST_VIDEO if video else MOST_PICTURE),)


@dataclass(slots=True)
class _Guess:
    """Collects the guesses at one class's inputs."""

    inputs: dict[str, InputRule] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def numbers(self) -> list[str]:
        """Return the whole numbers that have a limit."""
        whole = [(name, r) for name, r in self.inputs.items() if r.kind is InputKind.INTEGER]
        return [name for name, rule in whole if rule.maximum is not None]

    def input(self, name: str, spec: object) -> None:
        if not isinstance(spec, list | tuple) or not spec:
            self._refuse(name, "is described in no known form")
            return
        options = spec[1] if len(spec) > 1 and isinstance(spec[1], dict) else {}
        kind = spec[0]
        if isinstance(kind, list) or kind == "COMBO":
            self._combo(name, options)
        elif kind == "STRING":
            self._string(name, options)
        elif kind == "COMFY_AUTOGROW_V3":
            self._autogrow(name, options)
        elif kind == "COMFY_DYNAMICCOMBO_V3":
            self._dynamic(name, options)
        elif kind in ("INT", "FLOAT"):
            self.inputs[name] = self._numeric(name, _KINDS[kind], options)
        elif isinstance(kind, str) and kind in _KINDS:
            self.inputs[name] = InputRule(kind=_KINDS[kind])
        elif isinstance(kind, str) and _TYPE_NAME.fullmatch(kind):
            self._link(name, kind)
        else:
            self._refuse(name, f"is of the unknown type {str(kind)[:40]!r}")

    def _combo(self, name: str, options: Mapping[str, Any]) -> None:
        if (folder := options.get("image_folder")) not in (None, "input"):
            self._refuse(name, f"is read from the {folder} folder, where files of other jobs lie")
            return
        for flag, media in _UPLOADS.items():
            if options.get(flag):
                self.inputs[name] = InputRule(kind=InputKind.FILE, media=media)
                self.notes.append(f"{name}: takes an uploaded file; is it only {media.value}?")
                return
        if _MODEL.search(name) and not name.startswith("sampler"):
            self.inputs[name] = InputRule(kind=InputKind.MODEL)
        elif _PLACE.search(name):
            self._refuse(name, "looks like the name of a file or folder")
        else:
            self.inputs[name] = InputRule(kind=InputKind.CHOICE)

    def _string(self, name: str, options: Mapping[str, Any]) -> None:
        if _PREFIX.search(name):
            self.inputs[name] = InputRule(kind=InputKind.PREFIX)
        elif _PLACE.search(name) or options.get("vhs_path_extensions") is not None:
            self._refuse(name, "looks like a path, an address or code")
        elif options.get("multiline"):
            self.inputs[name] = InputRule(kind=InputKind.TEXT)
            self.notes.append(f"{name}: free text; is it a prompt, or does the node act on it?")
        else:
            self.inputs[name] = InputRule(kind=InputKind.LINE)
            self.notes.append(f"{name}: what does the node do with this text?")

    def _numeric(self, name: str, kind: InputKind, options: Mapping[str, Any]) -> InputRule:
        given = options.get("max")
        own = given if isinstance(given, int | float) else None
        most = _LIMITS.get(name.rpartition(".")[2])
        if most is not None and (own is None or own > 1):  # up to 1 it is a share of something
            least = options.get("min")
            return InputRule(
                kind=kind,
                minimum=least if isinstance(least, int | float) else 0,
                maximum=most if own is None else min(most, own),
            )
        if own is not None and 1000 < own < 2**31:
            self.notes.append(f"{name}: up to {own:.15g}; does it cost time or memory?")
        return InputRule(kind=kind)

    def _link(self, name: str, kind: str) -> None:
        parts = set(kind.split(","))
        if parts <= {"INT", "FLOAT", "BOOLEAN"}:
            self.inputs[name] = InputRule(kind=InputKind.NUMBER)
        elif "STRING" in parts:
            self._refuse(name, f"may be a text as well ({kind})")
        else:
            self.inputs[name] = InputRule(kind=InputKind.LINK)

    def _autogrow(self, name: str, options: Mapping[str, Any]) -> None:
        template = options.get("template")
        inner = template.get("input") if isinstance(template, dict) else None
        section = (
            inner.get("required") or inner.get("optional") if isinstance(inner, dict) else None
        )
        if not isinstance(section, dict) or len(section) != 1:
            self._refuse(name, "grows in no known form")
            return
        self.input(name + ANY_MEMBER, next(iter(section.values())))

    def _dynamic(self, name: str, options: Mapping[str, Any]) -> None:
        choices = options.get("options")
        self.inputs[name] = InputRule(kind=InputKind.CHOICE)  # its place: before its members
        keys: list[str] = []
        for choice in choices if isinstance(choices, list) else [None]:
            match choice:
                case {"key": str(key), "inputs": dict(sections)}:
                    keys.append(key)
                case _:
                    self._refuse(name, "offers choices in no known form")
                    return
            for section in sections.values():
                for member, spec in section.items() if isinstance(section, dict) else ():
                    self.input(f"{name}.{member}", spec)
        self.inputs[name] = InputRule(kind=InputKind.CHOICE, options=tuple(keys))

    def _refuse(self, name: str, why: str) -> None:
        self.inputs[name] = InputRule(kind=InputKind.REFUSED)
        self.notes.append(f"{name}: refused, it {why}.")
