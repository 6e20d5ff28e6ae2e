"""MGSM and MSVAMP."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lm_eval_xling.catalog import DATASETS, load_rows
from lm_eval_xling.catalog.sources import published_sha256
from lm_eval_xling.errors import UserError
from lm_eval_xling.files import file_sha256
from lm_eval_xling.languages import LANGUAGES


@pytest.mark.slow
def test_mgsm_rows_are_the_lines(raw_data: Path, use_mirror: None) -> None:
    for language in DATASETS["mgsm"].languages:
        text = (raw_data / "mgsm" / f"mgsm_{language}.tsv").read_text().removesuffix("\n")
        cells = [line.split("\t") for line in text.split("\n")]
        rows = load_rows("mgsm", language, "test")
        assert [row.fields["question"] for row in rows] == [question for question, _ in cells]
        assert [row.target for row in rows] == [answer.replace(",", "") for _, answer in cells]


def test_the_four_thousands_commas_are_gone(real_mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLING_DATA", str(real_mirror))
    rows = load_rows("mgsm", "th", "test")
    assert [rows[index].target for index in (146, 201, 230, 249)] == ["2125", "114200", "276000", "5600"]
    assert all((row.target or "").removeprefix("-").isdigit() for row in rows)


def test_msvamp_numbers_have_their_shortest_form(raw_data: Path, use_mirror: None) -> None:
    for language in DATASETS["msvamp"].languages:
        raw = [
            json.loads(line)
            for line in open(raw_data / "msvamp" / f"test_{LANGUAGES[language].name}.json", encoding="utf-8")
        ]
        rows = load_rows("msvamp", language, "test")
        assert [row.fields["question"] for row in rows] == [record["m_query"] for record in raw]
        assert [float(row.target or "nan") for row in rows] == [float(record["response"]) for record in raw]
        assert not any((row.target or "").endswith(".0") for row in rows)


def test_pinned_digests_are_those_of_the_real_files(shared_data: Path) -> None:
    for dataset in ("mgsm", "msvamp"):
        (source,) = DATASETS[dataset].sources
        known = published_sha256()[source.name.removeprefix("github:")]
        paths = {path for part in DATASETS[dataset].parts() for path in source.paths(part)}  # type: ignore[attr-defined]
        assert paths == set(known)
        for path, digest in known.items():
            assert file_sha256(shared_data / dataset / Path(path).name) == digest


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("How many?\teighteen", r"field 'answer' holds 'eighteen', not a number"),
        ("How many?\t1,00", r"holds '1,00', not a number"),
        ("How many?\t١٨", r"holds '١٨', not a number"),
        ("How many?", r"the row has 1 cells, expected 2"),
        ("\t18", r"field 'question' is empty"),
    ],
)
def test_a_bad_line_is_named(line: str, message: str, tmp_path: Path, imported: Callable[..., object]) -> None:
    (tmp_path / "mgsm_en.tsv").write_text(f"How many eggs?\t18\n{line}\n")
    with pytest.raises(UserError, match=rf"{message}(?s:.*)mgsm_en.tsv:2"):
        imported("mgsm", tmp_path, "en", "test")


def test_languages_that_are_not_parallel_are_found(
    raw_data: Path, tmp_path: Path, imported: Callable[..., object]
) -> None:
    shutil.copy(raw_data / "mgsm" / "mgsm_en.tsv", tmp_path)
    lines = (raw_data / "mgsm" / "mgsm_de.tsv").read_text().splitlines(True)
    (tmp_path / "mgsm_de.tsv").write_text("".join([lines[1], lines[0], *lines[2:]]))
    first, second = (line.split("\t")[1].strip() for line in lines[:2])
    expected = rf"not parallel: row 0 has '{second}', but '{first}' in en test(?s:.*)mgsm de test"
    with pytest.raises(UserError, match=expected):
        imported("mgsm", tmp_path, "de", "test")
    # English was stored all the same.
    assert imported("hp", Path(__file__).parents[1] / "fixtures" / "hp", "de", "test")
    from lm_eval_xling.catalog.mirror import Mirror

    assert [stored.language for stored in Mirror(tmp_path.parent / tmp_path.name / "mirror").of("mgsm")] == ["en"]
