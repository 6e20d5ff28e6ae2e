"""The parameters of a family: checked against its dataclass, so that a misspelt key is never ignored."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from difflib import get_close_matches
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from lm_eval_xling.errors import UserError, unknown_name
from lm_eval_xling.families.family import Family, Leaf

__all__ = ["FORM", "check_place", "configure", "parse"]

T = TypeVar("T")

FORM = "form"
"""The parameter that every family with several forms has."""

_KEY = "xling"
"""Under which the parameters stand in the harness's metadata."""

_OF_THE_HARNESS = frozenset({"tokenizer"})
"""Beside the key too, where the harness and TOFU's scores read it."""

_WRITTEN: Mapping[type, str] = {
    bool: 'write "{}": true or false, without quotes',
    int: 'write "{}": and a whole number, without quotes, decimals or a sign of per cent',
    str: 'write "{}": "…", a text in quotes',
}
"""How a value of each kind is given on the command line."""


def configure(family: Family, leaf: Leaf, given: Mapping[str, Any] | None) -> tuple[Leaf, Any]:
    """Return a leaf in the form that is asked for, and the family's parameters.

    Args:
        family: the leaf's family.
        leaf: as the family has it.
        given: the value of ``xling`` in the harness's metadata.

    Raises:
        UserError: an unknown parameter, a value of the wrong kind, or a parameter that the leaf does not use, at all
            or without another.
    """
    task = family.task(leaf)
    own = dict(given) if isinstance(given, Mapping) else given
    if isinstance(own, dict) and FORM in own:
        leaf = _in_form(family, leaf, own.pop(FORM))
    parameters: Any = parse(family.parameters, own, task=task)
    for name in own or ():
        if name not in leaf.parameters:
            users = [family.task(other) for other in family.leaves if name in other.parameters]
            raise UserError(
                f"{task} does not use the parameter {name!r}",
                where=f"--metadata '{{\"xling\": …}}' of {task}",
                fix="leave it out" + (f", or evaluate only leaves that use it: {_some(users)}" if users else ""),
            )
        if name in leaf.beside and leaf.beside[name] not in (own or ()):
            raise UserError(
                f"{task} uses the parameter {name!r} only beside {leaf.beside[name]!r}",
                where=f"--metadata '{{\"xling\": …}}' of {task}",
                fix=f"leave it out, or give {leaf.beside[name]!r} too",
            )
    return leaf, parameters.resolved() if hasattr(parameters, "resolved") else parameters


def check_place(family: Family, leaf: Leaf, metadata: Mapping[str, Any]) -> None:
    """Refuse the parameters of a leaf that stand beside ``xling`` in the metadata, where nothing reads them.

    Other names are left alone: tasks of the harness have keys of their own there.

    Args:
        family: the leaf's family.
        leaf: as the family has it.
        metadata: as after ``--metadata``.

    Raises:
        UserError: a parameter of the leaf, or a key that is ``xling`` in another spelling.
    """
    own = {FORM, *leaf.parameters} - _OF_THE_HARNESS
    misplaced = {name: value for name, value in metadata.items() if name in own or _resembles_key(str(name))}
    if not misplaced:
        return
    given = metadata.get(_KEY)
    meant = dict(given) if isinstance(given, Mapping) else {}
    for name, value in misplaced.items():
        meant |= {name: value} if name in own else value if isinstance(value, Mapping) else {}
    raise UserError(
        f"{' and '.join(map(repr, misplaced))} in the metadata would change nothing of {family.task(leaf)}",
        where="--metadata",
        fix=f"put it under xling: --metadata '{json.dumps({_KEY: meant}, ensure_ascii=False, default=str)}'",
    )


def _resembles_key(name: str) -> bool:
    return name != _KEY and bool(get_close_matches(name.casefold(), [_KEY], cutoff=0.8))


def _some(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _in_form(family: Family, leaf: Leaf, form: object) -> Leaf:
    keys = (leaf.form, *leaf.alternatives)
    by_name = {family.forms[key].name: key for key in keys}
    if form not in by_name:
        raise unknown_name("form", str(form), by_name, where=family.task(leaf))
    return dataclasses.replace(leaf, form=by_name[str(form)])


def parse(kind: type[T], given: Mapping[str, Any] | None, *, task: str) -> T:
    """Return the family's parameters with the given ones set.

    Args:
        kind: the family's ``Parameters`` dataclass; its annotations are ``bool``, ``int``, ``str``, ``Literal`` of
            strings, tuples of ``str``, or one of them ``| None``.
        given: the value of ``xling`` in the harness's metadata.
        task: for the error message.

    Raises:
        UserError: unknown key, or a value of the wrong kind.
    """
    where = f"--metadata '{{\"xling\": …}}' of {task}"
    if given is None:
        return kind()
    if not isinstance(given, Mapping):
        raise UserError(
            f"the value of 'xling' is {given!r}, not a map",
            where=where,
            fix="""give parameters by name, such as --metadata '{"xling": {"missing": "drop"}}'""",
        )
    hints = get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    values = {}
    for key, value in given.items():
        if key not in names:
            raise unknown_name("parameter", str(key), names, where=where)
        values[key] = _checked(key, value, hints[key], where)
    return kind(**values)


def _checked(key: str, value: Any, hint: Any, where: str) -> Any:
    if get_origin(hint) in (Union, UnionType):
        # The only unions are with None.
        (hint,) = (kind for kind in get_args(hint) if kind is not type(None))
        return None if value is None else _checked(key, value, hint, where)
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise unknown_name(f"value of {key!r}:", str(value), get_args(hint), where=where)
        return value
    if get_origin(hint) is tuple:
        if not isinstance(value, list | tuple) or not all(isinstance(part, str) for part in value):
            raise UserError(
                f"{key!r} is {value!r}, expected a list of strings", where=where, fix=f'write "{key}": ["…", "…"]'
            )
        return tuple(value)
    # bool is a subclass of int, and true is no number.
    if isinstance(value, bool) != (hint is bool) or not isinstance(value, hint):
        raise UserError(f"{key!r} is {value!r}, expected {hint.__name__}", where=where, fix=_WRITTEN[hint].format(key))
    return value
