from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from lm_eval_xling._cli import main
from lm_eval_xling.catalog import DATASETS, load_rows
from lm_eval_xling.catalog.dataset import Part
from lm_eval_xling.catalog.mirror import Mirror
from lm_eval_xling.catalog.mirroring import import_dataset, writing
from lm_eval_xling.errors import UserError
from lm_eval_xling.records import Row
from lm_eval_xling.translation import Cache, GuardedTranslator, Translator
from lm_eval_xling.translation.rows import translate_part, translate_rows, translate_texts
from tests.translation.fakes import Shouting


class Table(Translator):
    """Says what it is told; refuses what it does not know."""

    def __init__(self, table: dict[str, str]) -> None:
        self.table = table

    def identity(self, source: str, target: str) -> str:
        return "table"

    def check(self, source: str, target: str) -> None:
        pass

    def translate(self, texts: Sequence[str], source: str, target: str, attempt: int = 0) -> list[str | None]:
        return [self.table.get(text) for text in texts]


def guarded(folder: Path, table: dict[str, str]) -> GuardedTranslator:
    return GuardedTranslator(Table(table), Cache(folder / "cache.sqlite"))


def test_texts_are_translated_by_sentence_with_their_paragraphs(tmp_path):
    table = {"Who is he?": "Qui est-il ?", "He is here.": "Il est ici.", "Paris.": "Paris."}
    texts = ["Who is he?  Paris. 1990.\n\nHe is here.\n", "Who is he? Nobody knows.", "42", "Paris."]
    translated, refused = translate_texts(texts, "en", "fr", guarded(tmp_path, table))
    assert translated[texts[0]] == "Qui est-il ?  Paris. 1990.\n\nIl est ici.\n"
    # One refused sentence: the text is left whole.
    assert translated[texts[1]] == texts[1] and refused == {texts[1]}
    assert translated["42"] == "42" and translated["Paris."] == "Paris."


def test_sentences_from_a_language_without_spaces_are_not_glued(tmp_path):
    table = {"你好。": "Hello.", "谢谢。": "Thanks."}
    translated, _ = translate_texts(["你好。谢谢。"], "zh", "en", guarded(tmp_path, table))
    assert translated == {"你好。谢谢。": "Hello. Thanks."}


def test_rows_keep_gold_and_say_what_was_left(tmp_path):
    table = {
        "Q one": "F un",
        "red": "rouge",
        "blue": "bleu",
        "big": "grand",
        "large": "grand",
        "A": "R",
        "wrong": "faux",
    }
    rows = [
        Row("1", "en", {"question": "Q one"}, ("red", "blue", "7"), 1, "blue", {"subject": "x"}),
        Row("2", "en", {"question": "Q two"}, ("big", "large"), 0),
        Row("3", "en", {"question": "Q one"}, ("red", "unknown"), 0, "red"),
        Row("4", "en", {"question": "Q one"}, target="A", extra={"author": 3, "perturbed_answers": ["wrong", "A"]}),
    ]
    new, counts = translate_rows(rows, "fr", guarded(tmp_path, table))
    assert new == [
        Row("1", "fr", {"question": "F un"}, ("rouge", "bleu", "7"), 1, "bleu", {"subject": "x"}),
        # Unknown question; options that would become equal.
        Row("2", "fr", {"question": "Q two"}, ("big", "large"), 0, extra={"untranslated": ["options", "question"]}),
        Row("3", "fr", {"question": "F un"}, ("red", "unknown"), 0, "red", {"untranslated": ["options"]}),
        Row("4", "fr", {"question": "F un"}, target="R", extra={"author": 3, "perturbed_answers": ["faux", "R"]}),
    ]
    assert counts == {"question": 1, "options": 2}


@pytest.fixture
def mirror(tmp_path, raw_data) -> Path:
    """A mirror with English rows only."""
    (tmp_path / "raw").mkdir()
    shutil.copy(raw_data / "harry_potter_ende/quiz_en.jsonl", tmp_path / "raw/quiz_en.jsonl")
    with writing(tmp_path / "mirror", DATASETS) as writer:
        import_dataset(DATASETS["hp"], [tmp_path / "raw"], writer)
    return tmp_path / "mirror"


def test_a_translated_part_is_read_by_tasks(mirror, tmp_path, monkeypatch):
    translator = GuardedTranslator(Shouting(tmp_path / "log"), Cache(tmp_path / "c"))
    english = Mirror(mirror).rows("hp", Part("en", "test"))
    for _ in range(2):
        with writing(mirror, DATASETS) as writer:
            stored, counts = translate_part(DATASETS["hp"], english, Part("es", "test"), translator, writer)
    assert stored.source == "translated: shouting" and counts == {}
    monkeypatch.setenv("XLING_DATA", str(mirror))
    spanish = load_rows("hp", "es", "test")
    assert [(row.id, row.answer) for row in spanish] == [(row.id, row.answer) for row in english]
    assert spanish[0].options == tuple(
        f"es: {o.upper()}" if any(map(str.isalpha, o)) else o for o in english[0].options
    )
    assert not [complaint for _, complaint in Mirror(mirror).verify() if complaint]
    asked = translator.translator.asked
    assert len(asked) == len(set(asked))


