"""
Checks of single inputs: whether a link's type fits, whether a literal has type, range and choice.

A converted literal is written back into the prompt (``"64"`` becomes ``64``), as in ComfyUI.
"""

from __future__ import annotations

from typing import Any

from genjobs.simulator.problems import Problem, problem

_CONVERSIONS = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}


def types_fit(received: str, wanted: Any) -> bool:
    """Return whether an output of type ``received`` may feed an input of type ``wanted``."""
    if received == wanted:
        return True
    if not isinstance(wanted, str):
        return False
    offered = {each.strip() for each in received.split(",")}
    accepted = {each.strip() for each in wanted.split(",")}
    return "*" in offered | accepted or bool(offered & accepted)


def check_value(
    inputs: dict[str, Any], name: str, config: list[Any], *, file_input: bool
) -> Problem | None:
    """Convert a literal in place and return what is wrong with it."""
    kind, options = config
    value = inputs[name]
    common: dict[str, Any] = {
        "input_name": name,
        "input_config": config,
        "received_value": value,
    }
    if isinstance(value, dict) and "__value__" in value:
        value = inputs[name] = value["__value__"]
    if isinstance(kind, str) and kind in _CONVERSIONS:
        try:
            value = inputs[name] = _CONVERSIONS[kind](value)
        except (TypeError, ValueError, OverflowError) as error:
            message = f"Failed to convert an input value to a {kind} value"
            details = f"{name}, {value}, {error}"
            return problem(
                "invalid_input_type", message, details, **common, exception_message=str(error)
            )
    common["received_value"] = value
    if file_input:  # a node with a check of its own replaces the checks below
        return None
    if "min" in options and value < options["min"]:
        message = f"Value {value} smaller than min of {options['min']}"
        return problem("value_smaller_than_min", message, name, **common)
    if "max" in options and value > options["max"]:
        message = f"Value {value} bigger than max of {options['max']}"
        return problem("value_bigger_than_max", message, name, **common)
    choices = options.get("options", []) if kind == "COMBO" else kind
    if isinstance(choices, list) and value not in choices:
        shown = str(choices)
        if len(choices) > 20:
            shown = f"(list of length {len(choices)})"
            common["input_config"] = None
        details = f"{name}: {value!r} not in {shown}"
        return problem("value_not_in_list", "Value not in list", details, **common)
    return None
