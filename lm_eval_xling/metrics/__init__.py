"""Metrics that the harness does not have, as pure functions: text in, number out.

- ``choices``: which option or label a written answer names.
- ``numbers``: the number that an answer ends in.
- ``answers``: exact match and F1 of extracted answers, as published and folded.
- ``fidelity``: whether an answer is in the language that was asked for.
- ``lengths``: of what was scored, and what follows from them; ``tofu``: TOFU's formulas.
- ``translation_quality``: scores of a translated corpus.
"""

from lm_eval_xling.metrics.answers import answer_scores, best_exact_match, best_f1
from lm_eval_xling.metrics.choices import choice_scores, read_choice, read_label
from lm_eval_xling.metrics.fidelity import can_detect, fidelity_scores, is_in_language
from lm_eval_xling.metrics.lengths import Lengths, continuation_lengths, likeliest
from lm_eval_xling.metrics.numbers import final_number, numbers
from lm_eval_xling.metrics.replies import said
from lm_eval_xling.metrics.tofu import given_answer_scores, rouge_l_recall
from lm_eval_xling.metrics.translation_quality import chrf_plus_plus, signatures

__all__ = [
    "Lengths",
    "answer_scores",
    "best_exact_match",
    "best_f1",
    "can_detect",
    "choice_scores",
    "chrf_plus_plus",
    "continuation_lengths",
    "fidelity_scores",
    "final_number",
    "given_answer_scores",
    "is_in_language",
    "likeliest",
    "numbers",
    "read_choice",
    "read_label",
    "rouge_l_recall",
    "said",
    "signatures",
]
