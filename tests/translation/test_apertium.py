from __future__ import annotations

import random
import shutil
import subprocess
import tempfile
from typing import BinaryIO

import pytest

from lm_eval_xling.errors import UserError
from lm_eval_xling.translation import apertium_tagger, open_translator
from lm_eval_xling.translation.apertium import ApertiumTranslator

installed = pytest.mark.skipif(shutil.which("apertium") is None, reason="needs the Debian package apertium")


@pytest.fixture
def translator() -> ApertiumTranslator:
    found = ApertiumTranslator()
    missing = {("en", "es"), ("es", "it")} - set(found.modes)
    if missing:
        pytest.skip(f"needs the Debian package apertium-eng-spa: {missing}")
    return found


@installed
def test_real_translation_direct_and_through_spanish(translator):
    assert translator.translate(["The house is red."], "en", "es") == ["La casa es roja."]
    assert translator.translate(["La casa es roja."], "es", "it") == ["La casa è rossa."]
    assert translator.translate(["The house is red."], "en", "it") == ["La casa è rossa."]
    assert translator.identity("en", "it").startswith("apertium:eng-spa+spa-ita:")


@installed
def test_marks_of_the_stream_format_and_odd_texts_come_through(translator):
    texts = [
        "He said: [yes] <b> \\ / {x} ^ @ *star $5",
        "a [] b",
        "日本語 text",
        "No stop",
        "Wait...",
        "Tab\there",
        "\x00",
    ]
    outputs = translator.translate(texts, "en", "es")
    assert outputs[0] == "Dijo: [sí] <b> \\ / {x} ^ @ *estrella $5"
    assert "[]" in outputs[1]
    # The case of a word after one that it does not know differs between releases.
    assert outputs[2].casefold().split() == ["日本語", "texto"]
    assert not outputs[3].endswith(".")
    assert outputs[4].endswith("...") and not outputs[4].endswith("....")
    assert outputs[6] is None


@installed
def test_a_piece_that_begins_small_stays_small(translator):
    """Apertium takes every text for a sentence; chunks of one would have capitals within."""
    assert translator.translate(["book in a church", "Book in a church", "NASA is here"], "en", "es") == [
        "libro en una iglesia", "Libro en una iglesia", "NASA es aquí"
    ]  # fmt: skip
    assert translator.translate(["book in a church"], "en", "it")[0][0].islower()
    # What the target language writes with a capital keeps it.
    if ("es", "en") in translator.modes:
        assert translator.translate(["inglés", "yo", "lunes"], "es", "en") == ["English", "I", "Monday"]


@installed
def test_a_translation_does_not_depend_on_the_other_texts(translator, shared_data):
    lines = (shared_data / "wikitext2/valid.txt").read_text(encoding="utf-8").split("\n")
    # "known" makes Apertium's own tagger treat "as" otherwise in every later text.
    texts = [line.strip()[:200] for line in lines if " as " in line][:30]
    texts = ["He was known.", "Lawrence <unk> as Mr. <unk> , one of Gustav Graves ' henchmen .", *texts]
    together = dict(zip(texts, translator.translate(texts, "en", "es"), strict=True))
    shuffled = random.Random(3).sample(texts, len(texts))
    assert dict(zip(shuffled, translator.translate(shuffled, "en", "es"), strict=True)) == together
    assert translator.translate(texts[1:2], "en", "es") == [together[texts[1]]]


@installed
def test_the_tagger_answers_as_a_new_process_does_for_each_text(translator, monkeypatch):
    data = translator.folder / "apertium-eng-spa"
    # New sets of readings in the first text change how a tagger reads the others.
    sentences = ["He was known.", "It is as well known as the known one.", "", "A [b] in 1897.", "He was known."] * 4
    stream = "".join(f"{text.replace('[', chr(92) + '[')}.[]\0" for text in sentences).encode()
    analysed = subprocess.run(["lt-proc", "-z", data / "eng-spa.automorf.bin"], input=stream, capture_output=True)
    starts = []
    start = apertium_tagger._Tagger.__init__
    monkeypatch.setattr(apertium_tagger._Tagger, "__init__", lambda self, words: starts.append(1) or start(self, words))

    def stream_of(content: bytes) -> BinaryIO:
        file = tempfile.TemporaryFile()
        file.write(content)
        file.seek(0)
        return file

    texts = analysed.stdout.split(b"\0")[: len(sentences)]
    model = str(data / "eng-spa.prob")
    with stream_of(b"".join(text + b"\0" for text in texts)) as given:
        found = list(apertium_tagger.answers(["-g", "", model, "-z"], given))
    assert found == [
        subprocess.run(["apertium-tagger", "-g", model], input=text + b"\n", capture_output=True).stdout
        for text in texts
    ]
    assert 1 < len(starts) < len(texts)


@installed
def test_texts_beyond_a_share_come_back_in_their_order(translator, monkeypatch):
    monkeypatch.setattr("lm_eval_xling.translation.apertium._SHARE", 3)
    texts = [f"The house has {number} doors." for number in range(2, 12)]
    assert translator.translate(texts, "en", "es") == [f"La casa tiene {number} puertas." for number in range(2, 12)]


@installed
def test_unknown_pairs_say_what_to_install(translator):
    with pytest.raises(UserError, match=r"cannot translate English \(en\) to Thai \(th\)") as caught:
        translator.check("en", "th")
    assert "apt-cache search apertium" in str(caught.value)


@installed
def test_a_failing_program_is_reported(translator, tmp_path):
    (tmp_path / "modes").mkdir()
    (tmp_path / "modes/eng-spa.mode").write_text("cat /does/not/exist | false")
    with pytest.raises(UserError, match="apertium failed"):
        ApertiumTranslator(str(tmp_path)).translate(["Hello"], "en", "es")


def test_a_missing_program_names_the_packages(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="apt-get install apertium"):
        open_translator("apertium")
