"""Errors that a user can mend: one message that says what is wrong, where, and the fix."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["UserError", "unknown_name"]


class UserError(Exception):
    """What is wrong with the input, where it stands, and how to mend it.

    The command line prints the text and exits with code 2; inside the harness the exception carries it.

    Args:
        what: what is wrong, without a final full stop.
        where: file, row, key or task that it concerns.
        fix: what to do, preferably the command to run.
    """

    def __init__(self, what: str, *, where: object = None, fix: str | None = None) -> None:
        self.what = what
        self.where = None if where is None else str(where)
        self.fix = fix
        super().__init__(str(self))

    def __str__(self) -> str:
        text = self.what if self.where is None else f"{self.what}\n  in: {self.where}"
        return text if self.fix is None else f"{text}\n  fix: {self.fix}"

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword arguments do not survive the default pickling, and worker processes send errors back.
        return _rebuild, (type(self), self.what, self.where, self.fix)


def _rebuild(kind: type[UserError], what: str, where: str | None, fix: str | None) -> UserError:
    return kind(what, where=where, fix=fix)


def unknown_name(kind: str, name: str, known: Iterable[str], *, where: object = None) -> UserError:
    """Return the error for a name that is not among the known ones, with the nearest of them."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    fix = f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(names)}"
    return UserError(f"unknown {kind} {name!r}", where=where, fix=fix)
