"""The scores in the task families' READMEs: Gemma-3-270M on real rows, run where missing, written between the marks.

    XLING_DATA=mirror python -m tests.benchmarks.scores --output build/scores
    XLING_DATA=mirror python -m tests.benchmarks.scores --output build/scores --family sentiment nli

A run that has finished is not repeated, so that a killed call continues. Every number comes from the harness's
results files.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lm_eval_xling.models import model_folder
from tests.benchmarks.marks import write_between

ROOT = Path(__file__).resolve().parents[2]
MODEL = "gemma-3-270m"
CODES = ("en", "fr", "de", "es", "it")

RUNS: dict[str, list[tuple[list[str], int | None, int | None]]] = {
    # family: leaves, first rows of each (None: all), demonstrations (None: the leaf's own)
    "atlas": [([f"xling_atlas_{asked}_{answered}" for asked in CODES for answered in CODES], None, None)],
    "mmlu": [(["xling_mmlu_en", "xling_mmlu_mixup"], None, 5)],
    "hp": [
        (
            ["xling_hp_en"]
            + [f"xling_hp_{place}_{code}" for code in ("de", "es") for place in ("full", "question", "options")],
            None,
            None,
        )
    ],
    "sentiment": [([f"xling_sentiment_{code}" for code in ("en", "de", "zh", "sw", "hi")], 100, None)],
    "nli": [([f"xling_nli_{code}" for code in ("en", "de", "zh", "sw", "hi")], 150, None)],
    "paraphrase": [([f"xling_paraphrase_{code}" for code in ("en", "de", "zh", "sw", "hi")], 100, None)],
    "tofu": [
        ([f"xling_tofu_real_authors_{pair}" for pair in ("en_en", "fr_fr", "ja_ja", "fr_en")], None, None),
        ([f"xling_tofu_forget01_{pair}" for pair in ("en_en", "fr_fr", "fr_en")], None, None),
        ([f"xling_tofu_forget01_{pair}_generate" for pair in ("en_en", "fr_fr")], None, None),
    ],
    "math": [
        ([f"xling_math_mgsm_direct_{code}" for code in ("en", "de", "th")], 60, None),
        (["xling_math_mgsm_native_en", "xling_math_mgsm_native_de", "xling_math_mgsm_english_reasoning_de"], 12, None),
    ],
    "qa": [
        (
            ["xling_qa_belebele_full_en", "xling_qa_belebele_full_de", "xling_qa_belebele_full_es"]
            + ["xling_qa_belebele_context_de"],
            40,
            None,
        ),
        ([f"xling_qa_xquad_{pair}" for pair in ("en_en", "de_de", "zh_zh", "en_de")], 40, None),
    ],
    "translation": [
        ([f"xling_translation_{pair}" for pair in ("en_fr", "en_de", "es_en")], 25, shots) for shots in (0, 5)
    ],
}

COLUMNS = {
    "tofu": ["acc", "probability", "truth_ratio", "rouge_l_recall", "language_fidelity", "language_told"],
    "math": ["exact_match", "language_fidelity", "language_told"],
    "qa": ["acc", "exact_match", "f1", "language_fidelity", "language_told"],
    "translation": ["bleu", "chrf", "chrf++", "language_fidelity"],
}
"""Metrics shown, where they are not accuracy alone."""


def run(family: str, number: int, output: Path) -> dict[str, Any]:
    """Evaluate one run of a family, or find its results."""
    tasks, limit, shots = RUNS[family][number]
    # The settings are part of the name, so that changed ones are run again.
    folder = output / f"{family}-{number}-{limit or 'all'}-{'own' if shots is None else shots}"
    if not list(folder.rglob("results_*.json")):
        command = [str(Path(sys.executable).with_name("xling")), "eval", "--model", "hf", "--model_args"]
        command += [f"pretrained={model_folder(MODEL)},dtype=float32", "--batch_size", "8", "--tasks", ",".join(tasks)]
        command += ["--limit", str(limit)] if limit is not None else []
        command += ["--num_fewshot", str(shots)] if shots is not None else []
        if family == "atlas":  # as in `make demo`
            command += ["--metadata", json.dumps({"xling": {"relations": ["capital"]}})]
        subprocess.run([*command, "--output_path", str(folder), "--log_samples"], check=True)
    (found,) = folder.rglob("results_*.json")
    results: dict[str, Any] = json.loads(found.read_text(encoding="utf-8"))
    return results


def cell(scores: Mapping[str, Any], metric: str) -> str:
    """Return a score with its standard error, or nothing where the leaf has no such metric."""
    value, error = scores.get(f"{metric},none"), scores.get(f"{metric}_stderr,none")
    if not isinstance(value, float):
        return ""
    digits = 1 if value > 1.5 and metric in ("bleu", "chrf", "chrf++") else 3
    return f"{value:.{digits}f}" + (f" ± {error:.{digits}f}" if isinstance(error, float) else "")


def table(family: str, results: Sequence[Mapping[str, Any]]) -> str:
    """Return a line a leaf, or the matrix of the atlas."""
    if family == "atlas":
        scores = results[0]["results"]
        lines = [f"| question ↓, answer → | {' | '.join(CODES)} |", "|---" * (len(CODES) + 1) + "|"]
        for asked in CODES:
            row = (cell(scores[f"xling_atlas_{asked}_{answered}"], "acc") for answered in CODES)
            lines.append(f"| {asked} | {' | '.join(row)} |")
        return "\n".join(lines)
    columns = COLUMNS.get(family, ["acc"])
    lines = [f"| leaf | shots | rows | {' | '.join(f'`{name}`' for name in columns)} |"]
    lines.append("|---" * (len(columns) + 3) + "|")
    for found in results:
        for task in found["configs"]:
            cells = " | ".join(cell(found["results"][task], name) for name in columns)
            rows = found["n-samples"][task]["effective"]
            lines.append(f"| `{task}` | {found['n-shot'][task]} | {rows} | {cells} |")
    return "\n".join(lines)


def words(family: str, results: Sequence[Mapping[str, Any]]) -> str:
    """Return the sentence above a table."""
    rows = {count["effective"] for found in results for count in found["n-samples"].values()}
    which = "all rows" if all(limit is None for _, limit, _ in RUNS[family]) else "the first rows of each leaf"
    if family == "atlas":
        which = f"the {rows.pop()} capitals (`relations: [capital]`), `acc`"
    return (
        f"Gemma-3-270M, float32, lm_eval {results[0]['lm_eval_version']}, `xling eval --model hf`; {which}, ± standard "
        f"error (`tests/benchmarks/scores.py` runs it and writes this table):"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder of the harness's results")
    parser.add_argument("--family", choices=RUNS, nargs="*", default=list(RUNS))
    arguments = parser.parse_args()
    for family in arguments.family:
        results = [run(family, number, arguments.output) for number in range(len(RUNS[family]))]
        text = f"{words(family, results)}\n\n{table(family, results)}"
        write_between("scores", text, ROOT / "tasks" / family / "README.md")
        print(f"{family}: {table(family, results)}", flush=True)


if __name__ == "__main__":
    main()
