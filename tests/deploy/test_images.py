"""The images of the deployment: what they are built from, in which order, and by which builder."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from genjobs.domain.errors import ConfigurationError
from genjobs.gpu.stack import STACK, comfyui_settings, refuse_other_builder
from genjobs.settings.deployment import WORKER
from tests.deploy.deploying import deploy
from tests.deploy.plane import Plane, serve

FUNCTIONS = ["api", f"{WORKER}.*", "supervise", "ingest", "migrate", "fetch_models"]
INSTALL = re.compile(r"\bpip\b.* install\b|\bpip install\b")


def recipe(plane: Plane, function: str) -> list[str]:
    """Return the lines by which a function's image is built, from its base on; files by name."""
    lines: list[str] = []
    image = plane.images[plane.function(function).image_id]
    while True:
        files = " ".join(plane.mounts.get(image.context_mount_id, ()))
        own = [line.replace("COPY . /", f"COPY {files} /") for line in image.dockerfile_commands]
        lines = [*own, *lines]
        if not image.base_images:
            return [line for line in lines if line != "FROM base"]
        [base] = image.base_images
        image = plane.images[base.image_id]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_image_begins_with_a_digest_or_cannot_be_built(deployment: Plane, function: str) -> None:
    first, *others = recipe(deployment, function)
    assert first == "FROM UNRESOLVED" or re.search(r"@sha256:[0-9a-f]{64}$", first), first
    assert not [line for line in others if line.startswith("FROM")]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_image_fetches_nothing_but_hashed_wheels_and_commits(
    deployment: Plane, function: str
) -> None:
    lines = recipe(deployment, function)[1:]
    copied = [line for line in lines if line.startswith("COPY")]
    assert all(re.fullmatch(r"COPY /opt/requirements/[a-z]+\.txt /", line) for line in copied)
    for line in lines:
        if line in copied:
            continue
        assert line.startswith("RUN "), line
        assert not re.search(r"\b(apt|apt-get|curl|wget|conda|npm)\b|:latest", line), line
        if INSTALL.search(line):
            words = shlex.split(line)
            assert "--require-hashes" in words, line
            assert "--no-deps" in words, line
            assert "--no-build" in words or ("--only-binary" in words and ":all:" in words), line
            assert words[-2] == "-r", line
            assert re.fullmatch(r"/opt/requirements/[a-z]+\.txt", words[-1]), line
        if "git" in shlex.split(line):
            [commit] = re.findall(r"\bfetch -q --depth 1 https://\S+ (\S+) ", line)
            assert commit == "UNRESOLVED" or re.fullmatch("[0-9a-f]{40}", commit), line


def test_comfyui_has_its_packages_beside_it_and_genjobs_has_its_own(deployment: Plane) -> None:
    lines = recipe(deployment, f"{WORKER}.*")
    wanted = [
        "-m venv /opt/uv",
        "-r /opt/requirements/bootstrap.txt",
        "uv venv ",
        "--python /opt/comfyui/.venv/bin/python -r /opt/requirements/comfyui.txt",
        "git init -q /opt/comfyui ",
        "--python $(command -v python) -r /opt/requirements/runtime.txt",
    ]
    found = [next(n for n, line in enumerate(lines) if part in line) for part in wanted]
    assert found == sorted(found)
    for name in ("bootstrap", "comfyui", "runtime"):
        file = f"/opt/requirements/{name}.txt"
        used = next(n for n, line in enumerate(lines) if f"-r {file}" in line)
        assert f"COPY {file} /" in lines[:used]
    assert "system-site-packages" not in "".join(lines)
    assert str(comfyui_settings()["GENJOBS_COMFYUI_COMMAND"]).startswith(
        "/opt/comfyui/.venv/bin/python main.py "
    )


def test_images_without_a_gpu_have_nothing_of_comfyui(deployment: Plane) -> None:
    for function in FUNCTIONS:
        if function != f"{WORKER}.*":
            assert not [line for line in recipe(deployment, function) if "comfyui" in line]


def test_uv_in_images_is_the_uv_that_the_pins_are_made_with(deployment: Plane) -> None:
    uv = {word for line in recipe(deployment, "api") for word in shlex.split(line)}
    assert "/opt/uv/bin/uv" in uv
    assert "/.uv/uv" not in uv


def test_images_are_built_by_the_pinned_builder_whatever_the_workspace_says(
    deployment: Plane,
) -> None:
    assert deployment.builders == {STACK.image_builder}
    assert deployment.builder != STACK.image_builder


def test_image_builder_is_the_newest_that_the_sdk_knows() -> None:
    from modal._image import LATEST_IMAGE_BUILDER_VERSION

    assert STACK.image_builder == LATEST_IMAGE_BUILDER_VERSION


def test_deployment_with_another_builder_is_refused(tmp_path: Path) -> None:
    with serve() as served:
        done = deploy(served, tmp_path, MODAL_IMAGE_BUILDER_VERSION="2025.06")
    assert done.returncode != 0
    assert f"MODAL_IMAGE_BUILDER_VERSION={STACK.image_builder}" in done.stdout + done.stderr
    assert not served.plane.images


def test_builder_that_is_left_to_the_workspace_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="left to the workspace"):
        refuse_other_builder(None)
    refuse_other_builder(str(STACK.image_builder))
