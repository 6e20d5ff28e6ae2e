"""Run folders of the harness ▸ evaluations: which runs there are, which of them count, and their samples."""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lm_eval_xling.errors import UserError
from lm_eval_xling.report.conditions import UNKNOWN, combined, condition_of_leaf
from lm_eval_xling.report.evaluations import EvaluatedModel, Evaluation, Note, Samples, Setting
from lm_eval_xling.report.given import given_of, of_setting
from lm_eval_xling.report.naming import identify, labelled, public
from lm_eval_xling.report.samples import BYPASS, metric_name, read_samples
from lm_eval_xling.report.variants import with_variants

__all__ = ["find_results", "holds_results", "read_runs"]

UNSCORED = "no score: the run has the model's answers and no scores (--predict_only)"
"""What a reader is told of such a run."""
_SILENT = (
    "the samples do not say in which condition their documents were shown: neither this release nor an earlier one "
    "wrote them so, and guessing it from the task's name could mislabel scores"
)
_DATED = re.compile(r"_(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(?:\.\d+)?)\.json$")


class _Read(NamedTuple):
    """An evaluation without its samples."""

    evaluation: Evaluation
    """What its results file says."""
    results: Mapping[str, Any]
    """The results file."""
    changed: str
    """Parameters that make it another condition, as ``name=value``."""


def find_results(path: Path) -> list[Path]:
    """Return the results files of a run folder, at any depth, or of the one file that is named.

    Raises:
        UserError: if the path does not exist or holds no results of the harness.
    """
    if not path.exists():
        raise UserError("there is no such run folder", where=path, fix="pass the --output_path of lm_eval")
    found = [path] if path.is_file() else sorted(_dated(path))
    if not found:
        raise UserError(
            "no results_*.json of lm-evaluation-harness in this folder",
            where=path,
            fix=f"lm_eval run … --output_path {path} --log_samples",
        )
    return found


def holds_results(path: Path) -> bool:
    """Tell whether a path is a results file, or a folder with some at any depth."""
    return path.suffix == ".json" if path.is_file() else any(_dated(path))


def _dated(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("*.json") if _DATED.search(file.name))


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
    read: list[_Read] = []
    for file in files:
        results = _load(file, notes)
        if results is not None:
            read += [
                _Read(evaluation, results, _changed(evaluation, results)) for evaluation in _evaluations(file, results)
            ]
    if not read:
        raise UserError(
            "no results can be read", where=", ".join(str(file) for file in files), fix=notes[0].text if notes else None
        )
    models = labelled([one.evaluation.model for one in read])
    read = [one._replace(evaluation=replace(one.evaluation, model=m)) for one, m in zip(read, models, strict=True)]
    kept = _newest(read, notes)
    paths_of_samples = [_samples_path(one.evaluation) for one in kept]
    sizes = [path.stat().st_size for path in paths_of_samples if path.exists()]
    advance = progress(sum(sizes)) if progress else lambda size: None
    evaluations = []
    for evaluation, results, changed in kept:
        finished, more = _with_samples(evaluation, results, advance)
        if finished is not None:
            evaluations.append(replace(finished, task=f"{finished.task} {changed}") if changed else finished)
        notes += [replace(note, where=f"{evaluation.model.label}, {evaluation.task}: {note.where}") for note in more]
    if not evaluations:
        raise UserError(notes[-1].text, where=notes[-1].where, fix="evaluate again with this release")
    evaluations = with_variants(evaluations)
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


