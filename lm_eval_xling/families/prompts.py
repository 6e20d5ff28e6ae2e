"""Prompts from templates: a description file's, and those of the families that are made the same way.

A template is a list of lines. ``{question}`` stands for a field of the item, ``{options}`` for a line an option with
its identifier, and ``[fields.question]`` for a prompt word of the literals: in the language of the first field that
stands in the same line, and otherwise in the question's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from lm_eval_xling import literals
from lm_eval_xling.errors import UserError, unknown_name

__all__ = ["OPTION_IDS", "Template", "identifiers", "option_lines"]

OPTION_IDS: Mapping[str, tuple[str, ...]] = {
    "A-D": tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    "1-4": tuple(str(number) for number in range(1, 27)),
    "C-F": tuple("CDEFGHIJKLMNOPQRSTUVWXYZ"),
}
"""Option identifiers that the paper tried, continued for items of more than four options."""

_PART = re.compile(r"\[(?P<word>[a-z][a-z_.]*)\]|\{(?P<field>\w+)\}")
_OPTIONS = "options"


def identifiers(name: str, count: int, where: object) -> tuple[str, ...]:
    """Return the identifiers of so many options.

    Raises:
        UserError: if there are more options than identifiers.
    """
    known = OPTION_IDS[name]
    if count > len(known):
        raise UserError(f"{count} options, but only the identifiers {known[0]} to {known[-1]}", where=where)
    return known[:count]


def option_lines(options: Sequence[str], option_ids: Sequence[str]) -> str:
    """Return a line an option: ``A. …``."""
    return "\n".join(f"{name}. {option}" for name, option in zip(option_ids, options, strict=True))


@dataclass(frozen=True, slots=True)
class Template:
    """The prompt of an item; the last line is the cue that the answer completes."""

    lines: tuple[str, ...]
    """Lines as the module describes them, the cue last."""
    main: str = "question"
    """Field whose language is that of the words in lines without a field."""

    def __post_init__(self) -> None:
        if not self.lines:
            raise UserError("the prompt has no lines", fix="write at least the line that the answer completes")

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields that it shows."""
        return tuple(dict.fromkeys(name for line in self.lines for name in _fields(line)))

    @property
    def words(self) -> tuple[str, ...]:
        """Keys of the prompt words that it shows."""
        found = (match["word"] for line in self.lines for match in _PART.finditer(line))
        return tuple(dict.fromkeys(key for key in found if key))

    def render(
        self,
        fields: Mapping[str, str],
        languages: Mapping[str, str],
        *,
        options: Sequence[str] = (),
        option_ids: Sequence[str] = (),
        where: object = None,
    ) -> tuple[str, str]:
        """Return the prompt and the cue, which is empty where there is one line.

        Args:
            fields: text by field.
            languages: language code by field.
            options: texts of the options; their line is left out where there are none.
            option_ids: an identifier an option.
            where: the item, for messages.

        Raises:
            UserError: a field that is unknown or empty, or a word that a language lacks.
        """
        shown = [line for line in self.lines if options or line != f"{{{_OPTIONS}}}"]

        def text(line: str) -> str:
            spoken = next(
                (languages[name] for name in _fields(line) if name in languages), languages.get(self.main, "en")
            )

            def part(match: re.Match[str]) -> str:
                if match["word"]:
                    return literals.word(spoken, match["word"])
                name = match["field"]
                if name == _OPTIONS:
                    return option_lines(options, option_ids)
                if name not in fields:
                    raise unknown_name("field", name, [*fields, _OPTIONS], where=where)
                if not fields[name].strip():
                    raise UserError(f"the field {name!r} is empty", where=where, fix="complete the row")
                return fields[name]

            return _PART.sub(part, line)

        rendered = [text(line) for line in shown]
        if len(rendered) == 1:
            # A sentence that the answer completes has no line of its own for it.
            return rendered[0], ""
        return "\n".join(rendered[:-1]), rendered[-1]


@cache
def _fields(line: str) -> tuple[str, ...]:
    found = (match["field"] for match in _PART.finditer(line))
    return tuple(name for name in found if name and name != _OPTIONS)
