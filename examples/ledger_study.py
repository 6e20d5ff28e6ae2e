"""Facts that are taught in one way and asked in others: conditions × seeds, compared fact by fact.

    python examples/ledger_study.py examples/studies/ledger.yaml
    python examples/ledger_study.py examples/studies/teach_and_transfer.yaml
    python examples/ledger_study.py examples/studies/ledger.yaml output=/tmp/ledger seeds=[0]

Every step is skipped that an earlier call has finished, so that a killed study continues. The result is
OUTPUT/results.md and results.json, with paired 95 % bootstrap intervals over people and p-values adjusted over the
table (Benjamini and Hochberg), and the picture OUTPUT/barrier.png.
"""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from study import bounds, evaluate_into, percent, prepare, run_once
from study_file import start

from lm_eval_xling.models import model_path
from lm_eval_xling.models.argument_words import argument_words
from lm_eval_xling.report.transfer import KINDS, kind_of
from lm_eval_xling.statistics import benjamini_hochberg, bootstrap_mean, paired_difference

KEYS = ("title", "output", "model", "seeds", "prepare", "before", "facts", "against", "conditions")

Answers = dict[str, dict[tuple[str, str, str], list[float]]]
"""Condition to (kind of pair, person, fact) to 0 or 1 for every pair of languages of the kind."""


def main(study: Mapping[str, Any]) -> None:
    """Prepare, train before, teach in every condition and seed, compare."""
    output = Path(study["output"])
    prepare(study, output)
    answers: Answers = {}
    for seed in study["seeds"]:
        for name, settings in study["conditions"].items():
            folder = output / f"seed-{seed}" / name.replace(" ", "-")
            if "ask" in settings:
                taught = ask_again(settings["ask"], folder, seed, study)
            else:
                taught = teach(settings, folder, seed, study)
            answers.setdefault(name, {}).update(read_answers(folder / "transfer", taught))
    results = compare(answers, study["against"])
    (output / "results.json").write_text(json.dumps(results, indent=2), encoding="utf-8")
    (output / "results.md").write_text(table(results, study), encoding="utf-8")
    draw(results, study, output / "barrier.png")
    print(table(results, study))


def train(recipe: str, folder: Path, settings: Mapping[str, Any], study: Mapping[str, Any]) -> None:
    """Run a recipe, which for facts that are asked for ends with the questions, or find it finished."""
    asks = recipe == "facts" and settings.get("data.ledger.half", "taught") == "taught"
    given = {**settings, "model": study["model"], "output": str(folder)}
    values = {key: json.dumps(value).replace("{output}", study["output"]) for key, value in given.items()}
    made = folder / ("transfer" if asks else "adapter")
    run_once(["xling", "train", recipe, *(f"{key}={value}" for key, value in values.items())], made)


def teach(settings: Mapping[str, Any], folder: Path, seed: int, study: Mapping[str, Any]) -> Sequence[str]:
    """Teach the facts of a condition and ask for them; return the languages that they were taught in.

    An adapter that comes before is trained once, or once a seed where its path has ``-{seed}``.
    """
    given = {**study["facts"], **settings, "data.ledger.seed": seed, "training.seed": seed}
    if "data.mixture.facts.ledger.half" in given:
        given["data.mixture.facts.ledger.seed"] = seed
    for before, recipe in study.get("before", {}).items():
        for suffix, own in (("", {}), ("-{seed}", {"training.seed": seed})):
            if f"{{output}}/{before}{suffix}/adapter" in given.get("adapters", ()):
                made = Path(study["output"], before + suffix.format(seed=seed))
                train(recipe["recipe"], made, {**recipe["with"], **own}, study)
    given["adapters"] = [path.replace("{seed}", str(seed)) for path in given.get("adapters", ())]
    train("facts", folder, given, study)
    return taught_in(given)


def taught_in(given: Mapping[str, Any]) -> Sequence[str]:
    """Return the languages that facts count as taught in."""
    # Facts whose languages are drawn are asked as those that were taught in English, beside which they stand.
    drawn = given.get("data.ledger.answers") == "drawn"
    return ("en",) if drawn else tuple(given.get("data.languages", ("en",)))


def ask_again(asked: Mapping[str, str], folder: Path, seed: int, study: Mapping[str, Any]) -> Sequence[str]:
    """Ask what another condition was taught, in another wording; return the languages that it was taught in."""
    known = {**study["facts"], **study["conditions"][asked["of"]]}
    adapter = folder.with_name(asked["of"].replace(" ", "-")) / "adapter"
    ledger = {key: known[f"data.ledger.{key}"] for key in ("people", "attributes")}
    metadata = {"xling": {**ledger, "seed": seed, "wording": asked["wording"]}}
    model = {"pretrained": str(model_path(study["model"])), "peft": str(adapter), "dtype": "float32"}
    command = ["xling", "eval", "--model", "hf", "--model_args", argument_words(model), "--batch_size", "16"]
    command += ["--tasks", "xling_ledger_taught_??_??", "--metadata", json.dumps(metadata)]
    evaluate_into(folder / "transfer", command)
    return taught_in(known)


