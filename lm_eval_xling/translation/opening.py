"""``kind:argument`` ▸ translator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from lm_eval_xling.errors import UserError, unknown_name
from lm_eval_xling.translation.apertium import ApertiumTranslator
from lm_eval_xling.translation.causal import CausalTranslator
from lm_eval_xling.translation.lexicon import LexiconTranslator
from lm_eval_xling.translation.parallel_texts import ParallelTranslator
from lm_eval_xling.translation.seq2seq_ctranslate2 import CTranslate2Translator
from lm_eval_xling.translation.seq2seq_transformers import TransformersTranslator
from lm_eval_xling.translation.translator import Translator

__all__ = ["TRANSLATORS", "open_translator"]

TRANSLATORS: Mapping[str, Callable[[str], Translator]] = MappingProxyType(
    {
        "apertium": ApertiumTranslator,
        "ct2": CTranslate2Translator,
        "hf": TransformersTranslator,
        "lexicon": LexiconTranslator,
        "llm": CausalTranslator,
        "parallel": ParallelTranslator,
    }
)
"""Translators by kind: what stands before the colon."""


def open_translator(name: str) -> Translator:
    """Return the translator of a name such as ``apertium`` or ``lexicon:en-{target}.tsv``; nothing is loaded yet.

    Raises:
        UserError: if the kind is unknown or its argument is missing.
    """
    kind, _, argument = name.partition(":")
    if kind not in TRANSLATORS:
        raise unknown_name("translator", kind, TRANSLATORS, where=name)
    if not argument and kind != "apertium":
        raise UserError(f"the translator {kind!r} needs an argument", where=name, fix=f"{kind}:…, see docs/mixing.md")
    return TRANSLATORS[kind](argument)
