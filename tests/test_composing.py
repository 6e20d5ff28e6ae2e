from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from lm_eval_xling.composing import PLACEMENTS, compose, explicit_placement, mixup_placement, placement_named
from lm_eval_xling.errors import UserError
from lm_eval_xling.records import ComposedItem, Row

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


def composed(
    rows: dict,
    name: str,
    *,
    target: str | None = None,
    base: str = "en",
    seed: int = 0,
    languages: tuple[str, ...] | None = None,
    repeat: bool = False,
    **how: str,
) -> list[ComposedItem]:
    """Items of a placement by its name; ``mixup`` shows all languages of the rows if not told otherwise."""
    placement = placement_named(
        name, base=base, target=target, languages=tuple(rows) if languages is None else languages, seed=seed,
        repeat=repeat,
    )  # fmt: skip
    return compose(rows, placement, **how)


ids = st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=8, unique=True)


@given(ids=ids, seed=st.integers(0, 2**32), answer=st.integers(0, 3))
def test_mixup_shows_five_languages_and_keeps_gold(ids: list[str], seed: int, answer: int) -> None:
    for item in composed(make_rows(ids, answer=answer), "mixup", seed=seed):
        languages = [item.field_languages["question"], *item.option_languages]
        assert sorted(languages) == sorted(LANGUAGES)
        assert item.answer == answer
        assert item.fields["question"] == f"{languages[0]} question {item.id}"
        assert item.options == tuple(f"{lang} option {k} of {item.id}" for k, lang in enumerate(languages[1:]))


def test_mixup_spreads_languages_evenly_over_parts() -> None:
    items = composed(make_rows([f"subject/test/{i}" for i in range(10_000)]), "mixup")
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
    for item in composed(rows, placement, target="de", seed=seed):
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
    items = composed(make_rows([str(i) for i in range(6_000)], answer=2), "onewrong", target="it")
    counts = Counter(item.option_languages.index("it") for item in items)
    assert set(counts) == {0, 1, 3}
    assert chisquare(list(counts.values())).pvalue > 1e-3


