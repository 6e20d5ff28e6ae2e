"""Raw records of published files, and the errors that name the file and the row."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from lm_eval_xling.catalog.dataset import Part
from lm_eval_xling.errors import UserError
from lm_eval_xling.files import read_text, text_lines
from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.records import Row

__all__ = [
    "Record",
    "csv_records",
    "find_all",
    "json_array",
    "json_lines",
    "json_object",
    "locate",
    "rows_of",
    "skipping_bad_rows",
    "spellings",
]

_LETTERS = "ABCD"
_NUMBER = re.compile(r"-?(?:\d+|\d{1,3}(?:,\d{3})+)(?:\.\d+)?", re.ASCII)
"""A number in English spelling, as published answers have it: a comma before every three digits, or none."""


class Record:
    """One raw record: values by column, and where it stands, so that every complaint can name the place.

    Args:
        values: the columns.
        where: file and line, or repository, subset and row.
    """

    __slots__ = ("values", "where")

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.values = values
        self.where = where

    def __contains__(self, column: str) -> bool:
        return self.values.get(column) is not None

    def error(self, what: str, fix: str | None = None) -> UserError:
        """The error that something in this record is wrong."""
        return UserError(what, where=self.where, fix=fix)

    def value(self, column: str) -> Any:
        """A column as it is.

        Raises:
            UserError: if there is no such column.
        """
        try:
            return self.values[column]
        except KeyError:
            raise self.error(f"there is no field {column!r}", fix=f"fields: {', '.join(self.values)}") from None

    def text(self, column: str) -> str:
        """A column that must hold text.

        Raises:
            UserError: if the column is missing, not text, or blank.
        """
        value = self.value(column)
        if not isinstance(value, str):
            raise self.error(f"field {column!r} holds {value!r}, not text")
        if not value.strip():
            raise self.error(f"field {column!r} is empty")
        return value

    def texts(self, column: str) -> tuple[str, ...]:
        """A column that must hold a list of texts, none of them blank."""
        values = self.value(column)
        if not isinstance(values, (list, tuple)) or not values:
            raise self.error(f"field {column!r} holds {values!r}, not a list of texts")
        for index, value in enumerate(values):
            if not isinstance(value, str) or not value.strip():
                raise self.error(f"item {index} of field {column!r} is empty or not text")
        return tuple(values)

    def records(self, column: str) -> tuple[Record, ...]:
        """A column that must hold a list of records."""
        values = self.value(column)
        if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
            raise self.error(f"field {column!r} does not hold a list of records")
        return tuple(Record(value, f"{self.where}, {column}[{index}]") for index, value in enumerate(values))

    def number(self, column: str) -> str:
        """The number that a column's text or number stands for, in its shortest form: no commas, no final zeros."""
        text = str(self.value(column)).strip()
        if not _NUMBER.fullmatch(text):
            raise self.error(f"field {column!r} holds {text!r}, not a number")
        plain = text.replace(",", "")
        return plain.rstrip("0").rstrip(".") if "." in plain else plain

    def letter(self, column: str) -> int:
        """The index, 0 to 3, that a column's letter A to D stands for."""
        letter = self.text(column).strip()
        if len(letter) != 1 or letter not in _LETTERS:
            raise self.error(f"field {column!r} holds {letter!r}, not a letter from A to D")
        return _LETTERS.index(letter)

    def index(self, column: str, count: int, *, first: int = 0) -> int:
        """The index below ``count`` that a column's number stands for, counted from ``first`` in the data."""
        value = self.value(column)
        try:
            index = int(value) - first
        except (TypeError, ValueError):
            index = -1
        if not 0 <= index < count:
            raise self.error(f"field {column!r} holds {value!r}, not a number from {first} to {count - 1 + first}")
        return index


_SKIP = "correct the row, or leave such rows out of a mirror: xling data fetch or import with --skip-bad-rows"
_skipped: ContextVar[list[UserError] | None] = ContextVar("_skipped", default=None)


@contextmanager
def skipping_bad_rows(skip: bool = True) -> Iterator[list[UserError]]:
    """Within this context ``rows_of`` leaves bad rows out and collects what is wrong with them, if ``skip``."""
    problems: list[UserError] = []
    token = _skipped.set(problems if skip else None)
    try:
        yield problems
    finally:
        _skipped.reset(token)


