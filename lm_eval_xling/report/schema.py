"""What ``report.json`` holds: the typed result of a comparison, one dataclass a table.

Every number that a table, a plot or the page shows stands here. Scores are in the metric's own unit (accuracies in
[0, 1]); a barrier is positive where the reference scores higher. Numbers that are not defined are ``null`` in JSON.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from lm_eval_xling.records import Interval, PairedDifference
from lm_eval_xling.report.evaluations import EvaluatedModel, Note

__all__ = [
    "SCHEMA_VERSION",
    "AgreementRow",
    "AverageRow",
    "BarrierRow",
    "ChangeRow",
    "ConditionRow",
    "ConsistencyRow",
    "DifferenceRow",
    "EffectRow",
    "FactorRow",
    "FormatRow",
    "LanguageRow",
    "LoneOptionRow",
    "Report",
    "RunRow",
    "ScoreRow",
    "SubjectRow",
]

SCHEMA_VERSION = 2
"""Raised by every change after which a reader of the older version would be wrong."""


@dataclass(frozen=True, slots=True)
class RunRow:
    """One results file that was used."""

    path: str
    """The file."""
    model: str
    """Label of the model."""
    date: str
    """When it was written, ISO 8601."""
    tasks: int
    """Number of its tasks in this report."""
    harness: str
    """Release of lm-evaluation-harness."""
    model_type: str
    """The harness's model type (``hf``, …)."""
    limit: str
    """The ``--limit`` of the run, ``None`` without."""
    seeds: str
    """Seeds of Python, NumPy and torch."""


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """Score of one model on one task in one metric."""

    model: str
    """Label of the model."""
    family: str
    """Family of the task."""
    setting: str
    """Number of demonstrations and what else has to be equal in a comparison."""
    task: str
    """Name of the task."""
    condition: str
    """The task's name inside its family."""
    placement: str
    """Placement, where the task has one."""
    question_language: str
    """Code, ``mul`` where it differs from item to item, or empty where unknown."""
    answer_language: str
    """As ``question_language``; with options that of the right one."""
    in_matrix: bool
    """Whether it is the cell of its two languages in the matrix of its model, family and setting."""
    metric: str
    """Name of the metric."""
    role: str
    """``main`` (what barriers are computed from), ``fidelity`` (is the text in the right language), ``other``."""
    score: Interval
    """Wilson interval for right or wrong, bootstrap otherwise, both of clusters where items are dependent. From
    aggregates, which say nothing of clusters, the normal approximation in the metric's range replaces the bootstrap."""
    n: int
    """Number of items with a score."""
    chance: float
    """Expected score of a model that guesses among the options; nan where there are none to guess among."""
    source: str
    """``samples`` or ``aggregates``."""
    unscored: str
    """Why there is no score, in words; empty where there is one."""


@dataclass(frozen=True, slots=True)
class ConditionRow:
    """What a condition is called in words."""

    family: str
    """Family of the tasks."""
    condition: str
    """As the other tables name it: a task's name inside its family, or a mean over several."""
    words: str
    """The same in words; equal to ``condition`` where nothing is known of it."""
    placement: str
    """Placement; empty where it has none."""
    question_language: str
    """Code, ``mul``, or empty."""
    answer_language: str
    """Code, ``mul``, or empty."""
    others: str
    """Language of what is neither question nor answer, as ``part=code``."""


@dataclass(frozen=True, slots=True)
class FormatRow:
    """One condition asked in two forms of one model: how much of the barrier is the form of the answer."""

    model: str
    """Label of the model."""
    family: str
    """Family of the tasks."""
    first: str
    """``letters`` or ``cloze``."""
    second: str
    """``cloze`` or ``generate``."""
    first_setting: str
    """Setting of the first form, as in ``ScoreRow``."""
    second_setting: str
    """Setting of the second form."""
    condition: str
    """The condition, as the tasks of the first form name it."""
    second_condition: str
    """The same condition, as the tasks of the second form name it."""
    first_score: float
    """Score in the first form, on the items that both have."""
    second_score: float
    """Score in the second form, on the same items; an answer that cannot be read counts as wrong."""
    answered: float
    """Share of answers that can be read (``answered``); nan where nothing is generated."""
    score_if_answered: float
    """Score among those (``acc_answered``)."""
    paired: PairedDifference
    """First score minus second, its interval and tests."""
    first_barrier: float
    """Barrier of the condition in the first form; nan for the reference."""
    second_barrier: float
    """Barrier of the condition in the second form."""
    barriers: PairedDifference | None
    """First barrier minus second: what the form adds to the barrier; None for the reference."""


