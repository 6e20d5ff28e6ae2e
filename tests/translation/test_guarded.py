from __future__ import annotations

import pytest

from lm_eval_xling.errors import UserError
from lm_eval_xling.translation import Cache, GuardedTranslator, Translator, open_translator
from lm_eval_xling.translation.guards import refusal
from tests.translation.fakes import Shouting


@pytest.mark.parametrize(
    ("text", "translation", "reason"),
    [
        ("The cat", "Le chat", None),
        ("The cat", None, "missing"),
        ("The cat", " \t", "empty"),
        ("The  cat", "the cat", "copied"),
        ("The cat", "Le chat " * 20, "long"),
        ("Hi", "Bonjour à toutes et à tous", None),
        ("你好，我是一个学生，住在北京。", "Hello, I am a student and I live in Beijing.", None),
        ("I live in the city with my friends.", "ฉันอาศัยอยู่ในเมืองกับเพื่อนของฉัน", None),
    ],
)
def test_refusal(text, translation, reason):
    assert refusal(text, translation) == reason


class Improving(Translator):
    """Good at the second attempt for some texts, at no attempt for others."""

    attempts = 2

    def __init__(self) -> None:
        self.calls: list[tuple[int, list[str]]] = []

    def identity(self, source, target):
        return "improving"

    def check(self, source, target):
        if target == "th":
            raise UserError("no Thai")

    def translate(self, texts, source, target, attempt=0):
        self.calls.append((attempt, list(texts)))
        answers = {"good": "bon", "late": "late" if attempt == 0 else "tard", "never": "", "loop": "x" * 999}
        return [answers[text] for text in texts]


def test_refused_output_is_retried_then_given_up_and_counted(tmp_path):
    translator = Improving()
    guarded = GuardedTranslator(translator, Cache(tmp_path / "c"))
    assert guarded(["good", "late", "never", "loop", "good"], "en", "fr") == ["bon", "tard", None, None, "bon"]
    assert [(attempt, sorted(texts)) for attempt, texts in translator.calls] == [
        (0, ["good", "late", "loop", "never"]),
        (1, ["late", "loop", "never"]),
    ]
    expected = {"requested": 4, "cached": 0, "translated": 4, "retried": 3}
    assert guarded.counts == expected
    assert guarded.refusals == {"empty": 1, "long": 1}
    assert guarded(["never"], "en", "fr") == [None]
    assert len(translator.calls) == 2
    assert guarded.refusals == {"empty": 2, "long": 1}


def test_the_same_language_is_not_translated(tmp_path):
    assert GuardedTranslator(Improving(), Cache(tmp_path / "c"))(["never"], "en", "en") == ["never"]


def test_an_unknown_pair_is_an_error_before_anything_is_translated(tmp_path):
    translator = Improving()
    with pytest.raises(UserError, match="no Thai"):
        GuardedTranslator(translator, Cache(tmp_path / "c"))(["good"], "en", "th")
    assert translator.calls == []


def test_progress_counts_every_text_once(tmp_path):
    done = []
    guarded = GuardedTranslator(Shouting(tmp_path / "log"), Cache(tmp_path / "c"), advance=done.append)
    guarded([f"a{n}" for n in range(10)], "en", "fr")
    guarded([f"a{n}" for n in range(12)], "en", "fr")
    assert sum(done) == 22


@pytest.mark.parametrize(("name", "message"), [("apertum", "apertium"), ("lexicon", "argument"), ("hg:x", "hf")])
def test_unknown_translators_name_the_nearest(name, message):
    with pytest.raises(UserError, match=message):
        open_translator(name)
