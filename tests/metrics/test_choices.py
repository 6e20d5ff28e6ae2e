from __future__ import annotations

import csv
import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lm_eval_xling import literals
from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.metrics.answer_words import answer_words
from lm_eval_xling.metrics.choices import choice_scores, read_choice, read_label
from lm_eval_xling.metrics.replies import said

CAPITALS = ("London", "Paris", "Rome", "Berlin")
LETTERS = "ABCD"


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


STYLES = _rows(Path(__file__).with_name("answer_styles.tsv"))


def _languages() -> list[str]:
    return sorted({row["language"] for row in STYLES})


def test_the_table_is_wide() -> None:
    assert len({(row["answer"], row["options"], row["letters"]) for row in STYLES}) >= 150
    assert len({row["language"] for row in STYLES}) >= 20


@pytest.mark.slow
@pytest.mark.parametrize("language", _languages())
def test_written_answers_are_read(language: str) -> None:
    wrong = []
    for row in STYLES:
        if row["language"] != language:
            continue
        options = row["options"].split("|")
        index = read_choice(row["answer"].replace("\\n", "\n"), options, row["letters"], language)
        reading = "" if index is None else row["letters"][index]
        if reading != row["reading"]:
            wrong.append((row["answer"], reading, row["reading"]))
    assert not wrong


def test_the_shared_cases_are_read(shared_data: Path) -> None:
    for row in _rows(shared_data.parent / "cases" / "answer_styles.tsv"):
        index = read_choice(row["answer"].replace("\\n", "\n"), CAPITALS, LETTERS, "en")
        assert ("" if index is None else LETTERS[index]) == row["letter"], row


@pytest.mark.slow
@pytest.mark.parametrize("language", [code for code in LANGUAGES if literals.file_of(code).is_file()])
def test_the_prompts_own_answer_forms_are_read(language: str) -> None:
    """What a demonstration shows as an answer, a model will write."""
    word = literals.word(language, "fields.answer")
    final = literals.word(language, "answers.final")
    for letter in LETTERS:
        index = LETTERS.index(letter)
        for written in (f"{word}: {letter}", f"**{word}:** {letter}", final.format(answer=letter)):
            assert read_choice(written, CAPITALS, LETTERS, language) == index, written
            assert read_choice(f"London … Rome …\n\n{written}", CAPITALS, LETTERS, language) == index, written


def test_every_language_has_words() -> None:
    unread = []
    for language in LANGUAGES:
        words = answer_words(language)
        noun = words.answer[0]
        if read_choice(f"{noun}: B", CAPITALS, LETTERS, language) != 1:
            unread.append((language, noun))
    assert not unread


REASONING = st.lists(
    st.sampled_from(
        [
            "Let us think about it.",
            "Option A is wrong, because London lies in England.",
            "Rome is the capital of Italy.",
            "Zuerst schließen wir C aus.",
            "1. France is in Europe.",
            "罗马是意大利的首都。",
            "- A. London\n- B. Paris\n- C. Rome\n- D. Berlin",
        ]
    ),
    max_size=4,
).map("\n\n".join)
STATEMENT = st.sampled_from(
    [
        ("en", "The correct answer is {}."),
        ("en", "**Answer: {}**"),
        ("en", "$\\boxed{{{}}}$"),
        ("de", "Die richtige Antwort ist {}."),
        ("fr", "La bonne réponse est donc {}."),
        ("es", "La respuesta correcta es la opción {}."),
        ("ru", "Правильный ответ: {}"),
        ("zh", "正确答案是{}。"),
        ("ja", "正解は{}です。"),
        ("ko", "정답은 {}입니다."),
        ("ar", "الإجابة الصحيحة هي {}"),
        ("hi", "सही उत्तर {} है।"),
        ("th", "คำตอบที่ถูกต้องคือ {}"),
        ("tr", "Doğru cevap {} şıkkıdır."),
        ("vi", "Đáp án đúng là {}."),
        ("sw", "Jibu sahihi ni {}."),
    ]
)


