"""Own data: files or a dataset of the hub ▸ rows, with the file and the line of whatever is wrong."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from lm_eval_xling.errors import UserError
from lm_eval_xling.files import json_lines, plain_suffix, text_lines
from lm_eval_xling.hashing import stable_hash
from lm_eval_xling.records import Row

__all__ = ["SUFFIXES", "Columns", "OwnRow", "drawn_answers", "read_records", "rows_of"]

SUFFIXES = (".jsonl", ".csv", ".tsv", ".parquet")
"""Endings of the files that are read; all but parquet may be compressed (``.gz``)."""


@dataclass(frozen=True, slots=True)
class OwnRow:
    """One row of a table, as it is published."""

    values: Mapping[str, Any]
    """Value by column."""
    where: str
    """File and line, or the number of the row."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column holds what."""

    fields: Mapping[str, str]
    """Column by text field; ``question`` is one of them."""
    answer: str
    """Column of the answer: the text of the right option, its identifier (A, B, …) or its number; or the text that is
    to be generated."""
    id: str | None = None
    """Column of the id, the same in every language; without one, rows of the same number are parallel."""
    options: str | tuple[str, ...] | None = None
    """Columns of the options in their order, or one column that holds a list."""
    wrong: int | None = None
    """Wrong options to draw for each item: from ``options`` where there are any, otherwise from the answers of other
    items of the same subject."""
    first_answer: int | None = None
    """Number of the first option, where answers are numbers; ``None``: 0, and nothing says that they are."""
    answers: Literal["texts", "numbers"] | None = None
    """Whether answers are texts of options, or letters and numbers; ``None``: what fits every row."""
    subject: str | None = None
    """Column of what averages group by."""
    cluster: str | None = None
    """Column of what makes items dependent, such as a passage or an author."""


def read_records(path: Path) -> Iterator[OwnRow]:
    """Yield the rows of a file: JSON lines, CSV or TSV with a header, or parquet.

    Raises:
        UserError: a file that cannot be read or has another ending, a line that is no row.
    """
    suffix = plain_suffix(path)
    if suffix not in SUFFIXES:
        raise UserError(f"cannot read files of the kind {suffix or path.name!r}", where=path, fix=f"one of {SUFFIXES}")
    if not path.is_file():
        raise UserError("there is no such file", where=path, fix="check `rows` and the languages in the description")
    if suffix == ".jsonl":
        for where, row in json_lines(path, fix='write {"column": value, …}'):
            yield OwnRow(row, where)
    elif suffix == ".parquet":
        import pyarrow.parquet

        try:
            table = pyarrow.parquet.read_table(path)
        except (OSError, ValueError) as error:
            raise UserError(f"no parquet file: {error}", where=path) from error
        yield from (OwnRow(row, f"{path}, row {number}") for number, row in enumerate(table.to_pylist()))
    else:
        yield from _delimited(path, "\t" if suffix == ".tsv" else ",")


def _delimited(path: Path, delimiter: str) -> Iterator[OwnRow]:
    lines = text_lines(path, newline="")
    unquoted = delimiter == "\t"
    reader = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE if unquoted else csv.QUOTE_MINIMAL)
    header = next(reader, None)
    if header is None:
        raise UserError("the file is empty", where=path, fix="the first line names the columns")
    for cells in reader:
        where = f"{path}:{reader.line_num}"
        if len(cells) != len(header):
            raise UserError(f"{len(cells)} cells, but the first line names {len(header)} columns", where=where)
        yield OwnRow(dict(zip(header, cells, strict=True)), where)


def rows_of(
    records: Sequence[OwnRow],
    columns: Columns,
    language: str,
    drawn: Mapping[str, Sequence[str]] | None = None,
) -> list[Row]:
    """Return the rows of one language.

    Args:
        records: its rows as they are published.
        columns: which column holds what.
        language: its code.
        drawn: as ``drawn_answers`` returns it, where that is how items get their wrong options. An item that is not
            among them has no options.

    Raises:
        UserError: no rows, a column that is not there, an empty text, an id that occurs twice, an answer that is none
            of the options, or answers that can be read in two ways.
    """
    if not records:
        raise UserError("there are no rows", where=language)
    by_id = _by_id(records, columns)
    answers = _Answers(by_id, columns, drawn or {})
    return [
        answers.row(identifier, language, {name: _text(record, column) for name, column in columns.fields.items()})
        for identifier, record in by_id.items()
    ]


