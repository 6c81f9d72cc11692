"""
Validation of a submitted prompt, with the error vocabulary of ComfyUI v0.26.0.

A wrong shape that ComfyUI does not foresee raises here as well (``KeyError``, ``AttributeError``,
``TypeError``): the route turns it into the same bare 500.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from genjobs.simulator.catalogue import Catalogue
from genjobs.simulator.folders import Folders
from genjobs.simulator.input_checks import check_value, types_fit
from genjobs.simulator.problems import InvalidPromptError, Problem, problem

_FRAME = '  File "/comfy/execution.py", line {line}, in {name}\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidPrompt:
    """What runs: the valid output nodes; the invalid ones are reported beside them."""

    outputs: list[str]
    node_errors: dict[str, Problem]


def validate_prompt(
    prompt: dict[str, Any], targets: list[str] | None, catalogue: Catalogue, folders: Folders
) -> ValidPrompt:
    """
    Check every output node of ``prompt`` and return what can run.

    Raises:
        InvalidPromptError: nothing can run.

    """
    outputs = []
    for node_id, node in prompt.items():
        _check_class(node_id, node, catalogue)
        if catalogue.is_output_node(node["class_type"]) and (targets is None or node_id in targets):
            outputs.append(node_id)
    if not outputs:
        raise InvalidPromptError(problem("prompt_no_outputs", "Prompt has no outputs", ""), {})
    check = _Check(prompt=prompt, catalogue=catalogue, folders=folders)
    good = []
    failures: list[Problem] = []
    node_errors: dict[str, Problem] = {}
    for output in outputs:
        valid, reasons = check.output(output)
        if valid:
            good.append(output)
            continue
        failures += reasons
        for node_id, (node_valid, node_reasons) in check.validated.items():
            if node_valid or not node_reasons:
                continue
            entry = node_errors.setdefault(
                node_id,
                {
                    "errors": node_reasons,
                    "dependent_outputs": [],
                    "class_type": prompt[node_id]["class_type"],
                },
            )
            entry["dependent_outputs"].append(output)
    if not good:
        details = "\n".join(f"{each['message']}: {each['details']}" for each in failures)
        message = "Prompt outputs failed validation"
        raise InvalidPromptError(
            problem("prompt_outputs_failed_validation", message, details), node_errors
        )
    return ValidPrompt(outputs=good, node_errors=node_errors)


def _check_class(node_id: str, node: dict[str, Any], catalogue: Catalogue) -> None:
    if "class_type" not in node:
        title = node.get("_meta", {}).get("title")
        message = (
            f"Node '{title or f'ID #{node_id}'}' has no class_type. "
            "The workflow may be corrupted or a custom node is missing."
        )
        class_type = None
    elif node["class_type"] not in catalogue:
        class_type = node["class_type"]
        title = node.get("_meta", {}).get("title", class_type)
        message = f"Node '{title}' not found. The custom node may not be installed."
    else:
        return
    raise InvalidPromptError(
        problem(
            "missing_node_type",
            message,
            f"Node ID '#{node_id}'",
            node_id=node_id,
            class_type=class_type,
            node_title=title,
        ),
        {},
    )


@dataclass(slots=True, kw_only=True)
class _Check:
    """One validation run; remembers the verdict of each node."""

    prompt: dict[str, Any]
    catalogue: Catalogue
    folders: Folders
    validated: dict[str, tuple[bool, list[Problem]]] = field(default_factory=dict)
    _visiting: list[str] = field(default_factory=list)

    def output(self, node_id: str) -> tuple[bool, list[Problem]]:
        try:
            return self._node(node_id)
        except Exception as error:  # reported to the client, like the original
            line = 921 if isinstance(error, KeyError) else 923
            reason = problem(
                "exception_during_validation",
                "Exception when validating node",
                str(error),
                exception_type=type(error).__name__,
                traceback=[
                    _FRAME.format(line=1172, name="validate_prompt"),
                    _FRAME.format(line=line, name="validate_inputs"),
                ],
            )
            self.validated[node_id] = (False, [reason])
            return self.validated[node_id]

    def _node(self, node_id: str) -> tuple[bool, list[Problem]]:
        if node_id in self.validated:
            return self.validated[node_id]
        if node_id in self._visiting:
            return self._cycle(node_id)
        inputs = self.prompt[node_id]["inputs"]
        class_type = self.prompt[node_id]["class_type"]
        valid = True
        errors: list[Problem] = []
        for name, (category, config) in self.catalogue.inputs(class_type).items():
            if name not in inputs:
                if category == "required":
                    message = "Required input is missing"
                    errors.append(problem("required_input_missing", message, name, input_name=name))
            elif isinstance(inputs[name], list):
                valid = self._link(node_id, name, config, inputs[name], errors) and valid
            else:
                found = check_value(inputs, name, config, file_input=class_type == "LoadImage")
                errors += [found] if found else []
        if not errors and class_type == "LoadImage" and isinstance(inputs["image"], str):
            errors += self._missing_file(inputs["image"])
        earlier = self.validated.get(node_id, (True, []))  # a cycle found below blames us already
        errors = earlier[1] + [each for each in errors if each not in earlier[1]]
        self.validated[node_id] = (earlier[0] and valid and not errors, errors)
        return self.validated[node_id]

    def _cycle(self, node_id: str) -> tuple[bool, list[Problem]]:
        path = [*self._visiting[self._visiting.index(node_id) :], node_id]
        members = list(dict.fromkeys(path))
        details = " -> ".join(f"{each} ({self.prompt[each]['class_type']})" for each in path)
        for each in members:
            reason = problem(
                "dependency_cycle",
                "Dependency cycle detected",
                details,
                node_id=each,
                cycle_nodes=members,
            )
            self.validated[each] = (False, [reason])
        return self.validated[node_id]

    def _link(
        self, node_id: str, name: str, config: list[Any], link: list[Any], errors: list[Problem]
    ) -> bool:
        if len(link) != 2:
            message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
            errors.append(
                problem(
                    "bad_linked_input",
                    message,
                    name,
                    input_name=name,
                    input_config=config,
                    received_value=link,
                )
            )
            return True
        source = link[0]
        received = self.catalogue.output_types(self.prompt[source]["class_type"])[link[1]]
        if not types_fit(received, config[0]):
            errors.append(
                problem(
                    "return_type_mismatch",
                    "Return type mismatch between linked nodes",
                    f"{name}, received_type({received}) mismatch input_type({config[0]})",
                    input_name=name,
                    input_config=config,
                    received_type=received,
                    linked_node=link,
                )
            )
            return True
        self._visiting.append(node_id)
        try:
            return self._node(source)[0]
        except Exception as error:  # reported to the client, like the original
            reason = problem(
                "exception_during_inner_validation",
                "Exception when validating inner node",
                str(error),
                input_name=name,
                input_config=config,
                exception_message=str(error),
                exception_type=type(error).__name__,
                traceback=[
                    _FRAME.format(line=943, name="validate_inputs"),
                    _FRAME.format(line=858, name="validate_inputs"),
                ],
                linked_node=link,
            )
            self.validated[source] = (False, [reason])
            return False
        finally:
            self._visiting.pop()

    def _missing_file(self, name: str) -> list[Problem]:
        if self.folders.input_path(name).exists():
            return []
        message = "Custom validation failed for node"
        details = f"image - Invalid image file: {name}"
        return [problem("custom_validation_failed", message, details, input_name="image")]
