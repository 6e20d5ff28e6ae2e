"""A paper's claim, tested on one machine: train adapters, evaluate before and after, compare item by item.

    python examples/study.py examples/studies/question_alignment.yaml
    python examples/study.py examples/studies/mixed_language.yaml output=/tmp/study evaluations.0.limit=50

Every step is skipped that an earlier call has finished, so that a killed study continues. The datasets come from the
hub, or from the mirror that XLING_DATA names. The result is OUTPUT/results.md, with paired 95 % bootstrap intervals
and exact McNemar tests, and OUTPUT/results.json.
"""

from __future__ import annotations

import json
import math
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from study_file import done, leave, start

from lm_eval_xling.models import model_path
from lm_eval_xling.models.argument_words import argument_words
from lm_eval_xling.statistics import bootstrap_mean, paired_difference

console = Console(stderr=True)

Scores = dict[str, dict[str, float]]
"""Task to document id to 0 or 1, or to the mean over adapters of several seeds."""


KEYS = (
    *("title", "output", "model", "dtype", "prepare", "training", "seeds", "adapters"),
    *("evaluations", "batch_size", "groups", "pairs", "barriers"),
)


def main(study: Mapping[str, Any]) -> None:
    """Prepare, train, evaluate, compare."""
    output = Path(study["output"])
    prepare(study, output)
    scores = {"base": evaluate("base", None, study)}
    for name, settings in study["adapters"].items():
        made = {of_seed: train(of_seed, given, study) for of_seed, given in with_seeds(name, settings, study).items()}
        scores[name] = mean_scores([evaluate(of_seed, adapter, study) for of_seed, adapter in made.items()])
    results = compare(scores, study["groups"], study.get("pairs"), study.get("barriers", {}))
    (output / "results.json").write_text(json.dumps(results, indent=2), encoding="utf-8")
    (output / "results.md").write_text(table(results, study), encoding="utf-8")
    print(table(results, study))


def prepare(study: Mapping[str, Any], output: Path) -> None:
    """Run the commands that make what the study needs, where it is not there."""
    for command in study.get("prepare", []):
        made = output / command["makes"]
        # What has no record was put there by hand.
        if record_of(made).exists() or not made.exists():
            run_once([part.format(output=output) for part in shlex.split(command["run"])], made)


