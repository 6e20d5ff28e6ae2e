"""Run folders of the harness ▸ evaluations: which runs there are, which of them count, and their samples."""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lm_eval_xling.errors import UserError
from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.records import Evaluation, Model, Note, Setting
from lm_eval_xling.report.models import identify, labelled
from lm_eval_xling.report.samples import metric_name, read_samples

__all__ = ["find_results", "read_runs"]

_SEVERAL = "mul"  # ISO 639-2: multiple languages
_DATED = re.compile(r"_(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(?:\.\d+)?)\.json$")


def find_results(path: Path) -> list[Path]:
    """Return the results files of a run folder, at any depth, or of the one file that is named.

    Raises:
        UserError: if the path does not exist or holds no results of the harness.
    """
    if not path.exists():
        raise UserError("there is no such run folder", where=path, fix="pass the --output_path of lm_eval")
    found = [path] if path.is_file() else sorted(file for file in path.rglob("*.json") if _DATED.search(file.name))
    if not found:
        raise UserError(
            "no results_*.json of lm-evaluation-harness in this folder",
            where=path,
            fix=f"lm_eval run … --output_path {path} --log_samples",
        )
    return found


def read_runs(
    paths: Iterable[Path], *, progress: Callable[[int], Callable[[int], object]] | None = None
) -> tuple[list[Evaluation], list[Note]]:
    """Read every task of every run; where a task was run several times in one setting, the newest run counts.

    Args:
        paths: run folders or results files.
        progress: called once with the number of bytes of samples; returns what is called with every part read.

    Returns:
        The evaluations that count, in the order of models and tasks, and notes on everything else.

    Raises:
        UserError: if a path holds no results, or none of them can be read.
    """
    notes: list[Note] = []
    files = list(dict.fromkeys(file.resolve() for path in paths for file in find_results(path)))
    read: list[tuple[Evaluation, Mapping[str, Any]]] = []
    for file in files:
        results = _load(file, notes)
        if results is not None:
            read += [(evaluation, results) for evaluation in _evaluations(file, results)]
    if not read:
        raise UserError(
            "no results can be read", where=", ".join(str(file) for file in files), fix=notes[0].text if notes else None
        )
    models = labelled([evaluation.model for evaluation, _ in read])
    read = [(replace(e, model=model), results) for (e, results), model in zip(read, models, strict=True)]
    kept = _newest(read, notes)
    sizes = {id(e): _samples_path(e).stat().st_size for e, _ in kept if _samples_path(e).exists()}
    advance = progress(sum(sizes.values())) if progress else lambda size: None
    evaluations = []
    for evaluation, results in kept:
        finished, more = _with_samples(evaluation, results, advance)
        evaluations.append(finished)
        notes += [replace(note, where=f"{evaluation.model.label}, {evaluation.task}: {note.where}") for note in more]
    return sorted(evaluations, key=lambda e: (e.model.label, e.family, e.task, e.date)), notes


def _load(file: Path, notes: list[Note]) -> Mapping[str, Any] | None:
    try:
        results = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        notes.append(Note("damaged", f"the results file cannot be read ({error})", str(file)))
        return None
    if not isinstance(results, dict) or not isinstance(results.get("results"), dict) or "configs" not in results:
        notes.append(Note("damaged", "not a results file of lm-evaluation-harness", str(file)))
        return None
    return results


def _evaluations(file: Path, results: Mapping[str, Any]) -> list[Evaluation]:
    match = _DATED.search(file.name)
    stamp = match.group(1) if match else ""
    model = identify(results)
    return [_evaluation(file, stamp, model, results, task) for task in results["configs"] if task in results["results"]]


def _evaluation(file: Path, stamp: str, model: Model, results: Mapping[str, Any], task: str) -> Evaluation:
    config = results["configs"][task]
    run = results.get("config") or {}
    leaf = dict((config.get("dataset_kwargs") or {}).get("leaf") or {})
    metadata = config.get("metadata") or {}
    metrics, better = _metrics(results, task, config)
    shots = int(results.get("n-shot", {}).get(task, 0) or 0)
    family = str(leaf.pop("family", "")) or _family_of(task)
    placement = str(leaf.pop("placement", ""))
    asked = _language(leaf, "question_language", "question", "language", "source")
    answered = _language(leaf, "answer_language", "answer", "options", "context", "language", "target")
    form = ", ".join(
        str(value) if isinstance(value, str) else key
        for key, value in sorted(leaf.items())
        if value and value not in LANGUAGES and value != _SEVERAL
    )
    template = str(results.get("chat_template_sha") or "")
    setting = Setting(
        shots=shots,
        shots_seed=run.get("fewshot_seed") if shots else None,
        chat_template=bool(template),
        multiturn=bool(template and shots and results.get("fewshot_as_multiturn")),
        system_instruction=str(results.get("system_instruction_sha") or ""),
        parameters=_parameters(metadata.get("xling"), run.get("gen_kwargs")),
        form=form,
    )
    prompt = {key: str(config.get(key)) for key in ("doc_to_text", "doc_to_choice", "description", "target_delimiter")}
    circumstances = {
        "seeds": ", ".join(str(run.get(key)) for key in ("random_seed", "numpy_seed", "torch_seed")),
        "limit": str(run.get("limit")),
        "harness version": str(results.get("lm_eval_version")),
        "task version": str(results.get("versions", {}).get(task)),
        "prompt template": json.dumps(prompt, sort_keys=True),
        "chat template": template[:12],
        "model type": str(run.get("model")),
    }
    return Evaluation(
        task=task,
        model=model,
        setting=setting,
        family=family,
        placement=placement,
        question_language=asked,
        answer_language=answered,
        metrics=metrics,
        higher_is_better=better,
        averaged=_averaged(metrics, config),
        n=int(results.get("n-samples", {}).get(task, {}).get("effective", 0)),
        path=str(file),
        date=stamp,
        circumstances=circumstances,
    )


