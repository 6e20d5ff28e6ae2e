"""Text ▸ units ▸ mixed-language text."""

from lm_eval_xling.mixing.mixture import Mixture
from lm_eval_xling.mixing.shares import Switchable, switch_parallel, switch_translated
from lm_eval_xling.mixing.texts import Source, Translate, mix_parallel, mix_texts
from lm_eval_xling.mixing.words import PAPER_RATIO, switch_words
from lm_eval_xling.splitting import UNIT_KINDS, UnitKind, split, word_spans

__all__ = [
    "PAPER_RATIO",
    "UNIT_KINDS",
    "Mixture",
    "Source",
    "Switchable",
    "Translate",
    "UnitKind",
    "mix_parallel",
    "mix_texts",
    "split",
    "switch_parallel",
    "switch_translated",
    "switch_words",
    "word_spans",
]