@given(
    reasoning=REASONING, statement=STATEMENT, index=st.integers(0, 3), form=st.sampled_from(["{}", "**{}**", "({})"])
)
def test_a_statement_counts_after_any_reasoning(
    reasoning: str, statement: tuple[str, str], index: int, form: str
) -> None:
    language, sentence = statement
    text = f"{reasoning}\n\n{sentence.format(form.format(LETTERS[index]))}"
    assert read_choice(text, CAPITALS, LETTERS, language) == index, text


@given(st.permutations(LETTERS), STATEMENT, STATEMENT)
def test_the_last_statement_counts(letters: tuple[str, ...], first: tuple[str, str], second: tuple[str, str]) -> None:
    text = f"{first[1].format(letters[0])}\n\n{second[1].format(letters[1])}"
    # A box outweighs a sentence, wherever it stands.
    boxed = "boxed" in first[1] and "boxed" not in second[1]
    expected = LETTERS.index(letters[0] if boxed else letters[1])
    assert read_choice(text, CAPITALS, LETTERS, second[0]) == expected, text


WORDS = st.lists(
    st.sampled_from(
        (
            "The answer is correct not option or and so it because best choice wrong London Paris, Texas A B C D b (A) "
            "**B** C. d) \\boxed{ } : \n \n\n . ? Antwort ist richtig réponse 答案 是 正解は です 。 ـ คำตอบ คือ ข ب"
        ).split(" ")
    ),
    max_size=12,
).map(" ".join)


@given(text=WORDS | st.text(alphabet="ABCDab .:,()\n*answerio", max_size=40), size=st.integers(2, 4))
@example(text="A good answer", size=2)
@example(text="Answer: E", size=4)
def test_never_an_option_that_the_text_does_not_name(text: str, size: int) -> None:
    options = ("London", "Paris", "Paris, Texas", "Oslo")[:size]
    index = read_choice(text, options, LETTERS, "en")
    if index is None:
        return
    named = unicodedata.normalize("NFKC", text).casefold()
    native = {"B": "بข"}.get(LETTERS[index], "")
    is_letter = any(
        character in LETTERS[index].casefold() + native and not (named[at - 1 : at].isalpha() and character.isascii())
        for at, character in enumerate(named)
    )
    assert is_letter or options[index].casefold() in named


SILENT = st.text(
    alphabet=st.characters(
        categories=("Lu", "Ll", "Lo", "Zs", "Po"), exclude_characters="abcdABCD", max_codepoint=0x2FF
    )
    | st.sampled_from("答案是正解はです،।۔的 \n"),
    max_size=60,
)


@given(
    before=SILENT,
    cue=st.sampled_from(["The answer is ", "Answer: ", "答案是", "正解は", "Die Antwort ist "]),
    after=SILENT,
)
def test_no_letter_no_answer(before: str, cue: str, after: str) -> None:
    text = before + cue + after
    # NFKC takes some letters apart (ª, Ǆ), and lower case some others.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    if any(letter in folded.replace(unicodedata.normalize("NFKC", cue).casefold(), "") for letter in "abcd"):
        return
    assert read_choice(text, ("xxx", "yyyy", "zzzzz", "wwwww"), LETTERS, "en") is None


@given(text=WORDS, answer=st.sampled_from(["B", "The answer is B.", ""]))
def test_thinking_is_not_read(text: str, answer: str) -> None:
    expected = read_choice(answer, CAPITALS, LETTERS, "en")
    assert read_choice(f"<think>{text}</think>\n\n{answer}", CAPITALS, LETTERS, "en") == expected
    # The template opened the block.
    assert read_choice(f"{text}</think>{answer}", CAPITALS, LETTERS, "en") == expected
    assert read_choice(f"{text}<END>{answer}", CAPITALS, LETTERS, "en", think_end_token="<END>") == expected
    assert read_choice(f"<think>{text}", CAPITALS, LETTERS, "en") is None
    assert said("B", think_end_token="<END>") == "B"


