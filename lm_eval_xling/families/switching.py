"""Code-switched texts: pieces of a text drawn from its translations."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from lm_eval_xling.composing import Placement, TextPart
from lm_eval_xling.errors import UserError
from lm_eval_xling.languages import resolve
from lm_eval_xling.mixing import Mixture, Switchable, mix_parallel, switch_parallel, switch_translated
from lm_eval_xling.records import MixedText, Row, Switched, SwitchedText

if TYPE_CHECKING:
    from lm_eval_xling.translation import Translator

__all__ = [
    "ONLY_SWITCHED",
    "SWITCHED",
    "SWITCHING",
    "SwitchingParameters",
    "switched_placement",
    "switched_question",
    "switched_texts",
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
    """Code-switching of the texts that stand in the leaf's language: the share of their units, in per cent, that stands
    in the other language, cut from the item's translation or made by a ``translator``."""
    matrix: Literal["target", "base"] = "target"
    """Matrix language of code-switched texts: the leaf's (``target``) with pieces of the base language in it, or the
    base language with pieces of the leaf's."""
    unit: Switchable = "chunk"
    """What is switched as a whole. Sentences mean the same in both languages, but most questions are one; chunks of
    words stand at the same place of the two texts, which is only roughly the same meaning; single words have no
    counterpart there, and need a ``translator``."""
    words: int = 4
    """Words of the matrix language in a chunk."""
    translator: str | None = None
    """What makes the pieces, in place of the item's translation: as after ``xling mix --with``, such as
    ``lexicon:{source}-{target}.tsv`` or ``apertium``."""
    seed: int = 0
    """Draws what is switched."""


SWITCHING = ("switched", "matrix", "unit", "words", "translator", "seed")
"""Names of the parameters."""

ONLY_SWITCHED: Mapping[str, str] = MappingProxyType(dict.fromkeys(SWITCHING[1:], SWITCHING[0]))
"""Parameters that change nothing unless another is given, as ``Leaf.beside``."""


def switches(parameters: SwitchingParameters) -> bool:
    """Return whether texts are shown otherwise than in the leaf's language.

    Raises:
        UserError: a share beyond 0 to 100, a chunk without words, or words without a translator.
    """
    if not 0 <= parameters.switched <= 100:
        raise UserError(f"a share of {parameters.switched} per cent", where="switched", fix="a number from 0 to 100")
    if parameters.words < 1:
        raise UserError(f"a chunk of {parameters.words} words", where="words", fix="1 or more; 4 by default")
    if parameters.unit == "word" and parameters.translator is None:
        raise UserError(
            "single words have no counterpart in parallel texts",
            where="unit: word",
            fix='name what translates them too, such as "translator": "lexicon:{source}-{target}.tsv"',
        )
    return parameters.switched > 0 or parameters.matrix == "base"


def switched_texts(asked: Sequence[TextPart], base: str, parameters: SwitchingParameters) -> list[SwitchedText]:
    """Return text parts of items, each code-switched between its language and the base language.

    Args:
        asked: the parts; each has a draw of its own. Of their rows those in the matrix language are read, and those in
            the other one where pieces come from there.
        base: code of the base language.
        parameters: share, direction, units, and where pieces come from.

    Raises:
        UserError: a language without the text, or a translator that cannot be used.
    """
    if parameters.translator is not None:
        return _by_translator(asked, base, parameters, parameters.translator)
    assert parameters.unit != "word", "which `switches` refuses"
    made = []
    for part in asked:
        matrix, embedded = _direction(part, base, parameters)
        mixed = switch_parallel(
            {code: part.rows[code].fields[part.name] for code in (matrix, embedded)},
            matrix,
            embedded,
            parameters.switched,
            id=_id(part),
            unit=parameters.unit,
            words=parameters.words,
            seed=parameters.seed,
        )
        made.append(SwitchedText(Switched(matrix, embedded, parameters.switched, parameters.unit), mixed))
    return made


def _direction(part: TextPart, base: str, parameters: SwitchingParameters) -> tuple[str, str]:
    """Return the codes of the matrix language and of the embedded one."""
    return (part.language, base) if parameters.matrix == "target" else (base, part.language)


def _id(part: TextPart) -> str:
    """Return what the draws of a part depend on."""
    return f"{part.rows[part.language].id}/{part.name}"


def _by_translator(
    asked: Sequence[TextPart], base: str, parameters: SwitchingParameters, name: str
) -> list[SwitchedText]:
    """Return the parts with pieces that a translator made, which the cache of all commands keeps."""
    from lm_eval_xling.translation import open_translator

    translator = open_translator(name)
    by_pair: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for part in asked:
        matrix, embedded = _direction(part, base, parameters)
        by_pair[matrix, embedded][_id(part)] = part.rows[matrix].fields[part.name]
    made: dict[tuple[str, str, str], SwitchedText] = {}
    for (matrix, embedded), texts in by_pair.items():
        for code in (matrix, embedded):
            # Of a language that is not in the project's table translators know nothing.
            resolve(code)
        translator.check(matrix, embedded)
        digest = hashlib.blake2b(translator.identity(matrix, embedded).encode(), digest_size=8).hexdigest()
        how = Switched(matrix, embedded, parameters.switched, parameters.unit, f"{name.partition(':')[0]}:{digest}")
        mixed = switch_translated(
            texts,
            matrix,
            embedded,
            parameters.switched,
            partial(_translated, translator),
            unit=parameters.unit,
            words=parameters.words,
            seed=parameters.seed,
        )
        made |= {(matrix, embedded, id): SwitchedText(how, text) for id, text in mixed.items()}
    return [made[(*_direction(part, base, parameters), _id(part))] for part in asked]


def _translated(translator: Translator, texts: Sequence[str], source: str, target: str) -> list[str | None]:
    """Translate through the cache; progress is shown of what takes longer than a moment."""
    from tqdm import tqdm

    from lm_eval_xling.translation import Cache, GuardedTranslator, default_cache

    label = f"translating from {source} to {target}"
    with tqdm(total=len(texts), desc=label, unit="text", delay=2, disable=None) as progress:
        return GuardedTranslator(translator, Cache(default_cache()), advance=progress.update)(texts, source, target)


def switched_placement(placement: Placement, base: str, parameters: SwitchingParameters) -> Placement:
    """Return the placement whose texts in other languages than the base are code-switched with it.

    Raises:
        UserError: a share or a unit that cannot be.
    """
    if not switches(parameters):
        return placement

    def texts(asked: Sequence[TextPart]) -> list[SwitchedText | None]:
        others = [part for part in asked if part.language != base]
        made = iter(switched_texts(others, base, parameters))
        return [None if part.language == base else next(made) for part in asked]

    # A translator makes the pieces from the text that they stand in.
    read = () if parameters.translator is not None and parameters.matrix == "target" else (base,)
    return replace(placement, languages=tuple(dict.fromkeys((*placement.languages, *read))), texts=texts)


def units_of(switched: Mapping[str, SwitchedText]) -> dict[str, Any]:
    """Return what a document logs of its code-switched texts: units by part, nothing where none is switched."""
    return {"units": {part: text.mixed.as_json()["units"] for part, text in switched.items()}} if switched else {}
