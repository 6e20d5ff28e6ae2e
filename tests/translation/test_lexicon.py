from __future__ import annotations

import base64
import gzip
from pathlib import Path

import pytest

from lm_eval_xling.errors import UserError
from lm_eval_xling.translation import Lexicon, open_translator
from lm_eval_xling.translation.lexicon import read_freedict
from lm_eval_xling.translation.muse import read_word_pairs

FREEDICT = Path("/usr/share/dictd/freedict-eng-fra.index")


@pytest.fixture
def muse(tmp_path) -> Path:
    path = tmp_path / "en-de.txt"
    path.write_text("the the\nthe die\nthe der\ncat katze\nParis paris\nopen öffnen\nus uns\n", encoding="utf-8")
    return path


def test_muse_pairs_case_and_unknown_words(muse):
    lexicon = Lexicon.read(muse)
    assert lexicon.pairs == {"the": "die", "cat": "katze", "open": "öffnen", "us": "uns"}
    assert lexicon.text("The CAT, cats; Open 3 in Paris!", "en") == "Die KATZE, cats; Öffnen 3 in Paris!"
    assert lexicon.text("Paris 1990", "en") is None


def test_the_published_muse_file(raw_data):
    lexicon = Lexicon.read(raw_data / "lexicons/muse/en-de.first5000.tsv")
    assert lexicon.word("House") == "Haus"
    assert lexicon.word("gibberishword") is None
    assert all(word.casefold() != new.casefold() for word, new in lexicon.pairs.items())


def number(value: int) -> str:
    """dictd's base-64 number, by way of the library: big-endian sextets without leading A."""
    text = base64.b64encode(value.to_bytes(9, "big")).decode()
    return text.lstrip("A") or "A"


def write_freedict(folder: Path, entries: list[tuple[str, str]]) -> Path:
    content, index = b"", []
    for word, entry in entries:
        data = entry.encode()
        index.append(f"{word}\t{number(len(content))}\t{number(len(data))}\n")
        content += data
    (folder / "d.dict.dz").write_bytes(gzip.compress(content))
    (folder / "d.index").write_text("".join(index), encoding="utf-8")
    return folder / "d.index"


def test_freedict_entries(tmp_path):
    index = write_freedict(
        tmp_path,
        [
            ("00databaseinfo", "English-German\nnot an entry\n"),
            ("friday", "Friday /fɹˈaɪdeɪ/ <n>\nFreitag <masc> [time]\n"),
            ("run", "run /ɹˈʌn/ (ran /ɹˈan/ <>) <v>\n1. laufen, rennen\n2. fließen\n"),
            ("run", "run /ɹˈʌn/\nLauf\n"),
            ("hotel", "hotel /x/\nHotel, Gasthaus\n"),
            ("give", "give up /x/\naufgeben\n"),
            ("dog", "dog /x/\n   Note: not this\nHund (Tier); Köter\n see: {dogs}\n"),
        ],
    )
    assert read_freedict(index) == {"Friday": "Freitag", "run": "laufen", "hotel": "Gasthaus", "dog": "Hund"}


def test_freedict_without_its_other_file(tmp_path):
    index = write_freedict(tmp_path, [("dog", "dog\nHund\n")])
    (tmp_path / "d.dict.dz").write_bytes(gzip.compress(b"dog"))
    with pytest.raises(UserError, match="points beyond"):
        Lexicon.read(index)
    (tmp_path / "d.dict.dz").unlink()
    with pytest.raises(UserError, match=r"d\.dict\.dz is missing"):
        Lexicon.read(index)


@pytest.mark.skipif(not FREEDICT.exists(), reason="needs the Debian package dict-freedict-eng-fra")
def test_the_real_freedict():
    lexicon = Lexicon.read(FREEDICT)
    assert (lexicon.word("house"), lexicon.word("Dog"), lexicon.word("BEAUTIFUL")) == ("maison", "Chien", "BEAU")
    assert len(lexicon.pairs) > 5000


def test_translator_takes_a_pattern_and_knows_files_by_content(muse, tmp_path):
    translator = open_translator(f"lexicon:{tmp_path}/{{source}}-{{target}}.txt")
    assert translator.translate(["The cat", "1"], "en", "de") == ["Die katze", None]
    copy = tmp_path / "copy.txt"
    copy.write_bytes(muse.read_bytes())
    assert open_translator(f"lexicon:{copy}").identity("en", "de") == translator.identity("en", "de")
    copy.write_text("cat kater\n")
    assert open_translator(f"lexicon:{copy}").identity("en", "de") != translator.identity("en", "de")
    with pytest.raises(UserError, match=r"no file for English \(en\) to French \(fr\)"):
        translator.check("en", "fr")


