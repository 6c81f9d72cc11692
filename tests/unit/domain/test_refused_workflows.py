"""What is no workflow, with the class, the pointer and the node that the caller is told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genjobs.domain import errors, limits
from genjobs.domain.catalogue import NodeCatalogue
from genjobs.domain.errors import InvalidWorkflow
from genjobs.domain.graph import pointer
from genjobs.domain.workflow import parse_workflow
from genjobs.testing import a_workflow


def _with(node_id: str, node: object) -> dict[str, Any]:
    return {**a_workflow(), node_id: node}


def _linked(link: object) -> dict[str, Any]:
    return _with("7", {"class_type": "ImageInvert", "inputs": {"image": link}})


def _circle(length: int) -> dict[str, Any]:
    return a_workflow() | {
        f"c{n}": {
            "class_type": "ImageInvert",
            "inputs": {"image": [f"c{(n + 1) % length}", 0]},
        }
        for n in range(length)
    }


def _row(length: int) -> dict[str, Any]:
    return {str(n): {"class_type": "EmptyImage", "inputs": {}} for n in range(length)}


UI_EXPORT = {"last_node_id": 9, "last_link_id": 9, "nodes": [], "links": [], "version": 0.4}
REFUSED: dict[str, tuple[object, type[InvalidWorkflow], str]] = {
    "nothing": ({}, errors.InvalidWorkflow, "/workflow"),
    "list": ([], errors.InvalidWorkflow, "/workflow"),
    "text": ("{}", errors.InvalidWorkflow, "/workflow"),
    "null": (None, errors.InvalidWorkflow, "/workflow"),
    "editor's export": (UI_EXPORT, errors.UiFormatWorkflow, "/workflow"),
    "editor's export, trimmed": ({"nodes": [{"id": 1}]}, errors.UiFormatWorkflow, "/workflow"),
    "node that is a list": (_with("7", []), errors.InvalidWorkflow, "/workflow/7"),
    "node without inputs": (
        _with("7", {"class_type": "EmptyImage"}),
        errors.InvalidWorkflow,
        "/workflow/7/inputs",
    ),
    "node without a class": (
        _with("7", {"inputs": {}}),
        errors.InvalidWorkflow,
        "/workflow/7/class_type",
    ),
    "empty class": (
        _with("7", {"class_type": "", "inputs": {}}),
        errors.InvalidWorkflow,
        "/workflow/7/class_type",
    ),
    "endless class": (
        _with("7", {"class_type": "x" * (limits.MAX_CLASS_CHARS + 1), "inputs": {}}),
        errors.InvalidWorkflow,
        "/workflow/7/class_type",
    ),
    "empty id": (_with("", a_workflow()["1"]), errors.InvalidWorkflow, "/workflow"),
    "endless id": (
        _with("x" * (limits.MAX_NODE_ID_CHARS + 1), a_workflow()["1"]),
        errors.InvalidWorkflow,
        "/workflow",
    ),
    "id that the pointer must escape": (_with("a/b~c", 5), InvalidWorkflow, "/workflow/a~1b~0c"),
    "circle of two": (_circle(2), errors.CyclicWorkflow, "/workflow/c0"),
    "circle of nine hundred": (_circle(900), errors.CyclicWorkflow, "/workflow/c0"),
    "link into nowhere": (_linked(["8", 0]), errors.DanglingLink, "/workflow/7/inputs/image"),
    "no output": (
        {"1": a_workflow()["1"], "2": a_workflow()["2"]},
        errors.NoOutputNode,
        "/workflow",
    ),
    "too many nodes": (_row(limits.MAX_WORKFLOW_NODES + 1), errors.WorkflowTooLarge, "/workflow"),
    "too many bytes": (
        a_workflow(text="x" * limits.MAX_WORKFLOW_BYTES),
        errors.WorkflowTooLarge,
        "/workflow",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_workflow_is_refused_with_its_class_and_place(name: str) -> None:
    document, expected, place = REFUSED[name]
    with pytest.raises(InvalidWorkflow) as refused:
        parse_workflow(document, NodeCatalogue())

    assert type(refused.value) is expected
    assert refused.value.pointer == place


@pytest.mark.parametrize(
    "link",
    [
        [],
        ["1"],
        ["1", 0, 0],
        [1, 0],
        ["1", "0"],
        ["1", -1],
        ["1", 0.0],
        ["1", True],
        [["1", 0]],
        [None, 0],
        ["1", None],
        [0.1, 0.2, 0.3],
    ],
)
def test_list_that_is_no_link_is_refused(link: object) -> None:
    with pytest.raises(InvalidWorkflow) as refused:
        parse_workflow(_linked(link), NodeCatalogue())

    assert type(refused.value) is InvalidWorkflow
    assert (refused.value.pointer, refused.value.node_id) == ("/workflow/7/inputs/image", "7")


def test_node_may_be_named_as_the_editors_members_are() -> None:
    graph = {**a_workflow(), "links": a_workflow()["1"]}
    assert "links" in parse_workflow(graph, NodeCatalogue()).nodes


def test_as_many_nodes_as_allowed_are_fine() -> None:
    graph = _row(limits.MAX_WORKFLOW_NODES - 1)
    graph["save"] = {"class_type": "SaveImage", "inputs": {"images": ["0", 0]}}
    assert len(parse_workflow(graph, NodeCatalogue()).nodes) == limits.MAX_WORKFLOW_NODES


_json: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=12,
)
_member: st.SearchStrategy[str] = st.sampled_from(["class_type", "inputs", "nodes", "1"]) | st.text(
    max_size=4
)
_like: st.SearchStrategy[object] = st.dictionaries(
    _member,
    _json
    | st.fixed_dictionaries(
        {
            "class_type": st.sampled_from(sorted(NodeCatalogue().classes)),
            "inputs": st.dictionaries(_member, _json, max_size=3),
        }
    ),
    max_size=5,
)


@pytest.mark.parametrize("documents", [_json, _like], ids=["any JSON", "nearly a workflow"])
def test_nothing_but_a_refusal_comes_of_any_document(
    documents: st.SearchStrategy[object],
) -> None:
    @given(documents)
    def holds(document: object) -> None:
        try:
            workflow = parse_workflow(document, NodeCatalogue())
        except InvalidWorkflow as error:
            refused = error
        else:
            assert parse_workflow(document, NodeCatalogue()) == workflow
            return
        assert (refused.pointer or "").startswith("/workflow")

    holds()


def test_pointer_escapes_what_rfc_6901_says() -> None:
    assert pointer("a/b", "m~n", "~1") == "/a~1b/m~0n/~01"
