"""A share of a text's units in another language: cut from its translation, or translated one by one."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Literal, TypeAlias

from icu4py.breakers import WordBreaker

from lm_eval_xling.hashing import stable_hash
from lm_eval_xling.mixing.mixture import uniform
from lm_eval_xling.mixing.texts import Translate, aligned_units, from_spans, has_letters, replaced
from lm_eval_xling.records import MixedText, Unit
from lm_eval_xling.splitting import Span, UnitKind, separators, split

__all__ = ["Switchable", "switch_parallel", "switch_translated"]

log = logging.getLogger(__name__)

Switchable: TypeAlias = Literal["sentence", "chunk", "word"]
"""What a translator can be asked for, inside a text."""


def _order(seed: int, id: str, units: int) -> list[int]:
    """Return the positions of a text's units in the order in which they are switched."""
    return sorted(range(units), key=lambda index: stable_hash(seed, id, index, "switched"))


def _count(share: int, seed: int, id: str, units: int) -> int:
    """Return how many of a text's units are switched: the share of them, rounded up or down by a draw."""
    # A sum that rounding takes to the next integer must not ask for more units than there are.
    return min(int(share * units / 100 + uniform(seed, id, "share")), units)


def switch_parallel(
    texts: Mapping[str, str],
    matrix: str,
    embedded: str,
    share: int,
    *,
    id: str,
    unit: UnitKind,
    words: int = 8,
    seed: int = 0,
) -> MixedText:
    """Put a share of a text's units in another language, from its translation.

    Units stand against each other as in ``mix_parallel``. Of n units ``share · n / 100`` are switched, rounded up or
    down by a draw so that the share is met on average; which ones come first is drawn, too. A unit that is switched at
    one share is switched at every greater one. Neighbours that are switched stand as in their own text.

    Args:
        texts: the text in both languages, by code.
        matrix: code of the language whose text it is.
        embedded: code of the language of the pieces.
        share: in per cent, 0 to 100.
        id: of the text; draws depend on it.
        unit: what is switched as a whole.
        words: words a unit in the matrix language, for ``unit="chunk"``.
        seed: another seed switches other units.

    Raises:
        UserError: if a language has no text or an empty one, or ``unit`` is unknown.
    """
    aligned = aligned_units(texts, (matrix, embedded), id, unit, words)
    count = _count(share, seed, id, len(aligned))
    switched = set(_order(seed, id, len(aligned))[:count])
    runs = [list(run) for _, run in groupby(range(len(aligned)), key=lambda index: index in switched)]
    rows = [
        {code: Span(aligned[run[0]][code].start, aligned[run[-1]][code].end) for code in (matrix, embedded)}
        for run in runs
    ]
    return from_spans(texts, matrix, rows, [embedded if run[0] in switched else matrix for run in runs], id)


def switch_translated(
    texts: Mapping[str, str],
    matrix: str,
    embedded: str,
    share: int,
    translate: Translate,
    *,
    unit: Switchable,
    words: int = 8,
    seed: int = 0,
) -> dict[str, MixedText]:
    """Put a share of the units of each text in another language, each translated by itself.

    Of a text's n units with a letter ``share · n / 100`` are switched, drawn as in ``switch_parallel`` from those that
    the translator has a translation of: a word that a lexicon lacks, or a translation that the guards refuse, gives way
    to the next one of the draw. Where too few have one, all of these are switched, and the number of such texts is
    logged. What no share asks for is not translated.

    Args:
        texts: the texts in the matrix language, by id; draws depend on the id.
        matrix: code of the language whose texts they are.
        embedded: code of the language of the pieces.
        share: in per cent, 0 to 100.
        translate: the translator; units of all texts are translated together.
        unit: what is switched as a whole; words are ICU's, without the punctuation beside them.
        words: words a unit, for ``unit="chunk"``.
        seed: another seed switches other units.

    Returns:
        The mixed texts, by id.
    """
    spans = {id: list(_spans(text, matrix, unit, words)) for id, text in texts.items()}
    units = {id: [texts[id][start:end] for start, end in found] for id, found in spans.items()}
    order = {id: _order(seed, id, len(found)) for id, found in spans.items()}
    count = {id: _count(share, seed, id, len(found)) for id, found in spans.items()}
    known: dict[str, str | None] = {}

    def switched(id: str) -> list[int]:
        """Return the units that are switched by what is known; one that nothing is known of may have a translation."""
        return [index for index in order[id] if known.get(units[id][index], "") is not None][: count[id]]

    while missing := list(
        dict.fromkeys(units[id][index] for id in texts for index in switched(id) if units[id][index] not in known)
    ):
        known.update(zip(missing, translate(missing, matrix, embedded), strict=True))
    mixed = {}
    short = 0
    for id, text in texts.items():
        chosen = sorted(switched(id))
        short += len(chosen) < count[id]
        pieces = {spans[id][index]: known[units[id][index]] or "" for index in chosen}
        mixed[id] = _with_pieces(text, pieces, matrix, embedded, id)
    if short:
        log.warning(
            "%s in %s: in %d of %d texts fewer than %d %% of the units (%s) have a translation, and all of these are "
            "switched",
            embedded,
            matrix,
            short,
            len(texts),
            share,
            unit,
        )
    return mixed


def _spans(text: str, language: str, unit: Switchable, words: int) -> Iterator[Span]:
    """Yield where the units with a letter stand in a text, in order."""
    if unit == "word":
        start = 0
        for word in WordBreaker(text, language):
            if has_letters(word):
                yield Span(start, start + len(word))
            start += len(word)
    else:
        for (span,) in split(text, language, unit, words):
            if has_letters(text[span.start : span.end]):
                yield span


def _with_pieces(text: str, pieces: Mapping[Span, str], matrix: str, embedded: str, id: str) -> MixedText:
    """Return a text in which other text stands in place of some of its spans."""
    spans: list[Span] = []
    position = 0
    for span in (*pieces, Span(len(text), len(text))):
        between = text[position : span.start]
        if between.strip():
            start = position + len(between) - len(between.lstrip())
            spans.append(Span(start, start + len(between.strip())))
        if span in pieces:
            spans.append(span)
        position = span.end
    leading, separator = separators(text, spans)
    units = []
    for span, after in zip(spans, separator, strict=True):
        own = text[span.start : span.end]
        if span in pieces:
            # Of the marks after a word none needs a space; a letter, in a language without spaces, does.
            closed = not has_letters(text[span.end : span.end + 1])
            units.append(replaced(own, pieces[span], embedded, after, closed))
        else:
            units.append(Unit(own, matrix, after))
    return MixedText(id, matrix, tuple(units), leading)
