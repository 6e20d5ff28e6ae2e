"""What a leaf shows, in words: for lists that a person reads."""

from __future__ import annotations

from lm_eval_xling.composing import PLACEMENT_WORDS
from lm_eval_xling.families.family import Leaf
from lm_eval_xling.families.switching import SWITCHED
from lm_eval_xling.languages import LANGUAGES

__all__ = ["leaf_in_words"]

_PARTS = {"demos": "demonstrations", "language": "texts", "source": "original", "target": "translation"}


def leaf_in_words(leaf: Leaf) -> str:
    """Return in which language each part of a leaf's items stands, without parameters.

    Args:
        leaf: of any family.

    Returns:
        For instance ``right option in German, the rest in English``; an empty string where the leaf says nothing of
        languages.
    """
    placement = leaf.condition.get("placement")
    if placement:
        drawn = str(placement).removesuffix("_paper")
        template = PLACEMENT_WORDS[drawn] + (", as published" if drawn != placement else "")
        return template.format(base=LANGUAGES["en"].name, target=_name(leaf.condition.get("language")))
    parts = {
        _PARTS.get(key, key.removesuffix("_language")): str(code)
        for key, code in leaf.condition.items()
        if code in LANGUAGES or code == SWITCHED
    }
    if len(parts) > 1 and len(set(parts.values())) == 1:
        return f"all in {_name(next(iter(parts.values())))}"
    return ", ".join(f"{part} in {_name(code)}" for part, code in parts.items())


def _name(code: object) -> str:
    return "several languages" if code == SWITCHED else LANGUAGES[str(code)].name if code in LANGUAGES else str(code)
