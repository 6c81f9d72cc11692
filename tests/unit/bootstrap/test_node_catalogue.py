"""The deployment's catalogue: widened and narrowed by a file that is read strictly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from genjobs.bootstrap.catalogue import node_catalogue
from genjobs.domain.catalogue import shipped_classes
from genjobs.domain.errors import ConfigurationError
from genjobs.settings import Settings

REAL = "http://127.0.0.1:8188"


def with_file(tmp_path: Path, content: str | bytes) -> Settings:
    path = tmp_path / "nodes.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Settings(comfyui_url=REAL, node_catalogue=path)


def test_without_a_file_it_is_the_shipped_one() -> None:
    assert node_catalogue(Settings(comfyui_url=REAL)).classes == shipped_classes()


def test_simulators_own_nodes_are_allowed_with_the_simulator_only() -> None:
    own = node_catalogue(Settings()).classes.keys() - shipped_classes().keys()
    assert own == {"SimulatorFail", "SimulatorSleep", "SimulatorLargeFile"}


def test_file_widens_and_denies(tmp_path: Path) -> None:
    document = {
        "classes": {"Mine": {"reviewed": True, "inputs": {"image": "link"}, "outputs": ["IMAGE"]}},
        "deny": ["SaveVideo"],
    }
    catalogue = node_catalogue(with_file(tmp_path, json.dumps(document)))

    changed = catalogue.classes.keys() ^ shipped_classes().keys()
    assert changed == {"Mine", "SaveVideo"}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "must be an object"),
        ('{"classes": {"Mine": {"reviewed": false}}}', "Mine is not reviewed"),
        (" " * (4 * 1024 * 1024 + 1), "larger than"),
    ],
)
def test_wrong_file_is_refused_with_the_reason(
    tmp_path: Path, content: str | bytes, why: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        node_catalogue(with_file(tmp_path, content))
    assert refused.value.message.startswith("node_catalogue")
    assert why in refused.value.message


def test_missing_file_is_refused(tmp_path: Path) -> None:
    settings = Settings(comfyui_url=REAL, node_catalogue=tmp_path / "nope.json")
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        node_catalogue(settings)
