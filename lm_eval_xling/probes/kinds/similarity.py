"""How near a text stays to itself when some of its words change language (Chua et al., arXiv 2406.16135)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lm_eval_xling.errors import UserError
from lm_eval_xling.languages import resolve_all
from lm_eval_xling.mixing import PAPER_RATIO, Mixture, Source, switch_words
from lm_eval_xling.mixing.mixture import uniform
from lm_eval_xling.probes import bands
from lm_eval_xling.probes.activations import TokenBatch, Tokens, encode, end_of_text, pool, sweep
from lm_eval_xling.probes.lexicons import Lexicons, read_lexicons
from lm_eval_xling.probes.measures import levels_and_differences
from lm_eval_xling.probes.probe import Findings, Measure, Picture, Probe, Prompt, Quantity, setting
from lm_eval_xling.probes.probed_model import ProbedModel
from lm_eval_xling.probes.vocabulary import token_bytes
from lm_eval_xling.records import MixedText
from lm_eval_xling.translation.lexicon import Lexicon

if TYPE_CHECKING:
    import torch


__all__ = ["CONTROLS", "PROBE", "TRANSLATIONS", "SimilaritySettings", "changed_versions", "similarity", "version_names"]

TRANSLATIONS = "translations"
CONTROLS = ("random foreign words", "random tokens", "dropped tokens")
POOLINGS = ("last", "mean")


@dataclass(frozen=True, slots=True)
class Versions:
    """One text and its changed versions; all of them change the same words."""

    id: str
    """Id of the text."""
    original: Tokens
    """The text."""
    changed: tuple[Tokens, ...]
    """Words replaced by translations, by random foreign words, by random tokens, and dropped."""
    words: int
    """Number of changed words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilaritySettings:
    """What the numbers of similarity depend on."""

    ratio: float = setting(PAPER_RATIO, min=0, max=1, help="Probability that a word is changed.")
    languages: Sequence[str] = setting(
        (),
        read=lambda codes: resolve_all(codes.split(",")),
        metavar="LANG,…",
        help="Languages of the translations, such as de,fr; default: all of the lexicons.",
    )
    lexicons: Lexicons = setting(
        metavar="DIR",
        read=lambda folder: read_lexicons(Path(folder)),
        help="Word lists in MUSE's format: en-de.txt, …",
    )
    seed: int = setting(42, help="Of words, languages, replacements and bands.")


def similarity(
    model: ProbedModel,
    prompts: Sequence[Prompt],
    lexicons: Lexicons,
    *,
    folder: Path,
    languages: Sequence[str],
    ratio: float = PAPER_RATIO,
    batch_tokens: int = 2048,
    seed: int = 42,
) -> Findings:
    """Compare texts with versions in which the same words are translated, replaced at random, or dropped.

    Against the paper, the controls change the very words that are translated instead of places of their own, so
    that only what stands there differs, and random words of the same foreign languages are a third control.

    Args:
        model: the model with its adapters.
        prompts: texts of one language.
        lexicons: from that language to the others.
        folder: where the cosines stand.
        languages: languages of the translations.
        ratio: probability that a word is changed; words without a translation stay.
        batch_tokens: greatest number of tokens in a batch.
        seed: of words, languages and replacements.

    Returns:
        Means with bands, and translation minus each control with a paired test; the cosines of each text in which a
        word was changed; and as ``changed_share_of_tokens`` how much that was.

    Raises:
        UserError: if a lexicon is missing, or no word was changed.
    """
    language, *others = dict.fromkeys(prompt.language for prompt in prompts)
    if others:
        raise UserError(
            f"the texts are of several languages: {language}, {', '.join(others)}", fix="give texts of one language"
        )
    versions = changed_versions(model, prompts, lexicons, language, languages, ratio, seed)

    def compute(states: Sequence[torch.Tensor], batch: TokenBatch) -> torch.Tensor:
        import torch

        found = []
        for pooling in POOLINGS:
            vectors = pool(states, batch, pooling)
            vectors = vectors.reshape(len(batch.items), -1, *vectors.shape[1:])
            found.append(torch.cosine_similarity(vectors[:, :1], vectors[:, 1:], dim=-1).transpose(1, 2))
        return torch.stack(found, dim=-1)

    kinds = (TRANSLATIONS, *CONTROLS)
    values = {
        variant: sweep(
            model,
            variant,
            [(version.original, *version.changed) for version in versions],
            compute,
            (model.states, len(kinds), len(POOLINGS)),
            folder=folder,
            name="similarity",
            key={"model": model.describe()},
            batch_tokens=batch_tokens,
        )
        for variant in model.variants
    }
    ids = [version.id for version in versions]
    return Findings(
        _measures({name: np.asarray(array, dtype=float) for name, array in values.items()}, language, seed),
        columns=version_names(),
        values={variant: array.reshape(*array.shape[:2], -1) for variant, array in values.items()},
        ids=ids,
        languages=[language] * len(ids),
        facts={
            "texts_with_changed_words": len(ids),
            "changed_share_of_tokens": 1
            - sum(len(version.changed[-1].ids) for version in versions)
            / sum(len(version.original.ids) for version in versions),
        },
    )


