"""Code-switched texts and sliding demonstrations of every family that has them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lm_eval.tasks import TaskManager

from lm_eval_xling import catalog
from lm_eval_xling.errors import UserError
from lm_eval_xling.families import FAMILIES, Family
from lm_eval_xling.families.own_data import own_family
from lm_eval_xling.families.parameters import configure
from lm_eval_xling.families.sliding import SlidingPart, slide
from lm_eval_xling.families.task_files import SPLIT
from lm_eval_xling.harness import tasks_folder
from lm_eval_xling.literals import word
from lm_eval_xling.records import Document, Response, Row, Switched
from lm_eval_xling.translation.lexicon import LexiconTranslator
from tests.families.making import made
from tests.families.written import rows_of

pytestmark = pytest.mark.usefixtures("written")

WORDS = Path(__file__).with_name("words.tsv")
"""A lexicon of four words that stand in every text that we wrote, into any language."""
PAIRS = dict(line.split("\t") for line in WORDS.read_text(encoding="utf-8").splitlines())

# A leaf whose texts stand in German, one that shows them in English and is otherwise the same, and the texts.
LEAVES = {
    "mmlu": ("question_de", "en", ("question",)),
    "hp": ("question_de", "en", ("question",)),
    "qa": ("belebele_context_de", "belebele_full_en", ("context",)),
    "nli": ("de", "en", ("premise", "hypothesis")),
    "paraphrase": ("de", "en", ("sentence_1", "sentence_2")),
    "sentiment": ("de", "en", ("text",)),
}


def shown(family: str, leaf: str, **xling: Any) -> list[Document]:
    return list(made(family, leaf, **xling).evaluated)


def texts(documents: list[Document], parts: tuple[str, ...]) -> list[list[str]]:
    return [[document.fields[part] for part in parts] for document in documents]


@pytest.mark.parametrize("unit", ["sentence", "chunk"])
@pytest.mark.parametrize("family", LEAVES)
def test_texts_go_from_the_matrix_language_to_the_other(family: str, unit: str) -> None:
    leaf, in_english, parts = LEAVES[family]
    german, english = shown(family, leaf), shown(family, in_english)
    part = "context" if family == "qa" else "question"
    for matrix, codes, own, other in (
        ("target", ("de", "en"), german, english),
        ("base", ("en", "de"), english, german),
    ):
        none, half, whole = (shown(family, leaf, switched=share, matrix=matrix, unit=unit) for share in (0, 50, 100))
        assert [d.prompt for d in none] == [d.prompt for d in own]
        assert texts(whole, parts) == texts(other, parts)
        assert half == shown(family, leaf, switched=50, matrix=matrix, unit=unit)
        seeds = (shown(family, leaf, switched=50, matrix=matrix, unit=unit, seed=seed) for seed in range(1, 9))
        assert any(texts(drawn, parts) != texts(half, parts) for drawn in seeds)
        for mixed, plain, foreign in zip(half, own, other, strict=True):
            # Half of two sentences, or of four chunks: each piece stands in the text of its language.
            for name in parts:
                units = mixed.fields["units"][name]
                assert {one["language"] for one in units} == set(codes)
                source = {codes[0]: plain.fields[name], codes[1]: foreign.fields[name]}
                assert all(one["text"].strip() in source[one["language"]] for one in units)
            # Prompt words, options, identifiers and gold are those of the matrix language's leaf.
            assert (
                mixed.prompt.replace(mixed.fields[parts[0]], "").split("\n")[0]
                == plain.prompt.replace(plain.fields[parts[0]], "").split("\n")[0]
            )
            same = ("id", "cue", "choices", "options", "answer", "request", "description")
            assert all(getattr(mixed, name) == getattr(plain, name) for name in same)
            assert mixed.condition.languages == {**plain.condition.languages, part: "mul"}
            assert mixed.condition.switched == {part: Switched(*codes, 50, unit)}
            assert Document.from_row(mixed.as_row()) == mixed
            # The harness's cache of requests counts it in: where there is no translator nothing is logged of one.
            assert "translator" not in json.dumps(mixed.as_row())
        assert none[0].condition.languages == own[0].condition.languages
        assert whole[0].condition.languages[part] == codes[1]


@pytest.mark.parametrize("family", LEAVES)
def test_a_greater_share_switches_more(family: str) -> None:
    leaf, _, parts = LEAVES[family]

    def english(share: int) -> list[int]:
        """Characters in English of each document."""
        return [
            sum(len(one["text"]) for part in parts for one in document.fields["units"][part] if one["language"] == "en")
            for document in shown(family, leaf, switched=share, words=2)
        ]

    steps = [english(share) for share in (20, 40, 60, 80, 100)]
    for smaller, greater in zip(steps, steps[1:], strict=False):
        assert all(a <= b for a, b in zip(smaller, greater, strict=True)) and sum(smaller) < sum(greater)


def test_what_is_switched_is_drawn_from_the_item_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    every = {d.id: d for d in shown("mmlu", "full_de", switched=50)}
    monkeypatch.setattr(catalog, "load_rows", lambda *of: rows_of(*of)[::-1][:3])
    few = shown("mmlu", "full_de", switched=50)
    assert 0 < len(few) < len(every) and all(every[d.id] == d for d in few)
    # The other language's rows count even where the placement shows one language only.
    assert shown("mmlu", "full_de", switched=50, base_language="sw", seed=3)[0].condition.switched == {
        "question": Switched("de", "sw", 50, "chunk")
    }


def test_every_text_of_an_item_has_a_draw_of_its_own() -> None:
    units = [d.fields["units"] for d in shown("nli", "de", switched=50, unit="sentence")]
    first = [[[one["language"] for one in item[part]] for part in ("premise", "hypothesis")] for item in units]
    assert any(a != b for a, b in first)


def test_belebele_switches_the_texts_in_the_leaf_s_language() -> None:
    (document, *_) = shown("qa", "belebele_question_options_de", switched=50)
    assert set(document.fields["units"]) == {"question"} == set(document.condition.switched)
    assert document.condition.languages["context"] == "en" and document.condition.languages["option_0"] == "de"
    (document, *_) = shown("qa", "belebele_full_de", switched=50, question_language="fr")
    assert document.condition.switched == {
        "context": Switched("de", "en", 50, "chunk"),
        "question": Switched("fr", "en", 50, "chunk"),
    }


def test_a_switched_question_is_answered_in_the_matrix_language() -> None:
    family = FAMILIES["hp"]
    (document, *_) = shown("hp", "full_de", switched=50, form="generate")
    assert document.request == word("de", "instructions.choose")
    said = "Die richtige Antwort ist A, weil der Junge im Buch das so gesagt hat."
    scores = family.forms["generate"].scores(document, [Response("", text=said)])
    assert scores["language_fidelity"] == 1.0


def test_scripts_of_the_paper_show_switched_texts_in_their_words() -> None:
    (target, *_), (base, *_) = (
        shown("nli", "de", switched=50, matrix=matrix, preset="paper") for matrix in ("target", "base")
    )
    assert target.prompt.startswith("de nli_english") and base.prompt.startswith("en nli_english")
    assert target.fields["premise"] in target.prompt and target.condition.switched


def own(folder: Path, question: Mapping[str, str], items: int) -> Family:
    """A family of own data, whose items all ask the same."""
    for code, text in question.items():
        rows = "".join(f'{{"id": "{i}", "q": "{text}", "a": "x", "b": "y", "right": 0}}\n' for i in range(items))
        (folder / f"{code}.jsonl").write_text(rows, encoding="utf-8")
    described = (
        f"name: mine\nlanguages: [{', '.join(question)}]\nrows: '{{language}}.jsonl'\n"
        "columns: {id: id, question: q, options: [a, b], answer: right}\nprompt: ['{question}', '{options}', '='] \n"
    )
    (folder / "mine.yaml").write_text(described, encoding="utf-8")
    return own_family(folder / "mine.yaml")


def test_own_data_can_be_switched(tmp_path: Path) -> None:
    family = own(tmp_path, {"en": "One here. Two there.", "qya": "Minë sissë. Atta tanomë."}, items=4)
    leaf, parameters = configure(family, family.leaf("full_qya"), {"switched": 50, "unit": "sentence"})
    found = {d.fields["question"] for d in family.documents(leaf, family.forms["letters"], parameters).evaluated}
    assert found == {"Minë sissë. Two there.", "One here. Atta tanomë."}


@pytest.fixture
def lexicon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A lexicon that may be changed, and an empty cache."""
    monkeypatch.setenv("XLING_CACHE", str(tmp_path / "cache"))
    return f"lexicon:{shutil.copy(WORDS, tmp_path)}"


