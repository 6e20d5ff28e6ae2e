"""Scores of every task, and their averages over groups of languages."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.records import Interval
from lm_eval_xling.report.blocks import Array, Block, matrix_of
from lm_eval_xling.report.evaluations import Evaluation
from lm_eval_xling.report.schema import AverageRow, ScoreRow
from lm_eval_xling.statistics import bootstrap_mean, cluster_numbers, proportion, wilson

__all__ = ["average_rows", "score_rows"]

_LEVELS = ("high", "mid", "low")
_RIGHT_OR_WRONG = ("acc", "answered", "exact_match")
_RANGES = (
    *((name, (0.0, 1.0)) for name in (*_RIGHT_OR_WRONG, "f1", "language_", "rouge_l_recall")),
    *((name, (0.0, 100.0)) for name in ("bleu", "chrf")),
    *((name, (0.0, np.inf)) for name in ("ter", "perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte")),
)
"""Least and greatest value of metrics, by what their names begin with."""


def score_rows(evaluations: Iterable[Evaluation]) -> list[ScoreRow]:
    """Return one row for every task and metric of every model."""
    groups: dict[tuple[object, ...], list[Evaluation]] = defaultdict(list)
    for evaluation in evaluations:
        groups[evaluation.model, evaluation.family, evaluation.setting].append(evaluation)
    cells = {id(group[index]) for group in groups.values() for index in matrix_of(group)[2].values()}
    return [
        _score(evaluation, metric, id(evaluation) in cells)
        for group in groups.values()
        for evaluation in group
        for metric in evaluation.metrics
    ]


def _score(evaluation: Evaluation, metric: str, in_matrix: bool) -> ScoreRow:
    aggregate, error = evaluation.metrics[metric]
    values = None if evaluation.samples is None else evaluation.samples.metrics[metric]
    clusters = None
    if evaluation.samples is not None and values is not None:
        usable = np.isfinite(values)
        clusters = cluster_numbers([evaluation.samples.clusters[index] for index in np.flatnonzero(usable)])
        values = values[usable]
    if values is None or not len(values) or metric not in evaluation.averaged:
        # Corpus metrics (BLEU, perplexity) are not means of items: the harness's own aggregate is the score.
        averaged = metric in evaluation.averaged
        score = _of_aggregate(metric, aggregate, error, evaluation.n, averaged=averaged)
        n, source = evaluation.n, "aggregates"
    else:
        estimate = proportion if np.isin(values, (0, 1)).all() else bootstrap_mean
        score, n, source = estimate(values, clusters), len(values), "samples"
    if not np.isfinite(score.estimate):
        score = Interval(np.nan, np.nan, np.nan)
    role = "main" if metric == evaluation.metric else "fidelity" if "fidelity" in metric else "other"
    return ScoreRow(
        model=evaluation.model.label,
        family=evaluation.family,
        setting=evaluation.setting.label,
        task=evaluation.task,
        condition=evaluation.name,
        placement=evaluation.condition.placement,
        question_language=evaluation.condition.question,
        answer_language=evaluation.condition.answer,
        in_matrix=in_matrix,
        metric=metric,
        role=role,
        score=score,
        n=n,
        chance=_chance(evaluation, metric),
        source=source,
        unscored="" if np.isfinite(score.estimate) else evaluation.unscored or "the results have no number here",
    )


def _of_aggregate(metric: str, aggregate: float, error: float, n: int, *, averaged: bool) -> Interval:
    """Return a score without items: with Wilson's interval for right or wrong, otherwise ± 1.96 standard errors.

    Args:
        metric: its name, by which its range is known.
        aggregate: the harness's number.
        error: its standard error, nan where the harness gives none.
        n: number of items.
        averaged: whether it is a mean over them.
    """
    if averaged and 0 <= aggregate <= 1 and _is_right_or_wrong(metric, aggregate, error, n):
        return wilson(aggregate * n, n)
    low, high = next((bounds for start, bounds in _RANGES if metric.startswith(start)), (-np.inf, np.inf))
    half = 1.96 * error
    return Interval(aggregate, *(float(np.clip(bound, low, high)) for bound in (aggregate - half, aggregate + half)))


def _is_right_or_wrong(metric: str, mean: float, error: float, n: int) -> bool:
    """Whether n numbers of this mean and standard error are all 0 or 1: no others in [0, 1] vary so much.

    The harness's error is s / √n, with n - 1 in s, so that its square is p (1 - p) / (n - 1). It gives none for one
    item, and none at all with ``bootstrap_iters=0``.
    """
    if math.isnan(error):
        return metric.startswith(_RIGHT_OR_WRONG) and n > 0 and math.isclose(mean * n, round(mean * n), abs_tol=1e-6)
    return n > 1 and math.isclose(error**2, mean * (1 - mean) / (n - 1), rel_tol=1e-6, abs_tol=1e-12)


def _chance(evaluation: Evaluation, metric: str) -> float:
    """Expected score of a model that guesses; only accuracies are the share of a choice."""
    samples = evaluation.samples
    if samples is None or not metric.startswith("acc") or (samples.chosen < 0).all():
        return float("nan")
    if samples.scores is not None:
        return float(1 / samples.scores.shape[1])
    sizes = [len(condition.options) for condition in samples.conditions]
    return float(np.mean([1 / size for size in sizes])) if all(sizes) else float("nan")


def average_rows(blocks: Sequence[Block], baselines: Mapping[str, str]) -> list[AverageRow]:
    """Return averages over all tasks and over groups of languages.

    Args:
        blocks: of all models.
        baselines: label of a model to that of its baseline, which is averaged over the same groups of languages
            that an adapter has or has not seen.
    """
    trained: dict[str, dict[str, tuple[str, ...]]] = defaultdict(dict)
    for block in blocks:
        if block.model.trained_languages:
            for label in (block.model.label, baselines.get(block.model.label, block.model.label)):
                trained[label][block.model.label] = block.model.trained_languages
    rows = []
    for block in blocks:
        for (grouping, group), members in _groups(block, trained[block.model.label]).items():
            rows.append(_average(block, grouping, group, members))
    return rows


def _groups(block: Block, trained: Mapping[str, Sequence[str]]) -> dict[tuple[str, str], list[int]]:
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    if len(block.evaluations) > 1:
        groups["all", "all tasks"] = list(range(len(block.evaluations)))
    for index, evaluation in enumerate(block.evaluations):
        if not evaluation.condition.is_pair:
            continue
        asked, answered = evaluation.condition.question, evaluation.condition.answer
        # A pair of languages is as well resourced as the poorer of the two.
        level = max(map(_level, (asked, answered)), key=_LEVELS.index)
        groups["resources", level].append(index)
        groups["question language", asked].append(index)
        groups["answer language", answered].append(index)
        for label, languages in trained.items():
            seen = {asked, answered} <= set(languages)
            groups["training", f"{'seen' if seen else 'unseen'} by {label}"].append(index)
    kinds = [grouping for grouping, _ in groups]
    # A grouping that puts everything into one group, or every task into its own, says nothing new.
    sizes = {kind: [len(members) for (k, _), members in groups.items() if k == kind] for kind in kinds}
    return {
        key: members
        for key, members in groups.items()
        if key[0] == "all" or (kinds.count(key[0]) > 1 and max(sizes[key[0]]) > 1) or key[0] == "training"
    }


def _level(code: str) -> str:
    """Resource level of a language: classes 4 and 5 (high), 3 (mid), 0 to 2 (low) of Joshi et al. 2020.

    What they do not name (arXiv 2004.09095) is low, as everything in their class 0.
    """
    known = LANGUAGES.get(code)
    resource = known.resource if known else None
    return "low" if resource is None or resource < 3 else "mid" if resource == 3 else "high"


def _average(block: Block, grouping: str, group: str, members: Sequence[int]) -> AverageRow:
    scores: Array = block.scores[list(members)]
    finite = np.isfinite(scores)
    items = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    labels = items if block.clusters is None else block.clusters[items]
    return AverageRow(
        model=block.model.label,
        family=block.family,
        setting=block.setting.label,
        grouping=grouping,
        group=group,
        tasks=len(members),
        n=int(finite.sum()),
        macro=float(np.mean([row[ok].mean() for row, ok in zip(scores, finite, strict=True) if ok.any()])),
        micro=bootstrap_mean(scores[finite], labels[finite]),
    )