def drawn_answers(records: Mapping[str, Sequence[OwnRow]], columns: Columns) -> dict[str, tuple[str, ...]]:
    """Draw the wrong options of items that have none of their own: answers of other items of the same subject.

    They are the same items in every language. Passed over, in every language alike, is one that a language lacks, and
    one whose answer is in some language the same text as another option.

    Args:
        records: rows by language, the base language first: its subjects count.
        columns: which column holds what; ``wrong`` is the number to draw.

    Returns:
        Ids of the items whose answers are the wrong options, by id of the item.

    Raises:
        UserError: an item for which there are too few, an empty answer, or an id that occurs twice.
    """
    by_language = [_by_id(rows, columns) for rows in records.values()]
    answers = [
        {identifier: _text(record, columns.answer) for identifier, record in by_id.items()} for by_id in by_language
    ]
    # By the first row of each answer, so that two rows with the same answer are one candidate.
    firsts: dict[str, dict[str, str]] = {}
    subjects = {identifier: _subject(record, columns) for identifier, record in by_language[0].items()}
    for identifier, subject in subjects.items():
        firsts.setdefault(subject, {}).setdefault(answers[0][identifier], identifier)
    drawn = {}
    for identifier, subject in subjects.items():
        candidates = [other for text, other in firsts[subject].items() if text != answers[0][identifier]]
        drawn[identifier] = tuple(
            _first_unlike(identifier, _shuffled(identifier, candidates), answers, columns.wrong or 0)
        )
        _enough(len(drawn[identifier]), columns.wrong or 0, by_language[0][identifier])
    return drawn


def _first_unlike(
    identifier: str, candidates: Sequence[str], answers: Sequence[Mapping[str, str]], count: int
) -> list[str]:
    """Return the first candidates whose answers are in every language unlike all texts that are shown beside them."""
    taken = [{texts[identifier]} if identifier in texts else set() for texts in answers]
    kept: list[str] = []
    for other in candidates:
        if len(kept) == count:
            break
        if all(other in texts and texts[other] not in shown for texts, shown in zip(answers, taken, strict=True)):
            kept.append(other)
            for texts, shown in zip(answers, taken, strict=True):
                shown.add(texts[other])
    return kept


class _Answers:
    """Options and answers of all items of one language."""

    def __init__(self, by_id: Mapping[str, OwnRow], columns: Columns, drawn: Mapping[str, Sequence[str]]) -> None:
        self.by_id, self.columns, self.drawn = by_id, columns, drawn
        self.chosen: dict[str, tuple[tuple[str, ...], int]] = {}
        if columns.options is not None:
            read = _chosen(list(by_id.values()), columns, columns.options)
            self.chosen = dict(zip(by_id, read, strict=True))

    def row(self, identifier: str, language: str, fields: Mapping[str, str]) -> Row:
        record, columns = self.by_id[identifier], self.columns
        extra = {"subject": _subject(record, columns)} if columns.subject else {}
        if columns.cluster:
            extra["cluster"] = _label(record, columns.cluster)
        options, answer, target = self._options(identifier)
        return Row(identifier, language, fields, options, answer, target, extra)

    def _options(self, identifier: str) -> tuple[tuple[str, ...], int | None, str | None]:
        record, columns = self.by_id[identifier], self.columns
        if columns.options is None and columns.wrong is None:
            return (), None, _text(record, columns.answer)
        if columns.options is None:
            if identifier not in self.drawn:
                return (), None, None
            others = [_text(self.by_id[other], columns.answer) for other in self.drawn[identifier]]
            return (*_placed(identifier, _text(record, columns.answer), others), None)
        options, answer = self.chosen[identifier]
        if columns.wrong is None:
            return options, answer, None
        wrong = _shuffled(identifier, [index for index in range(len(options)) if index != answer])[: columns.wrong]
        _enough(len(wrong), columns.wrong, record)
        return (*_placed(identifier, options[answer], [options[index] for index in wrong]), None)


_Drawn = TypeVar("_Drawn", int, str)


def _shuffled(identifier: str, candidates: Sequence[_Drawn]) -> list[_Drawn]:
    """Return candidates for wrong options in an order that depends on ids alone."""
    return sorted(candidates, key=lambda candidate: stable_hash("wrong", identifier, candidate))


def _enough(found: int, wanted: int, record: OwnRow) -> None:
    if found < wanted:
        raise UserError(
            f"{wanted} wrong options are to be drawn, but there are {found}",
            where=record.where,
            fix="lower `wrong`, or leave it out",
        )


def _placed(identifier: str, right: str, wrong: Sequence[str]) -> tuple[tuple[str, ...], int]:
    position = stable_hash("answer", identifier) % (len(wrong) + 1)
    return (*wrong[:position], right, *wrong[position:]), position


def _by_id(records: Sequence[OwnRow], columns: Columns) -> dict[str, OwnRow]:
    """Return the rows by id; without a column of ids, by their number."""
    found: dict[str, OwnRow] = {}
    for number, record in enumerate(records):
        identifier = str(_value(record, columns.id)) if columns.id else str(number)
        if identifier in found:
            raise UserError(
                f"the id {identifier!r} occurs twice", where=f"{record.where} and {found[identifier].where}"
            )
        found[identifier] = record
    return found


def _subject(record: OwnRow, columns: Columns) -> str:
    return _label(record, columns.subject) if columns.subject else ""


def _value(record: OwnRow, column: str) -> Any:
    if column not in record.values:
        raise UserError(
            f"there is no column {column!r}",
            where=record.where,
            fix=f"columns: {', '.join(map(str, record.values))}; name them under `columns` in the description",
        )
    return record.values[column]


