"""What conditions are called in words, for every name that the tables use."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from lm_eval_xling.report.blocks import Block, contrasts
from lm_eval_xling.report.conditions import LoggedCondition, in_words, name
from lm_eval_xling.report.evaluations import Evaluation
from lm_eval_xling.report.schema import ConditionRow, Report

__all__ = ["Words", "condition_rows", "words_of"]

_BY_LANGUAGE = re.compile(r"(question|answer) (\S+) (\(mean of \d+\))")


def condition_rows(evaluations: Sequence[Evaluation], blocks: Sequence[Block]) -> list[ConditionRow]:
    """Return one row for every task of every family, and for every mean over several."""
    rows: dict[tuple[str, str], ConditionRow] = {}
    for evaluation in evaluations:
        key = evaluation.family, evaluation.name
        rows.setdefault(key, _row(*key, in_words(evaluation.condition) or evaluation.name, evaluation.condition))
    for block in blocks:
        known = {evaluation.task: evaluation.condition for evaluation in block.evaluations}
        for contrast in contrasts(block):
            if contrast.scope != "mean":
                continue
            condition = known[contrast.tasks[-1]]
            beginning, _, rest = contrast.condition.rpartition(" (")
            described = beginning == condition.placement or condition.switched
            words = in_words(condition, any_language=True) if described else ""
            shown = f"{words} ({rest}" if words else contrast.condition
            key = block.family, contrast.condition
            rows.setdefault(key, _row(*key, shown, LoggedCondition(placement=condition.placement if words else "")))
    return sorted(rows.values(), key=lambda row: (row.family, row.condition))


def _row(family: str, condition: str, words: str, of: LoggedCondition) -> ConditionRow:
    return ConditionRow(
        family=family,
        condition=condition,
        words=words,
        placement=of.placement,
        question_language=of.question,
        answer_language=of.answer,
        others=" ".join(f"{part}={code}" for part, code in of.others),
    )


class Words:
    """What conditions of a report are called, in words alone or with the name beside them."""

    def __init__(self, known: Mapping[tuple[str, str], str]) -> None:
        self.known = known

    def short(self, family: str, condition: str) -> str:
        """Return the words, for pictures and sentences."""
        found = _BY_LANGUAGE.fullmatch(condition)
        if found is not None:
            return f"{found[1]} in {name(found[2])} {found[3]}"
        return self.known.get((family, condition), condition)

    def full(self, family: str, condition: str) -> str:
        """Return the words with the condition's own name beside them, for tables."""
        words = self.short(family, condition)
        if words == condition or _BY_LANGUAGE.fullmatch(condition):
            return words
        # The words of a mean have its number already.
        return f"{words} · {condition.partition(' (mean of')[0]}"

    def distinct(self, family: str, conditions: Iterable[str]) -> dict[str, str]:
        """Return the words by condition, with the condition's own name beside those that several have.

        Parameters make conditions of one placement that are called alike, such as the draws of several seeds.
        """
        words = {condition: self.short(family, condition) for condition in conditions}
        counts = Counter(words.values())
        return {name: self.full(family, name) if counts[told] > 1 else told for name, told in words.items()}


def words_of(report: Report) -> Words:
    """Return the words for the conditions of a report."""
    return Words({(row.family, row.condition): row.words for row in report.conditions})
