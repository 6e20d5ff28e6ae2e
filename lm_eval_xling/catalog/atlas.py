"""Atlas: facts of countries from CLDR, our own benchmark; the rows are part of the package.

``atlas.jsonl`` is generated (``tests/generators/atlas.py``). Its first lines name an entity in every language,
``{"entity": "JP", "names": {"en": "Japan", …}}``; the others are facts whose country and options are entities,
``{"id": "capital-jp", "relation": "capital", "country": "JP", "options": ["Asia/Tokyo", …], "answer": 0}``.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from lm_eval_xling.catalog.dataset import Dataset, Part
from lm_eval_xling.catalog.papers import ZHANG
from lm_eval_xling.errors import UserError
from lm_eval_xling.languages import resolve
from lm_eval_xling.records import Row

__all__ = ["DATASET", "LANGUAGES", "PATH", "load"]

LANGUAGES = ZHANG
"""Languages in which every entity has a name: those of Zhang et al. 2024, and so of Chua et al. 2024."""

PATH = Path(__file__).with_name("atlas.jsonl")
"""The generated file."""


def load(language: str) -> list[Row]:
    """Return all facts in one language, in the file's order.

    Args:
        language: any spelling of one of ``LANGUAGES``.

    Returns:
        Rows with the field ``subject`` (name of the country), four options, and in ``extra`` the ``relation``
        (``capital``, ``continent``, ``currency``, ``official_language``) and the ISO 3166-1 code ``country``. Ids,
        options and their order are the same in every language.

    Raises:
        UserError: if the facts are not in this language.
    """
    code = resolve(language).code
    if code not in LANGUAGES:
        raise UserError(
            f"atlas has no names in {resolve(language).name} ({code})", fix=f"its languages: {', '.join(LANGUAGES)}"
        )
    names, facts = _records()
    return [
        Row(
            id=fact["id"],
            language=code,
            fields={"subject": names[fact["country"]][code]},
            options=tuple(names[entity][code] for entity in fact["options"]),
            answer=fact["answer"],
            extra={"relation": fact["relation"], "country": fact["country"]},
        )
        for fact in facts
    ]


@cache
def _records() -> tuple[dict[str, dict[str, str]], list[dict[str, Any]]]:
    """Names by entity and language, and the facts."""
    records = [json.loads(line) for line in PATH.read_text(encoding="utf-8").splitlines()]
    names = {record["entity"]: record["names"] for record in records if "entity" in record}
    return names, [record for record in records if "id" in record]


def _built_in(part: Part) -> list[Row]:
    return load(part.language)


DATASET = Dataset(
    name="atlas",
    title="capitals, continents, currencies and official languages of countries",
    licence="Unicode-3.0 (names and facts of CLDR); the selection is MIT, like the project",
    citation="lm-eval-xling; Unicode Common Locale Data Repository, through Babel",
    homepage="https://cldr.unicode.org",
    schema="fields subject (the country); 4 options; answer; extra relation, country (ISO 3166-1)",
    splits=("test",),
    languages=LANGUAGES,
    built_in=_built_in,
)