def test_a_part_from_elsewhere_is_not_replaced(mirror, tmp_path):
    english = Mirror(mirror).rows("hp", Part("en", "test"))
    with writing(mirror, DATASETS) as writer:
        first = GuardedTranslator(Shouting(tmp_path / "log"), Cache(tmp_path / "c"))
        translate_part(DATASETS["hp"], english, Part("es", "test"), first, writer)
        other = GuardedTranslator(Shouting(tmp_path / "log2", name="other"), Cache(tmp_path / "c"))
        with pytest.raises(UserError, match="another source: translated: shouting"):
            translate_part(DATASETS["hp"], english, Part("es", "test"), other, writer)
        assert other.translator.asked == []
        with pytest.raises(UserError, match="in 'en' already"):
            translate_part(DATASETS["hp"], english, Part("en", "test"), other, writer)


def run(*arguments: str, **more) -> subprocess.CompletedProcess[str]:
    code = "from lm_eval_xling._cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "data", "translate", *arguments], capture_output=True, text=True, **more
    )


@pytest.fixture
def lexicon(raw_data) -> str:
    return f"lexicon:{raw_data}/lexicons/muse/{{source}}-{{target}}.first5000.tsv"


def test_the_command_as_the_documentation_has_it(mirror, tmp_path, lexicon):
    done = run(
        *("hp", "--to", "fr", "de", "it", "--with", lexicon, "--mirror", str(mirror), "--cache", str(tmp_path / "c"))
    )
    assert done.returncode == 0, done.stderr
    held = Mirror(mirror)
    assert {stored.language for stored in held.of("hp")} == {"en", "fr", "de", "it"}
    assert f"hp/test/de.jsonl: {len(held.rows('hp', Part('en', 'test')))} rows" in done.stdout
    german = held.rows("hp", Part("de", "test"))
    english = held.rows("hp", Part("en", "test"))
    changed = sum(row.fields != original.fields for row, original in zip(german, english, strict=True))
    assert changed > 0.95 * len(english)
    assert all(row.answer == original.answer for row, original in zip(german, english, strict=True))


@pytest.mark.slow
def test_a_killed_command_continues_with_the_same_bytes(mirror, tmp_path, lexicon):
    expected = tmp_path / "expected"
    shutil.copytree(mirror, expected)
    done = run("hp", "--to", "fr,de", "--with", lexicon, "--mirror", str(expected), "--cache", str(tmp_path / "c1"))
    assert done.returncode == 0, done.stderr
    code = (
        "import time; from lm_eval_xling.translation.lexicon import LexiconTranslator as T\n"
        "T.batch, f = 2, T.translate\n"
        "T.translate = lambda *a: (time.sleep(0.2), f(*a))[1]\n"
        "from lm_eval_xling._cli import main; main()"
    )
    arguments = ["hp", "--to", "fr,de", "--with", lexicon, "--mirror", str(mirror), "--cache", str(tmp_path / "c2")]
    killed = 0
    for seconds in (0.3, 0.8, 1.3):
        process = subprocess.Popen(
            [sys.executable, "-c", code, "data", "translate", *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        # From the moment that the cache is there, translating has begun.
        deadline = time.monotonic() + 60
        while not (tmp_path / "c2").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(seconds)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            killed += 1
        process.wait()
    assert killed
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    for name in ("hp/test/fr.jsonl", "hp/test/de.jsonl", "manifest.json"):
        assert (mirror / name).read_bytes() == (expected / name).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["hpp", "--to", "fr"], "did you mean hp"),
        (["xquad", "--to", "fr"], "spans of the context"),
        (["atlas", "--to", "fr"], "from CLDR"),
        (["hp", "--to", "en"], "in 'en' already"),
        (["hp", "--to", "fr", "blorp"], "unknown language 'blorp'"),
        (["hp", "--to", "th"], "no file for English (en) to Thai (th)"),
        (["hp", "--to", "fr", "--splits", "tests"], "did you mean test"),
        (["hp", "--to", "fr", "--with", "apertum"], "did you mean apertium"),
    ],
)
def test_bad_input_is_one_message(mirror, tmp_path, lexicon, monkeypatch, capsys, arguments, message):
    before = (mirror / "manifest.json").read_bytes()
    given = [*arguments, "--mirror", str(mirror), "--cache", str(tmp_path / "c")]
    given += [] if "--with" in arguments else ["--with", lexicon]
    monkeypatch.setattr("sys.argv", ["xling", "data", "translate", *given])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
    assert (mirror / "manifest.json").read_bytes() == before


def test_a_mirror_is_needed(lexicon, monkeypatch, capsys):
    monkeypatch.delenv("XLING_DATA", raising=False)
    monkeypatch.setattr("sys.argv", ["xling", "data", "translate", "hp", "--to", "fr", "--with", lexicon])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2 and "XLING_DATA" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("apertium") is None, reason="needs the Debian package apertium")
def test_real_translation_with_apertium(mirror, tmp_path):
    from lm_eval_xling.translation import open_translator

    translator = GuardedTranslator(open_translator("apertium"), Cache(tmp_path / "c"))
    try:
        translator.translator.check("en", "es")
    except UserError:
        pytest.skip("needs the Debian package apertium-eng-spa")
    rows = Mirror(mirror).rows("hp", Part("en", "test"))[:20]
    new, _ = translate_rows(rows, "es", translator)
    assert all(row.fields["question"] != original.fields["question"] for row, original in zip(new, rows, strict=True))
    assert any(
        "hechizo" in row.fields["question"].lower()
        or "quién" in row.fields["question"].lower()
        or "qué" in row.fields["question"].lower()
        for row in new
    )
    assert json.dumps([row.answer for row in new]) == json.dumps([row.answer for row in rows])