def test_up_to_26_options() -> None:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    options = [f"number {index}" for index in range(26)]
    for index, letter in enumerate(letters):
        for text in (letter, f"The answer is {letter}.", f"**{letter}) {options[index]}**", options[index]):
            assert read_choice(text, options, letters, "en") == index, text
    assert read_choice("I have no idea. A guess would not help.", options, letters, "en") is None


def test_letters_beyond_the_options_are_not_read() -> None:
    assert read_choice("The answer is D.", CAPITALS[:3], LETTERS, "en") is None


@pytest.mark.parametrize("language", ["en", "de", "es", "fr", "it"])
def test_real_options_are_read_in_every_form(shared_data: Path, language: str) -> None:
    lines = (shared_data / "belebele" / f"belebele_{language}.jsonl").read_text(encoding="utf-8").splitlines()
    final = literals.word(language, "answers.final")
    for number, line in enumerate(lines[::9]):
        row = json.loads(line)
        options = [row[letter] for letter in LETTERS]
        index = number % 4
        letter, text = LETTERS[index], options[index]
        listed = [f"{name}. {option}" for name, option in zip(LETTERS, options, strict=True)]
        others = "\n".join(f"- {line}: no" for line in listed if line != listed[index])
        assert read_choice("\n".join(listed), options, LETTERS, language) is None
        for written in (
            letter,
            text,
            f"{letter}. {text}",
            f"**{letter}) {text}**",
            final.format(answer=letter),
            final.format(answer=text),
            final.format(answer=f"{letter}. {text}"),
            "\n".join([*listed, "", final.format(answer=letter)]),
            f"**{letter}. {text}**\n\nExplanation:\n{others}",
        ):
            assert read_choice(written, options, LETTERS, language) == index, (written, options)


LABELS = {
    "en": ("positive", "negative"),
    "de": ("positiv", "negativ"),
    "zh": ("积极", "消极"),
    "ja": ("ポジティブ", "ネガティブ"),
    "ko": ("긍정", "부정"),
    "tr": ("olumlu", "olumsuz"),
    "th": ("เชิงบวก", "เชิงลบ"),
    "ar": ("إيجابي", "سلبي"),
    "hi": ("सकारात्मक", "नकारात्मक"),
}


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "Positive", 0),
        ("en", "**Negative**", 1),
        ("en", 'Emotion: "positive"', 0),
        ("en", "The sentiment of this review is negative.", 1),
        ("en", "Positive. The writer liked it.", 0),
        ("en", "<think>negative?</think>positive", 0),
        ("en", "\\boxed{\\text{negative}}", 1),
        ("en", "positive or negative", None),
        ("en", "The review is not positive.", None),
        ("en", "Positively surprised", None),
        ("en", "", None),
        ("de", "Die Stimmung ist positiv.", 0),
        ("zh", "情感：消极", 1),
        ("zh", "这条评论是积极的。", 0),
        ("ja", "ポジティブです。", 0),
        ("ko", "부정적입니다.", 1),
        ("tr", "Duygu olumludur.", 0),
        ("th", "ความรู้สึกเป็นเชิงลบ", 1),
        ("ar", "المشاعر: ايجابي", 0),
        ("hi", "भावना सकारात्मक है।", 0),
    ],
)
def test_labels_are_read(language: str, text: str, expected: int | None) -> None:
    assert read_label(text, LABELS[language], language) == expected


def test_a_label_is_told_from_what_denies_it() -> None:
    labels = ("same", "different")
    assert read_label("They do not mean the same, they are different.", labels, "en") == 1
    assert read_label("The answer is: different", labels, "en") == 1


def test_scores() -> None:
    assert choice_scores(1, 1) == {"acc": 1.0, "answered": 1.0, "acc_answered": 1.0}
    assert choice_scores(0, 1) == {"acc": 0.0, "answered": 1.0, "acc_answered": 0.0}
    assert choice_scores(None, 1) == {"acc": 0.0, "answered": 0.0}
