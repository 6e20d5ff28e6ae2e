from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest
from lm_eval.api.metrics import bleu, chrf

from lm_eval_xling.metrics import translation_quality


def _read(folder: Path, language: str) -> list[str]:
    return (folder / "flores_sample" / f"{language}.devtest").read_text(encoding="utf-8").splitlines()


@pytest.fixture
def pairs(raw_data: Path) -> list[tuple[str, str]]:
    """Spanish references and, for want of a translation, the Italian sentences as hypotheses."""
    return list(zip(_read(raw_data, "es"), _read(raw_data, "it"), strict=True))


def _chrf(pairs: list[tuple[str, str]], word_order: int) -> float:
    """Popović's definition, computed anew: F2 of precision and recall, each averaged over the n-gram orders."""

    def grams(text: str) -> list[Counter[object]]:
        characters = "".join(text.split())
        words: list[str] = []
        for word in text.split():
            # chrF++ parts one punctuation mark from either end of a word.
            if len(word) > 1 and word[-1] in "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~":
                words += [word[:-1], word[-1]]
            elif len(word) > 1 and word[0] in "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~":
                words += [word[0], word[1:]]
            else:
                words.append(word)
        return [
            *(Counter(characters[i : i + n] for i in range(len(characters) - n + 1)) for n in range(1, 7)),
            *(Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1)) for n in range(1, word_order + 1)),
        ]

    orders = 6 + word_order
    shared, in_reference, in_hypothesis = [0] * orders, [0] * orders, [0] * orders
    for reference, hypothesis in pairs:
        for n, (ours, theirs) in enumerate(zip(grams(reference), grams(hypothesis), strict=True)):
            shared[n] += sum((ours & theirs).values())
            in_reference[n] += sum(ours.values())
            in_hypothesis[n] += sum(theirs.values())
    precision = sum(hits / total for hits, total in zip(shared, in_hypothesis, strict=True)) / orders
    recall = sum(hits / total for hits, total in zip(shared, in_reference, strict=True)) / orders
    return 100 * 5 * precision * recall / (4 * precision + recall)


def test_chrf_is_popovic(pairs: list[tuple[str, str]]) -> None:
    assert chrf(pairs) == pytest.approx(_chrf(pairs, 0))
    assert translation_quality.chrf_plus_plus(pairs) == pytest.approx(_chrf(pairs, 2))


def test_bleu_by_hand() -> None:
    # 13a parts the full stop: 7 of 8 unigrams, 5 of 7 bigrams, 3 of 6 trigrams, 2 of 5 4-grams; equal lengths.
    pairs = [("the small cat sat on the mat.", "the small cat sat on a mat.")]
    expected = 100 * math.exp(sum(map(math.log, (7 / 8, 5 / 7, 3 / 6, 2 / 5))) / 4)
    assert bleu(pairs) == pytest.approx(expected)


def test_a_perfect_translation(raw_data: Path) -> None:
    pairs = [(sentence, sentence) for sentence in _read(raw_data, "de")]
    for score in (bleu, chrf, translation_quality.chrf_plus_plus):
        assert score(pairs) == pytest.approx(100)


def test_signatures_are_those_of_the_harness_s_scores(pairs: list[tuple[str, str]]) -> None:
    """What the harness computes is what a metric of the named signature computes."""
    import sacrebleu
    from sacrebleu.metrics import BLEU, CHRF

    version = f"version:{sacrebleu.__version__}"
    assert translation_quality.signatures().split(" ") == [
        f"BLEU|nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|{version}",
        f"chrF2|nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|{version}",
        f"chrF++|nrefs:1|case:mixed|eff:yes|nc:6|nw:2|space:no|{version}",
    ]
    references, hypotheses = map(list, zip(*pairs, strict=True))
    assert bleu(pairs) == pytest.approx(BLEU(tokenize="13a").corpus_score(hypotheses, [references]).score)
    assert chrf(pairs) == pytest.approx(CHRF(char_order=6, word_order=0).corpus_score(hypotheses, [references]).score)
