"""Rows of a task as a model is asked them, each with its right answer: JSON lines for `xling train facts`.

    python examples/task_rows.py xling_mmlu_mixup mixup.jsonl 0 736 2

writes every second of the first 736 rows. What is taught them must not be asked them: ask the others.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from lm_eval_xling.errors import UserError
from lm_eval_xling.harness import requests


def main() -> None:
    """Write one line a row: its prompt without demonstrations, and the continuation that is right."""
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    task, path, *places = sys.argv[1:]
    lines = []
    for request in requests(task, rows=range(*map(int, places)), num_fewshot=0):
        document = request.document
        right = request.continuations[document.answer]
        line = {"id": document.id, "language": document.condition.languages["question"]}
        lines.append({**line, "prompt": request.context, "answer": right.strip()})
    Path(path).write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"task_rows: {error}")
