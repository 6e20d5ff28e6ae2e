"""What is refused as a translation: empty, copied or absurdly long output, as in published practice.

Web-scale parallel corpora are cleaned by the same three tests (Koehn et al. 2018, WMT parallel corpus filtering;
Bañón et al. 2020, ParaCrawl); decoding loops of neural translators fail the third.
"""

from __future__ import annotations

__all__ = ["MAX_RATIO", "refusal"]

MAX_RATIO = 4.0
"""Longest translation as a multiple of its source, in UTF-8 bytes: characters are not comparable across scripts."""

_SLACK = 32
"""Bytes that any translation may have, so that short texts are not refused."""


def refusal(text: str, translation: str | None) -> str | None:
    """Return why a translation is refused (``missing``, ``empty``, ``copied`` or ``long``), or None if it is not.

    Args:
        text: what was translated.
        translation: what came out; None if the translator has none.
    """
    if translation is None:
        return "missing"
    if not translation.strip():
        return "empty"
    if " ".join(translation.casefold().split()) == " ".join(text.casefold().split()):
        return "copied"
    if len(translation.encode("utf-8", "replace")) > MAX_RATIO * len(text.encode("utf-8", "replace")) + _SLACK:
        return "long"
    return None
