"""Code-switched questions: the parts of a question drawn from its translations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from lm_eval_xling.errors import UserError
from lm_eval_xling.mixing import Mixture, mix_parallel
from lm_eval_xling.records import MixedText, Row

__all__ = ["SWITCHED", "switched_question"]

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
