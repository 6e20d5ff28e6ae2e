"""Checks that every part passes before it is handed out or stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lm_eval_xling.catalog.dataset import Dataset, Part
from lm_eval_xling.errors import UserError
from lm_eval_xling.records import Row

__all__ = ["check_aligned", "check_rows"]


def check_rows(dataset: Dataset, part: Part, rows: Sequence[Row]) -> None:
    """Check what holds for a row of any dataset.

    Raises:
        UserError: if there is no row, an id occurs twice, a field or an option is blank, or the answer is not the
            index of an option.
    """
    where = f"{dataset.name} {part}"
    if not rows:
        raise UserError("there are no rows", where=where)
    seen: set[str] = set()
    for row in rows:
        at = f"{where}, id {row.id}"
        if row.id in seen:
            raise UserError(f"the id {row.id!r} occurs twice", where=where, fix="remove one of the two rows")
        seen.add(row.id)
        for name, text in row.fields.items():
            if not text.strip():
                raise UserError(f"field {name!r} is empty", where=at)
        for index, option in enumerate(row.options):
            if not option.strip():
                raise UserError(f"option {index} is empty", where=at)
        if row.options and (row.answer is None or not 0 <= row.answer < len(row.options)):
            raise UserError(f"the answer {row.answer!r} is not the index of an option", where=at)


def check_aligned(
    dataset: Dataset, part: Part, rows: Sequence[Row], other: Part, expected: Mapping[str, object]
) -> None:
    """Check that two languages hold the same items at the same positions, by what does not depend on the language.

    Args:
        dataset: the entry, with ``aligned_by``.
        part: the part to check.
        rows: its rows.
        other: the part that it is compared with.
        expected: what ``aligned_by`` gives for the other's rows, by id.

    Raises:
        UserError: if an id differs: one of the files lacks a row or is in another order.
    """
    if dataset.aligned_by is None:
        return
    for row in rows:
        found = dataset.aligned_by(row)
        if expected.get(row.id, found) != found:
            raise UserError(
                f"the languages are not parallel: row {row.id} has {found!r}, but {expected[row.id]!r} in {other}",
                where=f"{dataset.name} {part}",
                fix="use files of the same revision for every language",
            )
