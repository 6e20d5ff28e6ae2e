"""Errors that a user can correct: one message that says what is wrong, where, and the fix."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

__all__ = ["UserError", "naming_arguments", "unknown_name"]

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


class UserError(Exception):
    """What is wrong with the input, where it is, and how to correct it.

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


# A command to run in a shell keeps its flags.
_COMMAND_OR_FLAG = re.compile(
    r"(?P<command>\b(?:xling|lm_eval|pip|hf|python) [^;\n`]*)|(?<![\w-])--(?P<flag>[a-z][\w-]*)"
)
_ARGUMENTS = {"with": "translator", "from": "source", "peft": "adapters"}
"""Flags whose argument in Python has another name."""


def naming_arguments(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Return the function with errors that name its arguments in place of the command line's flags.

    Args:
        function: what a Python user calls, and the command line by another way.
    """

    def in_python(text: str | None) -> str | None:
        return None if text is None else _COMMAND_OR_FLAG.sub(_argument, text)

    @functools.wraps(function)
    def wrapped(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        try:
            return function(*args, **kwargs)
        except UserError as error:
            what = in_python(error.what) or ""
            raise _rebuild(type(error), what, in_python(error.where), in_python(error.fix)) from error.__cause__

    return wrapped


def _argument(found: re.Match[str]) -> str:
    name = found["flag"]
    return found[0] if name is None else _ARGUMENTS.get(name, name.replace("-", "_"))
