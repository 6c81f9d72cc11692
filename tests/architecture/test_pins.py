"""
Pins: every requirement exact and hashed, from no address; the GPU's of CUDA builds.

What images are built from says the same as the requirements.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from genjobs.domain.pin_file import read_pins, write_pins
from genjobs.domain.pin_rules import loose
from genjobs.domain.pins import Unresolved, pins
from genjobs.gpu.stack import PINS as PINS_FILE
from genjobs.gpu.stack import STACK, unresolved
from tools.docs import ROOT

REQUIREMENTS = ROOT / "requirements"
PINS = sorted(REQUIREMENTS.glob("*.txt"))


def pinned(name: str) -> dict[str, str]:
    """Return the versions of a file of pins, by name."""
    return dict(
        re.findall(
            r"^([a-z0-9._-]+)(?:\[[a-z,]+\])?==(\S+)", (REQUIREMENTS / name).read_text(), re.M
        )
    )


@pytest.mark.parametrize("path", PINS, ids=lambda path: path.name)
def test_pins_are_exact_and_hashed_and_name_no_address(path: Path) -> None:
    text = path.read_text()
    assert "://" not in text
    assert not re.search(r"^\s*-", re.sub(r"^\s+--hash=\S+.*$", "", text, flags=re.M), flags=re.M)
    requirements = re.split(r"\n(?=\S)", text.strip())
    assert requirements
    for requirement in requirements:
        assert re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==\S+ ", requirement), requirement
        assert "--hash=sha256:" in requirement


def test_no_lock_with_addresses_is_tracked() -> None:
    git = ["git", "-C", str(ROOT), "ls-files"]
    tracked = subprocess.run(git, capture_output=True, text=True, check=False).stdout.split()
    names = {Path(name).name for name in tracked}
    assert not names & {"uv.lock", "pylock.toml", "poetry.lock", "package-lock.json"}


def test_every_list_of_wishes_has_its_pins() -> None:
    for path in REQUIREMENTS.glob("*.in"):
        text = re.sub(r"#.*", "", path.read_text())
        wished = {re.split(r"[<>=~!;\[ ]", line)[0].lower() for line in text.split()}
        pins = pinned(path.with_suffix(".txt").name)
        assert {name.replace("_", "-") for name in wished if name} <= set(pins), path.name


def test_gpu_gets_cuda_builds_of_torch_that_fit_each_other() -> None:
    pins = pinned("comfyui.txt")
    family = {name: pins[name] for name in ("torch", "torchvision", "torchaudio")}
    assert not [version for version in family.values() if "+" in version], family
    assert {"nvidia-cudnn-cu13", "nvidia-cublas", "cuda-toolkit", "triton"} <= set(pins)
    # Every torchvision names one torch: 0.N goes with 2.(N - 15).
    minors = [int(family[name].split(".")[1]) for name in ("torch", "torchvision")]
    assert minors[1] - minors[0] == 15


def test_no_pin_of_the_images_is_loose() -> None:
    """What is not resolved yet is no failure: it is listed at the end of every run of the tests."""
    assert loose(STACK) == {}
    open_pins = {name for name, value in pins(STACK).items() if isinstance(value, Unresolved)}
    assert set(unresolved()) == open_pins
    assert all(unresolved().values())
    assert PINS_FILE.read_text("utf-8").count('"UNRESOLVED(') == len(open_pins)


def test_file_of_pins_is_as_it_is_written_by_machine() -> None:
    text = PINS_FILE.read_text("utf-8")
    assert write_pins(read_pins(text)) == text


@pytest.mark.parametrize(
    ("pin", "file", "package"),
    [
        ("uv", "bootstrap.txt", "uv"),
        ("cuda", "comfyui.txt", "cuda-toolkit"),
        ("torch", "comfyui.txt", "torch"),
        ("torchvision", "comfyui.txt", "torchvision"),
        ("torchaudio", "comfyui.txt", "torchaudio"),
    ],
)
def test_stack_names_the_versions_that_are_installed(pin: str, file: str, package: str) -> None:
    assert pins(STACK)[pin] == pinned(file)[package]


def test_packages_are_resolved_for_the_python_of_the_images() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert set(re.findall(r"--python-version (\S+)", makefile)) == {STACK.python}
    assert (ROOT / ".python-version").read_text().strip() == STACK.python


def test_comfyui_is_the_one_whose_wishes_are_resolved() -> None:
    wishes = (REQUIREMENTS / "comfyui.in").read_text()
    assert f"commit {STACK.comfyui.commit})" in wishes
    assert f"ComfyUI {STACK.comfyui.ref.removeprefix('refs/tags/')} " in wishes