def with_seeds(name: str, settings: Mapping[str, Any], study: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the settings of each adapter that a name stands for: one, or one a seed of the study."""
    if "seeds" not in study:
        return {name: dict(settings)}
    return {
        f"{name}-{seed}": {**settings, "with": {**settings["with"], "training.seed": seed}} for seed in study["seeds"]
    }


def mean_scores(scores: Sequence[Scores]) -> Scores:
    """Return what each item scores on average over adapters that differ in their seed."""
    return {
        task: {key: float(np.mean([of_seed[task][key] for of_seed in scores])) for key in known}
        for task, known in scores[0].items()
    }


def train(name: str, settings: Mapping[str, Any], study: Mapping[str, Any]) -> Path:
    """Train one adapter (or model, where ``lora`` is null), or find it finished."""
    folder = Path(study["output"]) / name
    given = {**study["training"], **settings["with"], "model": study["model"], "output": str(folder)}
    made = folder / ("model" if given.get("lora", True) is None else "adapter")
    values = {key: json.dumps(value).replace("{output}", study["output"]) for key, value in given.items()}
    run_once(["xling", "train", settings["recipe"], *(f"{key}={value}" for key, value in values.items())], made)
    return made


def run_once(command: Sequence[str], made: Path) -> None:
    """Run a command, or find what it makes: the record beside it says that it is finished, and how it was made."""
    if not (done(record_of(made), list(command)) and made.exists()):
        run(command)
        leave(record_of(made), list(command))


def record_of(made: Path) -> Path:
    """Return where it is written down how a file or folder was made."""
    return made.with_name(f"{made.name}.command.json")


def evaluate(name: str, trained: Path | None, study: Mapping[str, Any]) -> Scores:
    """Run the harness on every evaluation of the study that has no results yet, and read the samples."""
    model = {"pretrained": str(trained if trained and trained.name == "model" else model_path(study["model"]))}
    if trained and trained.name == "adapter":
        model["peft"] = str(trained)
    words = argument_words({**model, "dtype": study["dtype"]})
    scores: Scores = {}
    for number, evaluation in enumerate(study["evaluations"]):
        folder = Path(study["output"]) / "evaluations" / f"{name}-{number}"
        command = ["xling", "eval", "--model", "hf", "--model_args", words]
        command += ["--tasks", ",".join(evaluation["tasks"])]
        command += ["--batch_size", str(study.get("batch_size", 8))]
        for flag in ("limit", "num_fewshot"):
            command += [f"--{flag}", str(evaluation[flag])] if flag in evaluation else []
        if "rows" in evaluation:
            places = list(range(*evaluation["rows"]))
            command += ["--samples", json.dumps(dict.fromkeys(evaluation["tasks"], places))]
        if "metadata" in evaluation:
            command += ["--metadata", json.dumps({"xling": evaluation["metadata"]})]
        evaluate_into(folder, command)
        for task in evaluation["tasks"]:
            (samples,) = folder.rglob(f"samples_{task}_2*.jsonl")
            lines = map(json.loads, samples.read_text(encoding="utf-8").splitlines())
            scores[task] = {line["doc"]["id"]: float(line["acc"]) for line in lines}
    return scores


def evaluate_into(folder: Path, command: Sequence[str]) -> None:
    """Run an evaluation with samples, or find it; its folder gets its name when all is written, and not before."""
    record = record_of(folder)
    if folder.exists() and (done(record, list(command)) or not record.exists()):
        return
    unfinished = folder.with_name(f".{folder.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    run([*command, "--output_path", str(unfinished), "--log_samples"])
    leave(record, list(command))
    unfinished.rename(folder)


def compare(
    scores: Mapping[str, Scores],
    groups: Mapping[str, Sequence[str]],
    pairs: Sequence[Sequence[str]] | None = None,
    barriers: Mapping[str, Sequence[str]] | None = None,
) -> list[dict[str, Any]]:
    """Return one row a group of tasks and a pair of models, by default every pair: accuracies, difference, interval.

    A group's items are resampled by document id, because the same question in two languages is not two questions.

    Args:
        scores: of the base model and of every adapter.
        groups: name to tasks whose items count together.
        pairs: models to compare, by default each with each.
        barriers: name to two groups of the same documents; what the second has less than the first is compared too.
    """
    names = list(scores)
    pairs = pairs or [(first, second) for i, first in enumerate(names) for second in names[i + 1 :]]
    measured = {}
    for group, tasks in groups.items():
        items = [(task, key) for task in tasks for key in scores["base"][task]]
        values = {name: np.array([scores[name][task][key] for task, key in items]) for name in names}
        measured[group] = (len(tasks), np.array([key for _, key in items]), values)
    for barrier, (whole, part) in (barriers or {}).items():
        tasks = {*groups[whole], *groups[part]}
        keys = sorted(set.intersection(*(set(scores["base"][task]) for task in tasks)))
        values = {
            name: mean_of(found, groups[whole], keys) - mean_of(found, groups[part], keys)
            for name, found in scores.items()
        }
        measured[barrier] = (len(tasks), np.array(keys), values)
    rows = []
    for group, (tasks, clusters, values) in measured.items():
        for first, second in pairs:
            found = paired_difference(values[second], values[first], clusters)
            rows.append(
                {
                    "group": group,
                    "tasks": tasks,
                    "items": len(clusters),
                    "from": first,
                    "to": second,
                    "accuracy_from": float(values[first].mean()),
                    "accuracy_to": bootstrap_mean(values[second], clusters).estimate,
                    "difference": found.difference.estimate,
                    "low": found.difference.low,
                    "high": found.difference.high,
                    "p": found.p_value,
                    "detectable": found.detectable,
                }
            )
    return rows


def mean_of(scores: Scores, tasks: Sequence[str], keys: Sequence[str]) -> Any:
    """Return the mean score over tasks of each document, ``(documents,)``."""
    return np.mean([[scores[task][key] for key in keys] for task in tasks], axis=0)


def table(results: Sequence[Mapping[str, Any]], study: Mapping[str, Any]) -> str:
    """Return the rows in Markdown, in percent."""
    lines = [
        f"# {study['title']}",
        "",
        "| items | from | to | accuracy | difference | 95 % interval | p | detectable |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in results:
        tasks = f"{row['tasks']} task{'s' if row['tasks'] > 1 else ''}"
        p = "<.001" if row["p"] < 0.001 else f"{row['p']:.3f}"
        lines.append(
            f"| {row['group']} ({tasks}, {row['items']} items) | {row['from']} | {row['to']} | "
            f"{100 * row['accuracy_from']:.1f} → {100 * row['accuracy_to']:.1f} | {100 * row['difference']:+.1f} | "
            f"{bounds(row['low'], row['high'], '+')} | {p} | {percent(row['detectable'])} |"
        )
    return "\n".join(lines) + "\n"


def bounds(low: float, high: float, sign: str = "") -> str:
    """Return an interval in percent, or a dash where there are too few units for one."""
    return f"{100 * low:{sign}.1f} to {100 * high:{sign}.1f}" if math.isfinite(low + high) else "–"


def percent(value: float) -> str:
    """Return a share in percent, or a dash for one that is not known."""
    return f"{100 * value:.1f}" if math.isfinite(value) else "–"


def run(command: Sequence[str]) -> None:
    """Run a command of this environment, or a program of this folder, and say which."""
    console.print(shlex.join(command), soft_wrap=True, markup=False, highlight=False)
    program, *words = command
    if program.endswith(".py"):
        started = [sys.executable, str(Path(__file__).with_name(program))]
    else:
        beside = Path(sys.executable).with_name(program)
        started = [str(beside) if beside.exists() else program]
    subprocess.run([*started, *words], check=True)


if __name__ == "__main__":
    start(main, __doc__, KEYS)
