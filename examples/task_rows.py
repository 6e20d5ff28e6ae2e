"""Rows of a task as a model is asked them, each with its right answer: JSON lines for `xling train facts`.

    python examples/task_rows.py xling_mmlu_mixup mixup.jsonl 0 736 2

writes every second of the first 736 rows. Ask the others: what was taught measures nothing.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from lm_eval_xling.errors import UserError
from lm_eval_xling.files import write_atomically
from lm_eval_xling.harness import requests


def main() -> None:
    """Write one line a row: its prompt without demonstrations, and the continuation that is right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", help="leaf task with options")
    parser.add_argument("path", type=Path, help="file that is written")
    parser.add_argument("start", type=int, help="first row")
    parser.add_argument("stop", type=int, help="row before which to stop")
    parser.add_argument("step", type=int, nargs="?", default=1)
    arguments = parser.parse_args()
    try:
        lines = rows(arguments.task, range(arguments.start, arguments.stop, arguments.step))
    except (UserError, ValueError) as error:
        parser.error(str(error))
    write_atomically(arguments.path, "".join(lines).encode())


def rows(task: str, places: range) -> list[str]:
    """Return the lines of a task's rows.

    Raises:
        UserError: an unknown task, a row that does not exist, or a task whose rows have no right option.
    """
    lines = []
    for request in requests(task, rows=places, num_fewshot=0):
        document = request.document
        if document.answer is None or not request.continuations:
            raise UserError("its rows have no right option", where=task, fix="name a task that scores options")
        line = {"id": document.id, "language": document.condition.languages["question"], "prompt": request.context}
        line["answer"] = request.continuations[document.answer].strip()
        lines.append(json.dumps(line, ensure_ascii=False) + "\n")
    return lines


if __name__ == "__main__":
    main()
