"""Files, hub datasets and parallel rows ▸ documents, one at a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lm_eval_xling.errors import UserError, unknown_name
from lm_eval_xling.files import file_sha256, plain_suffix, text_lines
from lm_eval_xling.mixing.detokenising import articles
from lm_eval_xling.translation.parallel_texts import read_parallel

__all__ = ["FORMATS", "Corpus", "CorpusDocument", "open_corpus"]

FORMATS = ("text", "lines", "jsonl", "wikitext")
"""How a file or a hub dataset is divided into documents: at blank lines, at every line, JSON lines with a field
``text``, or WikiText's articles."""

_LONGEST = 50_000_000  # characters a document; a file without blank lines would otherwise fill the memory


@dataclass(frozen=True, slots=True)
class CorpusDocument:
    """One document of a corpus to be mixed."""

    id: str
    """Unique in the corpus."""
    texts: Mapping[str, str]
    """Text by language; more than one language where the input is parallel."""


class Corpus(Protocol):
    """An input that can be read more than once."""

    @property
    def name(self) -> str:
        """As the user gave it."""

    @property
    def parallel(self) -> bool:
        """Whether a document has a text in every language, so that no translator is needed."""

    def digest(self) -> str:
        """Return a hash that changes when the documents do."""

    def __iter__(self) -> Iterator[CorpusDocument]:
        """Yield the documents in a fixed order, without holding them all."""


def open_corpus(name: str, source: str, languages: Sequence[str], format: str | None = None) -> Corpus:
    """Return the corpus of a name: nothing is read yet.

    Args:
        name: a file; ``hub:OWNER/NAME,config=…,split=…,field=…``; ``catalog:DATASET/SPLIT/FIELD``; or
            ``parallel:PATTERN`` as ``translation.read_parallel`` reads it.
        source: language code of the documents.
        languages: language codes of the mixture, to be read where the input is parallel.
        format: one of ``FORMATS``; by default from the name.

    Raises:
        UserError: if there is no such file, or the name or the format is wrong.
    """
    if format is not None and format not in FORMATS:
        raise unknown_name("format", format, FORMATS)
    kind, _, argument = name.partition(":")
    codes = tuple(dict.fromkeys((source, *languages)))
    if kind == "hub":
        return _Hub(name, argument, source, format)
    if kind == "catalog":
        return _Catalog(name, argument, codes, format)
    if kind == "parallel":
        if format is not None:
            raise _rows_divide(name)
        return _Parallel(name, argument, codes)
    path = Path(name).expanduser()
    if not path.is_file():
        raise UserError("there is no such file", where=path, fix="give a file, hub:…, catalog:… or parallel:…")
    if format is None and plain_suffix(path) in (".csv", ".tsv", ".parquet", ".xlsx"):
        raise UserError("a table is no text", where=path, fix='write its texts as JSON lines, {"text": "…"}')
    return _File(name, path, source, format or ("jsonl" if plain_suffix(path) in (".jsonl", ".json") else "text"))


@dataclass(frozen=True, slots=True)
class _File:
    """A local file, read line by line."""

    name: str
    path: Path
    language: str
    format: str
    parallel: bool = False

    def digest(self) -> str:
        return f"{self.format}:{file_sha256(self.path)}"

    def __iter__(self) -> Iterator[CorpusDocument]:
        # newline="": documents of plain text keep their line ends, byte for byte.
        for document in _documents(text_lines(self.path, newline=""), self.format, self.language, self.path):
            # Plain text would be one article, and its quotation marks taken for WikiText's.
            if self.format == "wikitext" and document.id == "0" and not document.texts[self.language].startswith("="):
                raise UserError(
                    "no heading ' = Title = ' comes first: this is no WikiText",
                    where=self.path,
                    fix="leave --format out",
                )
            yield document


def _documents(lines: Iterable[str], format: str, language: str, where: object) -> Iterator[CorpusDocument]:
    if format == "jsonl":
        yield from _json_documents(lines, language, where)
        return
    readers: dict[str, Callable[[Iterable[str]], Iterator[str]]] = {"text": _blocks, "wikitext": articles}
    for number, text in enumerate(readers[format](lines) if format in readers else lines):
        if len(text) > _LONGEST:
            raise UserError(
                f"document {number} has {len(text):,} characters", where=where, fix="--format lines, or add blank lines"
            )
        yield CorpusDocument(str(number), {language: text})


def _blocks(lines: Iterable[str]) -> Iterator[str]:
    """Divide a text after its blank lines; the blocks together are the text, byte for byte."""
    block: list[str] = []
    size, ended = 0, False
    for line in lines:
        if ended and line.strip():
            yield "".join(block)
            block, size, ended = [], 0, False
        block.append(line)
        size += len(line)
        ended = ended or (not line.strip() and any(map(str.strip, block)))
        if size > _LONGEST:
            break
    if block:
        yield "".join(block)


