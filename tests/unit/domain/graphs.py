"""Workflows with one more node, for the tests of the policy."""

from __future__ import annotations

from typing import Any

import pytest

from genjobs.domain.catalogue import NodeCatalogue
from genjobs.domain.errors import InvalidWorkflow
from genjobs.domain.workflow import Workflow, parse_workflow
from genjobs.testing import a_workflow

SHIPPED = NodeCatalogue()
#: A link to a picture in what ``using`` returns.
LINK = ["color", 0]


def using(class_type: str, **inputs: Any) -> dict[str, Any]:
    """Return a workflow with one more node; ``color`` is a node that gives a picture."""
    return {
        **a_workflow(),
        "color": {
            "class_type": "EmptyImage",
            "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0},
        },
        "x": {"class_type": class_type, "inputs": inputs},
    }


def parsed(graph: object, catalogue: NodeCatalogue = SHIPPED) -> Workflow:
    return parse_workflow(graph, catalogue)


def refusal(graph: object, catalogue: NodeCatalogue = SHIPPED) -> InvalidWorkflow:
    with pytest.raises(InvalidWorkflow) as refused:
        parsed(graph, catalogue)
    return refused.value
