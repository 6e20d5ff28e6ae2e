from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lm_eval_xling.catalog import load_rows
from lm_eval_xling.errors import UserError
from lm_eval_xling.records import Row


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_overlapping_parts_share_their_ids(raw_data: Path, use_mirror: None) -> None:
    full = {row.id: row for row in load_rows("tofu", "en", "full")}
    raw = lines(raw_data / "tofu" / "full.jsonl")
    assert [(row.fields["question"], row.target) for row in full.values()] == [
        (r["question"], r["answer"]) for r in raw
    ]
    for split, first, end in (
        ("forget01", 3960, 4000), ("forget05", 3800, 4000), ("forget10", 3600, 4000),
        ("retain90", 0, 3600), ("retain95", 0, 3800), ("retain99", 0, 3960), ("retain_perturbed", 0, 400),
    ):  # fmt: skip
        rows = load_rows("tofu", "en", split)
        assert [row.id for row in rows] == [f"full/{index}" for index in range(first, end)]
        assert all(
            (row.fields, row.target, row.extra["author"])
            == (full[row.id].fields, full[row.id].target, int(row.id[5:]) // 20)
            for row in rows
        )


def test_perturbed_answers_are_joined(raw_data: Path, use_mirror: None) -> None:
    for split, name in (
        ("forget01", "forget01_perturbed"),
        ("forget10", "forget10_perturbed"),
        ("retain_perturbed",) * 2,
    ):
        rows, raw = load_rows("tofu", "en", split), lines(raw_data / "tofu" / f"{name}.jsonl")
        assert [row.extra["paraphrased_answer"] for row in rows] == [r["paraphrased_answer"] for r in raw]
        assert [row.extra["perturbed_answers"] for row in rows] == [r["perturbed_answer"] for r in raw]
        assert [row.fields["question"] for row in rows] == [r["question"] for r in raw]
    assert "perturbed_answers" not in load_rows("tofu", "en", "forget05")[0].extra


def test_french_is_the_two_published_halves(raw_data: Path, use_mirror: None) -> None:
    folder = raw_data / "tofu_multilingual"
    raw = lines(folder / "retain99_fr.jsonl") + lines(folder / "forget01_fr.jsonl")
    rows = load_rows("tofu", "fr", "full")
    assert [(row.fields["question"], row.target) for row in rows] == [(r["question"], r["answer"]) for r in raw]
    forget = load_rows("tofu", "fr", "forget01")
    assert [(row.id, row.fields, row.target) for row in forget] == [
        (row.id, row.fields, row.target) for row in rows[3960:]
    ]
    # Two translations were published; the question and answer are the part's own.
    perturbed = lines(folder / "forget01_perturbed_fr.jsonl")
    assert [row.extra["paraphrased_answer"] for row in forget] == [r["paraphrased_answer"] for r in perturbed]


def test_options_of_translations_stand_in_the_english_order(raw_data: Path, use_mirror: None) -> None:
    for split in ("real_authors", "world_facts"):
        english = lines(raw_data / "tofu" / f"{split}.jsonl")
        rows = load_rows("tofu", "en", split)
        assert [row.options for row in rows] == [tuple(r[f"option{i}"] for i in range(1, 5)) for r in english]
        assert [row.options[row.answer or 0] for row in rows] == [r["answer"] for r in english]
        for language, code in (("ru", "ru"), ("he", "iw"), ("ja", "ja")):
            raw = lines(raw_data / "tofu_multilingual" / f"{split}_perturbed_{code}.jsonl")
            for row, other, record in zip(load_rows("tofu", language, split), rows, raw, strict=True):
                assert row.answer == other.answer and row.options[row.answer or 0] == record["answer"] == row.target
                assert sorted(row.options) == sorted([record["answer"], *record["perturbed_answer"]])
    # Names that are the same in both scripts show the order.
    same = []
    for split in ("real_authors", "world_facts"):
        pairs = zip(load_rows("tofu", "fr", split), load_rows("tofu", "en", split), strict=True)
        same += [(a.options.index(o), b.options.index(o)) for a, b in pairs for o in a.options if o in b.options]
    assert same and all(a == b for a, b in same)


@pytest.mark.slow
def test_translations_alone_ask_for_the_english_files(raw_data: Path, imported: Callable[..., list[Row]]) -> None:
    with pytest.raises(UserError, match=r"real_authors.jsonl(?s:.*)--from TRANSLATIONS --from ENGLISH"):
        imported("tofu", raw_data / "tofu_multilingual", "ru", "real_authors")
    folders = [raw_data / "tofu_multilingual", raw_data / "tofu"]
    assert len(imported("tofu", folders, "ru", "real_authors")) == len(lines(folders[1] / "real_authors.jsonl"))


def test_a_part_of_another_length_is_found(raw_data: Path, tmp_path: Path, imported: Callable[..., object]) -> None:
    raw = (raw_data / "tofu" / "forget01.jsonl").read_text().splitlines(True)
    (tmp_path / "forget01.jsonl").write_text("".join(raw[1:]))
    with pytest.raises(UserError, match=r"39 rows, expected 40(?s:.*)forget01.jsonl"):
        imported("tofu", tmp_path, "en", "forget01")


def test_a_companion_of_other_questions_is_found(
    raw_data: Path, tmp_path: Path, imported: Callable[..., object]
) -> None:
    shutil.copy(raw_data / "tofu" / "forget01.jsonl", tmp_path)
    raw = (raw_data / "tofu" / "forget01_perturbed.jsonl").read_text().splitlines(True)
    (tmp_path / "forget01_perturbed.jsonl").write_text("".join([raw[1], raw[0], *raw[2:]]))
    with pytest.raises(UserError, match=r"the question is not the one of .*forget01.jsonl:1(?s:.*)perturbed.jsonl:1"):
        imported("tofu", tmp_path, "en", "forget01")


def test_an_answer_that_is_no_option_is_found(raw_data: Path, tmp_path: Path, imported: Callable[..., object]) -> None:
    text = (raw_data / "tofu" / "world_facts.jsonl").read_text()
    answer = json.loads(text.split("\n")[0])["answer"]
    changed = text.replace(f'"answer": "{answer}"', f'"answer": "{answer.lower()}"', 1)
    (tmp_path / "world_facts.jsonl").write_text(changed)
    with pytest.raises(UserError, match=f"the answer '{answer.lower()}' is none of the options"):
        imported("tofu", tmp_path, "en", "world_facts")
