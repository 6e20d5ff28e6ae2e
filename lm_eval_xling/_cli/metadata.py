"""The value of ``--metadata``, as several commands take it."""

from __future__ import annotations

import json
from typing import Any

from lm_eval_xling.errors import UserError

__all__ = ["parse_metadata"]


def parse_metadata(metadata: str | None) -> dict[str, Any] | None:
    """Return the object that a JSON text holds.

    Raises:
        UserError: if it is no JSON object.
    """
    if metadata is None:
        return None
    try:
        value = json.loads(metadata)
    except json.JSONDecodeError as error:
        raise UserError(
            f"--metadata is not JSON: {error}", where=metadata, fix="""write it like '{"xling": {"seed": 1}}'"""
        ) from error
    if not isinstance(value, dict):
        raise UserError("--metadata is not a JSON object", where=metadata)
    return value
