from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from string import Formatter

import pytest
import regex
import yaml

from lm_eval_xling import literals
from lm_eval_xling.catalog import DATASETS
from lm_eval_xling.errors import UserError
from lm_eval_xling.families import FAMILIES, Family
from lm_eval_xling.languages import LANGUAGES

FOLDER = Path(literals.__file__).parent
FILES = sorted(path.stem for path in FOLDER.glob("*.yaml"))

# A language has all words of a group or none of them, so that a prompt is never half translated.
GROUPS = {
    "questions": ["fields.question", "fields.options", "fields.answer", "fields.context"],
    "reasoning": ["fields.step_by_step_answer", "instructions.think", "answers.final"],
    "sentiment": ["fields.emotion", "labels.sentiment.positive", "labels.sentiment.negative"],
    "nli": [
        "fields.premise",
        "fields.hypothesis",
        "labels.nli.entailment",
        "labels.nli.neutral",
        "labels.nli.contradiction",
    ],
    "paraphrase": ["fields.sentence_1", "fields.sentence_2", "labels.paraphrase.same", "labels.paraphrase.different"],
    "atlas": ["fields.country", "fields.capital", "fields.currency", "fields.official_language", "fields.continent"],
    "ledger": ["fields.name", "fields.language", "fields.month", "fields.weekday", "instructions.register"],
    "hp": ["instructions.hp"],
    "question alignment": ["instructions.translate_input"],
    "answers in words": ["instructions.choose", "instructions.complete", "instructions.label"],
}
# Words that are spelled like one in the English file and are right in their language.
TRUE_LOANS = {
    "de": {"emotion", "neutral", "multiple", "choice", "option", "name", "register"},
    "es": {"capital", "complete"},
    "fr": {"question", "questions", "option", "options", "continent", "contradiction"},
    "ms": {"neutral"},
    "nl": {"letter", "register", "week"},
    "no": {"under"},
    "pl": {"same"},  # plural of "sam" in "takie same": "the same"
    "pt": {"complete"},
    "sv": {"neutral", "under"},
}
# Unicode scripts of an ISO 15924 code that stands for a mixture or a variant.
SCRIPTS = {"Hans": ["Han"], "Jpan": ["Han", "Hiragana", "Katakana"]}
PROPER_NAMES = re.compile("Harry Potter", re.IGNORECASE)


def test_every_file_is_of_a_known_language() -> None:
    assert set(FILES) <= set(LANGUAGES)


@pytest.mark.parametrize("code", FILES)
def test_words_are_complete(code: str) -> None:
    known = set(literals.words(code))
    assert known <= set(literals.words("en")), "a key that English lacks"
    for group, keys in GROUPS.items():
        present = known.intersection(keys)
        assert present in (set(), set(keys)), f"{group}: without {set(keys) - present}"
    assert known <= {key for keys in GROUPS.values() for key in keys}, "a key that is in no group"


SPEAKING = [family for family in FAMILIES.values() if family.words]


@pytest.mark.parametrize("family", SPEAKING, ids=lambda family: family.name)
def test_every_language_of_a_family_has_the_words_of_its_prompts(family: Family) -> None:
    # Belebele has languages far beyond those that its leaves name; there a parameter gives an error.
    held = {code for name in family.datasets if name != "belebele" for code in DATASETS[name].languages}
    for code in {*held, *family.languages}:
        assert set(family.words) <= set(literals.words(code)), code


def test_prompts_in_english_alone_are_those_of_the_papers() -> None:
    # MMLU's and FLORES's prompts are in English in both papers.
    assert set(FAMILIES.values()) - set(SPEAKING) == {FAMILIES["mmlu"], FAMILIES["translation"]}


@pytest.mark.parametrize("code", FILES)
def test_words_are_clean_text(code: str) -> None:
    english = literals.words("en")
    for key, text in literals.words(code).items():
        assert text and text == text.strip() and unicodedata.is_normalized("NFC", text), key
        assert not (key.startswith("fields.") and text.endswith((":", "："))), f"{key}: the task adds the colon"
        placeholders = {name for _, name, _, _ in Formatter().parse(text) if name is not None}
        assert placeholders == {name for _, name, _, _ in Formatter().parse(english[key]) if name is not None}, key


