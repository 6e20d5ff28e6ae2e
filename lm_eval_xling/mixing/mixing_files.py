"""A corpus by its name ▸ a mixed corpus on disk: what ``xling mix`` and Python call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lm_eval_xling.errors import UserError
from lm_eval_xling.files import disk_full
from lm_eval_xling.languages import resolve
from lm_eval_xling.mixing.corpus import Level, Settings, mix_corpus
from lm_eval_xling.mixing.documents import open_corpus
from lm_eval_xling.mixing.mixture import Mixture
from lm_eval_xling.mixing.words import PAPER_RATIO
from lm_eval_xling.translation import default_cache

__all__ = ["mix"]


def mix(
    corpus: str | Path,
    out: str | Path,
    languages: str | Sequence[str] | Mapping[str, float],
    *,
    unit: Level = "sentence",
    translator: str | None = None,
    source: str = "en",
    format: str | None = None,
    words: int = 8,
    ratio: float = PAPER_RATIO,
    seed: int = 42,
    limit: int | None = None,
    processes: int = 1,
    cache: str | Path | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda message: None,
) -> dict[str, Any]:
    """Mix a corpus as ``xling mix`` does: every unit goes to a language drawn at random.

    The same call after an interruption continues, with the same result.

    Args:
        corpus: a file, ``hub:OWNER/NAME,…``, ``catalog:DATASET/SPLIT/FIELD`` or ``parallel:PATTERN``.
        out: JSON lines, one document a line, which ``train("mixed", …)`` reads; a manifest is written beside it.
        languages: languages to draw from, as codes, with weights by code, or as ``en,de=2``.
        unit: ``document``, ``sentence``, ``chunk`` or ``word``: what is drawn.
        translator: ``apertium``, ``hf:…``, ``ct2:…``, ``llm:…``, ``lexicon:…`` or ``parallel:…``; none for
            parallel input.
        source: language of the input.
        format: ``text`` (at blank lines), ``lines``, ``jsonl`` or ``wikitext``; by default from the name.
        words: words a chunk.
        ratio: share of words that are drawn, for the unit ``word``.
        seed: another seed draws other languages.
        limit: take only so many documents.
        processes: processes that mix; the result is the same.
        cache: translation cache; by default one for all commands.
        overwrite: whether a corpus that was made from something else is replaced.
        say: receives a line before each step.

    Returns:
        The manifest: input, settings, translators, and under ``statistics`` how much stands in which language.

    Raises:
        UserError: if the settings, the input, the translator or the output file do not fit.
    """
    code = resolve(source).code
    mixture = Mixture.of(languages)
    settings = Settings(
        language=code, weights=mixture.weights, level=unit, words=words, ratio=ratio, seed=seed, limit=limit
    )
    opened = open_corpus(str(corpus), code, tuple(mixture.weights), format)
    if opened.parallel and cache is not None:
        raise UserError(
            "parallel input is not translated: nothing is cached", where=opened.name, fix="leave --cache out"
        )
    with disk_full(Path(out)):
        return mix_corpus(
            opened,
            Path(out),
            settings,
            translator=translator,
            cache=default_cache() if cache is None else Path(cache),
            processes=processes,
            overwrite=overwrite,
            say=say,
        )