@pytest.mark.parametrize("family", LEAVES)
def test_words_come_from_a_lexicon(family: str, lexicon: str) -> None:
    leaf, in_english, parts = LEAVES[family]
    part = "context" if family == "qa" else "question"
    for matrix, codes, own in (
        ("target", ("de", "en"), shown(family, leaf)),
        ("base", ("en", "de"), shown(family, in_english)),
    ):
        steps = [
            shown(family, leaf, switched=share, matrix=matrix, unit="word", translator=lexicon)
            for share in (0, 10, 20, 100)
        ]
        assert [d.prompt for d in steps[0]] == [d.prompt for d in own]
        for none, ten, twenty, whole, plain in zip(*steps, own, strict=True):
            assert [d.condition.languages[part] for d in (none, ten, whole)] == [codes[0], "mul", "mul"]
            how = ten.condition.switched[part]
            assert (how.matrix, how.embedded, how.share, how.unit) == (*codes, 10, "word")
            assert how.translator.startswith("lexicon:") and Document.from_row(ten.as_row()) == ten
            for name in parts:
                # All words that it has, where more are asked for.
                assert whole.fields[name] == re.sub(
                    r"\w+", lambda word: PAIRS.get(word[0], word[0]), plain.fields[name]
                )
                switched = [one for one in ten.fields["units"][name] if one["language"] == codes[1]]
                # One or two of some sixteen words, and the same ones among more.
                assert 1 <= len(switched) <= 2 and all(one["source"] for one in switched)
                assert {one["source"] for one in switched} <= {
                    one.get("source") for one in twenty.fields["units"][name]
                }
            assert plain.fields[parts[0]] not in ten.prompt and ten.fields[parts[0]] in ten.prompt
            same = ("id", "cue", "choices", "options", "answer", "request", "description")
            assert all(getattr(ten, name) == getattr(plain, name) for name in same)


