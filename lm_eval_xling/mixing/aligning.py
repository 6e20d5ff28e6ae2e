"""Units of parallel texts that stand against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from lm_eval_xling.splitting import Span, UnitKind, paragraphs, sentences, word_spans

__all__ = ["align"]

Aligned: TypeAlias = dict[str, Span]
"""One span of each text, by language."""


def align(texts: Mapping[str, str], source: str, unit: UnitKind, words: int) -> list[Aligned]:
    """Return the units of parallel texts, in order; together they hold every word of every text once.

    Args:
        texts: the same document by language code, none of them only white space.
        source: language in which ``words`` are counted.
        unit: what one row of the result holds.
        words: words a unit in the source language, for ``unit="chunk"``.
    """
    lines = {language: list(paragraphs(text)) for language, text in texts.items()}
    if unit == "document" or len(set(map(len, lines.values()))) > 1:
        blocks = [{language: Span(spans[0].start, spans[-1].end) for language, spans in lines.items()}]
    else:
        blocks = _rows(lines)
    if unit == "sentence":
        return [row for block in blocks for row in _sentences(texts, block)]
    if unit == "chunk":
        return [row for block in blocks for row in _chunks(texts, source, block, words)]
    return blocks


def _rows(spans: Mapping[str, Sequence[Span]]) -> list[Aligned]:
    return [dict(zip(spans, row, strict=True)) for row in zip(*spans.values(), strict=True)]


def _sentences(texts: Mapping[str, str], block: Aligned) -> list[Aligned]:
    found = {language: list(sentences(texts[language], span, language)) for language, span in block.items()}
    # With different numbers it is unknown which sentence was split or joined in translation.
    return [block] if len(set(map(len, found.values()))) > 1 else _rows(found)


def _chunks(texts: Mapping[str, str], source: str, block: Aligned, words: int) -> list[Aligned]:
    found = {language: word_spans(texts[language], language, span) for language, span in block.items()}
    total = len(found[source])
    chunks = -(-total // words)
    fewest = min(map(len, found.values()))
    if fewest < chunks:
        # No chunk may be empty in any language: fewer and longer ones.
        chunks = fewest
        bounds = [round(chunk * total / chunks) for chunk in range(chunks + 1)]
    else:
        bounds = [min(chunk * words, total) for chunk in range(chunks + 1)]
    spans = {}
    for language, parts in found.items():
        cuts = [0]
        for chunk in range(1, chunks + 1):
            nearest = round(bounds[chunk] * len(parts) / total)
            cuts.append(min(max(nearest, cuts[-1] + 1), len(parts) - (chunks - chunk)))
        spans[language] = [Span(parts[cuts[i]].start, parts[cuts[i + 1] - 1].end) for i in range(chunks)]
    return _rows(spans)
