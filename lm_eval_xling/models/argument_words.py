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
    if any(_DIVIDING.intersection(value) for value in arguments.values()):
        return json.dumps(dict(arguments), ensure_ascii=False)
    return ",".join(f"{name}={value}" for name, value in arguments.items())
