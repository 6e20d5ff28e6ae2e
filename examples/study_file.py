"""A file of settings and the overrides of a command line ▸ a mapping, and the start of a program that reads it."""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import yaml

from lm_eval_xling.errors import UserError, unknown_name
from lm_eval_xling.files import write_atomically


def start(program: Callable[[dict[str, Any]], None], about: str | None, keys: Collection[str]) -> None:
    """Run a program on the file that the command line names.

    What is wrong with the file ends with one message and code 2; a command that failed has said why, and its code is
    handed on.

    Args:
        program: takes the settings.
        about: what ``--help`` says.
        keys: that the program reads.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="YAML file")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings in place of the file's")
    given = parser.parse_args()
    try:
        program(read(given.file, given.overrides, keys))
    except UserError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    except subprocess.CalledProcessError as error:
        code = error.returncode if error.returncode > 0 else 128 - error.returncode
        # Code 2 is a user's mistake, which the command has named: it would stop there again.
        parser.exit(code, None if code == 2 else f"{parser.prog}: stopped; the same command continues\n")
    except KeyboardInterrupt:
        parser.exit(130, f"\n{parser.prog}: stopped; the same command continues\n")


def read(path: Path, overrides: Sequence[str], keys: Collection[str]) -> dict[str, Any]:
    """Read settings; an override is ``key.key=value``, with numbers for places in a list.

    Raises:
        UserError: if there is no such file, it is no mapping, or a key is none that the program reads.
    """
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"it cannot be read: {error}", where=path) from None
    if not isinstance(settings, dict):
        raise UserError("it holds no keys", where=path, fix="see the files beside this program")
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise UserError(f"{override!r} sets nothing", fix=f"{override}=VALUE")
        try:
            assign(settings, key, yaml.safe_load(value))
        except (yaml.YAMLError, ValueError, IndexError, TypeError) as error:
            raise UserError(f"{override!r} cannot be set: {error}", where=path) from None
    for key in settings:
        if key not in keys:
            raise unknown_name("key", str(key), sorted(keys), where=path)
    return settings


def done(record: Path, settings: Any) -> bool:
    """Return whether a step has left its record, which holds what it was made with.

    Raises:
        UserError: if it was made with something else, which the study would take for what is asked for now.
    """
    if not record.exists():
        return False
    if json.loads(record.read_text(encoding="utf-8")) != settings:
        raise UserError("this step was made with other settings", where=record, fix="name another folder: output=…")
    return True


def leave(record: Path, settings: Any) -> None:
    """Write the record of a step that is done."""
    write_atomically(record, json.dumps(settings, indent=1).encode())


def assign(level: Any, key: str, value: Any) -> None:
    """Set a value; keys of the recipes hold dots themselves (``training.data.limit`` is ``data.limit`` of training)."""
    first, _, rest = key.partition(".")
    if isinstance(level, list) and rest:
        assign(level[int(first)], rest, value)
    elif isinstance(level, list):
        level[int(first)] = value
    elif not rest or key in level or first not in level:
        level[key] = value
    else:
        assign(level[first], rest, value)
