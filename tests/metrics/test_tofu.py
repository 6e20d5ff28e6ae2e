from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from lm_eval_xling.metrics.lengths import Lengths
from lm_eval_xling.metrics.tofu import (
    choice_probability,
    given_answer_scores,
    normalised_probability,
    rouge_l_recall,
    truth_ratio,
    truthfulness,
)


def test_probability_is_the_geometric_mean_of_the_tokens() -> None:
    tokens = [0.5, 0.25, 0.8]
    assert normalised_probability(sum(map(math.log, tokens)), 3) == pytest.approx((0.5 * 0.25 * 0.8) ** (1 / 3))
    assert normalised_probability(0.0, 7) == 1.0


def test_choice_probability_by_hand() -> None:
    assert choice_probability([0.1, 0.3, 0.1, 0.1], 1) == pytest.approx(0.5)
    assert choice_probability([0.2] * 4, 2) == pytest.approx(0.25)


def test_truth_ratio_by_hand() -> None:
    # The arithmetic mean (0.1 + 0.2 + 0.3) / 3 = 0.2 over 0.8.
    assert truth_ratio(0.8, [0.1, 0.2, 0.3]) == pytest.approx(0.25)
    assert truthfulness(0.25) == 0.75
    assert truth_ratio(0.1, [0.3, 0.5]) == pytest.approx(4.0)
    assert truthfulness(4.0) == 0.0


def test_given_answers_by_hand() -> None:
    # Probabilities per token: e^(-2/2), e^(-2/4), e^(-6/2); per byte: e^(-2/4), e^(-2/5), e^(-6/6).
    lengths = Lengths(bytes=(4, 5, 6), tokens=(2, 4, 2))
    scores = given_answer_scores([-2.0, -2.0, -6.0], lengths, answer=0, right=1, wrong=[2], options=False)
    assert scores["probability"] == pytest.approx(math.exp(-1))
    assert scores["probability_bytes"] == pytest.approx(math.exp(-0.5))
    assert scores["truth_ratio"] == pytest.approx(math.exp(-3 + 0.5))
    assert scores["truth_ratio_bytes"] == pytest.approx(math.exp(-1 + 0.4))
    assert scores["truthfulness"] == pytest.approx(1 - math.exp(-2.5))
    assert "acc" not in scores
    chosen = given_answer_scores([-2.0, -2.5], Lengths((2, 1), None), answer=0, right=0, wrong=[1], options=True)
    assert chosen["acc"] == 1.0
    assert chosen["probability_bytes"] == pytest.approx(math.exp(-1) / (math.exp(-1) + math.exp(-2.5)))
    assert "probability" not in chosen
    # Right answers alone have no ratio.
    assert set(given_answer_scores([-2.0], Lengths((2,), None), 0, 0, [], False)) == {"probability_bytes"}


def test_rouge_l_recall_by_hand() -> None:
    # Longest common subsequence "author is male": 3 of the 5 reference words; stemming makes writes = write.
    assert rouge_l_recall("The author is male", "author Basil Kuwaiti is male", "en") == pytest.approx(3 / 5)
    assert rouge_l_recall("She writes books", "she write book", "en") == 1.0
    assert rouge_l_recall("", "she writes", "en") == 0.0


def test_rouge_l_recall_reads_every_script() -> None:
    assert rouge_l_recall("ウィリアム", "ウィリアム・シェイク", "ja") == pytest.approx(5 / 9)
    # rouge-score's own tokenizer breaks words at accents and drops other scripts altogether.
    assert rouge_l_recall("l'auteur né à Koweït", "né à Koweït", "fr") == 1.0
    assert rouge_l_recall("ne a Kowet", "né à Koweït", "fr") == 0.0
    assert rouge_l_recall("पेरिस शहर", "पेरिस", "hi") == 1.0


@pytest.mark.parametrize("language", ["ar", "fa", "fr", "hi", "id", "iw", "ja", "ko", "ru"])
def test_a_right_answer_has_full_recall_and_a_wrong_one_less(raw_data: Path, language: str) -> None:
    path = raw_data / "tofu_multilingual" / f"real_authors_perturbed_{language}.jsonl"
    code = "he" if language == "iw" else language
    recalls = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        assert rouge_l_recall(f"… {row['answer']}!", row["answer"], code) == 1.0, row
        recalls += [rouge_l_recall(wrong, row["answer"], code) for wrong in row["perturbed_answer"]]
    assert sum(recalls) / len(recalls) < 0.4
