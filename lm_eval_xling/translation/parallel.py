"""Looks up given parallel sentences: human translations instead of a translator."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from lm_eval_xling.errors import UserError
from lm_eval_xling.files import plain_suffix, read_text
from lm_eval_xling.languages import LANGUAGES, resolve
from lm_eval_xling.translation.patterns import fill
from lm_eval_xling.translation.translator import Translator, unsupported

__all__ = ["ParallelTranslator", "read_parallel"]


def read_parallel(pattern: str, languages: Sequence[str] = ()) -> dict[str, list[str]]:
    """Read parallel texts: equally many for every language, those of one row stand at one index.

    Three forms are read: JSON lines with one text by language (``{"en": "Hello", "fr": "Bonjour"}``), tab-separated
    values whose header names the languages, and one plain file a language with ``{language}`` in its name (a text a
    line, as FLORES has it). Languages may be spelled in any way that ``languages.resolve`` knows.

    Args:
        pattern: path of the file, or pattern of the files.
        languages: codes to read; for the plain form only.

    Raises:
        UserError: if a file is missing, unreadable, or its rows do not have the same languages.
    """
    if "{" in pattern:
        texts = {code: _lines(Path(fill(pattern, language=code)).expanduser()) for code in languages}
        counts = {code: len(lines) for code, lines in texts.items()}
        if len(set(counts.values())) > 1:
            found = ", ".join(f"{code} {count}" for code, count in counts.items())
            raise UserError(f"the files have different numbers of lines: {found}", where=pattern)
        return texts
    path = Path(pattern).expanduser()
    rows = list(_json_rows(path) if plain_suffix(path) in (".jsonl", ".json") else _table_rows(path))
    if not rows:
        raise UserError("the file holds no rows", where=path)
    return {code: [row[code] for row in rows] for code in rows[0]}


def _lines(path: Path) -> list[str]:
    # splitlines() would also split at separators that stand inside sentences.
    return read_text(path).removesuffix("\n").split("\n")


def _json_rows(path: Path) -> Iterator[dict[str, str]]:
    known: dict[str, str] = {}
    for number, line in enumerate(_lines(path), 1):
        try:
            row = json.loads(line)
            if not isinstance(row, dict) or not all(isinstance(text, str) for text in row.values()):
                raise ValueError("not an object of texts by language")
        except ValueError as error:
            raise UserError(
                f"line {number} is no row of parallel texts: {error}", where=path, fix='write {"en": "…", "fr": "…"}'
            ) from None
        known = known or {name: resolve(name).code for name in row}
        if row.keys() != known.keys():
            raise UserError(f"line {number} has other languages than line 1", where=path)
        yield {known[name]: text for name, text in row.items()}


def _table_rows(path: Path) -> Iterator[dict[str, str]]:
    header, *lines = _lines(path)
    codes = [resolve(name).code for name in header.split("\t")]
    for number, line in enumerate(lines, 2):
        fields = line.rstrip("\r").split("\t")
        if len(fields) != len(codes):
            raise UserError(f"line {number} has {len(fields)} fields, the header has {len(codes)}", where=path)
        yield dict(zip(codes, fields, strict=True))


class ParallelTranslator(Translator):
    """``parallel:PATH``; looks texts up in the file or files that ``read_parallel`` reads."""

    batch = 10_000

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self._tables: dict[tuple[str, str], dict[str, str]] = {}

    def identity(self, source: str, target: str) -> str:
        """Return a hash of the pair's texts."""
        pairs = sorted(self._table(source, target).items())
        return f"parallel:{hashlib.blake2b(repr(pairs).encode(), digest_size=8).hexdigest()}"

    def check(self, source: str, target: str) -> None:
        """Read the pair's texts."""
        self._table(source, target)

    def translate(self, texts: Sequence[str], source: str, target: str, attempt: int = 0) -> list[str | None]:
        """Look texts up, white space at their ends apart."""
        table = self._table(source, target)
        return [table.get(text.strip()) for text in texts]

    def _table(self, source: str, target: str) -> dict[str, str]:
        if (source, target) not in self._tables:
            texts = read_parallel(self.pattern, (source, target))
            for code in (source, target):
                if code not in texts:
                    raise unsupported(
                        f"parallel:{self.pattern}", source, target, fix=f"add {LANGUAGES[code].name} to the file"
                    )
            # The first of several translations counts.
            pairs = zip(reversed(texts[source]), reversed(texts[target]), strict=True)
            self._tables[source, target] = {text.strip(): translation for text, translation in pairs}
        return self._tables[source, target]