def test_results_say_which_translator_it_was_and_not_where(lexicon: str) -> None:
    given = {"xling": {"switched": 50, "unit": "word", "translator": lexicon}}
    manager = TaskManager(include_path=str(tasks_folder()), include_defaults=False, metadata=given)
    task = manager.load(["xling_nli_de"])["tasks"]["xling_nli_de"]
    (how,) = {one["condition"]["switched"]["question"]["translator"] for one in task.dataset[SPLIT].evaluated}
    assert task.config.metadata["xling"] == {**given["xling"], "translator": how} and how.startswith("lexicon:")
    assert given["xling"]["translator"] == lexicon


def test_what_a_lexicon_says_is_a_part_of_the_condition_and_asked_for_once(
    lexicon: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"switched": 50, "unit": "word", "translator": lexicon}
    looked_up: list[str] = []
    original = LexiconTranslator.translate

    def translate(self: LexiconTranslator, texts: Sequence[str], *of: Any) -> list[str | None]:
        looked_up.extend(texts)
        return original(self, texts, *of)

    monkeypatch.setattr(LexiconTranslator, "translate", translate)
    before = shown("nli", "de", **given)
    assert len(looked_up) == len(set(looked_up)) > 0
    again = len(looked_up)
    assert shown("nli", "de", **given) == before and len(looked_up) == again
    path = Path(lexicon.partition(":")[2])
    path.write_text(path.read_text(encoding="utf-8").replace("PRIM", "PREM"), encoding="utf-8")
    after = shown("nli", "de", **given)
    # The harness's cache of requests counts every document's condition in.
    assert after[0].condition != before[0].condition
    assert "tsv" not in json.dumps(after[0].as_row()), "no path of this machine"


