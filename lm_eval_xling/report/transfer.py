"""A run of the ledger's tasks ▸ what was taught in some languages and is known in others, against what never was."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np

from lm_eval_xling.errors import UserError
from lm_eval_xling.files import write_atomically
from lm_eval_xling.records import Interval
from lm_eval_xling.report.cells import shown
from lm_eval_xling.report.evaluations import Evaluation
from lm_eval_xling.report.reading import read_runs
from lm_eval_xling.statistics import bootstrap_mean

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["KINDS", "Teaching", "TransferRow", "kind_of", "show_transfer", "transfer", "write_transfer"]

KINDS = {
    (True, True, True): "as it was taught",
    (True, True, False): "question and answer in two of the languages taught",
    (False, True, False): "question in another language",
    (True, False, False): "answer in another language",
    (False, False, True): "both in one other language",
    (False, False, False): "in two other languages",
}
"""By whether the question's and the answer's language were taught, and whether they are the same."""

_AS_TAUGHT = KINDS[True, True, True]
_BOTH = "both in one of the languages taught"
"""What replaces ``_AS_TAUGHT`` where a fact was taught in a question's and an answer's language that differ."""
_KINDS = (_BOTH, *KINDS.values())


@dataclass(frozen=True, slots=True)
class TransferRow:
    """Accuracy of facts that were taught and of facts that never were, asked in the same languages."""

    what: str
    """A pair of languages (``en_de``: question, then answer), or one of ``KINDS``, over its pairs."""
    pairs: int
    """Number of pairs of languages."""
    taught: Interval | None
    """Accuracy on facts that were taught, resampled by person; ``None`` where they were not asked."""
    never: Interval | None
    """On facts that were never taught: what guessing gives."""
    items: int
    """Number of answers on facts that were taught."""


def kind_of(question: str, answer: str, taught: Sequence[str]) -> str:
    """Return which of ``KINDS`` a pair of languages is, by the languages that were taught."""
    return KINDS[question in taught, answer in taught, question == answer]


@dataclass(frozen=True, slots=True)
class Teaching:
    """What was taught, and in which languages."""

    languages: Sequence[str]
    """Codes of the languages of questions and answers."""
    facts: Collection[str]
    """Ids of the facts."""
    answers: Literal["same", "crossed", "drawn"] = "same"
    """Whether an answer stood in its question's language, as in ``LedgerData``."""

    def kind_of(self, question: str, answer: str) -> str:
        """Return what a pair of languages is called."""
        kind = kind_of(question, answer, self.languages)
        return _BOTH if kind == _AS_TAUGHT and self.answers != "same" else kind

    def title(self) -> str:
        """Return what is said above the table."""
        how = {
            "same": "",
            "crossed": ", each answer in another language than its question",
            "drawn": ", question and answer each in one of them",
        }
        return f"facts taught in {', '.join(self.languages)}{how[self.answers]}"


def transfer(evaluations: Iterable[Evaluation], taught: Teaching) -> list[TransferRow]:
    """Return the table of one model: its kinds of pairs first, then its pairs.

    Args:
        evaluations: of one model, among them leaves of the ledger with samples.
        taught: what was taught; of the taught half no other fact counts.

    Raises:
        UserError: if no leaf of the ledger with a pair of languages is among them.
    """
    cells: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = {}
    kinds: dict[str, str] = {}
    for evaluation in evaluations:
        samples, condition = evaluation.samples, evaluation.condition
        half, _, pair = condition.placement.partition("_")
        if evaluation.family != "ledger" or samples is None or not condition.is_pair or not pair:
            continue
        counts = np.array([half != "taught" or id in taught.facts for id in samples.ids], dtype=bool)
        cells.setdefault(pair, {})[half] = (samples.metrics["acc"][counts], np.array(samples.clusters)[counts])
        kinds[pair] = taught.kind_of(condition.question, condition.answer)
    if not cells:
        raise UserError("no leaf of xling_ledger with samples is among the runs", fix="evaluate with --log_samples")
    by_kind = [(kind, [pair for pair in cells if kinds[pair] == kind]) for kind in _KINDS]
    return [_row(what, pairs, cells) for what, pairs in (*by_kind, *((pair, [pair]) for pair in cells)) if pairs]


def _row(what: str, pairs: Sequence[str], cells: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]) -> TransferRow:
    def score(half: str) -> tuple[Interval | None, int]:
        found = [cells[pair][half] for pair in pairs if half in cells[pair]]
        if not found:
            return None, 0
        values, people = (np.concatenate(parts) for parts in zip(*found, strict=True))
        # A model whose log-likelihoods are no numbers has no score for an item.
        known = np.isfinite(values)
        return (bootstrap_mean(values[known], people[known]) if known.any() else None), int(known.sum())

    taught, items = score("taught")
    return TransferRow(what, len(pairs), taught, score("never")[0], items)


def write_transfer(run: Path, taught: Teaching) -> list[TransferRow]:
    """Read the run folder of one model, and write the table into it as ``transfer.json``.

    Raises:
        UserError: as ``transfer`` does.
    """
    evaluations, _ = read_runs([run])
    rows = transfer(evaluations, taught)
    content = {"taught": list(taught.languages), "answers": taught.answers, "rows": [asdict(row) for row in rows]}
    # JSON has no infinity, which the bounds of one person alone are: null.
    write_atomically(run / "transfer.json", msgspec.json.format(msgspec.json.encode(content), indent=2))
    return rows


def show_transfer(rows: Sequence[TransferRow], taught: Teaching, console: Console) -> None:
    """Print the kinds of pairs, and the pairs as a matrix."""
    from rich.table import Table

    kinds = Table("asked", "pairs", "taught", "never taught", title=taught.title())
    for row in rows:
        if row.what in _KINDS:
            kinds.add_row(row.what, str(row.pairs), _cell(row.taught), _cell(row.never))
    console.print(kinds)
    pairs = {row.what: row for row in rows if row.what not in _KINDS}
    asked = list(dict.fromkeys(pair.split("_")[0] for pair in pairs))
    answered = list(dict.fromkeys(pair.split("_")[1] for pair in pairs))
    matrix = Table("question ▾ answer ▸", *answered, title="taught / never taught, percent")
    for code in asked:
        cells = [pairs.get(f"{code}_{other}") for other in answered]
        matrix.add_row(code, *(f"{_mean(c.taught)} / {_mean(c.never)}" if c else "–" for c in cells))
    console.print(matrix)


def _mean(score: Interval | None) -> str:
    return "–" if score is None else shown(100 * score.estimate, 0)


def _cell(score: Interval | None) -> str:
    if score is None:
        return "–"
    return f"{shown(100 * score.estimate)} [{shown(100 * score.low)}, {shown(100 * score.high)}]"
