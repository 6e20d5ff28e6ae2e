"""MGSM and MSVAMP, through the harness."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from lm_eval_xling import catalog, literals
from lm_eval_xling.errors import UserError
from lm_eval_xling.families import math
from lm_eval_xling.families.math import number_scores
from lm_eval_xling.harness import requests
from lm_eval_xling.metrics.numbers import final_number, numbers
from lm_eval_xling.records import Condition, Document, Request, Row
from tests.families.making import made, said

PROBLEMS = yaml.safe_load(Path(math.__file__).with_name("math_demonstrations.yaml").read_text(encoding="utf-8"))
MGSM = "en bn de es fr ja ru sw te th zh".split()


@pytest.fixture(autouse=True)
def mirrored(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLING_DATA", str(mirror))


def show(task: str, row: int = 0, shots: int | None = None, **xling: Any) -> Request:
    (request,) = requests(task, rows=[row], num_fewshot=shots, metadata={"xling": xling})
    return request


@pytest.mark.slow
@pytest.mark.parametrize("language", MGSM)
@pytest.mark.parametrize("index", range(8))
def test_demonstrations_compute_their_answer(language: str, index: int) -> None:
    problem = PROBLEMS[index]
    # Every equation of the steps holds, all languages write the same ones, and the last one gives the answer.
    equations = _equations(problem[language]["steps"])
    assert equations == _equations(problem["en"]["steps"])
    assert all(eval(left.replace("×", "*")) == int(right) for left, right in equations)  # noqa: S307
    assert equations[-1][1] == problem["answer"]
    # The question holds the same numbers in every language.
    assert sorted(numbers(problem[language]["question"], language)) == sorted(numbers(problem["en"]["question"], "en"))


def _equations(steps: str) -> list[tuple[str, str]]:
    import re

    return [(m[1].strip(), m[2]) for m in re.finditer(r"((?:\d+ [-+×/] )+\d+) = (\d+)", steps)]


@pytest.mark.slow
@pytest.mark.parametrize("language", MGSM)
def test_the_final_sentence_is_read_back(language: str) -> None:
    request = show(f"xling_math_mgsm_native_{language}", shots=1)
    demonstration = request.context.split("\n\n")[0]
    marker = request.document.fields["marker"]
    assert marker and marker in demonstration
    assert final_number(demonstration, language, marker) == Decimal(PROBLEMS[0]["answer"])
    assert literals.word(language, "fields.step_by_step_answer") + ":" in demonstration


def test_native_is_mgsm_s_form_in_one_language() -> None:
    request = show("xling_math_mgsm_native_de", row=1, shots=1)
    row = catalog.load_rows("mgsm", "de", "test")[1]
    assert request.context == (
        "Frage: Lena hat 6 Schachteln mit je 4 Stiften. Sie gibt ihrem Bruder 5 Stifte. Wie viele Stifte hat sie "
        "noch?\nSchritt-für-Schritt-Antwort: Lena hat 6 × 4 = 24 Stifte. Davon gibt sie 5 ab, also bleiben "
        "24 - 5 = 19 Stifte. Die Antwort lautet 19.\n\n"
        f"Frage: {row.fields['question']}\nSchritt-für-Schritt-Antwort:"
    )
    assert request.document.target == row.target
    assert show("xling_math_mgsm_native_de").context.count("Frage: ") == 9


def test_the_three_languages_are_independent() -> None:
    question = catalog.load_rows("mgsm", "th", "test")[0].fields["question"]
    english = show("xling_math_mgsm_english_reasoning_th", shots=1).context
    assert english.startswith("คำถาม: ลีนา") and "The answer is 19." in english
    assert english.endswith(f"คำถาม: {question}\nStep-by-Step Answer:")
    demos = show("xling_math_mgsm_english_demos_th", shots=1).context
    assert demos.startswith("Question: Lena") and "The answer is 19." in demos
    assert demos.endswith(f"คำถาม: {question}\nStep-by-Step Answer:")
    mixed = show(
        "xling_math_mgsm_native_th", shots=1, demos_language="fr", reasoning_language="Spanish", question_language="sw"
    )
    assert mixed.context.startswith("Question: Léna") and "La respuesta es 19." in mixed.context
    assert mixed.context.endswith("\nRespuesta paso a paso:") and "\n\nSwali: " in mixed.context
    assert mixed.document.condition.languages == {"question": "sw", "demonstrations": "fr", "answer": "es"}


def test_direct_asks_for_the_number_alone() -> None:
    assert show("xling_math_msvamp_direct_ja", shots=1).context.split("\n\n")[0].endswith("\n答え: 19")


@pytest.mark.slow
def test_switched_questions_are_sentences_of_the_same_problem() -> None:
    languages = ("en", "de", "es", "fr")
    texts = {code: catalog.load_rows("mgsm", code, "test") for code in languages}
    seen = set()
    for request in requests("xling_math_mgsm_switched", limit=40, num_fewshot=0):
        row = int(request.document.id)
        for unit in request.document.fields["units"]:
            assert unit["text"].strip() in texts[unit["language"]][row].fields["question"]
            seen.add(unit["language"])
        assert request.context.startswith("Question: ")
    assert seen == set(languages)
    # A draw depends on the seed and the id, and another language set is possible.
    again = show("xling_math_mgsm_switched", row=5, shots=0)
    assert again.context == requests("xling_math_mgsm_switched", limit=6, num_fewshot=0)[5].context
    others = {show("xling_math_mgsm_switched", row=5, shots=0, seed=seed).context for seed in range(4)}
    assert len(others) > 1
    swahili = show("xling_math_mgsm_switched", row=5, shots=0, languages=["sw", "th"])
    assert {unit["language"] for unit in swahili.document.fields["units"]} <= {"sw", "th"}


def scores(answer: str, target: str, language: str = "de", marker: str = "") -> dict[str, float]:
    condition = Condition("", "direct", {"question": language, "answer": language})
    document = Document("0", "math", condition, "Frage?", target=target, fields={"marker": marker})
    return dict(number_scores(document, said(answer)))


@pytest.mark.slow
def test_scores() -> None:
    right = scores("Sie verdient jeden Tag 9 mal 2 Dollar. Die Antwort lautet 2.125,00 $.", "2125")
    assert right["exact_match"] == right["right_in_language"] == right["language_fidelity"] == 1.0
    # Right, but in English.
    other = scores("She makes nine times two dollars every day. The answer is 18.", "18")
    assert other["exact_match"] == other["right_in_other_language"] == 1.0
    assert other["language_fidelity"] == 0.0
    assert scores("18", "18") == {"exact_match": 1.0, "language_told": 0.0}
    assert scores("keine Ahnung", "18")["exact_match"] == 0.0
    # What follows the final sentence does not count.
    assert scores("Die Antwort lautet 18. Frage: 7", "18", marker="Die Antwort lautet")["exact_match"] == 1.0


def test_without_lingua_the_answers_are_still_scored(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from lm_eval_xling.families import answering

    answering._say_once.cache_clear()
    monkeypatch.setattr(answering, "can_detect", lambda: False)
    assert scores("Die Antwort lautet 18.", "18") == {"exact_match": 1.0}
    scores("Die Antwort lautet 18.", "18")
    assert caplog.text.count("pip install 'lm-eval-xling[langid]'") == 1


def test_bad_rows_and_languages(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no demonstrations in 'it'(.|\n)*--num_fewshot 0"):
        show("xling_math_mgsm_native_de", demos_language="it")
    with pytest.raises(UserError, match="the mirror does not hold .it. .test. of dataset .mgsm."):
        show("xling_math_mgsm_native_de", question_language="it")

    def serve(question: str, target: str) -> None:
        monkeypatch.setattr(
            catalog,
            "load_rows",
            lambda dataset, language, split: [Row("0", language, {"question": question}, target=target)],
        )

    serve("Frage?", "zwölf")
    with pytest.raises(UserError, match="the answer 'zwölf' is not a number(.|\n)*mgsm, id 0"):
        made("math", "mgsm_native_de")
    serve(" ", "12")
    with pytest.raises(UserError, match="the question is empty"):
        made("math", "mgsm_native_de")


def test_spaces_around_a_question_are_not_shown() -> None:
    rows = catalog.load_rows("msvamp", "sw", "test")
    spaced = [index for index, row in enumerate(rows) if row.fields["question"] != row.fields["question"].strip()]
    assert spaced
    assert ":  " not in show("xling_math_msvamp_direct_sw", row=spaced[0]).context
