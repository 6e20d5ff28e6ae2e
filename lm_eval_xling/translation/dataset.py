"""A dataset's rows ▸ the same rows in another language, stored in a mirror."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

from lm_eval_xling.catalog.dataset import Dataset, Fetched, Part
from lm_eval_xling.catalog.mirror import StoredPart, decode_rows, encode_rows
from lm_eval_xling.catalog.mirroring import MirrorWriter, fetch_dataset
from lm_eval_xling.errors import UserError, unknown_name
from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.records import Row
from lm_eval_xling.splitting import separators, split
from lm_eval_xling.translation.guarded import GuardedTranslator

__all__ = ["UNTRANSLATED", "check_translatable", "source_rows", "translate_part", "translate_rows", "translate_texts"]

UNTRANSLATED = "untranslated"
"""Key in ``Row.extra``: names of the parts whose translation was refused, and which stand in the source language."""

# Text in ``extra`` that a reader of the row sees or that is scored.
_EXTRA = ("paraphrased_question", "paraphrased_answer", "perturbed_answers")
_REFUSED_DATASETS = {
    "xquad": "its answers are spans of the context, which translation breaks",
    "mmlu_mixup": "its rows are in several languages already",
    "question_pairs": "its rows are translations already",
    "wikitext": "it is a corpus: use xling mix",
}
_BATCH = 200  # rows that are looked at before the progress moves; the cache keeps smaller steps


def translate_texts(
    texts: Sequence[str], source: str, target: str, translator: GuardedTranslator
) -> tuple[dict[str, str], set[str]]:
    """Translate whole texts, sentence by sentence, with their paragraphs.

    A sentence that comes back unchanged, a name for example, is kept; if a sentence is refused for another reason,
    the whole text stays as it is, so that no text is in two languages.

    Args:
        texts: of any length.
        source: language code.
        target: language code.
        translator: with its cache.

    Returns:
        Each text's translation, or the text itself; and the texts that were refused.
    """
    spans = {text: [span for unit in split(text, source, "sentence") for span in unit] for text in texts}
    wanted = {
        sentence: None
        for text, found in spans.items()
        for start, end in found
        if any(map(str.isalpha, sentence := text[start:end]))
    }
    entries = translator.entries(list(wanted), source, target)
    translated: dict[str, str] = {}
    refused: set[str] = set()
    for text, found in spans.items():
        leading, between = separators(text, found)
        parts = [leading]
        for position, ((start, end), separator) in enumerate(zip(found, between, strict=True)):
            sentence = text[start:end]
            entry = entries.get(sentence)
            if entry is None or entry.refusal == "copied":
                parts += [sentence, separator]
            elif entry.output is None:
                refused.add(text)
            else:
                glued = not separator and position < len(found) - 1 and not LANGUAGES[target].unspaced
                parts += [entry.output, " " if glued else separator]
        translated[text] = text if text in refused else "".join(parts)
    return translated, refused


def _texts(row: Row) -> Iterator[str]:
    yield from row.fields.values()
    yield from row.options
    if row.target is not None:
        yield row.target
    for name in _EXTRA:
        value = row.extra.get(name, ())
        yield from (value,) if isinstance(value, str) else value


def translate_rows(
    rows: Sequence[Row], target: str, translator: GuardedTranslator, *, advance: Callable[[int], None] | None = None
) -> tuple[list[Row], Counter[str]]:
    """Translate every text of the rows; ids, answers and other extras stay.

    Options stay in the source language as a whole where one of them was refused or two of them would become equal:
    a lone option in another language would give it away.

    Args:
        rows: in one language.
        target: language code.
        translator: with its cache.
        advance: called with the number of rows that are done, for progress.

    Returns:
        The rows in order, with the names of what stayed in ``extra["untranslated"]``; and how often each stayed.
    """
    done: list[Row] = []
    counts: Counter[str] = Counter()
    for start in range(0, len(rows), _BATCH):
        part = rows[start : start + _BATCH]
        texts = list(dict.fromkeys(text for row in part for text in _texts(row)))
        translated, refused = translate_texts(texts, rows[0].language, target, translator)
        for row in part:
            new, kept = _translated(row, target, translated, refused)
            counts.update(kept)
            done.append(new)
        if advance is not None:
            advance(len(part))
    return done, counts


def _translated(row: Row, target: str, translated: Mapping[str, str], refused: set[str]) -> tuple[Row, list[str]]:
    kept = [name for name, text in row.fields.items() if text in refused]
    options = tuple(translated[option] for option in row.options)
    if refused.intersection(row.options) or len(set(options)) < len(set(row.options)):
        options = row.options
        kept.append("options")
    answer = None if row.target is None else translated[row.target]
    if row.target in row.options:
        # The answer in words must remain one of the options.
        answer = options[row.options.index(row.target)]
    elif row.target in refused:
        kept.append("target")
    extra: dict[str, Any] = dict(row.extra)
    for name in set(_EXTRA) & set(extra):
        value = extra[name]
        extra[name] = translated[value] if isinstance(value, str) else [translated[text] for text in value]
        if refused.intersection((value,) if isinstance(value, str) else value):
            kept.append(name)
    if kept:
        extra[UNTRANSLATED] = sorted(kept)
    fields = {name: translated[text] for name, text in row.fields.items()}
    return replace(row, language=target, fields=fields, options=options, target=answer, extra=extra), kept


def check_translatable(dataset: Dataset) -> None:
    """Raise a ``UserError`` that says why a dataset is not translated."""
    if dataset.name in _REFUSED_DATASETS or dataset.built_in is not None:
        why = _REFUSED_DATASETS.get(dataset.name, "it is made in every language from CLDR")
        raise UserError(f"dataset {dataset.name!r} is not translated: {why}", fix="xling data list")


def translate_part(
    dataset: Dataset,
    rows: Sequence[Row],
    part: Part,
    translator: GuardedTranslator,
    mirror: MirrorWriter,
    *,
    advance: Callable[[int], None] | None = None,
) -> tuple[StoredPart, Counter[str]]:
    """Store a part of a dataset in a language that it is not published in.

    A part that is there already, from the same rows by the same translator, is not made again.

    Args:
        dataset: the entry.
        rows: the part in the language to translate from.
        part: target language and split.
        translator: with its cache.
        mirror: where to store.
        advance: called with the number of rows that are done, for progress.

    Returns:
        The stored part, and how many texts of each kind stayed in the source language.

    Raises:
        UserError: if the dataset cannot be translated, the mirror holds the part from elsewhere, or the translator
            does not know the language pair.
    """
    check_translatable(dataset)
    source = rows[0].language
    if source == part.language:
        raise UserError(f"the rows are in {source!r} already", where=f"{dataset.name} {part}", fix="another --to")
    name = f"translated: {translator.translator.identity(source, part.language)}"
    inputs = {f"{source} {part.split}": sha256(encode_rows(rows)).hexdigest()}
    held = next((stored for stored in mirror.stored(dataset.name) if stored.part == part), None)
    if held is not None and held.source != name:
        raise UserError(
            f"the mirror already holds {dataset.name} {part} from another source: {held.source}",
            where=mirror.folder / held.file,
            fix="use another folder for the mirror, so that the sources do not mix",
        )
    if held is not None and mirror.holds(dataset.name, part, name, None, inputs):
        if advance is not None:
            advance(len(rows))
        return held, Counter()
    translated, counts = translate_rows(rows, part.language, translator, advance=advance)
    return mirror.store(dataset, part, name, Fetched(translated, None, inputs)), counts


def source_rows(
    dataset: Dataset, language: str, splits: Sequence[str] | None, mirror: MirrorWriter
) -> Iterator[tuple[str, list[Row]]]:
    """Yield the splits to translate with their rows; what the mirror lacks is fetched into it.

    Tasks read the language that was translated from, too: gold comes from the English rows.

    Args:
        dataset: the entry.
        language: code of the language to translate from.
        splits: those to translate; by default the ones that the mirror holds, or else all.
        mirror: where the rows are, or will be.

    Raises:
        UserError: if a split is unknown, or can be neither read nor fetched.
    """
    for name in splits or ():
        if name not in dataset.splits:
            raise unknown_name(f"split of dataset {dataset.name!r}", name, dataset.splits)
    held = {stored.split for stored in mirror.stored(dataset.name) if stored.language == language}
    for name in splits or [name for name in dataset.splits if name in held] or dataset.splits:
        if name not in held:
            fetch_dataset(dataset, mirror, languages=[language], splits=[name])
        stored = next(p for p in mirror.stored(dataset.name) if p.part == Part(language, name))
        yield name, list(decode_rows((mirror.folder / stored.file).read_bytes(), language))
