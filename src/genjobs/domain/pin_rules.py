"""
What is wrong with pins: one that is loose names more than one content, now or later.

Loose are a tag without a digest, ``latest``, a branch, a short commit, a version that is a range or
a CPU build, a model without its hash. Values also become words of shell commands and paths, so only
harmless characters are taken.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from genjobs.domain.pins import BaseImage, Stack, Unresolved, parts, pins

#: Pattern of a whole value, and what it has to be.
_Rule = tuple[re.Pattern[str], str]

_COMMIT: Final[_Rule] = (re.compile(r"[0-9a-f]{40}"), "a commit in full, 40 digits")
_VERSION: Final[_Rule] = (
    re.compile(r"\d+(\.\d+)+((a|b|rc|\.post)\d+)?(\+cu\d+)?"),
    "one exact version, and no CPU build",
)
_FOLDERS: Final = r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)"

#: By field; a name of two parts holds for that part only.
_RULES: Final[dict[str, _Rule]] = {
    "image_builder": (re.compile(r"\d{4}\.\d{2}"), "a version such as 2026.10"),
    "python": (re.compile(r"3\.\d+"), "a series such as 3.11"),
    **dict.fromkeys(("uv", "cuda", "torch", "torchvision", "torchaudio"), _VERSION),
    "BaseImage.name": (
        re.compile(r"[a-z0-9][a-z0-9.-]*(:\d+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"),
        "an image's name without a tag",
    ),
    "BaseImage.tag": (
        re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"),
        "a tag",
    ),
    "BaseImage.digest": (re.compile(r"sha256:[0-9a-f]{64}"), "a digest: sha256: and 64 digits"),
    "BaseImage.python": (re.compile(r"3\.\d+\.\d+"), "an exact version such as 3.11.1"),
    "Repository.name": (re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*"), "a folder's name"),
    "Repository.url": (
        re.compile(r"https://[a-z0-9.-]+(:\d+)?(/[A-Za-z0-9._~-]+)+"),
        "an https URL without credentials",
    ),
    "Repository.ref": (
        re.compile(r"refs/(tags|heads)(/[A-Za-z0-9][A-Za-z0-9._-]*)+"),
        "a reference in full, such as refs/tags/v1",
    ),
    "Repository.commit": _COMMIT,
    "Model.path": (re.compile(_FOLDERS + "+"), "a folder and a file"),
    "Model.repository": (re.compile(_FOLDERS), "an owner and a name"),
    "Model.file": (re.compile(_FOLDERS + "*"), "a file's path"),
    "Model.revision": _COMMIT,
    "Model.sha256": (re.compile(r"[0-9a-f]{64}"), "64 digits"),
    "Model.bytes": (re.compile(r"[1-9]\d*"), "a number of bytes"),
    "Model.licence": (re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+-]{0,127}"), "a licence's name"),
}


def loose(stack: Stack) -> dict[str, str]:
    """Return each pin that is not exact, or not usable, and what it should be."""
    kinds = {name: type(part).__name__ for name, part in parts(stack).items()}
    wrong: dict[str, str] = {}
    for name, value in pins(stack).items():
        part, _, field = name.rpartition(".")
        pattern, wanted = _RULES[f"{kinds[part]}.{field}" if part else field]
        if isinstance(value, Unresolved):
            continue
        if not pattern.fullmatch(str(value)):
            wrong[name] = f"must be {wanted}"
    return wrong | _disagreements(stack)


def _disagreements(stack: Stack) -> dict[str, str]:
    wrong: dict[str, str] = {}
    for name in ("cpu_base", "gpu_base"):
        base: BaseImage = getattr(stack, name)
        exact, series = base.python, str(stack.python)
        if not isinstance(exact, Unresolved) and not exact.startswith(f"{series}."):
            wrong[f"{name}.python"] = f"must be a Python {series}: packages are resolved for it"
        # Which excludes latest as well.
        if not re.match(rf"{re.escape(series)}[.-]", base.tag):
            wrong[f"{name}.tag"] = f"must be of Python {series}: packages are resolved for it"
    for kind, names in {
        "custom_nodes": [node.name for node in stack.custom_nodes],
        "models": [model.path for model in stack.models],
    }.items():
        for name, count in Counter(names).items():
            if count > 1:
                wrong[f"{kind}.{name}"] = "is there more than once"
    return wrong
