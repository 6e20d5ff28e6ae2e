"""Translators behind one small interface, and a durable cache."""

from lm_eval_xling.translation.guarded import GuardedTranslator
from lm_eval_xling.translation.lexicon import Lexicon
from lm_eval_xling.translation.memory import Cache, default_cache
from lm_eval_xling.translation.opening import TRANSLATORS, open_translator
from lm_eval_xling.translation.parallel_texts import read_parallel
from lm_eval_xling.translation.translator import Translator

__all__ = [
    "TRANSLATORS",
    "Cache",
    "GuardedTranslator",
    "Lexicon",
    "Translator",
    "default_cache",
    "open_translator",
    "read_parallel",
]
