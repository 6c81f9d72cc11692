"""
The commands that build images, run in a folder: with a wheel and a repository made here.

What is not run here are the base images, the accounts in them, and what is fetched from elsewhere.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from genjobs.domain.pins import Repository
from genjobs.gpu import stack

UV = Path(sys.prefix) / "bin" / "uv"


def a_wheel(folder: Path, name: str) -> str:
    """Put a wheel there that installs one module, and return its line of requirements."""
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": "HERE = __file__\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
    }
    record = ""
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
        record += f"{path},sha256={digest.decode()},{len(text)}\n"
    wheel = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(path, text)
    return f"{name}==1.0 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


class Builder:
    """A folder that stands for an image's root, with a Python of its own and uv."""

    def __init__(self, root: Path) -> None:
        self.root, self.wheels = root, root / "wheels"
        self.wheels.mkdir()
        (root / "opt/uv/bin").mkdir(parents=True)
        (root / "opt/uv/bin/uv").symlink_to(UV)
        self.requirements = Path(f"{root}{stack.REQUIREMENTS}")
        self.requirements.mkdir()
        subprocess.run(
            [UV, "venv", "-q", "--no-config", "--python", sys.executable, root / "python"],
            check=True,
            timeout=60,
        )

    def run(self, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        for folder in ("/opt/", "/var/lib/"):
            command = command.replace(folder, f"{self.root}{folder}")
        clean = {"PATH": f"{self.root}/python/bin:{os.environ['PATH']}", "HOME": str(self.root)}
        return subprocess.run(
            ["sh", "-c", command],
            env={**clean, "UV_OFFLINE": "1", "UV_FIND_LINKS": str(self.wheels), **environment},
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def where(self, python: str, module: str) -> str:
        done = self.run(f"{python} -c 'import {module}; print({module}.HERE)'")
        return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    return Builder(tmp_path)


def test_comfyui_and_genjobs_share_no_package(builder: Builder) -> None:
    (builder.requirements / "comfyui.txt").write_text(a_wheel(builder.wheels, "theirs"))
    (builder.requirements / "runtime.txt").write_text(a_wheel(builder.wheels, "ours"))
    for command in (*stack.comfyui_package_commands(), *stack.genjobs_commands()):
        done = builder.run(command)
        assert done.returncode == 0, done.stderr

    command = str(stack.comfyui_settings()["GENJOBS_COMFYUI_COMMAND"])
    comfyui = command.split()[0]
    assert builder.where(comfyui, "theirs").startswith(f"{builder.root}/opt/comfyui/.venv/")
    assert builder.where("python", "ours").startswith(f"{builder.root}/python/")
    assert "ModuleNotFoundError" in builder.where(comfyui, "ours")
    assert "ModuleNotFoundError" in builder.where("python", "theirs")


def test_file_with_another_hash_is_not_installed(builder: Builder) -> None:
    wanted = a_wheel(builder.wheels, "theirs")
    other = wanted.replace(wanted[-10:-1], "0" * 9)
    assert other != wanted
    (builder.requirements / "runtime.txt").write_text(other)
    [command] = stack.genjobs_commands()
    done = builder.run(command)
    assert done.returncode != 0
    assert "hash" in done.stderr.lower()
    assert "ModuleNotFoundError" in builder.where("python", "theirs")


def test_requirement_without_a_hash_is_not_installed(builder: Builder) -> None:
    (builder.requirements / "runtime.txt").write_text(a_wheel(builder.wheels, "theirs").split()[0])
    [command] = stack.genjobs_commands()
    done = builder.run(command)
    assert done.returncode != 0
    assert "--require-hashes" in done.stderr
    assert "ModuleNotFoundError" in builder.where("python", "theirs")


def test_nothing_is_built_from_source(builder: Builder) -> None:
    source = builder.wheels / "theirs-1.0.tar.gz"
    source.write_bytes(b"whatever")
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    (builder.requirements / "runtime.txt").write_text(f"theirs==1.0 --hash=sha256:{digest}\n")
    [command] = stack.genjobs_commands()
    done = builder.run(command)
    assert done.returncode != 0
    assert "no usable wheels" in done.stderr or "building source distributions" in done.stderr


def test_comfyui_and_its_nodes_are_there_at_their_commits(builder: Builder) -> None:
    repositories = []
    environment = {"GIT_CONFIG_COUNT": "2"}
    for index, name in enumerate(("ComfyUI", "Films")):
        folder = builder.root / f"upstream-{name}"
        git = f"git -C {folder} -c user.name=t -c user.email=t@example.com "
        done = builder.run(
            f"git init -q {folder} && echo {name} > {folder}/main.py && {git} add . && "
            f"{git} commit -qm one && echo later > {folder}/main.py && {git} commit -qam two && "
            f"{git} rev-parse HEAD^"
        )
        assert done.returncode == 0, done.stderr
        url = f"https://git.example.com/owner/{name}"
        repositories.append(
            Repository(name=name, url=url, ref="refs/heads/main", commit=done.stdout.strip())
        )
        environment[f"GIT_CONFIG_KEY_{index}"] = f"url.file://{folder}.insteadOf"
        environment[f"GIT_CONFIG_VALUE_{index}"] = url
    pinned = dataclasses.replace(
        stack.STACK, comfyui=repositories[0], custom_nodes=(repositories[1],)
    )
    (builder.requirements / "comfyui.txt").write_text(a_wheel(builder.wheels, "theirs"))
    commands = [*stack.comfyui_package_commands(), *stack.comfyui_commands(pinned)]
    for command in commands:
        if not command.startswith("useradd "):  # this machine gets no account
            done = builder.run(command, **environment)
            assert done.returncode == 0, done.stderr

    source = builder.root / "opt/comfyui"
    assert (source / "main.py").read_text() == "ComfyUI\n"
    # With a base directory of its own, ComfyUI looks for them there (its folder_paths.py).
    base = builder.root / "var/lib/comfyui"
    assert (base / "custom_nodes/Films/main.py").read_text() == "Films\n"
    assert builder.where("/opt/comfyui/.venv/bin/python", "theirs").startswith(str(source))
    told = str(stack.comfyui_settings(pinned)["GENJOBS_COMFYUI_COMMAND"])
    assert told.endswith("--disable-all-custom-nodes --whitelist-custom-nodes Films")