def test_a_dictionary_serves_the_pair_that_it_is_of(muse, tmp_path):
    (tmp_path / "words.txt").write_bytes(muse.read_bytes())
    translator = open_translator(f"lexicon:{tmp_path}/words.txt")
    translator.check("en", "de")
    with pytest.raises(UserError, match=r"English to German, and English to French is asked for"):
        translator.check("en", "fr")
    for name in ("en-de.first5000.tsv", "freedict-eng-deu.tsv"):
        (tmp_path / name).write_bytes(muse.read_bytes())
        open_translator(f"lexicon:{tmp_path}/{name}").check("en", "de")
        with pytest.raises(UserError, match="English to German, and English to French is asked for"):
            open_translator(f"lexicon:{tmp_path}/{name}").check("en", "fr")
    (tmp_path / "my-list.txt").write_bytes(muse.read_bytes())
    open_translator(f"lexicon:{tmp_path}/my-list.txt").check("en", "fr")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a b c\n", "line 1 has 3 fields"),
        ("a b\na b c\nc\n", "line 2 has 3 fields(?s:.*)line 2"),
        ("\n", "no word pairs"),
        ("paris Paris\n", "no word pairs"),
    ],
)
def test_bad_files(tmp_path, content, message):
    (tmp_path / "x").write_text(content)
    with pytest.raises(UserError, match=message):
        Lexicon.read(tmp_path / "x")


def test_unknown_placeholder(tmp_path):
    with pytest.raises(UserError, match="placeholder"):
        open_translator(f"lexicon:{tmp_path}/{{lang}}").check("en", "fr")


@pytest.mark.parametrize(
    ("line", "pair"),
    [
        ("house haus,", ("house", "haus")),
        ("house\t„Haus“", ("house", "Haus")),
        ("house haus.", ("house", "haus")),
        ("why ¿porqué?", ("why", "porqué")),
        ("dog 狗。", ("dog", "狗")),
        ("book كتاب،", ("book", "كتاب")),
        ("house,\thaus;", ("house", "haus")),
        # What belongs to a word stays.
        ("eg z.B.", ("eg", "z.B.")),
        ("the l'", ("the", "l'")),
        ("anti anti-", ("anti", "anti-")),
        ("bangkok กรุงเทพฯ", ("bangkok", "กรุงเทพฯ")),
        ("plus +", ("plus", "+")),
        ("dots ...", ("dots", "...")),
        # A no-break space within a field, at its end, or between the fields.
        ("hotdog hot\u00a0dog", ("hotdog", "hot dog")),
        ("house haus\u00a0", ("house", "haus")),
        ("house\u00a0haus", ("house", "haus")),
        ("ice cream\tEis", ("ice cream", "Eis")),
        ("house  haus", ("house", "haus")),
    ],
)
def test_a_pair_is_two_words_without_the_marks_around_them(tmp_path, line, pair):
    (tmp_path / "x").write_text("\ufeff" + line + "\n", encoding="utf-8")
    assert read_word_pairs(tmp_path / "x") == [pair]


def test_marks_of_a_list_do_not_reach_the_text(tmp_path):
    (tmp_path / "x").write_text("the die\nhouse haus,\n", encoding="utf-8")
    assert Lexicon.read(tmp_path / "x").text("The house is rot", "en") == "Die haus is rot"


def test_an_entry_of_two_words_is_left_out_and_named(tmp_path, caplog):
    (tmp_path / "x").write_text("the die\nice cream eis\nhouse haus\n", encoding="utf-8")
    with caplog.at_level("WARNING"):
        assert Lexicon.read(tmp_path / "x").pairs == {"the": "die", "house": "haus"}
    (record,) = caplog.records
    assert record.getMessage().endswith("x: 1 of 3 lines left out: line 2 has 3 fields, a word pair has 2")


def test_the_real_lists_are_read_as_before(shared_data):
    """The published lists have no marks: their pairs, and so the identity of their translators, stay."""
    for path in sorted((shared_data / "lexicons" / "muse").iterdir()):
        fields = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        assert read_word_pairs(path) == [(word.strip(), new.strip()) for word, new in fields]
