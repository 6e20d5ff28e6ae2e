"""Units ▸ mixed text: every unit in a drawn language, by a translator or from parallel texts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

from lm_eval_xling.errors import UserError, unknown_name
from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.mixing.aligning import align
from lm_eval_xling.mixing.mixture import Mixture
from lm_eval_xling.records import MixedText, Unit
from lm_eval_xling.splitting import UNIT_KINDS, Span, UnitKind, separators, split

__all__ = ["Source", "Translate", "aligned_units", "from_spans", "has_letters", "mix_parallel", "mix_texts", "replaced"]


class Translate(Protocol):
    """What mixing asks of a translator."""

    def __call__(self, texts: Sequence[str], source: str, target: str) -> Sequence[str | None]:
        """Return one translation a text, in order; None where there is none that may be used."""


@dataclass(frozen=True, slots=True)
class Source:
    """A document before mixing."""

    id: str
    """Unique in the corpus; draws depend on it."""
    text: str
    """The whole document; its lines are paragraphs."""
    language: str
    """Language code of ``text``."""


def has_letters(text: str) -> bool:
    """Return whether there is anything to translate: numbers and punctuation stay as they are."""
    return any(map(str.isalpha, text))


def replaced(source: str, text: str, language: str, separator: str, last: bool) -> Unit:
    """Return the unit whose source text gave way to ``text``."""
    if text == source:
        return Unit(text, language, separator, source)
    # A sentence that comes from a language without spaces has no separator; its translation needs one.
    glued = not separator and not last and not (language in LANGUAGES and LANGUAGES[language].unspaced)
    return Unit(text + " " if glued else text, language, separator, source)


def mix_texts(
    sources: Sequence[Source],
    mixture: Mixture,
    translate: Translate,
    *,
    unit: UnitKind,
    words: int = 8,
    seed: int = 42,
) -> list[MixedText]:
    """Put every unit of every document in a language drawn from the mixture.

    The draw depends on (seed, document id, position of the unit) alone. Units without a letter stay as they are.
    Sentences of one document unit that end up in the same language are one unit of the result.

    Args:
        sources: documents; all units of one language pair are translated in one call.
        mixture: target languages; a unit that draws the document's own language keeps its text.
        translate: the translator, for every (document language, other language) pair.
        unit: what is drawn as a whole.
        words: words a unit, for ``unit="chunk"``.
        seed: another seed draws other languages.

    Returns:
        One mixed text a document, in order.
    """
    drawn: list[list[tuple[int, Span, str]]] = []
    wanted: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
    for source in sources:
        plan = []
        for index, spans in enumerate(split(source.text, source.language, unit, words)):
            language = mixture.draw(seed, source.id, index)
            for span in spans:
                text = source.text[span.start : span.end]
                target = language if has_letters(text) else source.language
                plan.append((index, span, target))
                if target != source.language:
                    wanted[source.language, target][text] = None
        drawn.append(plan)
    translations = {
        pair: dict(zip(texts, translate(list(texts), *pair), strict=True)) for pair, texts in wanted.items()
    }
    return [_assembled(source, plan, translations) for source, plan in zip(sources, drawn, strict=True)]


def _assembled(
    source: Source,
    plan: Sequence[tuple[int, Span, str]],
    translations: Mapping[tuple[str, str], Mapping[str, str | None]],
) -> MixedText:
    leading, between = separators(source.text, [span for _, span, _ in plan])
    units: list[tuple[int, Unit]] = []
    for position, ((index, span, target), separator) in enumerate(zip(plan, between, strict=True)):
        text = source.text[span.start : span.end]
        if target == source.language:
            units.append((index, Unit(text, target, separator)))
            continue
        translation = translations[source.language, target][text]
        if translation is None:
            units.append((index, Unit(text, source.language, separator, fallback_from=target)))
        else:
            last = position == len(plan) - 1
            units.append((index, replaced(text, translation, target, separator, last)))
    same = groupby(units, key=lambda entry: (entry[0], entry[1].language, entry[1].fallback_from))
    return MixedText(source.id, source.language, tuple(_joined([unit for _, unit in run]) for _, run in same), leading)


def _joined(run: Sequence[Unit]) -> Unit:
    """Return consecutive pieces of one language as one unit."""
    if len(run) == 1:
        return run[0]
    first, last = run[0], run[-1]
    text = "".join(unit.text + unit.separator for unit in run[:-1]) + last.text
    source = None
    if any(unit.source is not None for unit in run):
        sources = [unit.text if unit.source is None else unit.source for unit in run]
        source = "".join(part + unit.separator for part, unit in zip(sources, run[:-1], strict=False)) + sources[-1]
    return Unit(text, first.language, last.separator, source, first.fallback_from)


def mix_parallel(
    texts: Mapping[str, str],
    source_language: str,
    mixture: Mixture,
    *,
    id: str,
    unit: UnitKind,
    words: int = 8,
    seed: int = 42,
) -> MixedText:
    """Put every unit of a document in a drawn language, from given translations of the whole document.

    Where all texts have equally many lines, line stands against line. Within a line, sentence stands against
    sentence if all languages have equally many, else the line is one unit. Chunks of words stand against the words
    at the same relative position, which is only roughly the same meaning: word order differs between languages.

    Args:
        texts: the document by language code; all of the mixture and the source language.
        source_language: language whose units, separators and id the result has.
        mixture: languages to draw from.
        id: of the document; draws depend on it.
        unit: what is drawn as a whole.
        words: words a unit in the source language, for ``unit="chunk"``.
        seed: another seed draws other languages.

    Raises:
        UserError: if a language has no text or an empty one, or ``unit`` is unknown.
    """
    languages = tuple(dict.fromkeys((source_language, *mixture.weights)))
    aligned = aligned_units(texts, languages, id, unit, words)
    drawn = [mixture.draw(seed, id, index) for index in range(len(aligned))]
    return from_spans(texts, source_language, aligned, drawn, id)


def aligned_units(
    texts: Mapping[str, str], languages: Sequence[str], id: str, unit: UnitKind, words: int
) -> list[dict[str, Span]]:
    """Return the units of parallel texts, one span of each text a unit, as ``align`` does.

    Args:
        texts: the document by language code.
        languages: those to align; chunks are counted in words of the first.
        id: of the document, for messages.
        unit: what one row of the result holds.
        words: words a unit, for ``unit="chunk"``.

    Raises:
        UserError: if a language has no text or an empty one, or ``unit`` is unknown.
    """
    if unit not in UNIT_KINDS:
        raise unknown_name("unit", unit, UNIT_KINDS)
    for language in languages:
        if not texts.get(language, "").strip():
            raise UserError(
                f"no {language!r} text among the parallel texts ({', '.join(texts)})",
                where=id,
                fix="leave the language out of the mixture, or use rows that have it",
            )
    return align({language: texts[language] for language in languages}, languages[0], unit, words)


def from_spans(
    texts: Mapping[str, str],
    source_language: str,
    rows: Sequence[Mapping[str, Span]],
    languages: Sequence[str],
    id: str,
) -> MixedText:
    """Return a document of units in these languages, given where each stands in the texts."""
    text = texts[source_language]
    leading, between = separators(text, [row[source_language] for row in rows])
    units = []
    for index, (row, language, separator) in enumerate(zip(rows, languages, between, strict=True)):
        start, end = row[source_language]
        if language == source_language:
            units.append(Unit(text[start:end], language, separator))
        else:
            other = row[language]
            last = index == len(rows) - 1
            units.append(replaced(text[start:end], texts[language][other.start : other.end], language, separator, last))
    return MixedText(id, source_language, tuple(units), leading)