def version_names() -> list[str]:
    """Return a column name for each version and pooling, in the order of the flattened cosines."""
    return [f"{kind}, {pooling}" for kind in (TRANSLATIONS, *CONTROLS) for pooling in POOLINGS]


def changed_versions(
    model: ProbedModel,
    prompts: Sequence[Prompt],
    lexicons: Lexicons,
    language: str,
    languages: Sequence[str],
    ratio: float,
    seed: int,
) -> list[Versions]:
    """Return the versions of every text in which a word is changed.

    Args:
        model: for its tokenizer.
        prompts: texts of one language.
        lexicons: from that language to the others.
        language: code of the texts' language.
        languages: codes of the translations' languages.
        ratio: probability that a word is changed.
        seed: of words, languages and replacements.

    Raises:
        UserError: if a lexicon is missing, or no word was changed.
    """
    for target in languages:
        if not lexicons.get((language, target)):
            raise UserError(
                f"there is no lexicon from {language} to {target}",
                fix=f"add {language}-{target}.txt to the folder, or leave {target} out of --languages",
            )

    first = {
        pair: Lexicon({word: translations[0] for word, translations in entries.items()})
        for pair, entries in lexicons.items()
    }

    def translate(texts: Sequence[str], source: str, target: str) -> list[str | None]:
        return [first[source, target].word(word) for word in texts]

    sources = [Source(id=prompt.id, text=prompt.text, language=prompt.language) for prompt in prompts]
    mixture = Mixture(dict.fromkeys(languages, 1.0))
    mixed = switch_words(sources, mixture, translate, ratio=ratio, seed=seed)
    ordinary = _ordinary_tokens(model)
    vocabularies = {
        target: sorted({word for found in lexicons[language, target].values() for word in found})
        for target in languages
    }
    texts = [text for text in mixed if any(unit.source is not None for unit in text.units)]
    if not texts:
        raise UserError(
            "no word of the texts was changed", fix="give longer texts, a larger lexicon or a higher --ratio"
        )
    foreign = [_with_foreign_words(text, lexicons, vocabularies, seed) for text in texts]
    originals = encode(model, [text.source for text in texts])
    versions = []
    for text, original, translated, random_words in zip(
        texts, originals, encode(model, [text.text for text in texts]), encode(model, foreign), strict=True
    ):
        touched = _touched(model, text, original)
        if not touched or len(touched) == len(original.ids) - sum(original.special):
            # Nothing would be left of the text without the words, or the words were cut off at its left end.
            continue
        versions.append(
            Versions(
                id=text.id,
                original=original,
                changed=(
                    translated,
                    random_words,
                    _with_random_tokens(original, touched, ordinary, text.id, seed),
                    _without(original, touched),
                ),
                words=sum(unit.source is not None for unit in text.units),
            )
        )
    return versions


def _with_foreign_words(text: MixedText, lexicons: Lexicons, vocabularies: dict[str, list[str]], seed: int) -> str:
    """Return the text with random words of the drawn languages, never a translation, where translations stand."""
    parts = [text.leading]
    for position, unit in enumerate(text.units):
        word = unit.text
        if unit.source is not None:
            vocabulary = vocabularies[unit.language]
            right = lexicons[text.source_language, unit.language][unit.source.lower()]
            start = int(uniform(seed, text.id, position, "foreign") * len(vocabulary))
            turned = vocabulary[start:] + vocabulary[:start]
            random = next((found for found in turned if found not in right), None)
            if random is None:
                raise UserError(
                    f"the lexicon to {unit.language} has no word that is not a translation of {unit.source!r}",
                    fix="give a lexicon of more words",
                )
            word = Lexicon({unit.source.lower(): random}).word(unit.source) or random
            # The space that code-switching adds after a word where the matrix language has none.
            word += unit.text[len(unit.text.rstrip()) :]
        parts += [word, unit.separator]
    return "".join(parts)