def _evaluation(file: Path, stamp: str, model: EvaluatedModel, results: Mapping[str, Any], task: str) -> Evaluation:
    config = results["configs"][task]
    run = results.get("config") or {}
    asked = given_of(results, task)
    given = _dataset(results, task)
    leaf = given["leaf"] if isinstance(given.get("leaf"), Mapping) else {}
    condition, variant = condition_of_leaf(leaf)
    family = str(given.get("family") or leaf.get("family") or "")
    metrics, better = _metrics(results, task, config)
    shots = int(results.get("n-shot", {}).get(task, 0) or 0)
    family = family or _family_of(task)
    generates = config.get("output_type") == "generate_until"
    template = str(results.get("chat_template_sha") or "")
    setting = Setting(
        shots=shots,
        shots_seed=run.get("fewshot_seed") if shots else None,
        chat_template=bool(template),
        multiturn=bool(template and shots and results.get("fewshot_as_multiturn")),
        system_instruction=str(results.get("system_instruction_sha") or ""),
        parameters=_parameters(of_setting(family, asked.parameters)),
        generation=_parameters(run.get("gen_kwargs")),
        form=asked.form or condition.form or ("generate" if generates and is_ours(task) else ""),
        variant=variant,
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
        condition=condition,
        metrics=metrics,
        higher_is_better=better,
        averaged=_averaged(metrics, config),
        n=int(results.get("n-samples", {}).get(task, {}).get("effective", 0)),
        path=str(file),
        date=stamp,
        circumstances=circumstances,
        unscored="" if any(metric.split("/")[0] != BYPASS for metric in metrics) else UNSCORED,
    )


def is_ours(task: str) -> bool:
    """Tell whether a task is one of this package, or of a family of one's own."""
    return task.startswith("xling_")


def _of_registry(evaluation: Evaluation, results: Mapping[str, Any]) -> Evaluation:
    """The evaluation in the condition that the family says of its leaf: what is known without samples."""
    given = _dataset(results, evaluation.task)
    asked = given_of(results, evaluation.task)
    # A parameter may change the languages, which then only the samples know.
    if asked.parameters or not isinstance(given.get("leaf"), str):
        return evaluation
    from lm_eval_xling.families import FAMILIES

    leaves = FAMILIES[evaluation.family].leaves if evaluation.family in FAMILIES else ()
    leaf = next((leaf for leaf in leaves if leaf.name == given["leaf"]), None)
    if leaf is None:
        return evaluation
    condition, variant = condition_of_leaf({**leaf.condition, "form": leaf.form})
    setting = replace(evaluation.setting, form=asked.form or leaf.form, variant=variant)
    return replace(evaluation, condition=condition, setting=setting)


def _changed(evaluation: Evaluation, results: Mapping[str, Any]) -> str:
    """The other parameters, as ``name=value``."""
    given = given_of(results, evaluation.task).parameters
    same = of_setting(evaluation.family, given)
    return _parameters({name: value for name, value in given.items() if name not in same})


def _parameters(given: Any) -> str:
    """Parameters as ``name=value``, sorted, values as JSON unless they are plain words."""
    named = sorted(public(given).items()) if isinstance(given, Mapping) else []
    shown = (value if isinstance(value, str) else json.dumps(value, sort_keys=True) for _, value in named)
    return " ".join(f"{name}={value}" for (name, _), value in zip(named, shown, strict=True)).replace('"', "")


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
        aggregate, error = values[key], values.get(f"{metric}_stderr,{filter_name}")
        # The harness writes 999 where nothing was scored.
        found[name] = (math.nan, math.nan) if metric == BYPASS else (_number(aggregate), _number(error))
        better[name] = results.get("higher_is_better", {}).get(task, {}).get(metric) is not False
    return found or {BYPASS: (math.nan, math.nan)}, better or {BYPASS: True}


def _averaged(metrics: Iterable[str], config: Mapping[str, Any]) -> frozenset[str]:
    entries = [entry for entry in config.get("metric_list") or [] if isinstance(entry, dict)]
    means = {entry.get("metric") for entry in entries if entry.get("aggregation") in ("mean", "nanmean")}
    return frozenset(name for name in metrics if name.split("/")[0] in means)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan


