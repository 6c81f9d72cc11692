"""The examples of the documents, run as they stand."""

from __future__ import annotations

import asyncio
import re
import socket
import sys
from pathlib import Path

import pytest

from tests.e2e.processes import KEY, base_url, running, servers_of
from tools.docs import ROOT


def example(document: str, name: str) -> str:
    """Return the code block that follows ``<!-- name -->``."""
    found = re.search(
        rf"<!-- {name} -->\n```\w+\n(.*?)```", (ROOT / document).read_text(), flags=re.S
    )
    assert found, f"{document} has no example {name}"
    return found.group(1)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("name", "count"), [("example", 2), ("media", 3), ("uploads", 2), ("tenants", 2)]
)
async def test_example_of_another_teams_tests_passes(name: str, count: int) -> None:
    scope: dict[str, object] = {}
    exec(compile(example("docs/testing.md", name), "docs/testing.md", "exec"), scope)
    tests = [value for name, value in scope.items() if name.startswith("test_")]
    assert len(tests) == count
    for test in tests:
        assert callable(test)
        await test()


@pytest.mark.e2e
async def test_library_example_prints_a_link(open_folder: Path) -> None:
    script = open_folder / "example.py"
    script.write_text(example("README.md", "library"))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(script)),
        cwd=open_folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode == 0, err.decode()
    assert out.decode().startswith("completed ['http://127.0.0.1:8000/files/t/")
    assert servers_of(open_folder) == []


@pytest.mark.e2e
async def test_curl_session_works(open_folder: Path) -> None:
    data = open_folder / ".genjobs"
    data.mkdir(mode=0o755)
    session = example("README.md", "session").replace("127.0.0.1:8000", "127.0.0.1:$PORT")
    session = session.replace(".venv/bin/python", sys.executable)
    async with running(data, "serve", "--port", "0") as serve:
        line = await serve.says("api.listening")
        port = re.findall(r"127\.0\.0\.1:(\d+)", line)[0]
        (data / "api-key").write_text(KEY)
        process = await asyncio.create_subprocess_exec(
            *("bash", "-euo", "pipefail", "-c", session),
            cwd=open_folder,
            env={"PATH": "/usr/bin:/bin", "PORT": port},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    assert out.decode().count('"status": "completed"') == 2
    assert out.decode().strip().endswith("200")


@pytest.mark.e2e
async def test_bucket_is_set_up_and_used_as_told(open_folder: Path) -> None:
    port = free_port()
    (open_folder / "bucket.py").write_text(example("docs/storage.md", "bucket"))
    session = example("docs/storage.md", "session").replace("9000", str(port))
    session = session.replace(".venv/bin/python", sys.executable)
    session = session.replace(".venv/bin/genjobs", f"{sys.executable} -m genjobs")
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", session),
        cwd=open_folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(open_folder)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 180)
    assert process.returncode == 0, err.decode()
    assert out.decode().strip() == "200 image/png"
    assert servers_of(open_folder) == []


@pytest.mark.e2e
async def test_tenant_is_onboarded_and_its_key_rotated_as_told(open_folder: Path) -> None:
    data = open_folder / ".genjobs"
    data.mkdir(mode=0o755)
    parts = (
        ("README.md", "tenant"),
        ("docs/operations.md", "onboarding"),
        ("docs/operations.md", "rotation"),
    )
    async with running(data, "serve", "--port", "0") as serve:
        (data / "api-key").write_text(KEY)
        done = []
        for document, name in parts:
            session = example(document, name).replace(".venv/bin/genjobs", "genjobs")
            process = await asyncio.create_subprocess_exec(
                *("bash", "-euo", "pipefail", "-c", session),
                cwd=open_folder,
                env={
                    "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
                    "URL": await base_url(serve),
                },
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            out, err = await asyncio.wait_for(process.communicate(), 90)
            assert process.returncode == 0, err.decode()
            done.append((out.decode(), err.decode()))
    [(read, _), (onboarded, _), (rotated, said)] = done
    assert '"max_queued":20' in read.replace(" ", "")
    assert '"object":"usage"' in onboarded
    assert '"object":"token"' in onboarded
    assert "backend-2" in rotated
    assert "is revoked" in said
    assert "gj_live_" not in read + onboarded + rotated + said
