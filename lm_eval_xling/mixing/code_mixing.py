"""How mixed a corpus is: counts that add up over its parts, and the measures made from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from lm_eval_xling.records import MixedText
from lm_eval_xling.splitting import word_spans

__all__ = ["MixingStatistics", "code_mixing_index", "word_counts"]


def word_counts(mixed: MixedText) -> Counter[str]:
    """Return the number of words by language; words without a letter belong to none and are left out."""
    counts: Counter[str] = Counter()
    for unit in mixed.units:
        spans = word_spans(unit.text, unit.language)
        counts[unit.language] += sum(any(map(str.isalpha, unit.text[start:end])) for start, end in spans)
    return +counts


def code_mixing_index(words: Counter[str]) -> float:
    """Return the code-mixing index of a document, in [0, 100).

    ``100 · (1 − max_i w_i / n)``, where ``w_i`` are the words of language i and n all words that belong to a
    language: equation 1 of Das and Gambäck 2014, "Identifying Languages at the Word Level in Code-Mixed Indian
    Social Media Text". 0 for one language.
    """
    total = words.total()
    return 100 * (1 - max(words.values()) / total) if total else 0.0


@dataclass(slots=True)
class MixingStatistics:
    """Counts of a mixed corpus."""

    documents: int = 0
    """Number of documents."""
    units: Counter[str] = field(default_factory=Counter)
    """Units by language."""
    words: Counter[str] = field(default_factory=Counter)
    """Words by language, those without a letter left out."""
    characters: Counter[str] = field(default_factory=Counter)
    """Characters by language, separators left out."""
    switch_points: int = 0
    """Borders between two units of one document in different languages."""
    replaced: int = 0
    """Units whose source text gave way to another text."""
    fallbacks: Counter[str] = field(default_factory=Counter)
    """Units that stand in the source language because a translation was refused, by the language drawn."""
    index_sum: float = 0.0
    """Sum of the documents' code-mixing indices."""

    def add(self, texts: Iterable[MixedText]) -> None:
        """Count documents."""
        for mixed in texts:
            words = word_counts(mixed)
            self.documents += 1
            self.words.update(words)
            self.index_sum += code_mixing_index(words)
            before = None
            for unit in mixed.units:
                self.units[unit.language] += 1
                self.characters[unit.language] += len(unit.text)
                self.replaced += unit.source is not None
                if unit.fallback_from is not None:
                    self.fallbacks[unit.fallback_from] += 1
                self.switch_points += before is not None and unit.language != before
                before = unit.language

    def merge(self, other: dict[str, Any]) -> None:
        """Add the counts of another part, as ``as_json`` gave them."""
        self.documents += other["documents"]
        for name in ("units", "words", "characters", "fallbacks"):
            getattr(self, name).update(other[name])
        self.switch_points += other["switch_points"]
        self.replaced += other["replaced"]
        self.index_sum += other["index_sum"]

    def as_json(self) -> dict[str, Any]:
        """Return the counts, languages sorted."""
        counts: dict[str, Any] = {}
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            counts[name] = dict(sorted(value.items())) if isinstance(value, Counter) else value
        return counts

    def summary(self) -> dict[str, Any]:
        """Return the measures of the manifest.

        ``share`` is each language's part of the words, ``mean_unit_words`` the words a unit, ``switch_points`` are
        given as a number and for every 100 borders between units, ``code_mixing_index`` is the mean over documents.
        """
        words, units = self.words.total(), self.units.total()
        borders = units - self.documents
        return {
            "documents": self.documents,
            "units": units,
            "words": words,
            "share": {code: round(count / words, 4) for code, count in sorted(self.words.items())} if words else {},
            "units_by_language": dict(sorted(self.units.items())),
            "mean_unit_words": round(words / units, 3) if units else 0.0,
            "mean_unit_characters": round(self.characters.total() / units, 2) if units else 0.0,
            "switch_points": self.switch_points,
            "switch_points_per_100_borders": round(100 * self.switch_points / borders, 2) if borders > 0 else 0.0,
            "code_mixing_index": round(self.index_sum / self.documents, 3) if self.documents else 0.0,
            "replaced_units": self.replaced,
            "fallbacks": dict(sorted(self.fallbacks.items())),
        }
