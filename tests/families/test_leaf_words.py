"""Leaves in words, as lists of tasks show them."""

from __future__ import annotations

import pytest

from lm_eval_xling.families import FAMILIES
from lm_eval_xling.families.leaf_words import leaf_in_words


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("xling_mmlu_gt_de", "right option in German, the rest in English"),
        ("xling_mmlu_mixup_paper", "each part in another language, as published"),
        ("xling_atlas_it_it", "all in Italian"),
        ("xling_sentiment_sw", "texts in Swahili"),
        (
            "xling_math_mgsm_english_reasoning_ja",
            "question in Japanese, demonstrations in Japanese, reasoning in English",
        ),
        (
            "xling_math_msvamp_switched",
            "question in several languages, demonstrations in English, reasoning in English",
        ),
        # The context stays in English, which "all in French" would hide.
        ("xling_qa_belebele_question_options_fr", "context in English, question in French, options in French"),
        ("xling_translation_it_de", "original in Italian, translation in German"),
    ],
)
def test_words(task: str, words: str) -> None:
    said = {family.task(leaf): leaf_in_words(leaf) for family in FAMILIES.values() for leaf in family.leaves}
    assert said[task] == words
    assert all(said.values())
