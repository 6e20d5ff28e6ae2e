"""Mixed corpora ▸ packed blocks on disk: memory does not grow with the corpus."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from lm_eval_xling.errors import UserError
from lm_eval_xling.files import json_lines
from lm_eval_xling.mixing.mixture import uniform
from lm_eval_xling.records import MixedText
from lm_eval_xling.training.batching import Batching
from lm_eval_xling.training.configuration import CorpusData
from lm_eval_xling.training.provenance import vocabulary_hash
from lm_eval_xling.training.tokenizing import beginning, cut_texts, pack_texts

__all__ = ["corpus_languages", "held_out_share", "held_out_texts", "mixed_languages", "packed_blocks", "read_corpus"]

_MOST_HELD_OUT = 0.1
"""Share of a corpus that is held out at most."""


def read_corpus(paths: Sequence[Path], limit: int | None = None) -> Iterator[MixedText]:
    """Read the documents of files that ``xling mix`` wrote, one at a time.

    Raises:
        UserError: if a file cannot be read, or a line is not a mixed text.
    """
    return islice(_documents(paths), limit)


def corpus_languages(data: CorpusData) -> tuple[str, ...]:
    """Return the codes of the languages in the text of a corpus that is trained on, sorted.

    Raises:
        UserError: if the corpus is empty.
    """
    codes: set[str] = set()
    empty = True
    for document in read_corpus(data.corpus, data.limit):
        empty = empty and not document.text.strip()
        codes |= {unit.language for unit in document.units} if data.text == "mixed" else {document.source_language}
    if empty:
        raise UserError("the corpus is empty", where=_named(data), fix="write one with xling mix")
    return tuple(sorted(codes))


def mixed_languages(data: CorpusData) -> tuple[str, ...]:
    """Return ``corpus_languages`` of a corpus that is all of a run's text.

    Raises:
        UserError: if the corpus is empty, or its mixed text is asked for and there is one language only.
    """
    codes = corpus_languages(data)
    if data.text == "mixed" and len(codes) < 2:
        raise UserError(
            f"the corpus is in one language, {', '.join(codes)}: nothing is mixed",
            where=_named(data),
            fix="mix it with xling mix, or say data.text=source to train on one language",
        )
    return codes


def _named(data: CorpusData) -> str:
    return ", ".join(map(str, data.corpus)) or "data.corpus"


def held_out_share(data: CorpusData) -> float:
    """Return the share of the documents that holds out about ``data.held_out`` of them, in [0, 0.1].

    Of fewer documents than give one held out at that share, none is: the draw could take the only one.
    """
    if data.held_out <= 0:
        return 0.0
    count = sum(1 for _ in read_corpus(data.corpus, data.limit))
    return min(_MOST_HELD_OUT, data.held_out / count) if count * _MOST_HELD_OUT >= 1 else 0.0


def held_out_texts(data: CorpusData, share: float) -> dict[str, list[str]]:
    """Return the documents that are not trained, language by language.

    A document is drawn by its id alone, so that corpora of one input, which differ in unit or seed, hold out the same.
    In its source language it is read as it was before mixing; of the other languages it gives the units in them.

    Args:
        data: corpus.
        share: as ``held_out_share`` gives it.

    Returns:
        Language code to texts.
    """
    texts: dict[str, list[str]] = {}
    for document in read_corpus(data.corpus, data.limit):
        if not _is_held_out(document, share):
            continue
        texts.setdefault(document.source_language, []).append(document.source)
        parts: dict[str, str] = {}
        for unit in document.units if data.text == "mixed" else ():
            if unit.language != document.source_language:
                parts[unit.language] = parts.get(unit.language, "") + unit.text + (unit.separator or " ")
        for code, text in parts.items():
            texts.setdefault(code, []).append(text)
    return dict(sorted(texts.items()))


def packed_blocks(
    data: CorpusData,
    tokenizer: Any,
    folder: Path,
    sha256: Sequence[str] = (),
    *,
    share: float = 0.0,
    batching: Batching = "packed",
) -> Any:
    """Tokenise and pack a corpus into a memory-mapped dataset of blocks.

    Args:
        data: corpus, which text of it, and block length in tokens.
        tokenizer: of the model.
        folder: where the blocks are kept, so that a continued run finds them.
        sha256: of the files; blocks of other files are packed anew.
        share: of the documents that are held out.
        batching: ``padded`` puts one text into a row.

    Raises:
        UserError: if a block holds no text.
    """
    from datasets import Dataset, Features, List, Value
    from datasets.fingerprint import Hasher

    numbers = List(Value("int32"))
    names = ("input_ids", "labels", "position_ids")
    identity = [list(sha256), data.text, data.block, data.limit, share, batching, vocabulary_hash(tokenizer)]
    return Dataset.from_generator(
        _blocks,
        features=Features({name: numbers for name in names}),
        cache_dir=str(folder),
        gen_kwargs={"data": data, "tokenizer": tokenizer, "share": share, "batching": batching},
        fingerprint=Hasher.hash([*identity, beginning(tokenizer)]),
    )


def _blocks(data: CorpusData, tokenizer: Any, share: float, batching: Batching) -> Iterator[Any]:
    documents = (document for document in read_corpus(data.corpus, data.limit) if not _is_held_out(document, share))
    texts = (document.text if data.text == "mixed" else document.source for document in documents)
    return (pack_texts if batching == "packed" else cut_texts)(texts, tokenizer, data.block)


def _is_held_out(document: MixedText, share: float) -> bool:
    return uniform("held out", document.id) < share


def _documents(paths: Sequence[Path]) -> Iterator[MixedText]:
    fix = "write the corpus with xling mix"
    for path in paths:
        for where, row in json_lines(path, fix=fix):
            try:
                yield MixedText.from_json(row)
            except (ValueError, KeyError, TypeError):
                raise UserError("not a line of a mixed corpus", where=where, fix=fix) from None
