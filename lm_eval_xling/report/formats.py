"""The same items asked for in several forms: how much of a barrier is the form of the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lm_eval_xling.records import PairedDifference
from lm_eval_xling.report.blocks import Array, Block, other_parameters, reference_row
from lm_eval_xling.report.conditions import FORMS, SEVERAL
from lm_eval_xling.report.evaluations import Evaluation, Setting
from lm_eval_xling.report.schema import FormatRow
from lm_eval_xling.statistics import benjamini_hochberg, paired_difference

__all__ = ["format_rows"]

# Parameters of how one form shows or reads an item, which other forms do not have.
_OF_ONE_FORM = ("option_ids=", "tokenizer=")


def format_rows(blocks: Sequence[Block]) -> list[FormatRow]:
    """Return one row for every condition that a model was asked in two forms, on the items that both have."""
    rows: list[FormatRow] = []
    for first in blocks:
        for second in blocks:
            if _are_forms_of_one(first, second):
                rows += _rows(first, second)
    made = [row.paired.p_value for row in rows]
    adjusted = benjamini_hochberg(np.array(made)) if made else ()
    return [
        replace(row, paired=replace(row.paired, adjusted_p=float(value)))
        for row, value in zip(rows, adjusted, strict=True)
    ]


def _are_forms_of_one(first: Block, second: Block) -> bool:
    forms = first.setting.form, second.setting.form
    if not set(forms) <= set(FORMS) or FORMS.index(forms[0]) >= FORMS.index(forms[1]):
        return False
    same = first.model == second.model and first.family == second.family and first.sign == second.sign
    bare = [_without_form(block.setting) for block in (first, second)]
    return same and bare[0] == bare[1] and not set(first.ids).isdisjoint(second.ids)


def _without_form(setting: Setting) -> Setting:
    """What two forms of one item have in common."""
    shared = [part for part in setting.parameters.split(" ") if not part.startswith(_OF_ONE_FORM)]
    # Variants are named by the tasks of one form, so that their items decide instead; and not every form generates.
    return replace(setting, form="", variant="", parameters=" ".join(shared), generation="")


def _key(evaluation: Evaluation) -> tuple[object, ...]:
    """What tells conditions apart in every form, whatever the task is called there."""
    condition = evaluation.condition
    said = condition.placement, condition.question, condition.answer, condition.codes, condition.switched
    # Which of several languages a part stands in is drawn from all that the parameters name, in their order.
    drawn = SEVERAL in (condition.question, condition.answer)
    return *said, evaluation.task.partition(" ")[2] if drawn else other_parameters(evaluation.task)


def _rows(first: Block, second: Block) -> list[FormatRow]:
    column = {item: index for index, item in enumerate(second.ids)}
    common = [(index, column[item]) for index, item in enumerate(first.ids) if item in column]
    own, other = (np.array(side) for side in zip(*common, strict=True))
    clusters = first.clusters_of(own)
    where: dict[tuple[object, ...], int] = {}
    for row, evaluation in enumerate(second.evaluations):
        where.setdefault(_key(evaluation), row)
    at = reference_row(first.evaluations), reference_row(second.evaluations)
    rows = []
    for index, evaluation in enumerate(first.evaluations):
        match = where.get(_key(evaluation))
        if match is None:
            continue
        scores = first.scores[index][own], second.scores[match][other]
        found = _paired(*scores, clusters)
        if found is None:
            continue
        paired, usable = found
        barriers: PairedDifference | None = None
        gaps = (float("nan"), float("nan"))
        if at[0] is not None and at[1] is not None and index != at[0]:
            one = first.sign * (first.scores[at[0]][own] - scores[0])
            two = second.sign * (second.scores[at[1]][other] - scores[1])
            both = _paired(one, two, clusters)
            if both is not None:
                barriers = both[0]
                gaps = float(one[both[1]].mean()), float(two[both[1]].mean())
        twin = second.evaluations[match]
        rows.append(
            FormatRow(
                model=first.model.label,
                family=first.family,
                first=first.setting.form,
                second=second.setting.form,
                first_setting=first.setting.label,
                second_setting=second.setting.label,
                condition=evaluation.name,
                second_condition=twin.name,
                first_score=float(scores[0][usable].mean()),
                second_score=float(scores[1][usable].mean()),
                answered=_mean(twin, "answered"),
                score_if_answered=_mean(twin, f"{second.metric}_answered"),
                paired=paired,
                first_barrier=gaps[0],
                second_barrier=gaps[1],
                barriers=barriers,
            )
        )
    return rows


def _paired(first: Array, second: Array, clusters: Array | None) -> tuple[PairedDifference, Array] | None:
    usable = np.isfinite(first) & np.isfinite(second)
    if not usable.any():
        return None
    kept = None if clusters is None else clusters[usable]
    return paired_difference(first[usable], second[usable], kept), usable


def _mean(evaluation: Evaluation, metric: str) -> float:
    """Mean over the items that have the metric; nan where none has."""
    assert evaluation.samples is not None
    values = evaluation.samples.metrics.get(metric)
    known = np.array([]) if values is None else values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
