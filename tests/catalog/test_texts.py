"""FLORES, WikiText and the question pairs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lm_eval_xling.catalog import load_rows
from lm_eval_xling.catalog.sources import published_sha256
from lm_eval_xling.errors import UserError
from lm_eval_xling.files import file_sha256
from lm_eval_xling.records import Row


def test_flores_rows_are_the_lines(raw_data: Path, use_mirror: None) -> None:
    for language in ("en", "de", "es", "fr", "it"):
        path = raw_data / "flores_sample" / f"{language}.devtest"
        assert [row.fields["sentence"] for row in load_rows("flores", language, "devtest")] == path.read_text().split(
            "\n"
        )


def test_pinned_digests_are_those_of_the_real_files(shared_data: Path) -> None:
    known = published_sha256()["google-research/crosslingual-knowledge-barriers"]
    for language in ("en", "de", "es", "fr", "it"):
        path = shared_data / "flores_sample" / f"{language}.devtest"
        assert known[f"Translation/data/flores/{language}.devtest"] == file_sha256(path)


def test_an_empty_sentence_is_found(tmp_path: Path, imported: Callable[..., list[Row]]) -> None:
    (tmp_path / "en.devtest").write_text("One.\n\nThree.\n")
    with pytest.raises(UserError, match=r"field 'sentence' is empty(?s:.*)en.devtest:2"):
        imported("flores", tmp_path, "en", "devtest")


def test_wikitext_loses_and_doubles_no_word(raw_data: Path, use_mirror: None) -> None:
    for split, name in (("validation", "valid"), ("test", "test")):
        rows = load_rows("wikitext", "en", split)
        text = (raw_data / "wikitext2" / f"{name}.txt").read_text()
        assert " ".join(row.fields["text"] for row in rows).split() == text.split()
        assert all(row.fields["text"].startswith(f"= {row.extra['title']} =\n") for row in rows)


def test_wikitext_has_its_sixty_articles(real_mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Merity et al. 2016, table 1: 60 articles each."""
    monkeypatch.setenv("XLING_DATA", str(real_mirror))
    assert [len(load_rows("wikitext", "en", split)) for split in ("validation", "test")] == [60, 60]
    assert load_rows("wikitext", "en", "validation")[0].extra["title"] == "Homarus gammarus"


def test_a_title_stands_between_blank_lines(tmp_path: Path, imported: Callable[..., list[Row]]) -> None:
    (tmp_path / "wiki.test.raw").write_text(
        " \n = First = \n \n Text . \n = not a title = \n more . \n \n = = Part = = \n \n x \n \n = A = \n \n y \n"
    )
    rows = imported("wikitext", tmp_path, "en", "test")
    assert [(row.id, row.extra["title"]) for row in rows] == [("0", "First"), ("1", "A")]
    assert rows[0].fields["text"] == "= First =\nText .\n= not a title =\nmore .\n= = Part = =\nx"


def test_a_text_without_titles_is_refused(tmp_path: Path, imported: Callable[..., list[Row]]) -> None:
    (tmp_path / "test.txt").write_text("Some other text.\n")
    with pytest.raises(UserError, match="there is no article"):
        imported("wikitext", tmp_path, "en", "test")


def test_question_pairs_lose_only_the_instruction(raw_data: Path, use_mirror: None) -> None:
    for language, name in (("de", "German"), ("zh", "Chinese"), ("sw", "Swahili")):
        path = raw_data / "zhang_question_translation" / f"snli_{language}_train_question_first2000.json"
        raw = json.loads(path.read_text())
        rows = load_rows("question_pairs", language, "train")
        assert [row.target for row in rows] == [record["answer"] for record in raw]
        instruction = f"\nTranslate the input from {name} to English:\n"
        assert [row.fields["question"] + instruction for row in rows] == [record["input"] for record in raw]