def rows_of(records: Iterable[Record], make: Callable[[int, Record], Row]) -> Iterator[Row]:
    """Yield the row that ``make`` gives for each position and record.

    Raises:
        UserError: at a bad record, unless ``skipping_bad_rows`` is in force; the others keep their positions.
    """
    for index, record in enumerate(records):
        try:
            row = make(index, record)
        except UserError as error:
            problems = _skipped.get()
            if problems is None:
                raise UserError(error.what, where=error.where, fix=error.fix or _SKIP) from None
            problems.append(error)
            continue
        yield row


def json_lines(path: Path) -> Iterator[Record]:
    """Records of a file of JSON lines."""
    for number, line in enumerate(text_lines(path), 1):
        if line.strip():
            yield _record(_parse(line, f"{path}:{number}"), f"{path}:{number}")


def json_object(path: Path) -> Record:
    """The record of a file that is one JSON object."""
    return _record(_parse(read_text(path), str(path)), str(path))


def json_array(path: Path) -> Iterator[Record]:
    """Records of a file that is one JSON array."""
    values = _parse(read_text(path), str(path))
    if not isinstance(values, list):
        raise UserError("the file is not a JSON array", where=path)
    for index, value in enumerate(values):
        yield _record(value, f"{path}, item {index}")


def csv_records(path: Path, columns: Sequence[str], *, delimiter: str = ",") -> Iterator[Record]:
    """Records of a CSV or TSV file; the first row is skipped if it names the columns.

    A tab-separated file is taken without quoting, as such files are published.

    Raises:
        UserError: if a row has another number of cells.
    """
    lines, quoted = text_lines(path, newline=""), delimiter != "\t"
    reader = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE)
    for number, cells in enumerate(reader):
        where = f"{path}:{reader.line_num}"
        if number == 0 and _is_header(cells, columns):
            continue
        if len(cells) != len(columns):
            raise UserError(f"the row has {len(cells)} cells, expected {len(columns)}", where=where)
        yield Record(dict(zip(columns, cells, strict=True)), where)


def _is_header(cells: Sequence[str], columns: Sequence[str]) -> bool:
    """Whether a first row holds names and no data: pandas numbers nameless columns, others spell the names out."""
    lowered = [cell.strip().lower() for cell in cells]
    return lowered in ([name.lower() for name in columns], [str(index) for index in range(len(columns))])


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"not JSON: {error.msg}", where=where, fix="fetch or copy the file again") from None


def _record(value: Any, where: str) -> Record:
    if not isinstance(value, dict):
        raise UserError("the record is not a JSON object", where=where)
    return Record(value, where)


def locate(folders: Sequence[Path], name: str) -> Path | None:
    """Find a published file by its path in its repository, or by any shorter end of that path.

    A copied dataset often lacks the repository's outer folders: ``data/snli/x.json`` may be ``snli/x.json``; and each
    file may be compressed, ``x.json.gz``.
    """
    pieces = name.split("/")
    for folder in folders:
        for start in range(len(pieces)):
            path = os.path.join(folder, *pieces[start:])
            for found in (path, f"{path}.gz"):
                if os.path.isfile(found):
                    return Path(found)
    return None


def find_all(names: Callable[[Part], Iterable[str]]) -> Callable[[Sequence[Path], Part], tuple[Path, ...]]:
    """Return a ``Format.find`` for a part that stands in files of known names, all of which it needs.

    The names may spell the language otherwise than the project does: ``iw`` for Hebrew, ``deu_Latn`` for German.
    """

    def find(folders: Sequence[Path], part: Part) -> tuple[Path, ...]:
        for spelling in spellings(part.language):
            paths = [locate(folders, name) for name in names(part._replace(language=spelling))]
            if paths and all(paths):
                return tuple(path for path in paths if path is not None)
        return ()

    return find


def spellings(code: str) -> tuple[str, ...]:
    """Return how file names may spell a language, the project's code first."""
    language = LANGUAGES.get(code)
    if language is None:
        return (code,)
    return tuple(dict.fromkeys((code, *language.aliases, language.flores, language.iso639_3)))
