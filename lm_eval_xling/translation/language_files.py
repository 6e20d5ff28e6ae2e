"""Files of parallel sentences ▸ the language of each, by its name: FLORES-200's, FLORES+'s and plain ones."""

from __future__ import annotations

import re
from pathlib import Path

from lm_eval_xling.errors import UserError
from lm_eval_xling.languages import Language, identify

__all__ = ["PLACEHOLDER", "language_files", "language_of_file"]

PLACEHOLDER = "{language}"
"""What stands for a language in the pattern of file names."""

_SPLITS = frozenset("dev devtest test train valid validation".split())
_NO_TEXT = re.compile(r"\..*|README.*|LICEN[CS]E.*|.*\.md", re.IGNORECASE)


def language_of_file(path: Path) -> Language:
    """Return the language that a file's name begins with (``dan_Latn.devtest``), after a split (``dev.cmn_Hans``).

    Raises:
        UserError: if it begins with no language.
    """
    pieces = path.name.split(".")
    # Domung has the code "dev"; in the name of a file it is a split.
    named = pieces[1] if pieces[0] in _SPLITS and len(pieces) > 1 else pieces[0]
    try:
        return identify(named)
    except UserError as error:
        raise UserError(f"the file's name says no language: {error.what}", where=path, fix=error.fix) from None


def language_files(source: str) -> dict[str, Path]:
    """Return the files of parallel sentences by language code, in the order of their names.

    Args:
        source: a folder with one file a language, whose names begin with it in any spelling; hidden files, READMEs and
            licences are passed over. Or a pattern of names, ``FOLDER/{language}.devtest``, which passes over others.

    Raises:
        UserError: if a file's name says no language, two files are of one language, or no file matches the pattern.
    """
    folder, pattern = Path(source), None
    if PLACEHOLDER in folder.name:
        before, _, after = folder.name.partition(PLACEHOLDER)
        pattern = re.compile(f"{re.escape(before)}(.+){re.escape(after)}")
        folder = folder.parent
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not path.is_file() or _NO_TEXT.fullmatch(path.name):
            continue
        match = pattern.fullmatch(path.name) if pattern is not None else None
        if pattern is not None and match is None:
            continue
        language = identify(match[1]) if match is not None else language_of_file(path)
        other = found.setdefault(language.code, path)
        if other != path:
            raise UserError(
                f"two files are {language.name} ({language.code}): {other.name} and {path.name}",
                where=folder,
                fix=f"name one kind of files: {folder}/{PLACEHOLDER}{path.suffix}",
            )
    if pattern is not None and not found:
        raise UserError("there is no such file", where=source, fix=f"{PLACEHOLDER} stands for a language's code")
    return found
