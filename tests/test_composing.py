from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from lm_eval_xling.composing import PLACEMENTS, compose
from lm_eval_xling.errors import UserError
from lm_eval_xling.records import Row

LANGUAGES = ("en", "fr", "de", "es", "it")
TARGETED = tuple(p for p in PLACEMENTS if p not in ("en", "mixup"))


def make_rows(ids: list[str], languages: tuple[str, ...] = LANGUAGES, options: int = 4, answer: int = 1) -> dict:
    return {
        language: [
            Row(
                id=i,
                language=language,
                fields={"question": f"{language} question {i}"},
                options=tuple(f"{language} option {k} of {i}" for k in range(options)),
                answer=answer,
            )
            for i in ids
        ]
        for language in languages
    }


ids = st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=8, unique=True)


@given(ids=ids, seed=st.integers(0, 2**32), answer=st.integers(0, 3))
def test_mixup_shows_five_languages_and_keeps_gold(ids: list[str], seed: int, answer: int) -> None:
    for item in compose(make_rows(ids, answer=answer), "mixup", seed=seed):
        languages = [item.field_languages["question"], *item.option_languages]
        assert sorted(languages) == sorted(LANGUAGES)
        assert item.answer == answer
        assert item.fields["question"] == f"{languages[0]} question {item.id}"
        assert item.options == tuple(f"{lang} option {k} of {item.id}" for k, lang in enumerate(languages[1:]))


def test_mixup_spreads_languages_evenly_over_parts() -> None:
    items = compose(make_rows([f"subject/test/{i}" for i in range(10_000)]), "mixup")
    for part in range(5):
        counts = Counter([i.field_languages["question"], *i.option_languages][part] for i in items)
        assert chisquare([counts[language] for language in LANGUAGES]).pvalue > 1e-3
    permutations = Counter((i.field_languages["question"], *i.option_languages) for i in items)
    assert len(permutations) == 120
    assert chisquare(list(permutations.values())).pvalue > 1e-3


def expected_languages(placement: str, answer: int) -> tuple[str, list[str]] | None:
    """Independent statement of the paper's table, target language de."""
    gold_only = ["de" if k == answer else "en" for k in range(4)]
    return {
        "full": ("de", ["de"] * 4),
        "question": ("de", ["en"] * 4),
        "options": ("en", ["de"] * 4),
        "gt": ("en", gold_only),
        "gt_question": ("de", gold_only),
        "threewrong": ("en", ["en" if k == answer else "de" for k in range(4)]),
    }.get(placement)


@pytest.mark.parametrize("placement", TARGETED)
@given(ids=ids, answer=st.integers(0, 3), seed=st.integers(0, 99))
@settings(max_examples=30)
def test_only_the_named_parts_change(placement: str, ids: list[str], answer: int, seed: int) -> None:
    rows = make_rows(ids, answer=answer)
    for item in compose(rows, placement, target="de", seed=seed):
        expected = expected_languages(placement, answer)
        if expected is None:
            assert item.field_languages == {"question": "en"}
            assert item.option_languages.count("de") == 1
            assert item.option_languages[answer] == "en"
        else:
            assert (item.field_languages["question"], list(item.option_languages)) == expected
        assert item.answer == answer
        for k, language in enumerate(item.option_languages):
            assert item.options[k] == f"{language} option {k} of {item.id}"


def test_onewrong_reaches_every_wrong_option_equally_often() -> None:
    items = compose(make_rows([str(i) for i in range(6_000)], answer=2), "onewrong", target="it")
    counts = Counter(item.option_languages.index("it") for item in items)
    assert set(counts) == {0, 1, 3}
    assert chisquare(list(counts.values())).pvalue > 1e-3


