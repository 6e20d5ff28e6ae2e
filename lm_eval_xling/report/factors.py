"""What goes with the barrier: properties of the language, by regression over languages."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from lm_eval_xling.composing import PLACEMENTS
from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.linear_models import linear_regression
from lm_eval_xling.report.blocks import Array, Block, contrasts
from lm_eval_xling.report.conditions import BASE, LoggedCondition
from lm_eval_xling.report.evaluations import Note
from lm_eval_xling.report.schema import BarrierRow, FactorRow, LanguageRow
from lm_eval_xling.report.token_counts import local_tokenizer, texts_in, tokens_per_word
from lm_eval_xling.statistics import benjamini_hochberg

__all__ = ["FEWEST_LANGUAGES", "counted", "factor_rows", "is_indo_european", "language_rows"]

FEWEST_LANGUAGES = 10
"""Over fewer languages a regression on these properties says nothing."""

_INDO_EUROPEAN = frozenset("Baltic Germanic Hellenic Indo-Aryan Iranian Romance Slavic".split())


def language_rows(blocks: Iterable[Block], barriers: Iterable[BarrierRow]) -> list[LanguageRow]:
    """Return the barrier of each language of the table, with what the table knows of it.

    Only of tasks in which parts of the items stand in one language beside English.

    Args:
        blocks: of all models.
        barriers: their barriers.
    """
    tested = {
        (row.model, row.family, row.setting, row.metric, row.condition): row for row in barriers if row.scope == "task"
    }
    rows = []
    for block in blocks:
        conditions = {evaluation.task: evaluation.condition for evaluation in block.evaluations}
        for contrast in contrasts(block):
            found = _other_language(conditions[contrast.tasks[-1]]) if contrast.scope == "task" else None
            language = LANGUAGES.get(found[0]) if found else None
            key = (block.model.label, block.family, block.setting.label, block.metric, contrast.condition)
            paired = tested[key].paired if key in tested else None
            if found is None or language is None or language.resource is None or paired is None:
                continue
            rows.append(
                LanguageRow(
                    model=block.model.label,
                    family=block.family,
                    setting=block.setting.label,
                    layout=found[1],
                    condition=contrast.condition,
                    language=language.code,
                    script=language.script,
                    language_family=language.family,
                    resource=language.resource,
                    barrier=paired.difference,
                )
            )
    return rows


def counted(rows: Sequence[LanguageRow], blocks: Iterable[Block], notes: list[Note]) -> list[LanguageRow]:
    """Return the rows with the tokens a word in each language, where the model's own tokenizer can be read.

    Args:
        rows: of ``language_rows``. Those that are too few for a regression are left as they are.
        blocks: with the samples that the texts are read from.
        notes: receives why a model's tokens were not counted.
    """
    languages: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for row in rows:
        languages[row.model, row.family, row.setting, row.layout].add(row.language)
    wanted = {key[:3] for key, codes in languages.items() if len(codes) >= FEWEST_LANGUAGES}
    found: dict[tuple[str, ...], float] = {}
    for block in blocks:
        key = (block.model.label, block.family, block.setting.label)
        if key not in wanted:
            continue
        tokenizer = local_tokenizer(block.model)
        if tokenizer is None:
            text = "tokens a word are not among the properties of languages: its tokenizer is not on this machine"
            notes.append(Note("missing", text, block.model.label))
            continue
        for evaluation in block.evaluations:
            other = _other_language(evaluation.condition)
            if other is not None and evaluation.samples is not None:
                texts = texts_in(other[0], evaluation.samples)
                found[(*key, evaluation.name)] = tokens_per_word(tokenizer, texts, other[0])
    return [
        replace(row, tokens_per_word=found.get((row.model, row.family, row.setting, row.condition), math.nan))
        for row in rows
    ]


def factor_rows(languages: Iterable[LanguageRow]) -> list[FactorRow]:
    """Return a regression of the barriers of each model, family, setting and layout on properties of the languages.

    Every language counts once, with its mean barrier over the items. The items are the same in all languages, so that
    what is hard in English moves all barriers alike and no slope: languages are the clusters. The intervals are
    robust to unequal variances (HC3), with a t distribution.
    """
    groups: dict[tuple[str, str, str, str], dict[str, list[LanguageRow]]] = defaultdict(lambda: defaultdict(list))
    for row in languages:
        groups[row.model, row.family, row.setting, row.layout][row.language].append(row)
    rows = [
        made for group in groups.values() if len(group) >= FEWEST_LANGUAGES for made in _regressed([*group.values()])
    ]
    adjusted = benjamini_hochberg(np.array([row.p_value for row in rows]))
    return [replace(row, adjusted_p=float(value)) for row, value in zip(rows, adjusted, strict=True)]


def _other_language(condition: LoggedCondition) -> tuple[str, str] | None:
    """Return the one language beside English in which parts of the items stand, and which; None if it is not one."""
    others = [code for code in condition.codes if code != BASE]
    if len(others) != 1:
        return None
    parts = [part for part, code in condition.languages if code == others[0] and not part.startswith("option_")]
    if not parts and condition.question != BASE:
        # Parts in several languages, drawn from English and this one alone.
        return None
    named = sorted(parts, key=lambda part: (part != "question", part)) or ["wrong options"]
    # Where the placement is that of a cell of a matrix, the parts say it all.
    placed = f" ({condition.placement})" if condition.placement in PLACEMENTS else ""
    return others[0], f"{' and '.join(named)}{placed}"


def is_indo_european(row: LanguageRow) -> bool:
    """Whether the language is of the family that English is of."""
    return row.language_family in _INDO_EUROPEAN


def _properties(row: LanguageRow) -> dict[str, float]:
    """How far a language is from English in what may raise the barrier."""
    best = LANGUAGES[BASE].resource
    assert best is not None
    return {
        "not in Latin script": float(row.script != LANGUAGES[BASE].script),
        "not Indo-European": float(not is_indo_european(row)),
        "one class of resources less": float(best - row.resource),
        # Of English not 0, which moves the intercept alone.
        "one token a word more": row.tokens_per_word,
    }


def _regressed(group: Sequence[Sequence[LanguageRow]]) -> list[FactorRow]:
    """Coefficients over languages, each with its conditions (several seeds, say), whose mean counts."""
    properties = [_properties(rows[0]) for rows in group]
    columns = {name: np.array([own[name] for own in properties]) for name in properties[0]}
    names = _told_apart({name: values for name, values in columns.items() if np.isfinite(values).all()})
    if not names:
        return []
    design = np.column_stack([np.ones(len(group)), *names.values()])
    means = np.array([np.mean([row.barrier.estimate for row in rows]) for rows in group])
    fitted = linear_regression(design, means)
    first = group[0][0]
    return [
        FactorRow(
            model=first.model,
            family=first.family,
            setting=first.setting,
            layout=first.layout,
            factor=name,
            effect=effect,
            p_value=p_value,
            adjusted_p=math.nan,
            explained=fitted.explained,
            languages=len(group),
        )
        for name, effect, p_value in zip(names, fitted.coefficients[1:], fitted.p_values[1:], strict=True)
    ]


def _told_apart(columns: dict[str, Array]) -> dict[str, Array]:
    """The properties that these languages tell apart.

    None that one language alone has, or lacks, which would be a statement on that language; and none that follows from
    those before it.
    """
    kept: dict[str, Array] = {}
    for name, values in columns.items():
        design = np.column_stack([np.ones(len(values)), *kept.values(), values])
        if min((values == value).sum() for value in {values.min(), values.max()}) == 1 and len(set(values)) == 2:
            continue
        if np.linalg.matrix_rank(design) == design.shape[1]:
            kept[name] = values
    return kept
