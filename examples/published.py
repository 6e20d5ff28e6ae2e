"""A paper's table again: models evaluated as the released scripts do, with the paper's value beside the measured one.

    python examples/published.py examples/published/zhang_sentiment_english.yaml
    python examples/published.py examples/published/chua_quiz.yaml output=/tmp/quiz limit=20

A row that an earlier call has finished is not evaluated again. The datasets come from the hub and from GitHub, or from
the mirror that XLING_DATA names. The result is OUTPUT/results.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager
from study_file import done, leave, start

from lm_eval_xling.families.available import matching
from lm_eval_xling.harness import tasks_folder
from lm_eval_xling.models import model_path
from lm_eval_xling.scoring import MODEL_NAME, register
from lm_eval_xling.trainers.question_alignment import align
from lm_eval_xling.training.configuration import AlignmentConfig, load_config

KEYS = ("title", "output", "tasks", "parameters", "num_fewshot", "batch_size", "limit", "model_args", "rows")


def main(table: Mapping[str, Any]) -> None:
    """Evaluate every row of a table and print it."""
    register()
    output = Path(table["output"])
    output.mkdir(parents=True, exist_ok=True)
    lines = [f"# {table['title']}", "", "| model | tasks | measured | paper |", "|---|---|---|---|"]
    for row in table["rows"]:
        for name, tasks in table["tasks"].items():
            measured = 100 * fmean(accuracies(table, row, name, tasks, output).values())
            paper = row.get("paper", {}).get(name)
            lines.append(f"| {row['name']} | {name} | {measured:.2f} | {'' if paper is None else paper} |")
    text = "\n".join(lines) + "\n"
    (output / "results.md").write_text(text, encoding="utf-8")
    print(text)


def accuracies(
    table: Mapping[str, Any], row: Mapping[str, Any], name: str, tasks: str, output: Path
) -> dict[str, float]:
    """Return the accuracy of every leaf that a pattern stands for."""
    path = output / f"{row['name']} {name}.json"
    record = path.with_suffix(".settings.json")
    settings = {
        **{key: value for key, value in table.items() if key not in ("title", "output")},
        "rows": row,
        "tasks": tasks,
    }
    if done(record, settings) and path.is_file():
        known: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
        return known
    leaves = list(matching(tasks.split(",")))
    arguments = {**table.get("model_args", {}), "pretrained": str(model_path(row["pretrained"]))}
    if "train" in row:
        arguments["peft"] = str(aligned(row, output))
    metadata = {"xling": {"preset": "paper", **table.get("parameters", {})}}
    results = simple_evaluate(
        model=MODEL_NAME,
        model_args=arguments,
        tasks=leaves,
        num_fewshot=table.get("num_fewshot"),
        batch_size=table.get("batch_size", 8),
        limit=table.get("limit"),
        bootstrap_iters=0,
        task_manager=TaskManager(include_path=str(tasks_folder()), include_defaults=False, metadata=metadata),
    )
    assert results is not None
    found = {leaf: float(results["results"][leaf]["acc,none"]) for leaf in leaves}
    path.write_text(json.dumps(found, indent=1), encoding="utf-8")
    leave(record, settings)
    return found


def aligned(row: Mapping[str, Any], output: Path) -> Path:
    """Return the adapter of a row, which question alignment trains with the published hyper-parameters."""
    settings = {"model": row["pretrained"], "output": str(output / row["name"]), **row["train"]}
    return align(load_config(AlignmentConfig, None, [f"{key}={value}" for key, value in settings.items()]))


if __name__ == "__main__":
    start(main, __doc__, KEYS)