@pytest.mark.parametrize("placement", PLACEMENTS)
@given(ids=ids, data=st.data())
@settings(max_examples=20)
def test_an_item_depends_on_its_id_alone(placement: str, ids: list[str], data: st.DataObject) -> None:
    target = "fr" if placement in TARGETED else None
    whole = {item.id: item for item in compose(make_rows(ids), placement, target=target)}
    subset = data.draw(st.permutations(ids))[: max(1, len(ids) // 2)]
    shuffled_languages = tuple(data.draw(st.permutations(LANGUAGES)))
    for item in compose(make_rows(subset, shuffled_languages), placement, target=target):
        assert item == whole[item.id]


def test_an_item_is_the_same_in_another_process() -> None:
    code = (
        "import json; from tests.test_composing import make_rows; from lm_eval_xling.composing import compose\n"
        "print(json.dumps([i.option_languages for i in compose(make_rows(list('abcdefgh')), 'mixup', seed=7)]))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("0", "1", "2")
    }
    here = [list(i.option_languages) for i in compose(make_rows(list("abcdefgh")), "mixup", seed=7)]
    assert [json.loads(output) for output in outputs] == [here]


def test_seed_changes_the_permutations() -> None:
    rows = make_rows([str(i) for i in range(50)])
    assert compose(rows, "mixup", seed=1) != compose(rows, "mixup", seed=2)


def test_base_language_can_be_another() -> None:
    (item,) = compose(make_rows(["a"]), "gt", target="en", base="de")
    assert item.field_languages == {"question": "de"}
    assert item.option_languages == ("de", "en", "de", "de")


def test_gold_comes_from_the_english_row() -> None:
    rows = make_rows(["a"])
    rows["de"] = make_rows(["a"], ("de",), answer=3)["de"]
    (item,) = compose(rows, "full", target="de")
    assert item.answer == 1


def test_explicit_parts_reach_the_context() -> None:
    rows = {
        language: [Row("a", language, {"context": f"{language} c", "question": f"{language} q"}, ("x", "y"), 0)]
        for language in ("en", "de", "fr")
    }
    (item,) = compose(rows, {"context": "de", "question": "en", "options": "fr"})
    assert item.fields == {"context": "de c", "question": "en q"}
    assert item.option_languages == ("fr", "fr")


def test_missing_translation_is_an_error_or_dropped(caplog: pytest.LogCaptureFixture) -> None:
    rows = make_rows(["a", "b", "c"])
    del rows["de"][1]
    with pytest.raises(UserError, match=r"1 of 3 ids are missing .*'b' \(not in de\)"):
        compose(rows, "question", target="de")
    assert [item.id for item in compose(rows, "question", target="de", missing="drop")] == ["a", "c"]
    assert "1 ids that lack a translation were dropped" in caplog.text


def test_full_needs_every_english_id_too() -> None:
    rows = make_rows(["a", "b"])
    del rows["en"][0]
    with pytest.raises(UserError, match=r"'a' \(not in the gold rows\)"):
        compose(rows, "full", target="de")


def test_an_id_that_occurs_twice_is_an_error() -> None:
    with pytest.raises(UserError, match="'a' occurs twice"):
        compose(make_rows(["a", "a"]), "en")


def test_equal_options_are_an_error_dropped_or_kept() -> None:
    rows = make_rows(["a", "b"])
    rows["de"][0] = Row("a", "de", {"question": "q"}, ("en option 1 of a", "zwei", "drei", "vier"), 1)
    rows["de"][1] = Row("b", "de", {"question": "q"}, ("eins", "zwei", "drei", "en option 0 of b"), 1)
    compose(rows, "full", target="de")
    assert len(compose(rows, "gt", target="de")) == 2
    with pytest.raises(UserError, match="two options become equal"):
        compose(rows, "threewrong", target="de")
    dropped = compose(rows, "threewrong", target="de", equal_options="drop")
    assert [item.id for item in dropped] == ["b"]
    assert len(compose(rows, "threewrong", target="de", equal_options="keep")) == 2


def test_five_options_need_six_languages() -> None:
    rows = make_rows(["a"], options=5)
    with pytest.raises(UserError, match="mixup shows 6 parts .* but 5 are given"):
        compose(rows, "mixup")
    (item,) = compose(make_rows(["a"], (*LANGUAGES, "nl"), options=5), "mixup")
    assert len(set(item.option_languages)) == 5


def test_translations_with_another_number_of_options_are_an_error() -> None:
    rows = make_rows(["a"])
    rows["de"] = make_rows(["a"], ("de",), options=5)["de"]
    with pytest.raises(UserError, match="5 options in de, but 4 in en"):
        compose(rows, "options", target="de")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"placement": "questoin", "target": "de"}, "did you mean question"),
        ({"placement": "question"}, "needs a target language"),
        ({"placement": "question", "target": "en"}, "other than the base language"),
        ({"placement": "question", "target": "sv"}, "no rows in 'sv'"),
        ({"placement": "en", "missing": "ignore"}, "unknown value of 'missing'"),
    ],
)
def test_bad_arguments_name_the_fix(arguments: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        compose(make_rows(["a"]), **arguments)


def test_an_answer_that_is_no_option_is_an_error() -> None:
    with pytest.raises(UserError, match="not the index of one of 4 options"):
        compose(make_rows(["a"], answer=4), "en")