def _json_documents(lines: Iterable[str], language: str, where: object) -> Iterator[CorpusDocument]:
    seen: set[str] = set()
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if isinstance(row, dict) and "text" not in row:
                raise ValueError(f"its fields are {', '.join(row) or 'none'}")
            text = row["text"]
            if not isinstance(text, str):
                raise TypeError("'text' is no text")
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"line {number + 1} is no document: {error}",
                where=where,
                fix='write {"text": "…"}, "id" if you have one',
            ) from None
        id = str(number if row.get("id") is None else row["id"])
        # What is drawn for a document, and whether it is held out, hangs on its id.
        if id in seen:
            raise UserError(
                f"line {number + 1} has the id {id!r} of an earlier line",
                where=where,
                fix="give each document an id of its own, or none an id",
            )
        seen.add(id)
        yield CorpusDocument(id, {language: text})


class _Hub:
    """A dataset of the hub, memory-mapped by ``datasets``."""

    parallel = False

    def __init__(self, name: str, argument: str, language: str, format: str | None) -> None:
        self.name = name
        self.language = language
        self.repository, *options = argument.split(",")
        given = dict(option.partition("=")[::2] for option in options)
        for key in given:
            if key not in ("config", "split", "field", "revision"):
                raise unknown_name("option", key, ("config", "split", "field", "revision"), where=name)
        self.config, self.revision = given.get("config"), given.get("revision")
        self.split, self.field = given.get("split", "train"), given.get("field", "text")
        wikitext = self.repository.lower().endswith("/wikitext") or self.repository == "wikitext"
        self.format = format or ("wikitext" if wikitext else "lines")
        self._loaded: Any = None

    @property
    def _rows(self) -> Any:
        if self._loaded is None:
            from datasets import load_dataset

            try:
                self._loaded = load_dataset(self.repository, self.config, split=self.split, revision=self.revision)
            except Exception as error:
                raise UserError(
                    f"the dataset cannot be loaded: {str(error).splitlines()[0]}",
                    where=self.name,
                    fix="hub:OWNER/NAME,config=CONFIG,split=SPLIT; offline, fetch it once with datasets.load_dataset",
                ) from error
            if self.field not in self._loaded.column_names:
                raise unknown_name("field", self.field, self._loaded.column_names, where=self.name)
        return self._loaded

    def digest(self) -> str:
        # The fingerprint of a loaded dataset comes from the hash of its files.
        return f"{self.format}:{self._rows._fingerprint}"

    def __iter__(self) -> Iterator[CorpusDocument]:
        texts = (row[self.field] for row in self._rows)
        if self.format == "jsonl":
            raise UserError("rows of a dataset are no JSON lines", where=self.name, fix="leave --format out")
        yield from _documents(texts, self.format, self.language, self.name)


class _Parallel:
    """Parallel files; a document has a text in every language."""

    parallel = True

    def __init__(self, name: str, pattern: str, languages: Sequence[str]) -> None:
        self.name = name
        self.pattern = pattern
        self.languages = languages

    def __iter__(self) -> Iterator[CorpusDocument]:
        texts = read_parallel(self.pattern, self.languages)
        for code in self.languages:
            if code not in texts:
                raise UserError(f"no {code!r} texts among the parallel texts ({', '.join(texts)})", where=self.name)
        for number, row in enumerate(zip(*(texts[code] for code in self.languages), strict=True)):
            yield CorpusDocument(str(number), dict(zip(self.languages, row, strict=True)))

    def digest(self) -> str:
        return _digest(self)


class _Catalog:
    """One field of a catalog dataset: parallel if it is read in more than one language."""

    def __init__(self, name: str, argument: str, languages: Sequence[str], format: str | None) -> None:
        self.name = name
        self.languages = languages
        parts = argument.split("/")
        if len(parts) != 3:
            raise UserError(
                "a catalog input has three parts", where=name, fix="catalog:DATASET/SPLIT/FIELD, see xling data list"
            )
        self.dataset, self.split, self.field = parts
        self.parallel = self.dataset != "wikitext"
        if format is not None and (self.parallel or format not in ("lines", "wikitext")):
            raise _rows_divide(name)
        self.lines = format == "lines"

    def __iter__(self) -> Iterator[CorpusDocument]:
        from lm_eval_xling.catalog import load_rows

        languages = self.languages if self.parallel else self.languages[:1]
        rows = {code: {row.id: row for row in load_rows(self.dataset, code, self.split)} for code in languages}
        for id, row in rows[languages[0]].items():
            if self.field not in row.fields:
                raise unknown_name("field", self.field, row.fields, where=self.name)
            for code in languages:
                if id not in rows[code]:
                    raise UserError(f"row {id!r} is missing in {code!r}", where=self.name)
            texts = {code: rows[code][id].fields[self.field] for code in languages}
            if self.parallel:
                yield CorpusDocument(id, texts)
                continue
            for code, text in texts.items():
                lines = text.split("\n")
                if not self.lines:
                    yield CorpusDocument(id, {code: "\n".join(articles(lines))})
                    continue
                filled = ((number, line.strip()) for number, line in enumerate(lines))
                yield from (CorpusDocument(f"{id}/{number}", {code: line}) for number, line in filled if line)

    def digest(self) -> str:
        return _digest(self)


def _rows_divide(name: str) -> UserError:
    return UserError("its rows are the documents", where=name, fix="leave --format out")


def _digest(documents: Iterable[CorpusDocument]) -> str:
    digest = hashlib.sha256()
    for document in documents:
        digest.update(json.dumps([document.id, dict(document.texts)], ensure_ascii=False).encode())
    return digest.hexdigest()