@pytest.mark.parametrize("code", FILES)
def test_labels_of_a_task_differ(code: str) -> None:
    labels: dict[str, list[str]] = {}
    for key, text in literals.words(code).items():
        if key.startswith("labels."):
            labels.setdefault(key.rsplit(".", 1)[0], []).append(text.casefold())
    for task, texts in labels.items():
        assert len(set(texts)) == len(texts), task
        for one in texts:
            # The log-likelihood of a label that begins another one is never the lower of the two.
            assert not any(other != one and other.startswith(one) for other in texts), f"{task}: {one}"


@pytest.mark.parametrize("code", FILES)
def test_words_are_in_the_script_of_the_language(code: str) -> None:
    script = LANGUAGES[code].script
    scripts = "".join(rf"\p{{Script_Extensions={name}}}" for name in SCRIPTS.get(script, [script]))
    for key, text in literals.words(code).items():
        letters = regex.findall(r"\p{Letter}", PROPER_NAMES.sub("", re.sub(r"\{\w+\}", "", text)))
        assert letters, key
        foreign = [letter for letter in letters if not regex.fullmatch(f"[{scripts}]", letter)]
        assert not foreign, f"{key}: {foreign}"


def spellings(code: str) -> set[str]:
    """Words of at least three letters in a language's file, proper names and placeholders apart."""
    texts = " ".join(literals.words(code).values()).casefold()
    return set(regex.findall(r"\p{Letter}{3,}", PROPER_NAMES.sub("", re.sub(r"\{\w+\}", "", texts))))


def test_no_english_is_left() -> None:
    found = {code: spellings(code) & spellings("en") for code in FILES if code != "en"}
    assert {code: same for code, same in found.items() if same} == TRUE_LOANS


@pytest.mark.parametrize("code", FILES)
def test_every_word_has_one_source(code: str) -> None:
    sources = yaml.safe_load((FOLDER / f"{code}.yaml").read_text(encoding="utf-8"))[literals.SOURCES]
    assert literals.__doc__ is not None
    assert all(f"``{source}``" in literals.__doc__ for source in sources)
    for source in ("freedict", "reviewed"):
        # Their words are ours, so that each gives what it means in English.
        assert all(isinstance(meaning, str) and meaning.strip() for meaning in sources.get(source, {}).values())
    assert sorted(key for keys in sources.values() for key in keys) == sorted(literals.words(code))


def test_words_that_differ_from_the_published_ones() -> None:
    """The data of Zhang et al. have the verb or another sense here (reference.md, 3)."""
    # "A following from something", not the inheritance "majorat"; "can be inferred", not "participation".
    assert literals.word("pl", "labels.nli.entailment") == "wynikanie"
    assert literals.word("th", "labels.nli.entailment") == "อนุมานได้"
    # A sentence of grammar, not of a court; the noun, not the verb.
    assert literals.word("ru", "fields.sentence_1") == "Предложение 1"
    assert literals.word("es", "fields.sentence_1") == "Oración 1"
    assert literals.word("fr", "fields.answer") == "Réponse"
    assert literals.word("no", "labels.nli.contradiction") == "motsigelse"


def test_a_word_of_any_spelling_of_the_language() -> None:
    assert literals.word("deu_Latn", "fields.question") == literals.word("German", "fields.question") == "Frage"


def test_a_missing_word_names_language_key_and_file() -> None:
    with pytest.raises(UserError) as error:
        literals.word("te", "fields.premise")
    assert all(part in str(error.value) for part in ("Telugu", "fields.premise", "te.yaml"))


def test_an_unknown_word_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"unknown prompt word 'fields\.premis'[\s\S]*fields\.premise"):
        literals.word("de", "fields.premis")


def test_a_language_without_a_file() -> None:
    with pytest.raises(UserError, match=r"no prompt words in Shona[\s\S]*sn\.yaml"):
        literals.word("sn", "fields.question")


def test_a_word_that_yaml_reads_as_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sn.yaml").write_text("labels:\n  answer:\n    negative: no\n", encoding="utf-8")
    monkeypatch.setattr(literals, "file_of", lambda language: tmp_path / f"{language}.yaml")
    with pytest.raises(UserError, match=r"'labels\.answer\.negative' is False"):
        literals.words("sn")
