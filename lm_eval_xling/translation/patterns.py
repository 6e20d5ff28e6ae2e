"""File and model names that hold a language: ``en-{target}.tsv``, ``opus-mt-{source}-{target}``."""

from __future__ import annotations

from pathlib import Path

from lm_eval_xling.errors import UserError
from lm_eval_xling.languages import LANGUAGES

__all__ = ["fill", "language_file"]


def fill(pattern: str, **languages: str) -> str:
    """Return the pattern with language codes put in.

    Args:
        pattern: may hold ``{source}``, or any other name in ``languages``, for the ISO 639-1 code, and ``{source3}``
            for ISO 639-3.
        **languages: language codes by name.

    Raises:
        UserError: if a placeholder is unknown.
    """
    names = dict(languages)
    names.update({f"{name}3": LANGUAGES[code].iso639_3 for name, code in languages.items()})
    try:
        return pattern.format_map(names)
    except (KeyError, ValueError, IndexError) as error:
        raise UserError(
            f"the placeholder {error} is unknown",
            where=pattern,
            fix=f"known: {', '.join(f'{{{name}}}' for name in names)}",
        ) from None


def language_file(pattern: str, source: str, target: str) -> Path:
    """Return the file of a language pair.

    Raises:
        UserError: if it does not exist.
    """
    path = Path(fill(pattern, source=source, target=target)).expanduser()
    if not path.is_file():
        raise UserError(
            f"no file for {LANGUAGES[source].name} ({source}) to {LANGUAGES[target].name} ({target})",
            where=path,
            fix="check the path; {source} and {target} in it stand for language codes",
        )
    return path