def _newest(read: Sequence[_Read], notes: list[Note]) -> list[_Read]:
    groups: dict[tuple[EvaluatedModel, str, str, Setting], list[_Read]] = defaultdict(list)
    for one in read:
        groups[one.evaluation.model, one.evaluation.task, one.changed, one.evaluation.setting].append(one)
    kept = []
    # One note a file that gave way: a run of a family has a task for every condition.
    superseded: dict[tuple[str, str, str, str], list[str]] = defaultdict(list)
    for (model, task, _, setting), group in groups.items():
        group.sort(key=lambda one: (one.evaluation.date, one.evaluation.path))
        kept.append(group[-1])
        for older in group[:-1]:
            superseded[older.evaluation.path, setting.label, model.label, group[-1].evaluation.date].append(task)
    for (path, setting_label, model_label, newest), tasks in superseded.items():
        named = f"{tasks[0]} and {len(tasks) - 1} more tasks" if len(tasks) > 1 else tasks[0]
        text = f"{named} ({setting_label}) of {model_label}, run again on {newest}: the newer run counts"
        notes.append(Note("superseded", text, path))
    return kept


def _samples_path(evaluation: Evaluation) -> Path:
    return Path(evaluation.path).parent / f"samples_{evaluation.task}_{evaluation.date}.jsonl"


def _with_samples(
    evaluation: Evaluation, results: Mapping[str, Any], advance: Callable[[int], object]
) -> tuple[Evaluation | None, list[Note]]:
    """The evaluation with its samples and what they say of it, or None where they must not be used."""
    path = _samples_path(evaluation)
    if not path.exists():
        evaluation = _of_registry(evaluation, results)
        text = "no samples: scores without pairing, tests or consistency (run lm_eval with --log_samples)"
        if is_ours(evaluation.task) and evaluation.condition == UNKNOWN:
            text = "no samples, which say what can be compared: scores alone (run lm_eval with --log_samples)"
        return evaluation, [Note("missing", text, path.name), *_unscored(evaluation, path.name)]
    samples, facts, notes = read_samples(
        path,
        evaluation.metrics,
        expected=evaluation.n,
        digest=results.get("task_hashes", {}).get(evaluation.task),
        averaged=evaluation.averaged,
        form=evaluation.setting.form,
        advance=advance,
    )
    ours = is_ours(evaluation.task) or bool(facts.family and facts.conditions)
    family = (facts.family if ours else "") or evaluation.family
    if ours and facts.silent:
        return None, [Note("refused", _SILENT, path.name)]
    condition = combined(facts.conditions) if facts.conditions else evaluation.condition
    setting = evaluation.setting
    if facts.conditions:
        # What an older run's leaf says beside its condition tells its tasks apart; in a newer one the items do.
        older = isinstance(_dataset(results, evaluation.task).get("leaf"), Mapping)
        setting = replace(setting, form=condition.form or setting.form, variant=setting.variant if older else "")
    described = replace(evaluation, samples=samples, family=family, condition=condition, setting=setting)
    if samples is not None and not evaluation.unscored and _is_broken(samples):
        described = _without_scores(described, "no score: all log-likelihoods are no finite numbers")
    return described, [*notes, *_unscored(evaluation, path.name)]


def _dataset(results: Mapping[str, Any], task: str) -> Mapping[str, Any]:
    return results["configs"][task].get("dataset_kwargs") or {}


def _unscored(evaluation: Evaluation, where: str) -> list[Note]:
    return [Note("missing", evaluation.unscored, where)] if evaluation.unscored else []


def _is_broken(samples: Samples) -> bool:
    """Whether the model gave numbers for every item, and none that can be compared."""
    scores = samples.scores
    return scores is not None and scores.size > 0 and not np.isfinite(scores).all(axis=1).any()


def _without_scores(evaluation: Evaluation, why: str) -> Evaluation:
    return replace(evaluation, metrics=dict.fromkeys(evaluation.metrics, (math.nan, math.nan)), unscored=why)
