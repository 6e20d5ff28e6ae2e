"""Report ▸ the tables of the page, family by family."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from lm_eval_xling.report.answer_tables import agreement, consistency, lone_options, rows_of
from lm_eval_xling.report.cells import PAIRED, Line, Listing, interval, number, p_value, paired_cells, text
from lm_eval_xling.report.conditions import SEVERAL, name
from lm_eval_xling.report.schema import Report, ScoreRow
from lm_eval_xling.report.wording import Words, words_of

__all__ = ["group_tables", "groups_of", "languages_of", "scale_of"]


def group_tables(report: Report, family: str, setting: str) -> list[Listing]:
    """Return the tables of one family in one setting, empty ones left out."""
    scale = scale_of(report, family, setting)
    languages, words = languages_of(report, family), words_of(report)
    tables = [build(report, family, setting, scale, languages, words) for build in _BUILDERS]
    return [table for table in tables if table.lines]


def scale_of(report: Report, family: str, setting: str) -> float:
    """Return 100 where the main metric is a share, so that scores are shown as points, and 1 otherwise."""
    rows = [row for row in rows_of(report.scores, family, setting) if row.role == "main"]
    return 100.0 if all(_is_share(row) for row in rows if math.isfinite(row.score.estimate)) else 1.0


def languages_of(report: Report, family: str) -> dict[str, tuple[str, ...]]:
    """Return the languages of every condition of a family, by which lines are filtered."""
    return {
        row.condition: tuple(code for code in (row.question_language, row.answer_language) if code not in ("", SEVERAL))
        for row in report.scores
        if row.family == family
    }


def _language(code: str) -> str:
    """A language by name with its code, as columns show it."""
    return f"{name(code)} ({code})" if name(code) not in (code, "several languages") else name(code) or "–"


def _barriers(
    report: Report, family: str, setting: str, scale: float, languages: Mapping[str, tuple[str, ...]], words: Words
) -> Listing:
    lines = [
        Line(
            (
                text(row.model),
                text(words.full(family, row.condition)),
                text(words.full(family, row.reference)),
                number(row.reference_score, scale),
                number(row.score, scale),
                *paired_cells(row.paired, row.barrier, scale),
            ),
            row.model,
            languages.get(row.condition, ()),
        )
        for row in rows_of(report.barriers, family, setting)
    ]
    return Listing(
        "barriers",
        "Barriers",
        "Score in the reference minus score in the condition, on the same items. Bold: significant after "
        "Benjamini–Hochberg over all barriers of this report. Detectable: the smallest true barrier that so many "
        "items show with 80 % probability; a barrier below it may exist unseen.",
        ("model", "condition", "reference", "reference score", "score", "barrier", *PAIRED),
        tuple(lines),
    )


def _changes(
    report: Report, family: str, setting: str, scale: float, languages: Mapping[str, tuple[str, ...]], words: Words
) -> Listing:
    lines = [
        Line(
            (
                text(row.model),
                text(row.baseline),
                text(row.what),
                text(words.full(family, row.condition)),
                number(row.before, scale, sign=row.what == "barrier"),
                number(row.after, scale, sign=row.what == "barrier"),
                *paired_cells(row.paired, row.change, scale),
            ),
            row.model,
            # "question de (mean of 5)" is named by its language.
            (row.condition.split()[1],) if row.scope == "language" else languages.get(row.condition, ()),
        )
        for row in rows_of(report.changes, family, setting)
    ]
    return Listing(
        "changes",
        "Change from the baseline",
        "After minus before, on the same items. Of a score more is better; of a barrier less is.",
        ("model", "baseline", "what", "condition", "before", "after", "change", *PAIRED),
        tuple(lines),
    )


def _scores(
    report: Report, family: str, setting: str, scale: float, languages: Mapping[str, tuple[str, ...]], words: Words
) -> Listing:
    lines = [
        Line(
            (
                text(row.model),
                text(words.full(family, row.condition)),
                text(_language(row.question_language)),
                text(_language(row.answer_language)),
                text(row.metric if row.role != "fidelity" else f"{row.metric} (language fidelity)"),
                text(row.unscored) if row.unscored else number(row.score.estimate, _scale(row, scale)),
                interval(row.score.low, row.score.high, _scale(row, scale)),
                number(row.chance, _scale(row, scale)),
                number(row.n, digits=0),
                text(row.source),
            ),
            row.model,
            languages.get(row.condition, ()),
        )
        for row in rows_of(report.scores, family, setting)
    ]
    return Listing(
        "scores",
        "Scores",
        "Wilson intervals for right or wrong, bootstrap otherwise; items of one cluster are dependent. "
        "From aggregates, which know no clusters: Wilson intervals, otherwise 1.96 standard errors. "
        "For generated text, how good it is and whether it is in the right language are two metrics.",
        ("model", "condition", "question", "answer", "metric", "score", "95 % interval", "chance", "items", "from"),
        tuple(lines),
    )


def _scale(row: ScoreRow, scale: float) -> float:
    return scale if _is_share(row) else 1.0


# Metrics of the harness with a unit of their own, in which a number below 1 is small, not a share.
_OWN_UNITS = frozenset("bleu chrf chrf++ ter perplexity word_perplexity byte_perplexity bits_per_byte".split())


def _is_share(row: ScoreRow) -> bool:
    return row.metric.split("/")[0] not in _OWN_UNITS and abs(row.score.estimate) <= 1


def _effects(
    report: Report, family: str, setting: str, scale: float, languages: Mapping[str, tuple[str, ...]], words: Words
) -> Listing:
    lines = [
        Line(
            (
                text(row.model),
                text(f"{row.factor} language" if row.factor != "same" else "equal languages"),
                text(_language(row.language) if row.language else "all"),
                number(row.effect.estimate, scale, sign=True, strong=row.effect.low > 0 or row.effect.high < 0),
                interval(row.effect.low, row.effect.high, scale),
                number(row.share, 100),
            ),
            row.model,
            (row.language,) if row.language else (),
        )
        for row in rows_of(report.effects, family, setting)
    ]
    return Listing(
        "effects",
        "Which language matters: question or answer",
        "Two-way decomposition of the question × answer matrix: departure of a language's mean from the mean of all "
        "cells, and the share of the matrix's variation that the factor explains. Equal languages: what asking and "
        "answering in one language adds beyond both. What the factors' shares lack of 100 % belongs to single pairs of "
        "languages.",
        ("model", "factor", "language", "effect", "95 % interval", "share %"),
        tuple(lines),
    )


def _formats(
    report: Report, family: str, setting: str, scale: float, languages: Mapping[str, tuple[str, ...]], words: Words
) -> Listing:
    rows = [row for row in report.formats if row.family == family and row.first_setting == setting]
    lines = [
        Line(
            (
                text(row.model),
                text(words.full(family, row.condition)),
                text(f"{row.first} ▸ {row.second}"),
                number(row.first_score, scale),
                number(row.second_score, scale),
                *paired_cells(row.paired, row.paired.difference.estimate, scale)[:3],
                number(row.answered, 100),
                number(row.score_if_answered, scale),
                number(row.first_barrier, scale, sign=True),
                number(row.second_barrier, scale, sign=True),
                *(
                    (text("reference"), text("–"))
                    if row.barriers is None
                    else (
                        number(row.barriers.difference.estimate, scale, sign=True),
                        interval(row.barriers.difference.low, row.barriers.difference.high, scale),
                    )
                ),
                number(row.paired.n, digits=0),
            ),
            row.model,
            languages.get(row.condition, ()),
        )
        for row in rows
    ]
    return Listing(
        "formats",
        "How much of the barrier is the form of the answer",
        "The same items in two forms of one model: first score minus second, and the barrier in each form. Answered: "
        "share of generated answers in which a choice can be read; what cannot be read counts as wrong in the score, "
        "and is left out of the score if answered.",
        (
            "model",
            "condition",
            "forms",
            "first score",
            "second score",
            "difference",
            "95 % interval",
            "adjusted p",
            "answered %",
            "score if answered",
            "first barrier",
            "second barrier",
            "barrier from form",
            "95 % interval ",
            "items",
        ),
        tuple(lines),
    )


def _averages(
    report: Report, family: str, setting: str, scale: float, languages: Mapping[str, tuple[str, ...]], words: Words
) -> Listing:
    lines = [
        Line(
            (
                text(row.model),
                text(row.grouping),
                text(_language(row.group) if row.grouping.endswith("language") else row.group),
                number(row.macro, scale),
                number(row.micro.estimate, scale),
                interval(row.micro.low, row.micro.high, scale),
                number(row.tasks, digits=0),
                number(row.n, digits=0),
            ),
            row.model,
            (row.group,) if row.grouping.endswith("language") else (),
        )
        for row in rows_of(report.averages, family, setting)
    ]
    return Listing(
        "averages",
        "Averages over groups of languages",
        "Macro: every task counts the same. Micro: every item does. Resource levels of Joshi et al. 2020, of the "
        "poorer language of a pair; seen and unseen by what the adapter's card says.",
        ("model", "grouping", "group", "macro", "micro", "95 % interval", "tasks", "scored items"),
        tuple(lines),
    )


def _subjects(
    report: Report, family: str, setting: str, scale: float, languages: Mapping[str, tuple[str, ...]], words: Words
) -> Listing:
    lines = [
        Line(
            (
                text(row.model),
                text(row.subject),
                text(words.full(family, row.condition)),
                number(row.reference_score, scale),
                number(row.score, scale),
                *paired_cells(row.paired, row.paired.difference.estimate, scale),
            ),
            row.model,
            languages.get(row.condition, ()),
            row.subject,
        )
        for row in rows_of(report.subjects, family, setting)
    ]
    return Listing(
        "subjects",
        "Barriers by subject",
        "Where the barrier is. Few items a subject: mind the detectable effect.",
        ("model", "subject", "condition", "reference score", "score", "barrier", *PAIRED),
        tuple(lines),
    )


def _factors(
    report: Report, family: str, setting: str, scale: float, languages: Mapping[str, tuple[str, ...]], words: Words
) -> Listing:
    lines = [
        Line(
            (
                text(row.model),
                text(row.layout),
                text(row.factor),
                number(row.effect.estimate, scale, sign=True, strong=row.adjusted_p < 0.05),
                interval(row.effect.low, row.effect.high, scale),
                p_value(row.adjusted_p),
                number(row.explained, 100),
                number(row.languages, digits=0),
            ),
            row.model,
        )
        for row in rows_of(report.factors, family, setting)
    ]
    return Listing(
        "factors",
        "What goes with the barrier: script, family, resources, tokens a word",
        "Regression of the languages' barriers: what each property adds where the others are equal. A language counts "
        "once; resources in the classes of Joshi et al. 2020 below English. Explained: share of the variance between "
        "languages, by all properties together. Languages were not drawn at random, and properties go together.",
        (
            "model",
            "in the other language",
            "property",
            "adds to the barrier",
            "95 % interval",
            "adjusted p",
            "explained %",
            "languages",
        ),
        tuple(lines),
    )


_BUILDERS = (
    _barriers,
    _changes,
    _formats,
    _scores,
    _effects,
    _factors,
    lone_options,
    consistency,
    _averages,
    _subjects,
    agreement,
)


def groups_of(report: Report) -> Sequence[tuple[str, str]]:
    """Return every family with its settings, in the order of the page."""
    return sorted({(row.family, row.setting) for row in report.scores})