@pytest.mark.parametrize("placement", PLACEMENTS)
@given(ids=ids, data=st.data())
@settings(max_examples=20)
def test_an_item_depends_on_its_id_alone(placement: str, ids: list[str], data: st.DataObject) -> None:
    target = "fr" if placement in TARGETED else None
    whole = {item.id: item for item in composed(make_rows(ids), placement, target=target)}
    subset = data.draw(st.permutations(ids))[: max(1, len(ids) // 2)]
    shuffled_languages = tuple(data.draw(st.permutations(LANGUAGES)))
    for item in composed(make_rows(subset, shuffled_languages), placement, target=target):
        assert item == whole[item.id]


@pytest.mark.slow
def test_an_item_is_the_same_in_another_process() -> None:
    code = (
        "import json; from tests.test_composing import composed, make_rows\n"
        "print(json.dumps([i.option_languages for i in composed(make_rows(list('abcdefgh')), 'mixup', seed=7)]))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("0", "1", "2")
    }
    here = [list(i.option_languages) for i in composed(make_rows(list("abcdefgh")), "mixup", seed=7)]
    assert [json.loads(output) for output in outputs] == [here]


def test_seed_changes_the_permutations() -> None:
    rows = make_rows([str(i) for i in range(50)])
    assert composed(rows, "mixup", seed=1) != composed(rows, "mixup", seed=2)


def test_base_language_can_be_another() -> None:
    (item,) = composed(make_rows(["a"]), "gt", target="en", base="de")
    assert item.field_languages == {"question": "de"}
    assert item.option_languages == ("de", "en", "de", "de")


def test_gold_comes_from_the_english_row() -> None:
    rows = make_rows(["a"])
    rows["de"] = make_rows(["a"], ("de",), answer=3)["de"]
    (item,) = composed(rows, "full", target="de")
    assert item.answer == 1


def test_explicit_parts_reach_the_context() -> None:
    rows = {
        language: [Row("a", language, {"context": f"{language} c", "question": f"{language} q"}, ("x", "y"), 0)]
        for language in ("en", "de", "fr")
    }
    (item,) = compose(rows, explicit_placement("de_en_fr", {"context": "de", "question": "en", "options": "fr"}))
    assert item.fields == {"context": "de c", "question": "en q"}
    assert item.option_languages == ("fr", "fr")


def test_missing_translation_is_an_error_or_dropped(caplog: pytest.LogCaptureFixture) -> None:
    rows = make_rows(["a", "b", "c"])
    del rows["de"][1]
    with pytest.raises(UserError, match=r"1 of 3 ids are missing .*'b' \(not in de\)"):
        composed(rows, "question", target="de")
    assert [item.id for item in composed(rows, "question", target="de", missing="drop")] == ["a", "c"]
    assert "1 ids that a language lacks were dropped" in caplog.text


def test_full_needs_every_english_id_too() -> None:
    rows = make_rows(["a", "b"])
    del rows["en"][0]
    with pytest.raises(UserError, match=r"'a' \(not in en\)"):
        composed(rows, "full", target="de")


def test_an_id_that_occurs_twice_is_an_error() -> None:
    with pytest.raises(UserError, match="'a' occurs twice"):
        composed(make_rows(["a", "a"]), "en")


def test_equal_options_are_an_error_dropped_or_kept() -> None:
    rows = make_rows(["a", "b"])
    rows["de"][0] = Row("a", "de", {"question": "q"}, ("en option 1 of a", "zwei", "drei", "vier"), 1)
    rows["de"][1] = Row("b", "de", {"question": "q"}, ("eins", "zwei", "drei", "en option 0 of b"), 1)
    composed(rows, "full", target="de")
    assert len(composed(rows, "gt", target="de")) == 2
    with pytest.raises(UserError, match="two options become equal"):
        composed(rows, "threewrong", target="de")
    dropped = composed(rows, "threewrong", target="de", equal_options="drop")
    assert [item.id for item in dropped] == ["b"]
    assert len(composed(rows, "threewrong", target="de", equal_options="keep")) == 2


def test_five_options_need_six_languages() -> None:
    rows = make_rows(["a"], options=5)
    with pytest.raises(UserError, match="mixup shows 6 parts .* but 5 are given"):
        composed(rows, "mixup")
    (item,) = composed(make_rows(["a"], (*LANGUAGES, "nl"), options=5), "mixup")
    assert len(set(item.option_languages)) == 5


def test_translations_with_another_number_of_options_are_an_error() -> None:
    rows = make_rows(["a"])
    rows["de"] = make_rows(["a"], ("de",), options=5)["de"]
    with pytest.raises(UserError, match="5 options in de, but 4 in en"):
        composed(rows, "options", target="de")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "questoin", "target": "de"}, "did you mean question"),
        ({"name": "question"}, "needs a target language"),
        ({"name": "question", "target": "en"}, "other than the base language"),
        ({"name": "question", "target": "sv"}, "no rows in 'sv'"),
        ({"name": "en", "missing": "ignore"}, "unknown value of 'missing'"),
    ],
)
def test_bad_arguments_name_the_fix(arguments: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        composed(make_rows(["a"]), **arguments)


def test_an_answer_that_is_no_option_is_an_error() -> None:
    with pytest.raises(UserError, match="not the index of one of 4 options"):
        composed(make_rows(["a"], answer=4), "en")


# What the code before the redesign drew, so that no published item changes.
DRAWN = {
    0: {
        "abstract_algebra/test/0": ("fr en es it de", "en en en de en"),
        "anatomy/test/17": ("fr it de es en", "en en en en de"),
        "full/3964": ("de es fr it en", "en en en en de"),
        "ä": ("fr en de it es", "en de en en en"),
    },
    7: {
        "abstract_algebra/test/0": ("de fr es it en", "en en en en de"),
        "anatomy/test/17": ("it es en de fr", "en en en de en"),
        "full/3964": ("fr es de it en", "en de en en en"),
        "ä": ("de es it fr en", "en en en en de"),
    },
}


def shown(item: ComposedItem) -> tuple[str, ...]:
    return (*item.field_languages.values(), *item.option_languages)


@pytest.mark.parametrize("seed", DRAWN)
def test_draws_are_those_of_the_published_results(seed: int) -> None:
    rows = make_rows(list(DRAWN[seed]))
    mixed = {item.id: " ".join(shown(item)) for item in composed(rows, "mixup", seed=seed)}
    one_wrong = {item.id: " ".join(shown(item)) for item in composed(rows, "onewrong", target="de", seed=seed)}
    assert {key: (mixed[key], one_wrong[key]) for key in mixed} == DRAWN[seed]


def parallel(ids: list[str], languages: tuple[str, ...], options: int, fields: tuple[str, ...]) -> dict:
    return {
        code: [
            Row(i, code, {name: f"{code} {name}" for name in fields}, tuple(f"{code} {k}" for k in range(options)), 0)
            for i in ids
        ]
        for code in languages
    }


WORLD = ("ar", "bn", "de", "en", "es", "fr", "hi", "it", "ja", "ko", "ru", "sw")


@given(
    ids=ids, seed=st.integers(0, 2**32), options=st.integers(2, 5), repeat=st.booleans(),
    languages=st.lists(st.sampled_from(WORLD), min_size=6, unique=True),
)  # fmt: skip
@settings(max_examples=60)
def test_mixup_over_more_languages_than_parts_repeats_none(
    ids: list[str], seed: int, options: int, repeat: bool, languages: list[str]
) -> None:
    rows = parallel(ids, WORLD, options, ("question",))
    items = composed(rows, "mixup", languages=tuple(languages), seed=seed, repeat=repeat)
    for item in items:
        assert len(set(shown(item))) == len(shown(item)) == options + 1
        assert set(shown(item)) <= set(languages)
        assert item.options == tuple(f"{code} {k}" for k, code in enumerate(item.option_languages))
    # The order in which the languages are named is no part of the draw.
    assert items == composed(rows, "mixup", languages=tuple(languages[::-1]), seed=seed, repeat=repeat)


def test_mixup_over_more_languages_takes_each_pair_equally_often() -> None:
    languages = ("de", "en", "es", "fr", "it", "nl", "sw")
    items = composed(parallel([f"item/{i}" for i in range(2_000)], languages, 4, ("question",)), "mixup", seed=11)
    for first, second in ((0, 1), (0, 4), (2, 3)):
        counts = Counter((shown(item)[first], shown(item)[second]) for item in items)
        assert len(counts) == 7 * 6
        assert chisquare(list(counts.values())).pvalue > 1e-3


@given(
    ids=ids, seed=st.integers(0, 2**32), languages=st.lists(st.sampled_from(WORLD), min_size=1, max_size=6, unique=True)
)
@settings(max_examples=60)
def test_mixup_over_fewer_languages_repeats_them_evenly_when_told_to(
    ids: list[str], seed: int, languages: list[str]
) -> None:
    # Seven parts: two fields and five options.
    rows = parallel(ids, WORLD, 5, ("context", "question"))
    with pytest.raises(UserError, match=r'mixup shows 7 parts (.|\n)*"repeat_languages": true'):
        composed(rows, "mixup", languages=tuple(languages), seed=seed)
    for item in composed(rows, "mixup", languages=tuple(languages), seed=seed, repeat=True):
        counts = Counter(shown(item))
        assert set(counts) == set(languages)
        assert max(counts.values()) - min(counts.values()) <= 1


def test_repeated_languages_reach_every_part_equally_often() -> None:
    rows = make_rows([str(i) for i in range(5_000)], ("en", "sw"))
    items = composed(rows, "mixup", repeat=True)
    for part in range(5):
        assert chisquare(list(Counter(shown(item)[part] for item in items).values())).pvalue > 1e-3


def test_mixup_without_english_takes_gold_from_the_english_rows() -> None:
    rows = make_rows(["a", "b"], (*LANGUAGES, "nl"), answer=2)
    for code in (*LANGUAGES[1:], "nl"):
        rows[code] = make_rows(["a", "b"], (code,), answer=0)[code]
    placement = mixup_placement([code for code in rows if code != "en"])
    items = compose(rows, placement)
    assert [item.answer for item in items] == [2, 2]
    assert all("en" not in shown(item) for item in items)


@pytest.mark.parametrize("placement", [name for name in PLACEMENTS if name != "mixup"])
@given(
    ids=ids, seed=st.integers(0, 2**32), options=st.integers(2, 6), answer=st.integers(0, 1),
    base=st.sampled_from(WORLD[:6]), target=st.sampled_from(WORLD[6:]),
)  # fmt: skip
@settings(max_examples=25)
def test_placements_are_the_papers_table(
    placement: str, ids: list[str], seed: int, options: int, answer: int, base: str, target: str
) -> None:
    for identifier in ids:
        row = Row(identifier, "en", {"context": "c", "question": "q"}, tuple(str(k) for k in range(options)), answer)
        parts = placement_named(placement, base=base, target=target, seed=seed).parts(row)
        asked_in = target if placement in ("full", "question", "gt_question") else base
        assert parts.fields == {"context": target if placement == "full" else base, "question": asked_in}
        translated = [index for index, code in enumerate(parts.options) if code == target]
        assert set(parts.options) <= {base, target} and len(parts.options) == options
        everything, wrong = list(range(options)), [index for index in range(options) if index != answer]
        expected = {"full": everything, "options": everything, "gt": [answer], "gt_question": [answer],
                    "threewrong": wrong, "en": [], "question": []}  # fmt: skip
        if placement == "onewrong":
            assert len(translated) == 1 and translated[0] in wrong
        else:
            assert translated == expected[placement]
