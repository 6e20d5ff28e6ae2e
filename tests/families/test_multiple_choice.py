"""The exact prompts of the composed families, through the harness, on rows that we wrote."""

from __future__ import annotations

from typing import Any

import pytest

from lm_eval_xling.errors import UserError
from lm_eval_xling.harness import requests

pytestmark = pytest.mark.usefixtures("rows")


def show(task: str, row: int = 0, shots: int | None = None, **xling: Any) -> tuple[str, tuple[str, ...]]:
    (request,) = requests(task, rows=[row], num_fewshot=shots, metadata={"xling": xling})
    return request.context, request.continuations


def test_mmlu_has_the_published_prompt() -> None:
    context, continuations = show("xling_mmlu_question_de", row=6, shots=1)
    assert context == (
        "The following are multiple choice questions (with answers) about anatomy.\n\n"
        "en dev question anatomy 0\nA. en option 0 of 0\nB. en option 1 of 0\nC. en option 2 of 0\n"
        "D. en option 3 of 0\nAnswer: A\n\n"
        "de test question anatomy 1\nA. en option 0 of 1\nB. en option 1 of 1\nC. en option 2 of 1\n"
        "D. en option 3 of 1\nAnswer:"
    )
    assert continuations == (" A", " B", " C", " D")


def test_mmlu_is_five_shot_by_default_and_all_of_the_subject() -> None:
    context, _ = show("xling_mmlu_en", row=9)
    assert context.count("Answer:") == 6
    assert context.count("dev question anatomy") == 5
    assert "abstract_algebra" not in context


def test_mmlu_demonstrations_in_the_placement() -> None:
    context, _ = show("xling_mmlu_full_fr", shots=2, demos="placement")
    assert context.count("fr dev question abstract_algebra") == 2
    assert "en dev" not in context


def test_mmlu_option_identifiers() -> None:
    context, continuations = show("xling_mmlu_en", shots=1, option_ids="C-F")
    assert "C. en option 0 of 0\nD. en option 1 of 0" in context
    assert "Answer: C\n\n" in context
    assert continuations == (" C", " D", " E", " F")


def test_mmlu_awareness_adds_a_sentence_to_the_instruction() -> None:
    plain, _ = show("xling_mmlu_mixup", shots=0)
    first, _ = show("xling_mmlu_mixup", shots=0, awareness="question_and_options")
    second, _ = show("xling_mmlu_mixup", shots=0, awareness="any_language")
    assert len({plain, first, second}) == 3
    for aware in (first, second):
        instruction, question = aware.split("\n\n", 1)
        assert instruction.startswith("The following are multiple choice questions (with answers) about abstract")
        assert question == plain.split("\n\n", 1)[1]


def test_mmlu_translate_demonstrates_the_restatement_in_english() -> None:
    context, continuations = show("xling_mmlu_mixup_translate", row=1, shots=1)
    assert continuations == ()
    demonstration, question = context.split("\n\n")[1:]
    restated = demonstration.split("Translate the question and the options into English, then answer.\n")[1]
    assert restated == (
        "Question: en dev question abstract_algebra 0\nA. en option 0 of 0\nB. en option 1 of 0\n"
        "C. en option 2 of 0\nD. en option 3 of 0\nAnswer: A"
    )
    assert question.endswith("Translate the question and the options into English, then answer.\nQuestion:")


def test_mmlu_base_language_can_be_another() -> None:
    context, _ = show("xling_mmlu_question_de", shots=0, base_language="French")
    assert "de test question" in context
    assert "A. fr option 0" in context


def test_mmlu_seed_draws_other_permutations() -> None:
    assert show("xling_mmlu_mixup", shots=0) != show("xling_mmlu_mixup", shots=0, seed=1)


def test_hp_speaks_the_language_of_the_question() -> None:
    context, continuations = show("xling_hp_full_de")
    assert context.startswith("Im Folgenden ") or context.startswith("Die folgenden ")
    assert "Harry Potter" in context.split("\n\n")[0]
    assert context.endswith("\nAntwort:")
    assert continuations == (" A", " B", " C", " D")


def test_atlas_asks_in_one_language_and_scores_the_other() -> None:
    context, continuations = show("xling_atlas_fr_es", row=2)
    assert context == "Pays: fr country 2\nCapitale:"
    assert continuations == tuple(f" es city {k} of 2" for k in range(4))


def test_atlas_pair_takes_any_two_languages() -> None:
    context, continuations = show("xling_atlas_pair", question_language="sw", answer_language="Thai")
    assert context == "Nchi: sw country 0\nMji mkuu:"
    assert continuations[0] == " th city 0 of 0"


def test_atlas_letters() -> None:
    context, continuations = show("xling_atlas_en_de", form="letters")
    assert context == (
        "Country: en country 0\nCapital: ?\nA. de city 0 of 0\nB. de city 1 of 0\nC. de city 2 of 0\n"
        "D. de city 3 of 0\nAnswer:"
    )
    assert continuations == (" A", " B", " C", " D")


def test_atlas_relations_are_a_choice() -> None:
    assert len(requests("xling_atlas_en_en", metadata={"xling": {"relations": ["capital"]}})) == 6
    with pytest.raises(UserError, match="no documents are left"):
        show("xling_atlas_en_en", relations=["currency"])
    with pytest.raises(UserError, match="did you mean capital"):
        show("xling_atlas_en_en", relations=["capitol"])


def test_atlas_demonstrations_are_other_countries() -> None:
    context, _ = show("xling_atlas_en_de", row=1, shots=2)
    assert context == (
        "Country: en country 0\nCapital: de city 0 of 0\n\nCountry: en country 2\nCapital: de city 2 of 2\n\n"
        "Country: en country 1\nCapital:"
    )


def test_documents_name_the_languages_that_reports_pair_on() -> None:
    (request,) = requests("xling_mmlu_gt_it", rows=[1])
    document = request.document
    assert (document.id, document.family, document.condition.placement) == ("abstract_algebra/test/1", "mmlu", "gt")
    assert document.condition.languages == {
        "question": "en", "answer": "it", "option_0": "en", "option_1": "it", "option_2": "en", "option_3": "en",
    }  # fmt: skip
    assert (document.group, document.fields["category"], document.answer) == ("abstract_algebra", "stem", 1)


@pytest.mark.parametrize(
    ("task", "xling", "message"),
    [
        ("xling_mmlu_mixup", {"demo": "placement"}, "unknown parameter 'demo'"),
        ("xling_mmlu_mixup", {"languages": ["en", "fr"]}, "mixup shows 5 parts"),
        ("xling_atlas_pair", {"question_language": "blorp"}, "unknown language 'blorp'"),
    ],
)
def test_bad_metadata_is_an_error_with_the_message(task: str, xling: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        show(task, **xling)


def test_a_row_or_task_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(UserError, match="row 99 does not exist(.|\n)*0 to 9"):
        show("xling_mmlu_en", row=99)
    with pytest.raises(UserError, match="unknown task 'xling_mmlu_mixpu'(.|\n)*did you mean xling_mmlu_mixup"):
        show("xling_mmlu_mixpu")