@dataclass(frozen=True, slots=True)
class BarrierRow:
    """Reference condition minus another condition, of one model."""

    model: str
    """Label of the model."""
    family: str
    """Family of the tasks."""
    setting: str
    """See ``ScoreRow``."""
    metric: str
    """Name of the main metric."""
    scope: str
    """``task``: one task; ``mean``: an item's mean over all tasks of a placement, or over all pairs of languages;
    ``crosslingual``: its mean over equal languages against different languages of a question × answer matrix."""
    condition: str
    """The other condition."""
    reference: str
    """The reference condition."""
    reference_score: float
    """Score of the reference on the paired items."""
    score: float
    """Score of the other condition on the paired items."""
    barrier: float
    """``reference_score - score`` (the reverse for metrics of which less is better)."""
    paired: PairedDifference | None
    """Interval and tests; None where samples are missing."""


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """What changed from the baseline model to another one."""

    model: str
    """Label of the model."""
    baseline: str
    """Label of the baseline."""
    family: str
    """Family of the tasks."""
    setting: str
    """See ``ScoreRow``."""
    metric: str
    """Name of the main metric."""
    what: str
    """``score`` or ``barrier``."""
    scope: str
    """As in ``BarrierRow``, or ``language``: an item's mean over all tasks of one question or answer language."""
    condition: str
    """The condition."""
    before: float
    """Of the baseline, on the paired items."""
    after: float
    """Of the model, on the same items."""
    change: float
    """``after - before``: for a score more is better, for a barrier less is."""
    paired: PairedDifference | None
    """Interval and tests of ``change``; None where samples are missing."""


@dataclass(frozen=True, slots=True)
class DifferenceRow:
    """Barriers of two models in one condition, whichever of them is the baseline."""

    first: str
    """Label of one model."""
    second: str
    """Label of the other."""
    family: str
    """Family of the tasks."""
    setting: str
    """See ``ScoreRow``."""
    metric: str
    """Name of the main metric."""
    scope: str
    """As in ``BarrierRow``."""
    condition: str
    """The condition."""
    reference: str
    """The reference condition."""
    first_barrier: Interval
    """Barrier of the first model, on the items that both have."""
    second_barrier: Interval
    """Barrier of the second model, on the same items."""
    difference: Interval
    """Second barrier minus first, item by item; nan where it cannot be computed."""
    n: int
    """Number of items behind it."""
    why: str
    """Why there is no difference, and each barrier is on the items of its own model; empty where there is one."""


@dataclass(frozen=True, slots=True)
class AgreementRow:
    """Whether a model gives the same answers in two conditions."""

    model: str
    """Label of the model."""
    family: str
    """Family of the tasks."""
    setting: str
    """See ``ScoreRow``."""
    first: str
    """One condition."""
    second: str
    """The other condition."""
    n: int
    """Number of items with an answer in both."""
    same: Interval
    """Share of items with the same answer."""
    same_if_first_right: float
    """Share of the same answers among items that are right in the first condition."""
    same_if_second_right: float
    """Share of the same answers among items that are right in the second condition."""
    rank_consistency: float
    """RankC (Qi et al. 2023), mean over items; nan without options' scores."""


@dataclass(frozen=True, slots=True)
class ConsistencyRow:
    """Whether a model gives the same answers in all conditions of a family."""

    model: str
    """Label of the model."""
    family: str
    """Family of the tasks."""
    setting: str
    """See ``ScoreRow``."""
    conditions: int
    """Number of conditions."""
    n: int
    """Number of items with an answer in all of them."""
    all_same: Interval
    """Share of items with the same answer everywhere (Wang et al. 2023, with s = all)."""
    all_right: Interval
    """Share of items that are right everywhere."""
    pairwise: float
    """Mean over pairs of conditions of the share of items with the same answer."""
    ac3: float
    """Harmonic mean of mean accuracy and ``pairwise`` (Wang et al. 2023)."""


@dataclass(frozen=True, slots=True)
class EffectRow:
    """One effect of the two-way decomposition of a question × answer matrix."""

    model: str
    """Label of the model."""
    family: str
    """Family of the tasks."""
    setting: str
    """See ``ScoreRow``."""
    factor: str
    """``question`` or ``answer`` language; ``same``: what equal languages add beyond both."""
    language: str
    """Code; empty for ``same``."""
    effect: Interval
    """Departure from the mean of all cells."""
    share: float
    """Share of the sum of squares of the matrix's cells about their mean that the factor explains, in [0, 1], the same
    in every row of the factor. What the factors' shares lack of 1 belongs to single pairs of languages."""


@dataclass(frozen=True, slots=True)
class LoneOptionRow:
    """How often the option that alone is in (or not in) English is chosen: avoiding is not the same as not knowing."""

    model: str
    """Label of the model."""
    family: str
    """Family of the tasks."""
    setting: str
    """See ``ScoreRow``."""
    condition: str
    """The condition."""
    option: str
    """``non-English`` or ``English``: what the lone option is."""
    right: str
    """Whether the lone option is the right one: ``yes``, ``no`` or ``sometimes``."""
    n: int
    """Number of items."""
    chosen: Interval
    """Share of items in which it is chosen."""
    chance: float
    """That share for a model that guesses."""
    chance_p: float
    """Exact binomial p-value against chance, of dependent items on their effective number; Benjamini–Hochberg adjusted
    over the table."""
    reference: float
    """Share of the same items whose same option is chosen where all options are English; nan if not evaluated."""
    difference: PairedDifference | None
    """``reference`` minus ``chosen``: positive where the model avoids the lone option."""


