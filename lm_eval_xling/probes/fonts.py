"""Fonts for every script that a picture shows, never a box for a missing glyph.

Matplotlib's own font has Latin, Greek, Cyrillic, Hebrew and Arabic. For the names of our languages and the label words
of our tasks the package brings cut Noto fonts of the other scripts (SIL Open Font License 1.1, ``fonts/OFL.txt``).
Whatever else is drawn is looked for among the installed fonts.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import regex

from lm_eval_xling.errors import UserError

__all__ = ["SHIPPED", "beyond_base", "families", "missing_characters", "require", "shipped_fonts"]

SHIPPED = Path(__file__).with_name("fonts")
"""Folder of the fonts that the package brings."""

_BASE = "DejaVu Sans"  # comes with matplotlib
# Weights and designs that would stand out in a line of plain text.
_UNSUITED = regex.compile(r"(?i)bold|black|thin|light|italic|oblique|mono|serif|condensed|emoji|symbol|lastresort")


def families(text: str) -> list[str]:
    """Return font families that together have every character of a text, matplotlib's own font first.

    Characters that no installed font has are left to ``missing_characters``.
    """
    from matplotlib import font_manager, ft2font

    chosen = [_BASE]
    for character in sorted(beyond_base(text)):
        path = next((path for path in _candidates() if ord(character) in _characters(path)), None)
        if path is not None:
            family = ft2font.FT2Font(str(path)).family_name
            if family not in chosen:
                # Registered here, because matplotlib's cached list does not know fonts installed after it was made.
                font_manager.fontManager.addfont(str(path))
                chosen.append(family)
    return chosen


def missing_characters(text: str) -> frozenset[str]:
    """Return the characters that no installed font has."""
    return frozenset(
        character
        for character in beyond_base(text)
        if not any(ord(character) in _characters(path) for path in _candidates())
    )


def require(text: str) -> None:
    """Raise a UserError that names the missing scripts, where a text cannot be drawn."""
    missing = missing_characters(text)
    if missing:
        raise UserError(
            f"no installed font has the characters {' '.join(sorted(missing)[:12])} that the pictures need "
            "(the numbers are saved)",
            fix="install fonts for all scripts, on Debian: apt install fonts-noto-core fonts-noto-cjk; elsewhere put "
            "Noto Sans and Noto Sans CJK (fonts.google.com/noto) into ~/.local/share/fonts; then repeat the command: "
            "it only draws",
        )


def shipped_fonts(text: str) -> list[Path]:
    """Return the shipped fonts that a text needs."""
    needed = {ord(character) for character in beyond_base(text)}
    return [path for path in sorted(SHIPPED.glob("*.?tf")) if needed & _characters(path)]


def beyond_base(text: str) -> set[str]:
    """Return the characters that matplotlib's own font does not have."""
    from matplotlib import font_manager

    base = _characters(Path(font_manager.findfont(_BASE)))
    return {character for character in text if not character.isspace() and ord(character) not in base}


@cache
def _characters(path: Path) -> frozenset[int]:
    from matplotlib import ft2font

    try:
        return frozenset(ft2font.FT2Font(str(path)).get_charmap())
    except RuntimeError:  # a font format that FreeType does not read
        return frozenset()


@cache
def _candidates() -> tuple[Path, ...]:
    """Return the shipped fonts, then the installed ones, plain sans-serif ones of the Noto family first."""
    from matplotlib import font_manager

    def rank(path: Path) -> tuple[bool, bool, str]:
        name = path.stem
        return bool(_UNSUITED.search(name)), not name.startswith("NotoSans"), name

    installed = sorted(map(Path, font_manager.findSystemFonts()), key=rank)
    return (*sorted(SHIPPED.glob("*.?tf")), *installed)
