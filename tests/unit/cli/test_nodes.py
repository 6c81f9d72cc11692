"""``genjobs nodes catalogue``: drafts on standard output, errors on the other one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from genjobs.cli.app import app

INFO = {
    "Mine": {
        "input": {"required": {"image": ["IMAGE"], "path": ["STRING", {}]}},
        "output": ["IMAGE"],
        "output_node": False,
    },
    "Other": {"input": {}, "output": []},
    "VAEDecode": {"input": {}, "output": ["IMAGE"]},
}


def draft(path: Path, *arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["nodes", "catalogue", str(path), *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_classes_that_are_not_shipped_are_drafted(tmp_path: Path) -> None:
    path = tmp_path / "object_info.json"
    path.write_text(json.dumps(INFO))

    code, out, err = draft(path)
    assert (code, err) == (0, "")
    classes = json.loads(out)["classes"]
    assert classes.keys() == {"Mine", "Other"}
    assert classes["Mine"]["reviewed"] is False
    assert classes["Mine"]["inputs"] == {"image": "link", "path": "refused"}

    code, out, _ = draft(path, "--class", "Other")
    assert (code, json.loads(out)["classes"].keys()) == (0, {"Other"})


@pytest.mark.parametrize(
    ("content", "arguments", "why"),
    [
        (None, (), "cannot be read"),
        (b"{", (), "not valid JSON"),
        (b"\xff", (), "not valid JSON"),
        (b"[]", (), "not an answer"),
        (json.dumps(INFO).encode(), ("--class", "Nope"), "no class 'Nope'"),
    ],
)
def test_unusable_file_ends_the_command_with_code_2(
    tmp_path: Path, content: bytes | None, arguments: tuple[str, ...], why: str
) -> None:
    path = tmp_path / "object_info.json"
    if content is not None:
        path.write_bytes(content)

    code, out, err = draft(path, *arguments)
    assert (code, out) == (2, "")
    assert why in err
    assert "Traceback" not in err