@dataclass(frozen=True, slots=True)
class AverageRow:
    """Average of a model over a group of tasks."""

    model: str
    """Label of the model."""
    family: str
    """Family of the tasks."""
    setting: str
    """See ``ScoreRow``."""
    grouping: str
    """``all``, ``resources`` (Joshi et al. 2020), ``training`` (the adapter's card), or ``question language``."""
    group: str
    """The group: ``high``, ``seen``, a language code, …"""
    tasks: int
    """Number of tasks."""
    n: int
    """Number of scored items over all tasks."""
    macro: float
    """Unweighted mean of the tasks' scores."""
    micro: Interval
    """Mean over all scored items; the interval resamples items with all their conditions."""


@dataclass(frozen=True, slots=True)
class SubjectRow:
    """Score and barrier of one condition in one subject."""

    model: str
    """Label of the model."""
    family: str
    """Family of the tasks."""
    setting: str
    """See ``ScoreRow``."""
    condition: str
    """The condition."""
    subject: str
    """The subject."""
    n: int
    """Number of items with a score in the reference and the condition."""
    reference_score: float
    """Score of the reference."""
    score: float
    """Score of the condition."""
    paired: PairedDifference
    """The barrier, its interval and tests."""


@dataclass(frozen=True, slots=True)
class LanguageRow:
    """Barrier of one language, with what is known of the language."""

    model: str
    """Label of the model."""
    family: str
    """Family of the tasks."""
    setting: str
    """See ``ScoreRow``."""
    layout: str
    """What stands in the language: ``question``, ``answer and question (full)``, …; the rest stands in English."""
    condition: str
    """The condition."""
    language: str
    """Code."""
    script: str
    """ISO 15924 code of its script."""
    language_family: str
    """Family, of Indo-European languages the branch."""
    resource: int
    """Class of resources, 0 to 5 (Joshi et al. 2020)."""
    barrier: Interval
    """Score in English minus score in this condition."""
    tokens_per_word: float = math.nan
    """Of the items' texts in this language, by the model's own tokenizer; nan where it could not be read."""


@dataclass(frozen=True, slots=True)
class FactorRow:
    """What one property of languages adds to the barrier, in a regression over all languages of a layout."""

    model: str
    """Label of the model."""
    family: str
    """Family of the tasks."""
    setting: str
    """See ``ScoreRow``."""
    layout: str
    """As in ``LanguageRow``."""
    factor: str
    """The property, of which English has none."""
    effect: Interval
    """Coefficient: what it adds to the barrier where the other properties are equal."""
    p_value: float
    """Against 0."""
    adjusted_p: float
    """The same, Benjamini–Hochberg adjusted over the table."""
    explained: float
    """Share of the variance between languages that all properties together explain (R²)."""
    languages: int
    """Number of languages."""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that a report says."""

    schema_version: int
    """See ``SCHEMA_VERSION``."""
    version: str
    """Of lm-eval-xling."""
    resamples: int
    """Bootstrap samples behind every interval."""
    models: tuple[EvaluatedModel, ...]
    """Every model, in the order of labels."""
    runs: tuple[RunRow, ...]
    """Every results file that was used."""
    notes: tuple[Note, ...]
    """What to know of the input; never empty by accident."""
    conditions: tuple[ConditionRow, ...]
    """What the conditions of the other tables are called in words."""
    scores: tuple[ScoreRow, ...]
    """Scores."""
    barriers: tuple[BarrierRow, ...]
    """Barriers."""
    changes: tuple[ChangeRow, ...]
    """Changes from baseline to model."""
    formats: tuple[FormatRow, ...]
    """Conditions that were asked in several forms."""
    agreement: tuple[AgreementRow, ...]
    """Same answers, by pair of conditions."""
    consistency: tuple[ConsistencyRow, ...]
    """Same answers, over all conditions."""
    effects: tuple[EffectRow, ...]
    """Two-way decompositions."""
    lone_options: tuple[LoneOptionRow, ...]
    """Bias towards English options."""
    averages: tuple[AverageRow, ...]
    """Macro and micro averages."""
    subjects: tuple[SubjectRow, ...]
    """By subject."""
    languages: tuple[LanguageRow, ...] = ()
    """Barriers by language; empty in reports of earlier releases."""
    factors: tuple[FactorRow, ...] = ()
    """What goes with them."""
    differences: tuple[DifferenceRow, ...] = ()
    """Barriers of every two models beside each other; empty in reports of earlier releases."""