def _parameters(*given: Any) -> str:
    """Parameters as ``name=value``, sorted, values as JSON unless they are plain words."""
    named = [pair for group in given if isinstance(group, Mapping) for pair in sorted(group.items())]
    shown = (value if isinstance(value, str) else json.dumps(value, sort_keys=True) for _, value in named)
    return " ".join(f"{name}={value}" for (name, _), value in zip(named, shown, strict=True)).replace('"', "")


def _language(leaf: Mapping[str, Any], *keys: str) -> str:
    """Language that a leaf names under the first of some keys; the documents have the last word."""
    named = next((str(leaf[key]) for key in keys if key in leaf), "")
    return named if named in LANGUAGES else "mixed" if named == _SEVERAL else ""


def _family_of(task: str) -> str:
    """Family by the naming rule ``xling_<family>_<what>``; a task that is not ours is a family by itself."""
    parts = task.split("_")
    return parts[1] if parts[0] == "xling" and len(parts) > 1 else task


def _metrics(
    results: Mapping[str, Any], task: str, config: Mapping[str, Any]
) -> tuple[dict[str, tuple[float, float]], dict[str, bool]]:
    """Aggregates by metric name, in the order of the task's metric list, and whether higher is better."""
    values = results["results"][task]
    order = [entry.get("metric") for entry in config.get("metric_list") or [] if isinstance(entry, dict)]
    found: dict[str, tuple[float, float]] = {}
    better: dict[str, bool] = {}
    keys = [key for key in values if "," in key and not key.split(",")[0].endswith("_stderr")]
    rank = {metric: index for index, metric in enumerate(order)}
    for key in sorted(keys, key=lambda key: rank.get(key.split(",")[0], len(rank))):
        metric, filter_name = key.split(",", 1)
        name = metric_name(metric, filter_name)
        found[name] = (_number(values[key]), _number(values.get(f"{metric}_stderr,{filter_name}")))
        better[name] = results.get("higher_is_better", {}).get(task, {}).get(metric) is not False
    return found or {"none": (math.nan, math.nan)}, better or {"none": True}


def _averaged(metrics: Iterable[str], config: Mapping[str, Any]) -> frozenset[str]:
    entries = [entry for entry in config.get("metric_list") or [] if isinstance(entry, dict)]
    means = {entry.get("metric") for entry in entries if entry.get("aggregation") in ("mean", "nanmean")}
    return frozenset(name for name in metrics if name.split("/")[0] in means)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan


def _newest(
    read: Sequence[tuple[Evaluation, Mapping[str, Any]]], notes: list[Note]
) -> list[tuple[Evaluation, Mapping[str, Any]]]:
    groups: dict[tuple[Model, str, Setting], list[tuple[Evaluation, Mapping[str, Any]]]] = defaultdict(list)
    for pair in read:
        groups[pair[0].model, pair[0].task, pair[0].setting].append(pair)
    kept = []
    for (model, task, setting), group in groups.items():
        group.sort(key=lambda pair: (pair[0].date, pair[0].path))
        kept.append(group[-1])
        for evaluation, _ in group[:-1]:
            text = (
                f"{task} ({setting.label}) of {model.label} was run again on {group[-1][0].date}: the newer run counts"
            )
            notes.append(Note("superseded", text, evaluation.path))
    return kept


def _samples_path(evaluation: Evaluation) -> Path:
    return Path(evaluation.path).parent / f"samples_{evaluation.task}_{evaluation.date}.jsonl"


def _with_samples(
    evaluation: Evaluation, results: Mapping[str, Any], advance: Callable[[int], object]
) -> tuple[Evaluation, list[Note]]:
    path = _samples_path(evaluation)
    if not path.exists():
        text = "no samples: scores without pairing, tests or consistency (run lm_eval with --log_samples)"
        return evaluation, [Note("missing", text, path.name)]
    samples, facts, notes = read_samples(
        path,
        evaluation.metrics,
        expected=evaluation.n,
        digest=results.get("task_hashes", {}).get(evaluation.task),
        averaged=evaluation.averaged,
        advance=advance,
    )
    described = replace(
        evaluation,
        samples=samples,
        family=facts.get("family") or evaluation.family,
        placement=facts.get("placement") or evaluation.placement,
        question_language=facts.get("question_language") or evaluation.question_language,
        answer_language=facts.get("answer_language") or evaluation.answer_language,
    )
    return described, notes
