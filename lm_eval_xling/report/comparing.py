"""Evaluations ▸ report: blocks of what may be compared, then one table after the other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from lm_eval_xling.errors import UserError, unknown_name
from lm_eval_xling.report.averages import average_rows, score_rows
from lm_eval_xling.report.barriers import barrier_rows, change_rows, subject_rows
from lm_eval_xling.report.blocks import Block, make_blocks, reference_row
from lm_eval_xling.report.conditions import FORMS, UNKNOWN
from lm_eval_xling.report.consistency import agreement_rows, consistency_rows, effect_rows, lone_option_rows
from lm_eval_xling.report.differences import difference_rows
from lm_eval_xling.report.equality import equal_models
from lm_eval_xling.report.evaluations import EvaluatedModel, Evaluation, Note, Setting
from lm_eval_xling.report.factors import counted, factor_rows, language_rows
from lm_eval_xling.report.formats import format_rows
from lm_eval_xling.report.naming import weights_of
from lm_eval_xling.report.reading import find_results
from lm_eval_xling.report.schema import SCHEMA_VERSION, Report, RunRow
from lm_eval_xling.report.wording import condition_rows
from lm_eval_xling.statistics import RESAMPLES

__all__ = ["compare", "resolve_baselines"]


def compare(
    evaluations: Sequence[Evaluation],
    notes: Sequence[Note],
    *,
    baselines: Mapping[str, str],
    say: Callable[[str], object] = lambda step: None,
) -> tuple[Report, list[Block]]:
    """Compute everything that the report says.

    Args:
        evaluations: what was read.
        notes: what reading noticed.
        baselines: label of a model to the label of the one it is compared with.
        say: receives the name of each step.

    Returns:
        The report, and the blocks that it was computed from.
    """
    collected = list(notes)
    blocks = make_blocks(evaluations)
    collected += _reservations(evaluations, baselines)
    collected += equal_models(blocks)
    say("barriers")
    barriers = barrier_rows(blocks, evaluations)
    changes = change_rows(blocks, baselines, collected)
    differences = difference_rows(blocks, barriers)
    subjects = subject_rows(blocks)
    formats = format_rows(blocks)
    languages = counted(language_rows(blocks, barriers), blocks, collected)
    say("consistency")
    agreement = agreement_rows(blocks, collected)
    return (
        Report(
            schema_version=SCHEMA_VERSION,
            version=version("lm-eval-xling"),
            resamples=RESAMPLES,
            models=tuple(sorted({e.model for e in evaluations}, key=lambda model: model.label)),
            runs=tuple(_runs(evaluations)),
            notes=tuple(_gathered(collected)),
            conditions=tuple(condition_rows(evaluations, blocks)),
            scores=tuple(score_rows(evaluations)),
            barriers=tuple(barriers),
            changes=tuple(changes),
            formats=tuple(formats),
            agreement=tuple(agreement),
            consistency=tuple(consistency_rows(blocks)),
            effects=tuple(effect_rows(blocks)),
            lone_options=tuple(lone_option_rows(blocks)),
            averages=tuple(average_rows(blocks, baselines)),
            subjects=tuple(subjects),
            languages=tuple(languages),
            factors=tuple(factor_rows(languages)),
            differences=tuple(differences),
        ),
        blocks,
    )


def resolve_baselines(evaluations: Sequence[Evaluation], baseline: Path | str | None) -> dict[str, str]:
    """Return the label of the baseline of every model that has one.

    Args:
        evaluations: of all runs, the baseline's among them.
        baseline: label of a model, or a folder that holds the runs of one model; without it, a model with an adapter
            is compared with the same weights without it, and a fine-tuned one with what its card says it was made of.

    Raises:
        UserError: if no model has that label, or the folder holds no runs, or those of several models.
    """
    labels = sorted({evaluation.model.label for evaluation in evaluations})
    if baseline is None:
        models = sorted({evaluation.model for evaluation in evaluations}, key=lambda model: model.label)
        pairs = {model.label: _base_of(model, models) for model in models}
        return {label: base.label for label, base in pairs.items() if base is not None}
    if str(baseline) in labels:
        chosen = str(baseline)
    else:
        folder = Path(baseline).resolve()
        inside = {e.model.label for e in evaluations if folder == Path(e.path) or folder in Path(e.path).parents}
        if not inside:
            if folder.exists():
                find_results(folder)
            raise unknown_name("baseline", str(baseline), labels)
        if len(inside) > 1:
            raise UserError(
                f"the baseline's runs are of {len(inside)} models: {', '.join(sorted(inside))}",
                where=folder,
                fix=f"--baseline '{min(inside)}'",
            )
        chosen = inside.pop()
    return {label: chosen for label in labels if label != chosen}


def _base_of(model: EvaluatedModel, models: Sequence[EvaluatedModel]) -> EvaluatedModel | None:
    """The weights that a model was made of: run with the same arguments, else the only run of them."""
    if not model.base:
        return None
    weights = weights_of(model.base)
    same = [other for other in models if other.adapter is None and weights_of(other.source) == weights]
    exact = [other for other in same if other.arguments == model.arguments]
    return exact[0] if exact else same[0] if len(same) == 1 else None


def _gathered(notes: Sequence[Note]) -> list[Note]:
    """Notes that say the same of many files as one note each, with the first of the files."""
    places: dict[tuple[str, str], list[str]] = defaultdict(list)
    for note in dict.fromkeys(notes):
        places[note.kind, note.text].append(note.where)
    return [
        Note(kind, text, "; ".join(where[:3]) + (f" and {len(where) - 3} more" if len(where) > 3 else ""))
        for (kind, text), where in places.items()
    ]


def _runs(evaluations: Sequence[Evaluation]) -> list[RunRow]:
    by_file: dict[str, list[Evaluation]] = defaultdict(list)
    for evaluation in evaluations:
        by_file[evaluation.path].append(evaluation)
    return [
        RunRow(
            path=path,
            model=group[0].model.label,
            date=group[0].date,
            tasks=len(group),
            harness=group[0].circumstances["harness version"],
            model_type=group[0].circumstances["model type"],
            limit=group[0].circumstances["limit"],
            seeds=group[0].circumstances["seeds"],
        )
        for path, group in sorted(by_file.items(), key=lambda pair: (pair[1][0].model.label, pair[1][0].date))
    ]


def _reservations(evaluations: Sequence[Evaluation], baselines: Mapping[str, str]) -> list[Note]:
    """Notes on what is compared in spite of a difference, and on what is not."""
    notes = []
    by_family: dict[tuple[str, str], list[Evaluation]] = defaultdict(list)
    for evaluation in evaluations:
        by_family[evaluation.model.label, evaluation.family].append(evaluation)
    for (label, family), group in by_family.items():
        where = f"{label}, {family}"
        settings = list(dict.fromkeys(evaluation.setting for evaluation in group))
        # Forms of the answer are compared with each other, in a table of their own.
        if len({_without_form(setting) for setting in settings}) > 1:
            listed = "; ".join(sorted(setting.label for setting in settings))
            notes.append(
                Note("refused", f"runs in different settings are not compared with each other: {listed}", where)
            )
        for setting in settings:
            same = [evaluation for evaluation in group if evaluation.setting == setting]
            notes += _differences(same, where, ("seeds", "limit", "harness version", "model type"))
            known = any(evaluation.condition != UNKNOWN for evaluation in same)
            if len(same) > 1 and known and reference_row(same) is None:
                text = f"{setting.label}: no barrier, because no task of it is wholly in English"
                notes.append(Note("missing", text, where))
    arguments = {evaluation.model.label: evaluation.model.arguments for evaluation in evaluations}
    for label, baseline in baselines.items():
        if arguments[label] != arguments[baseline]:
            shown = f"{arguments[label] or 'none'}; {arguments[baseline] or 'none'}"
            text = f"compared although the model's arguments differ: {shown}"
            notes.append(Note("marked", text, f"{label} and {baseline}"))
        for (model, family), group in by_family.items():
            if model == label and (baseline, family) in by_family:
                both = [*group, *by_family[baseline, family]]
                keys = ("seeds", "limit", "harness version", "model type", "chat template")
                notes += _differences(both, f"{label} and {baseline}, {family}", keys)
    return notes


def _without_form(setting: Setting) -> Setting:
    return replace(setting, form="" if setting.form in FORMS else setting.form, variant="")


def _differences(group: Sequence[Evaluation], where: str, keys: Sequence[str]) -> list[Note]:
    notes = []
    for key in keys:
        values = sorted({evaluation.circumstances[key] for evaluation in group})
        if len(values) > 1:
            shown = "; ".join(value or "none" for value in values[:4])
            notes.append(Note("marked", f"compared although the {key} differs: {shown}", where))
    return notes
