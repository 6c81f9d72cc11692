"""The project's own rules: documents, pins, imports, sizes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tools.docs import DOCUMENTS, ROOT

SOURCES = sorted((ROOT / "src").rglob("*.py"))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_document_is_as_the_code_draws_it(name: str) -> None:
    assert (ROOT / name).read_text() == DOCUMENTS[name](), "run `make docs`"


def test_public_vocabulary_loads_no_third_party() -> None:
    script = (
        "import sys; before = set(sys.modules); import genjobs; "
        "print(*sorted({n.split('.')[0] for n in set(sys.modules) - before}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert set(done.stdout.split()) <= sys.stdlib_module_names | {"genjobs"}


def test_serving_loads_no_migrations_and_no_test_kit() -> None:
    script = (
        "import sys; from genjobs.bootstrap import build_api; import genjobs.adapters.postgres; "
        "print(*sorted({n.split('.')[0] for n in sys.modules}), "
        "*(n for n in sys.modules if n.startswith('genjobs.testing')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stdout.split())
    assert not loaded & {"alembic", "sqlalchemy", "pytest", "PIL", "genjobs.testing", "websockets"}


def test_whoever_keeps_files_in_a_directory_loads_no_s3_client() -> None:
    script = (
        "import sys, asyncio; from pathlib import Path; from contextlib import AsyncExitStack; "
        "from genjobs.bootstrap import Adapters, build_api, open_worker; "
        "from genjobs.settings import Settings; import genjobs.gpu.worker, genjobs.cli.serving; "
        "settings = Settings(data_directory=Path(sys.argv[1])); build_api(settings); "
        "store = asyncio.run(Adapters(settings, AsyncExitStack()).artifacts()); "
        "print(*sorted({n.split('.')[0] for n in sys.modules}))"
    )
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", script, folder],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    loaded = set(done.stdout.split())
    assert not loaded & {"aioboto3", "aiobotocore", "aiohttp", "boto3", "botocore"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_module_opens_by_saying_what_it_is_and_stays_readable(path: Path) -> None:
    text = path.read_text()
    assert text.startswith('"""'), "a module opens with its docstring"
    assert len(text.splitlines()) <= 300, "would a reader rather have two?"
