"""Code-switched texts: pieces of a text drawn from its translations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

from lm_eval_xling.composing import Placement
from lm_eval_xling.errors import UserError
from lm_eval_xling.mixing import Mixture, mix_parallel, switch_parallel
from lm_eval_xling.records import MixedText, Row, Switched, SwitchedText

__all__ = [
    "ONLY_SWITCHED",
    "SWITCHED",
    "SWITCHING",
    "SwitchingParameters",
    "switched_placement",
    "switched_question",
    "switched_text",
    "switches",
    "units_of",
]

SWITCHED = "mul"
"""ISO 639-2 for multiple languages: the language of a question that stands in several."""


def switched_question(
    rows: Mapping[str, Row], languages: Sequence[str], *, unit: Literal["chunk", "sentence"], seed: int, words: int = 8
) -> MixedText:
    """Return the question with each part in a language drawn for it.

    Args:
        rows: the item by language.
        languages: codes to draw from, each equally likely; the first sets the parts and their order.
        unit: what a part is.
        seed: of the draw, which depends on the item's id besides.
        words: words of the first language in a chunk.

    Raises:
        UserError: no language.
    """
    if not languages:
        raise UserError(
            "no language to draw from", where="languages", fix='name some, such as {"languages": ["en", "fr"]}'
        )
    first = languages[0]
    return mix_parallel(
        {language: rows[language].fields["question"].strip() for language in languages},
        first,
        Mixture(dict.fromkeys(languages, 1.0)),
        id=rows[first].id,
        unit=unit,
        words=words,
        seed=seed,
    )


@dataclass(frozen=True, slots=True)
class SwitchingParameters:
    """Parameters of families that can show a text code-switched: pieces of one language in a text of another."""

    switched: int = 0
    """Code-switching of the texts that stand in the leaf's language: the share of their units, in per cent, that comes
    from the item's translation in the other language."""
    matrix: Literal["target", "base"] = "target"
    """Matrix language of code-switched texts: the leaf's (``target``) with pieces of the base language in it, or the
    base language with pieces of the leaf's."""
    unit: Literal["chunk", "sentence"] = "chunk"
    """What is switched as a whole. Sentences mean the same in both languages, but most questions are one; chunks of
    words stand at the same place of the two texts, which is only roughly the same meaning."""
    words: int = 4
    """Words of the matrix language in a chunk."""
    seed: int = 0
    """Draws what is switched."""


SWITCHING = ("switched", "matrix", "unit", "words", "seed")
"""Names of the parameters."""

ONLY_SWITCHED: Mapping[str, str] = MappingProxyType(dict.fromkeys(SWITCHING[1:], SWITCHING[0]))
"""Parameters that change nothing unless another is given, as ``Leaf.beside``."""


def switches(parameters: SwitchingParameters) -> bool:
    """Return whether texts are shown otherwise than in the leaf's language.

    Raises:
        UserError: a share beyond 0 to 100, or a chunk without words.
    """
    if not 0 <= parameters.switched <= 100:
        raise UserError(f"a share of {parameters.switched} per cent", where="switched", fix="a number from 0 to 100")
    if parameters.words < 1:
        raise UserError(f"a chunk of {parameters.words} words", where="words", fix="1 or more; 4 by default")
    return parameters.switched > 0 or parameters.matrix == "base"


def switched_text(part: str, target: Row, base: Row, parameters: SwitchingParameters) -> SwitchedText:
    """Return a text part of an item, code-switched between two of its languages.

    Args:
        part: name of the field; each part of an item has a draw of its own.
        target: the item in the leaf's language.
        base: the item in the other language.
        parameters: share, direction and units.

    Raises:
        UserError: a language without the text.
    """
    matrix, embedded = (target, base) if parameters.matrix == "target" else (base, target)
    mixed = switch_parallel(
        {row.language: row.fields[part] for row in (matrix, embedded)},
        matrix.language,
        embedded.language,
        parameters.switched,
        id=f"{target.id}/{part}",
        unit=parameters.unit,
        words=parameters.words,
        seed=parameters.seed,
    )
    return SwitchedText(Switched(matrix.language, embedded.language, parameters.switched, parameters.unit), mixed)


def switched_placement(placement: Placement, base: str, parameters: SwitchingParameters) -> Placement:
    """Return the placement whose texts in other languages than the base are code-switched with it.

    Raises:
        UserError: a share or a chunk that cannot be.
    """
    if not switches(parameters):
        return placement

    def text(part: str, language: str, rows: Mapping[str, Row]) -> SwitchedText | None:
        return None if language == base else switched_text(part, rows[language], rows[base], parameters)

    return replace(placement, languages=tuple(dict.fromkeys((*placement.languages, base))), text=text)


def units_of(switched: Mapping[str, SwitchedText]) -> dict[str, Any]:
    """Return what a document logs of its code-switched texts: units by part, nothing where none is switched."""
    return {"units": {part: text.mixed.as_json()["units"] for part, text in switched.items()}} if switched else {}
