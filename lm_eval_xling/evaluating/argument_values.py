"""Values of the harness's arguments that it takes without a look and fails on later, or never."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lm_eval_xling.errors import UserError
from lm_eval_xling.files import check_folder

__all__ = ["check_values"]


def check_values(given: Mapping[str, Any], model_arguments: Mapping[str, Any]) -> None:
    """Refuse numbers out of range and places that cannot be written to, before a model is loaded.

    Args:
        given: arguments of the harness by name, from the command line and the configuration file.
        model_arguments: of the model, as a dictionary.

    Raises:
        UserError: the first value that cannot be right.
    """
    limit, shots = given.get("limit"), given.get("num_fewshot")
    if limit is not None and not (_is_number(limit) and 0 < limit < math.inf):
        raise UserError(f"the limit is {limit}", where="--limit", fix="a number of items above 0, or a share below 1")
    if shots is not None and not (isinstance(shots, int) and shots >= 0):
        raise UserError(f"the number of demonstrations is {shots}", where="--num_fewshot", fix="0 or more")
    batch = given.get("batch_size")
    if batch not in (None, "") and not re.fullmatch(r"[1-9]\d*|auto(:\d+(\.\d+)?)?", str(batch)):
        raise UserError(f"the batch size is {batch}", where="--batch_size", fix="1 or more, or auto")
    longest = model_arguments.get("max_length")
    if longest is not None and not (isinstance(longest, int) and longest > 0):
        raise UserError(f"max_length is {longest!r}", where="--model_args", fix="a number of tokens above 0")
    level = given.get("verbosity")
    if level is not None and not isinstance(logging.getLevelName(str(level).upper()), int):
        raise UserError(f"unknown verbosity {level!r}", where="--verbosity", fix="DEBUG, INFO, WARNING or ERROR")
    _check_samples(given.get("samples"))
    output = given.get("output_path")
    if output:
        path = Path(str(output))
        # The harness reads a name with one of these suffixes as that of a results file.
        check_folder(path.parent if path.suffix in (".json", ".jsonl") else path, "--output_path")
    if given.get("use_cache"):
        check_folder(Path(str(given["use_cache"])).parent, "--use_cache")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_samples(samples: object) -> None:
    if samples is None:
        return
    fix = """--samples '{"xling_atlas_en_de": [0, 5]}', or a file that holds such an object"""
    if not isinstance(samples, Mapping):
        raise UserError(f"no JSON object of tasks and rows: {samples!r}", where="--samples", fix=fix)
    for task, rows in samples.items():
        if not isinstance(rows, list) or not rows or not all(isinstance(row, int) and row >= 0 for row in rows):
            raise UserError(f"the rows are {rows!r}, not a list of numbers from 0", where=f"--samples, {task}", fix=fix)
