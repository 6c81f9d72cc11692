"""
The folders of a base directory and the naming rules of ComfyUI inside them.

Holds paths, annotated names, output counters and the rules of uploads and ``/view``. The rules are
those of v0.26.0, its missing checks included: a client has to be safe against the real thing.
"""

from __future__ import annotations

import hashlib
import mimetypes
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

_ANNOTATIONS = {" [output]": "output", " [input]": "input", " [temp]": "temp"}


class RefusedPathError(Exception):
    """A name leaves its folder; ``status`` is what the server answers."""

    def __init__(self, status: int) -> None:
        super().__init__(f"refused with {status}")
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class SavePath:
    """Where an output node writes: the folder, the stem and the next free counter."""

    folder: Path
    stem: str
    counter: int
    subfolder: str

    def file(self, index: int, extension: str) -> Path:
        """Return the path of the ``index``-th file written by this node."""
        stem = self.stem.replace("%batch_num%", str(index))
        return self.folder / f"{stem}_{self.counter + index:05}_.{extension}"


class Folders:
    """The ``input``, ``output`` and ``temp`` folders under one base directory."""

    def __init__(self, base: Path) -> None:
        self.base = Path(os.path.abspath(base))
        self.input = self.base / "input"
        self.output = self.base / "output"
        self.temp = self.base / "temp"

    def prepare(self) -> None:
        """Create the folders; ``temp`` is wiped, as at each start of ComfyUI."""
        shutil.rmtree(self.temp, ignore_errors=True)
        for folder in (self.input, self.output, self.temp):
            folder.mkdir(parents=True, exist_ok=True)

    def of_type(self, kind: str) -> Path | None:
        """Return the folder called ``kind``, if there is one."""
        return {"input": self.input, "output": self.output, "temp": self.temp}.get(kind)

    def split_annotation(self, name: str) -> tuple[str, Path | None]:
        """Split ``a.png [temp]`` into the name and the folder; no suffix, no folder."""
        for suffix, kind in _ANNOTATIONS.items():
            if name.endswith(suffix):
                return name[: -len(suffix)], self.of_type(kind)
        return name, None

    def input_path(self, name: str) -> Path:
        """
        Return the path a file input such as ``LoadImage.image`` names.

        v0.26.0 does not confine it: ``..`` and absolute names are followed.
        """
        bare, folder = self.split_annotation(name)
        return Path(os.path.join(folder or self.input, bare))

    def input_pictures(self) -> list[str]:
        """Return the names at the top of ``input`` that look like pictures, sorted."""
        with os.scandir(self.input) as entries:
            names = [entry.name for entry in entries if entry.is_file()]
        return sorted(
            name for name in names if (mimetypes.guess_type(name)[0] or "").startswith("image/")
        )

    def view_path(self, filename: str, kind: str, subfolder: str | None) -> Path | None:
        """
        Return the file ``/view`` serves, or None when it is not there.

        Raises:
            RefusedPathError: 400 or 403, as the server answers.

        """
        bare, folder = self.split_annotation(filename)
        if not bare or bare.startswith("/") or ".." in bare:
            raise RefusedPathError(400)
        folder = folder or self.of_type(kind)
        if folder is None:
            raise RefusedPathError(400)
        if subfolder is not None:
            inner = os.path.join(folder, subfolder)
            if os.path.commonpath((os.path.abspath(inner), folder)) != str(folder):
                raise RefusedPathError(403)
            folder = Path(inner)
        path = folder / os.path.basename(bare)
        return path if path.is_file() else None

    def save_path(self, prefix: str, folder: Path, width: int, height: int) -> SavePath:
        """
        Return where an output node with this ``filename_prefix`` writes next.

        The counter is one more than the highest in the folder, so a deleted name comes back.

        Raises:
            Exception: the prefix leaves ``folder`` (ComfyUI raises the bare class, at run time).

        """
        if "%" in prefix:
            prefix = _expand(prefix, width, height)
        subfolder, stem = os.path.split(os.path.normpath(prefix))
        target = os.path.join(folder, subfolder)
        common = os.path.commonpath((folder, os.path.abspath(target)))
        if common != str(folder):
            raise Exception(  # the bare class: its name is told to the client
                "**** ERROR: Saving image outside the output folder is not allowed."
                f"\n full_output_folder: {os.path.abspath(target)}"
                f"\n         output_dir: {folder}\n         commonpath: {common}"
            )
        os.makedirs(target, exist_ok=True)
        highest = 0
        for name in os.listdir(target):
            if os.path.normcase(name[: len(stem) + 1]) == os.path.normcase(stem + "_"):
                digits = name[len(stem) + 1 :].split("_")[0]
                highest = max(highest, int(digits) if digits.isdigit() else 0)
        return SavePath(folder=Path(target), stem=stem, counter=highest + 1, subfolder=subfolder)

    def store_upload(
        self, received: Path, *, name: str, kind: str, subfolder: str, overwrite: bool
    ) -> str:
        """
        Move the ``received`` file to its place and return the name it got.

        Same name and same bytes keep the name; same name and other bytes get ``a (1).png``.

        Raises:
            RefusedPathError: the name or subfolder leaves the folder (400).
            ValueError: a folder of that kind does not exist, or the name is absolute (the server
                answers 500).

        """
        folder = self.of_type(kind)
        if folder is None or name.startswith("/"):
            raise ValueError("no such place")
        target = os.path.join(folder, os.path.normpath(subfolder))
        path = os.path.abspath(os.path.join(target, name))
        if os.path.commonpath((folder, path)) != str(folder):
            raise RefusedPathError(400)
        os.makedirs(target, exist_ok=True)
        stem, extension = os.path.splitext(name)
        attempt = 0
        while not overwrite and os.path.exists(path):
            if file_digest(Path(path)) == file_digest(received):
                return name
            attempt += 1
            name = f"{stem} ({attempt}){extension}"
            path = os.path.join(target, name)
        os.replace(received, path)
        return name


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _expand(prefix: str, width: int, height: int) -> str:
    now = time.localtime()
    values = {
        "%width%": str(width),
        "%height%": str(height),
        "%year%": str(now.tm_year),
        "%month%": f"{now.tm_mon:02}",
        "%day%": f"{now.tm_mday:02}",
        "%hour%": f"{now.tm_hour:02}",
        "%minute%": f"{now.tm_min:02}",
        "%second%": f"{now.tm_sec:02}",
    }
    for name, value in values.items():
        prefix = prefix.replace(name, value)
    return prefix
