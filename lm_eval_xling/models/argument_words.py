"""Arguments of a model as words of a command line."""

from __future__ import annotations

import json
from collections.abc import Mapping

__all__ = ["argument_words"]

_DIVIDING = frozenset(",\"'()[]{}")
"""Characters by which the harness divides ``key=value,key=value``."""


def argument_words(arguments: Mapping[str, str]) -> str:
    """Return what ``--model_args`` reads these arguments from.

    Args:
        arguments: names and values, such as paths.

    Returns:
        ``key=value,key=value``, or JSON where a value, such as a folder called ``a,b``, would be divided.
    """
    from lm_eval._cli.utils import handle_cli_value_string

    # A folder called 2024 or true would become a number or a truth value.
    if any(_DIVIDING.intersection(value) or handle_cli_value_string(value) != value for value in arguments.values()):
        return json.dumps(dict(arguments), ensure_ascii=False)
    return ",".join(f"{name}={value}" for name, value in arguments.items())