def samples_of(folder: Path) -> dict[str, Path]:
    """Return the newest samples of every pair of languages; the harness writes them after its results."""
    found = sorted(folder.rglob("samples_xling_ledger_taught_??_??_*.jsonl"))
    return {path.name.rpartition("_")[0]: path for path in found}


def read_answers(folder: Path, taught: Sequence[str]) -> dict[tuple[str, str, str], list[float]]:
    """Read whether each question on a fact that was taught in some languages was answered rightly."""
    found: dict[tuple[str, str, str], list[float]] = {}
    for path in samples_of(folder).values():
        for line in path.read_text(encoding="utf-8").splitlines():
            sample = json.loads(line)
            languages = sample["doc"]["condition"]["languages"]
            kind = kind_of(languages["question"], languages["answer"], taught)
            found.setdefault((kind, sample["doc"]["cluster"], sample["doc"]["id"]), []).append(float(sample["acc"]))
    return found


def compare(answers: Answers, against: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return one row a kind of pair and a condition: its accuracy, and the difference from what it stands against.

    People are resampled, because one person's facts in all pairs of languages are not independent.
    """
    rows = []
    for kind in KINDS.values():
        known = {
            name: {key: value for key, value in given.items() if key[0] == kind} for name, given in answers.items()
        }
        for name in [name for name, given in known.items() if given]:
            people = np.array([person for _, person, _ in known[name]])
            values = np.array([np.mean(given) for given in known[name].values()])
            score = bootstrap_mean(values, people)
            row = {"kind": kind, "condition": name, "items": sum(map(len, known[name].values()))}
            row |= {"people": len(set(people)), "accuracy": score.estimate, "low": score.low, "high": score.high}
            other = known.get(against.get(name, ""), {})
            if other:
                rival = np.array([np.mean(other[key]) for key in known[name]])
                found = paired_difference(values, rival, people)
                row |= {"against": against[name], "difference": found.difference.estimate, "p": found.p_value}
                row |= {"from": found.difference.low, "to": found.difference.high}
                row |= {"detectable": found.detectable}
            rows.append(row)
    compared = [row for row in rows if "p" in row]
    for row, adjusted in zip(compared, benjamini_hochberg(np.array([row["p"] for row in compared])), strict=True):
        row["adjusted_p"] = float(adjusted)
    return rows


def table(results: Sequence[Mapping[str, Any]], study: Mapping[str, Any]) -> str:
    """Return the rows in Markdown, in percent."""
    seeds = len(study["seeds"])
    lines = [
        f"# {study['title']}",
        "",
        f"{seeds} seed{'s' if seeds > 1 else ''}, each with its own people.",
        "",
        "| asked | condition | accuracy | 95 % interval | against | difference | 95 % interval | adjusted p "
        "| detectable |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in results:
        score = f"{100 * row['accuracy']:.1f} | {bounds(row['low'], row['high'])}"
        compared = "– | – | – | – | –"
        if "p" in row:
            p = "<.001" if row["adjusted_p"] < 0.001 else f"{row['adjusted_p']:.3f}"
            interval = bounds(row["from"], row["to"], "+")
            compared = (
                f"{row['against']} | {100 * row['difference']:+.1f} | {interval} | {p} | {percent(row['detectable'])}"
            )
        lines.append(f"| {row['kind']} | {row['condition']} | {score} | {compared} |")
    return "\n".join(lines) + "\n"


def draw(results: Sequence[Mapping[str, Any]], study: Mapping[str, Any], path: Path) -> None:
    """Draw the accuracy of every condition, one panel a kind of pair."""
    from matplotlib.figure import Figure

    kinds = list(dict.fromkeys(row["kind"] for row in results))
    names = list(study["conditions"])
    figure = Figure(figsize=(2.6 * len(kinds) + 2, 0.42 * len(names) + 1.4), layout="constrained")
    panels = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    for panel, kind in zip(panels, kinds, strict=True):
        rows = {row["condition"]: row for row in results if row["kind"] == kind}
        for place, name in enumerate(names):
            if name not in rows:
                continue
            row = rows[name]
            sure = row.get("adjusted_p", 1.0) < 0.05
            color = "#0b6e4f" if sure and row["difference"] > 0 else "#b3432b" if sure else "#5b6770"
            ends = (row["accuracy"] - row["low"], row["high"] - row["accuracy"])
            errors = [[100 * end if math.isfinite(end) else 0.0] for end in ends]
            panel.errorbar(100 * row["accuracy"], place, xerr=errors, fmt="o", color=color, capsize=3)
        panel.axvline(25, color="#c9ced3", linewidth=0.8)
        panel.set(title=textwrap.fill(kind, 28), xlim=(0, 104), xlabel="right answers, percent")
        panel.title.set_fontsize(9)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].invert_yaxis()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    start(main, __doc__, KEYS)