def _label(record: OwnRow, column: str) -> str:
    """What a row is grouped by; empty where the table has nothing there."""
    value = _value(record, column)
    return "" if value is None else str(value).strip()


def _text(record: OwnRow, column: str) -> str:
    value = _value(record, column)
    text = value if isinstance(value, str) else "" if value is None else str(value)
    if not text.strip():
        raise UserError(f"the column {column!r} is empty", where=record.where, fix="complete the row")
    return text.strip()


def _options(record: OwnRow, columns: str | tuple[str, ...]) -> tuple[Any, ...]:
    """Return the options as they are written: texts, or numbers of a list."""
    if not isinstance(columns, str):
        for column in columns:
            _text(record, column)
        return tuple(_value(record, column) for column in columns)
    value = _value(record, columns)
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            value = None
    if not isinstance(value, list | tuple) or not 2 <= len(value) <= 1000:
        raise UserError(
            f"the column {columns!r} holds no list of options",
            where=record.where,
            fix='write a JSON list of two or more, ["…", "…"], or name a column for each option: options: [a, b]',
        )
    if not all(str(option).strip() for option in value):
        raise UserError(f"an option of column {columns!r} is empty", where=record.where, fix="complete the row")
    return tuple(value)


def _chosen(
    records: Sequence[OwnRow], columns: Columns, names: str | tuple[str, ...]
) -> list[tuple[tuple[str, ...], int]]:
    """Return every row's options and which of them is right, all rows read in one way."""
    written = [_options(record, names) for record in records]
    options = [tuple(str(option).strip() for option in row) for row in written]
    values = [_value(record, columns.answer) for record in records]
    first = columns.first_answer or 0
    texts = [_by_text(value, row) for value, row in zip(values, written, strict=True)]
    numbers = [_by_number(value, len(row), first) for value, row in zip(values, written, strict=True)]
    return list(zip(options, _one_reading(records, columns, options, texts, numbers), strict=True))


def _one_reading(
    records: Sequence[OwnRow],
    columns: Columns,
    options: Sequence[tuple[str, ...]],
    texts: Sequence[int | None],
    numbers: Sequence[int | None],
) -> list[int]:
    """Return the right options by the reading of the answers that fits all rows.

    Args:
        records: the rows.
        columns: what the description says of answers.
        options: of every row.
        texts: index of the right option by its text, or ``None`` where no option has it.
        numbers: index by letter or number, or ``None`` where the answer is none.

    Raises:
        UserError: no reading fits all rows, or both do and differ and nothing says which is meant.
    """
    readings = {"texts": texts, "numbers": numbers}
    wanted = readings if columns.answers is None else {columns.answers: readings[columns.answers]}
    fitting = {name: found for name, read in wanted.items() if len(found := _known(read)) == len(read)}
    if not fitting:
        raise _no_reading(records, columns, options, list(wanted.values()))
    if len(fitting) > 1 and columns.first_answer is None:
        for record, text, number in zip(records, texts, numbers, strict=True):
            if text != number:
                raise UserError(
                    f"the answer {record.values[columns.answer]!r} is the text of one option and the number or letter "
                    "of another, and both can be meant in every row",
                    where=record.where,
                    fix="say in the description which: answers: texts, or answers: numbers",
                )
    return fitting.get("numbers", next(iter(fitting.values())))


def _known(read: Sequence[int | None]) -> list[int]:
    return [index for index in read if index is not None]


def _no_reading(
    records: Sequence[OwnRow],
    columns: Columns,
    options: Sequence[tuple[str, ...]],
    readings: Sequence[Sequence[int | None]],
) -> UserError:
    for record, row, *found in zip(records, options, *readings, strict=True):
        if all(index is None for index in found):
            ways = {"texts": "text", "numbers": f"letter, or its number from {columns.first_answer or 0}"}
            way = ways.get(columns.answers or "", f"text, its {ways['numbers']}")
            return UserError(
                f"the answer {record.values[columns.answer]!r} is none of the {len(row)} options",
                where=record.where,
                fix=f"give an option's {way}",
            )
    no_text, no_number = (records[list(read).index(None)] for read in readings)
    answers = [record.values[columns.answer] for record in (no_text, no_number)]
    return UserError(
        f"the answer {answers[0]!r} is no option's text, and the answer {answers[1]!r} is no option's number or letter",
        where=f"{no_text.where} and {no_number.where}",
        fix="give all answers in one way",
    )


def _by_text(value: Any, options: Sequence[Any]) -> int | None:
    """Index of the option with this text; a whole number is not the text of an option in quotes."""
    text = str(value).strip()
    for index, option in enumerate(options):
        if str(option).strip() == text and not (isinstance(value, int) and isinstance(option, str)):
            return index
    return None


def _by_number(value: Any, options: int, first: int) -> int | None:
    """Index of the option with this letter, or this number from ``first``."""
    text, index = str(value).strip(), -1
    if text.lstrip("-").isdecimal():
        index = int(text) - first
    elif len(text) == 1 and text.isascii() and text.isalpha():
        index = ord(text.upper()) - ord("A")
    return index if 0 <= index < options else None
