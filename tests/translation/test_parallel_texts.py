from __future__ import annotations

import pytest

from lm_eval_xling.errors import UserError
from lm_eval_xling.translation import open_translator, read_parallel


def test_json_lines_with_languages_in_any_spelling(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text('{"en": "Hello", "French": "Bonjour"}\n{"en": "Hello", "French": "Salut"}\n', encoding="utf-8")
    assert read_parallel(str(path)) == {"en": ["Hello", "Hello"], "fr": ["Bonjour", "Salut"]}
    translator = open_translator(f"parallel:{path}")
    assert translator.translate([" Hello ", "Bye"], "en", "fr") == ["Bonjour", None]
    assert translator.translate(["Salut"], "fr", "en") == ["Hello"]
    with pytest.raises(UserError, match=r"cannot translate English \(en\) to German \(de\)"):
        translator.check("en", "de")


def test_the_published_files(raw_data):
    flores = open_translator(f"parallel:{raw_data}/flores_sample/{{language}}.devtest")
    english = (raw_data / "flores_sample/en.devtest").read_text(encoding="utf-8").splitlines()
    french = (raw_data / "flores_sample/fr.devtest").read_text(encoding="utf-8").splitlines()
    assert flores.translate(english[:9], "en", "fr") == french[:9]
    words = read_parallel(f"{raw_data}/lexicons/common_words_5lang/common_words.tsv")
    assert set(words) == {"en", "de", "fr", "it", "es"}
    rows = len((raw_data / "lexicons/common_words_5lang/common_words.tsv").read_text().splitlines()) - 1
    assert {len(column) for column in words.values()} == {rows}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"en": 1}\n', "line 1 is no row"),
        ("a.jsonl", '{"en": "x"}\n{"fr": "x"}\n', "other languages than line 1"),
        ("a.tsv", "en\tfr\nx\n", "line 2 has 1 fields"),
        ("a.tsv", "en\tblorp\n", "unknown language 'blorp'"),
        ("a.tsv", "en\tfr\n", "no rows"),
        ("a.tsv", b"\xff\xfe", "is not UTF-8.*begins as UTF-16"),
    ],
)
def test_bad_files(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=message):
        read_parallel(str(path))


def test_files_of_different_length(tmp_path):
    (tmp_path / "en.txt").write_text("a\nb\n")
    (tmp_path / "fr.txt").write_text("a\n")
    with pytest.raises(UserError, match="different numbers of lines: en 2, fr 1"):
        read_parallel(f"{tmp_path}/{{language}}.txt", ("en", "fr"))