def test_chunks_and_sentences_are_translated_whole(lexicon: str) -> None:
    for unit in ("chunk", "sentence"):
        (document, *_) = shown("mmlu", "question_de", switched=100, unit=unit, translator=lexicon, words=3)
        units = document.fields["units"]["question"]
        assert all(one["source"] != one["text"] for one in units if one["language"] == "en")
        assert "PRIM PHRAS of" in document.prompt
        assert {one["language"] for one in units} == ({"en"} if unit == "sentence" else {"de", "en"})


def test_a_translator_reads_the_matrix_language_alone(lexicon: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: set[str] = set()

    def rows(dataset: str, language: str, split: str) -> list[Row]:
        loaded.add(language)
        return rows_of(dataset, language, split)

    monkeypatch.setattr(catalog, "load_rows", rows)
    found = shown("hp", "full_de", switched=30, unit="word", translator=lexicon, base_language="sw")
    # English for the gold answers; a language that the data lacks can be the embedded one.
    assert loaded == {"de", "en"} and found[0].condition.switched["question"].embedded == "sw"


def test_own_data_in_a_language_that_translators_do_not_know(tmp_path: Path, lexicon: str) -> None:
    family = own(tmp_path, {"en": "en first", "qya": "qya first"}, items=1)
    given = {"switched": 50, "unit": "word", "translator": lexicon}
    leaf, parameters = configure(family, family.leaf("full_qya"), given)
    with pytest.raises(UserError, match="qya(.|\n)*not among the"):
        family.documents(leaf, family.forms["letters"], parameters)


@pytest.fixture
def word_by_word(written: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of which no word is the same in two languages."""

    def rows(dataset: str, language: str, split: str) -> list[Row]:
        def said(text: str) -> str:
            return " ".join(f"{language}:{word}" for word in text.split())

        return [
            replace(row, fields={name: said(text) for name, text in row.fields.items()})
            for row in rows_of(dataset, language, split)
        ]

    monkeypatch.setattr(catalog, "load_rows", rows)


@pytest.mark.usefixtures("word_by_word")
@pytest.mark.parametrize("direction", ["to_english", "from_english"])
def test_demonstrations_slide(direction: str) -> None:
    own, english = (made("mmlu", "question_de", demos=demos).demonstrations for demos in ("placement", "english"))
    for slid, start, end in zip(made("mmlu", "question_de", demos=direction).demonstrations, own, english, strict=True):
        first, last = (start, end) if direction == "to_english" else (end, start)
        assert slid.prompt.startswith(f"{first.prompt}\n") and slid.prompt.endswith(f"\n{last.prompt}")
        blocks = slid.prompt.split("A. ")
        assert len(blocks) - 1 == 5 and slid.prompt.count("\nD. ") == 5
        assert (slid.id, slid.cue, slid.choices, slid.answer) == (start.id, start.cue, start.choices, start.answer)
    asked = made("mmlu", "question_de").evaluated
    assert made("mmlu", "question_de", demos=direction).evaluated == asked


@pytest.mark.usefixtures("word_by_word")
def test_demonstrations_of_classification_slide_between_the_prompt_s_language_and_english() -> None:
    german, english = (made("nli", code).demonstrations for code in ("de", "en"))
    for slid, own, other in zip(made("nli", "de", demos="to_english").demonstrations, german, english, strict=True):
        assert slid.prompt.startswith(f"{own.prompt}\n") and slid.prompt.endswith(f"\n{other.prompt}")
        assert slid.prompt.count("\n") + 1 == 2 * 5
        assert (slid.cue, slid.choices, slid.condition.languages["question"]) == (own.cue, own.choices, "mul")
    back = made("nli", "de", demos="from_english").demonstrations
    assert back[0].prompt.startswith(english[0].prompt) and back[0].prompt.endswith(german[0].prompt)
    # English has nowhere to slide to, and stays the reference of runs of all leaves.
    assert made("nli", "en", demos="to_english").demonstrations == english


@pytest.mark.parametrize("direction", ["to_english", "from_english"])
def test_demonstrations_of_math_slide(direction: str) -> None:
    own, english = (made("math", f"mgsm_native_{code}").demonstrations for code in ("de", "en"))
    sliding = made("math", "mgsm_native_de", demos=direction)
    for slid, start, end in zip(sliding.demonstrations, own, english, strict=True):
        first, last = (start, end) if direction == "to_english" else (end, start)
        assert slid.prompt.startswith(f"{first.prompt}\n") and slid.prompt.endswith(f"\n{last.prompt}")
        headings = [line.partition(": ")[0] for line in slid.prompt.split("\n")]
        assert sorted(headings) == ["Frage"] * (len(headings) - 1) + ["Question"] and 3 <= len(headings) <= 5
        # Steps of reasoning and the answer stay in the language that is asked for.
        assert (slid.id, slid.cue, slid.target) == (start.id, start.cue, start.target)
    asked, plain = sliding.evaluated[0], made("math", "mgsm_native_de").evaluated[0]
    assert (asked.prompt, asked.cue, asked.target) == (plain.prompt, plain.cue, plain.target)
    assert asked.condition.languages == {**plain.condition.languages, "demonstrations": "mul"}
    # English has nowhere to slide to, and stays the reference of runs of all leaves.
    assert made("math", "mgsm_direct_en", demos=direction) == made("math", "mgsm_direct_en")
    short = made("math", "mgsm_direct_en", demos=direction, demos_language="zh").demonstrations[0]
    assert {line[:2] for line in short.prompt.split("\n")} == {"问题", "Qu"} and short.cue == "Answer:"


def test_a_slide_turns_english_step_by_step() -> None:
    question = "a1 a2 a3 a4 a5 a6 a7 a8", "b1 b2 b3 b4 b5 b6 b7 b8"
    steps = slide([SlidingPart(question[0], "de", question[1]), SlidingPart("7", "de", "7")], "to_english", id="x")
    assert [sum(piece.startswith("b") for piece in step[0].split()) for step in steps] == [0, 2, 4, 6, 8]
    assert {step[1] for step in steps} == {"7"}
    assert slide([SlidingPart(*question[:1], "de", question[1])], "from_english", id="x")[0] == question[1:]
    # One word each: two steps, and none is shown twice.
    assert slide([SlidingPart("ja", "de", "yes")], "to_english", id="x") == [("ja",), ("yes",)]


def test_demonstrations_of_mixed_placements_slide_too() -> None:
    for leaf in ("mixup", "gt_de", "mixup_paper"):
        slid = made("mmlu", leaf, demos="to_english").demonstrations
        english = {d.id: d for d in made("mmlu", "en").demonstrations}
        assert all(d.prompt.endswith(english[d.id].prompt) for d in slid) and len(slid) == len(english)


def test_bounds_are_refused() -> None:
    for family, (leaf, _, _) in LEAVES.items():
        for given, said in (
            ({"switched": -1}, "-1 per cent"),
            ({"switched": 101}, "101 per cent"),
            ({"switched": 5, "words": 0}, "0 words"),
        ):
            with pytest.raises(UserError, match=said):
                shown(family, leaf, **given)


def test_a_text_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def rows(dataset: str, language: str, split: str) -> list[Row]:
        return [
            Row(row.id, language, {"question": " " if language == "en" else "Frage."}, row.options, row.answer)
            for row in rows_of(dataset, language, split)
        ]

    monkeypatch.setattr(catalog, "load_rows", rows)
    with pytest.raises(UserError, match="no 'en' text") as error:
        shown("hp", "full_de", switched=50)
    assert "0/question" in str(error.value)
