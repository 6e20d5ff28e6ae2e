"""Word-level code-switching: single words of a matrix language give way to their translations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from icu4py.breakers import WordBreaker

from lm_eval_xling.errors import UserError
from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.mixing.mixture import Mixture, uniform
from lm_eval_xling.mixing.texts import Source, Translate, has_letters
from lm_eval_xling.records import MixedText, Unit

__all__ = ["PAPER_RATIO", "switch_words"]

PAPER_RATIO = 0.16
"""Share of words that Chua et al. 2024 (arXiv 2406.16135) replace in their embedding analysis."""


def switch_words(
    sources: Sequence[Source],
    mixture: Mixture,
    translate: Translate,
    *,
    ratio: float = PAPER_RATIO,
    seed: int = 42,
) -> list[MixedText]:
    """Replace each word, with a given probability, by its translation into a drawn language.

    Words are ICU's (UAX 29, dictionaries for scripts without spaces), punctuation apart; words without a letter are
    never drawn. What happens to a word depends on (seed, document id, position of the word) alone. The document's
    own language is the matrix language: it is left out of the draw, so that ``ratio`` is the share of words drawn.
    A drawn word without a translation stays and is marked by ``fallback_from``.

    Args:
        sources: documents in the matrix language.
        mixture: languages of the replacements.
        translate: translates single words, a lexicon for example.
        ratio: probability that a word is drawn, in [0, 1].
        seed: another seed draws other words and languages.

    Returns:
        One mixed text a document, in order; a unit is one replaced word, or a stretch of the matrix language.

    Raises:
        UserError: if the ratio is not a probability, or the mixture has only the matrix language.
    """
    if not 0 <= ratio <= 1:
        raise UserError(f"the switching ratio is {ratio:g}", fix="give a probability between 0 and 1")
    plans = []
    wanted: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
    for source in sources:
        targets = mixture.without(source.language)
        plan: list[tuple[str, str | None]] = []
        for index, word in enumerate(WordBreaker(source.text, source.language)):
            drawn = has_letters(word) and uniform(seed, source.id, index, "word") < ratio
            target = targets.draw(seed, source.id, index) if drawn else None
            plan.append((word, target))
            if target is not None:
                wanted[source.language, target][word] = None
        plans.append(plan)
    translations = {
        pair: dict(zip(found, translate(list(found), *pair), strict=True)) for pair, found in wanted.items()
    }
    mixed = []
    for source, plan in zip(sources, plans, strict=True):
        units: list[Unit] = []
        for position, (word, target) in enumerate(plan):
            translation = None if target is None else translations[source.language, target][word]
            if target is not None and translation is None:
                units.append(Unit(word, source.language, fallback_from=target))
            elif target is not None and translation is not None:
                # In a matrix language without spaces nothing else would stand between two replaced words.
                following = plan[position + 1][0] if position + 1 < len(plan) else ""
                glued = translation != word and not LANGUAGES[target].unspaced and has_letters(following)
                units.append(Unit(translation + " " if glued else translation, target, source=word))
            else:
                _append_matrix(units, word, source.language)
        mixed.append(_with_separators(source, units))
    return mixed


def _append_matrix(units: list[Unit], word: str, language: str) -> None:
    """Add a word that was not drawn to the stretch before it."""
    if units and units[-1].language == language and units[-1].fallback_from is None:
        units[-1] = Unit(units[-1].text + word, language)
    else:
        units.append(Unit(word, language))


def _with_separators(source: Source, units: list[Unit]) -> MixedText:
    """Move white space at the ends of matrix stretches to the separators."""
    leading = ""
    result: list[Unit] = []
    for unit in units:
        if unit.source is not None:
            result.append(unit)
            continue
        text = unit.text.lstrip()
        before = unit.text[: len(unit.text) - len(text)]
        if result and before:
            last = result[-1]
            result[-1] = Unit(last.text, last.language, last.separator + before, last.source, last.fallback_from)
        else:
            leading += before
        if text:
            core = text.rstrip()
            result.append(Unit(core, unit.language, text[len(core) :], unit.source, unit.fallback_from))
    return MixedText(source.id, source.language, tuple(result), leading)
