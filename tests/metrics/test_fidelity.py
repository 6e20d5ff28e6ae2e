from __future__ import annotations

import json
from pathlib import Path

import pytest

from lm_eval_xling.errors import UserError
from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.metrics.fidelity import MINIMUM_LETTERS, fidelity_scores, identify, is_in_language

ZHANG = "en zh de fr es it nl ja ru sv sl pl bg no ms is hi th sw bn".split()


@pytest.mark.parametrize("language", ZHANG)
def test_real_sentences_cut_to_the_limit_are_recognised(shared_data: Path, language: str) -> None:
    path = shared_data / "zhang_eval" / "snli" / f"snli_{language}600_test.json"
    premises = list(dict.fromkeys(row["premise"] for row in json.loads(path.read_text(encoding="utf-8"))))
    judged = []
    for premise in premises:
        # The shortest beginning that is judged at all.
        verdicts = (is_in_language(premise[:end], language) for end in range(1, len(premise) + 1))
        judged += [next((verdict for verdict in verdicts if verdict is not None), None)]
    judged = [verdict for verdict in judged if verdict is not None]
    assert len(judged) >= 0.8 * len(premises)
    assert sum(judged) / len(judged) >= 0.85


def test_digits_and_punctuation_do_not_count() -> None:
    assert identify("12.345 + 67 = 12.412 → 99 % (18:30) … €") is None
    assert identify("ab" * (MINIMUM_LETTERS // 2 - 1)) is None
    german = "Sie verdient jeden Tag 18 Dollar"
    assert identify(german) == identify(f"1,5 / 7 {german}: 18$ !!") == "de"
    # Five Han characters carry as much as twenty letters.
    assert identify("她每天賺18美元") == "zh"
    assert identify("她每天") is None
    assert identify("ตอบสิบแปดบาทต่อวัน") == "th"


def test_cells_add_up() -> None:
    french = "Elle gagne dix-huit dollars chaque jour au marché."
    scores = fidelity_scores(french, "fr", right=True)
    assert scores == {
        "language_judged": 1.0,
        "language_fidelity": 1.0,
        "right_in_language": 1.0,
        "right_in_other_language": 0.0,
        "wrong_in_language": 0.0,
        "wrong_in_other_language": 0.0,
    }
    assert fidelity_scores(french, "de", right=True)["right_in_other_language"] == 1.0
    assert fidelity_scores(french, "de", right=False)["wrong_in_other_language"] == 1.0
    assert fidelity_scores(french, "fr", right=False)["wrong_in_language"] == 1.0
    assert fidelity_scores(french, "de") == {"language_judged": 1.0, "language_fidelity": 0.0}
    assert fidelity_scores("18", "fr", right=True) == {"language_judged": 0.0}


def test_language_that_lingua_does_not_know() -> None:
    unknown = "am ha ig ky mg ne ny si".split()
    for language in LANGUAGES:
        if language in unknown:
            with pytest.raises(UserError, match=f"cannot identify {LANGUAGES[language].name}"):
                is_in_language("text", language)
        else:
            assert is_in_language("7", language) is None