def _touched(model: ProbedModel, text: MixedText, original: Tokens) -> list[int]:
    """Return the positions of the tokens that write the changed words of the original."""
    spans, cursor = [], len(text.leading)
    for unit in text.units:
        length = len(unit.text if unit.source is None else unit.source)
        if unit.source is not None:
            spans.append((cursor, cursor + length))
        cursor += length + len(unit.separator)
    written = model.tokenizer(text.source, return_offsets_mapping=True)
    offsets = written["offset_mapping"][: end_of_text(model.tokenizer, text.source, written["input_ids"])]
    cut = len(offsets) - len(original.ids)
    first = original.special.index(False)
    # Left truncation keeps the special tokens in front.
    kept = offsets[:first] + offsets[first + cut :]
    return [
        position
        for position, (start, end) in enumerate(kept)
        if not original.special[position] and any(start < stop and end > begin for begin, stop in spans)
    ]


def _ordinary_tokens(model: ProbedModel) -> list[int]:
    """Return the tokens that write something."""
    pieces = token_bytes(model.tokenizer, model.vocabulary)
    return [index for index, piece in enumerate(pieces) if piece.strip()]


def _with_random_tokens(
    original: Tokens, touched: Sequence[int], ordinary: Sequence[int], id: str, seed: int
) -> Tokens:
    ids = list(original.ids)
    for position in touched:
        ids[position] = ordinary[int(uniform(seed, id, position, "token") * len(ordinary))]
    return Tokens(tuple(ids), original.special)


def _without(original: Tokens, touched: Sequence[int]) -> Tokens:
    kept = [position for position in range(len(original.ids)) if position not in set(touched)]
    return Tokens(tuple(original.ids[p] for p in kept), tuple(original.special[p] for p in kept))


def _measures(values: dict[str, NDArray[np.float64]], language: str, seed: int) -> list[Measure]:
    measures = []
    for column, kind in enumerate((TRANSLATIONS, *CONTROLS)):
        measures += levels_and_differences(
            {name: array[:, :, column] for name, array in values.items()},
            bands.mean,
            difference=lambda array, base: bands.mean(array - base),
            names=[f"similarity_{pooling}" for pooling in POOLINGS],
            language=language,
            other=kind,
            seed=seed,
        )
    for column, control in enumerate(CONTROLS, start=1):
        measures += levels_and_differences(
            {name: array[:, :, 0] - array[:, :, column] for name, array in values.items()},
            bands.mean,
            difference=lambda array, base: bands.mean(array - base),
            names=[f"advantage_{pooling}" for pooling in POOLINGS],
            language=language,
            other=control,
            seed=seed,
            test=True,
        )
    return measures


def _measure(
    model: ProbedModel, prompts: Sequence[Prompt], settings: SimilaritySettings, folder: Path, batch_tokens: int
) -> Findings:
    return similarity(
        model,
        prompts,
        settings.lexicons,
        folder=folder,
        languages=settings.languages,
        ratio=settings.ratio,
        batch_tokens=batch_tokens,
        seed=settings.seed,
    )


def _draw(findings: Findings, _: Sequence[Prompt], folder: Path, model: str) -> list[Picture]:
    from lm_eval_xling.probes.pictures import draw_similarity

    return draw_similarity(findings.measures, folder, probe=PROBE, model=model, kinds=(TRANSLATIONS, *CONTROLS))


def _prepare(prompts: Sequence[Prompt], settings: SimilaritySettings) -> SimilaritySettings:
    known = tuple(target for source, target in settings.lexicons if source == prompts[0].language)
    return replace(settings, languages=tuple(settings.languages) or known)


PROBE = Probe(
    name="similarity",
    title="Crosslingual similarity",
    summary="Compare texts with versions whose words are translated, foreign at random, random tokens, or dropped.",
    reads="texts",
    settings=SimilaritySettings,
    quantities={
        "similarity_last": Quantity(
            "cosine, last token", "cosine", "Cosine of the changed text's last-token state with the original's."
        ),
        "similarity_mean": Quantity(
            "cosine, mean of tokens", "cosine", "Cosine of the changed text's mean state with the original's."
        ),
        "advantage_last": Quantity(
            "translation minus control, last token",
            "difference of cosines",
            "How much nearer the text with translated words stays to the original than the control does.",
        ),
        "advantage_mean": Quantity(
            "translation minus control, mean of tokens",
            "difference of cosines",
            "How much nearer the text with translated words stays to the original than the control does.",
        ),
    },
    prepare=_prepare,
    measure=_measure,
    draw=_draw,
    examples=(
        "--model gemma-3-270m --texts en=wiki.txt --lexicons muse --limit 200 --out similarity",
        "--model gemma-3-270m --texts en=wiki.txt --lexicons muse --peft adapters/mixed --out after",
    ),
)
