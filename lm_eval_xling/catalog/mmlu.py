"""MMLU in many languages: Global-MMLU, and two layouts that can be imported."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from lm_eval_xling.catalog.dataset import Dataset, Format, Part
from lm_eval_xling.catalog.raw import Record, csv_records, find_all, json_lines, rows_of
from lm_eval_xling.catalog.sources import HubTables, Table
from lm_eval_xling.errors import unknown_name
from lm_eval_xling.records import Row

__all__ = ["CATEGORIES", "DATASET", "hendrycks_files", "holds_mixup", "read_hendrycks"]

_SUBJECTS = {
    "STEM": "abstract_algebra anatomy astronomy college_biology college_chemistry college_computer_science "
    "college_mathematics college_physics computer_security conceptual_physics electrical_engineering "
    "elementary_mathematics high_school_biology high_school_chemistry high_school_computer_science "
    "high_school_mathematics high_school_physics high_school_statistics machine_learning",
    "humanities": "formal_logic high_school_european_history high_school_us_history high_school_world_history "
    "international_law jurisprudence logical_fallacies moral_disputes moral_scenarios philosophy prehistory "
    "professional_law world_religions",
    "social sciences": "econometrics high_school_geography high_school_government_and_politics "
    "high_school_macroeconomics high_school_microeconomics high_school_psychology human_sexuality "
    "professional_psychology public_relations security_studies sociology us_foreign_policy",
    "other": "business_ethics clinical_knowledge college_medicine global_facts human_aging management marketing "
    "medical_genetics miscellaneous nutrition professional_accounting professional_medicine virology",
}

CATEGORIES = {subject: category for category, subjects in _SUBJECTS.items() for subject in subjects.split()}
"""The category of each of the 57 subjects, as in the harness.

They are those of Hendrycks et al. 2021 but for anatomy, which their script counts as other."""

_COLUMNS = ("question", "A", "B", "C", "D", "answer")
"""Columns of the original CSV files, which name them in no header."""


def _row(record: Record, part: Part, identifier: str, subject: str, options: Sequence[str], answer: int) -> Row:
    if subject not in CATEGORIES:
        raise unknown_name("MMLU subject", subject, CATEGORIES, where=record.where)
    return Row(
        id=identifier,
        language=part.language,
        fields={"question": record.text("question")},
        options=tuple(options),
        answer=answer,
        extra={"subject": subject, "category": CATEGORIES[subject]},
    )


def _row_of_letters(record: Record, part: Part) -> Row:
    """A row of the aligned JSON lines: ``id`` (``subject/split/index``), ``question``, ``A`` … ``D``, ``answer``."""
    options = [record.text(letter) for letter in "ABCD"]
    return _row(record, part, record.text("id"), record.text("subject"), options, record.letter("answer"))


def _row_of_hub(record: Record, part: Part) -> Row:
    """A row of Global-MMLU: ``sample_id``, ``subject``, ``question``, ``option_a`` … ``option_d``, ``answer``."""
    options = [record.text(f"option_{letter}") for letter in "abcd"]
    return _row(record, part, record.text("sample_id"), record.text("subject"), options, record.letter("answer"))


def _row_of_cells(part: Part, subject: str, index: int, record: Record) -> Row:
    """A row of a hendrycks CSV file; its id is ``subject/split/index``, as in Global-MMLU."""
    options = [record.text(letter) for letter in "ABCD"]
    return _row(record, part, f"{subject}/{part.split}/{index}", subject, options, record.letter("answer"))


def holds_mixup(folder: Path) -> bool:
    """Whether CSV files in a folder are the published mixup rows: only its name tells them from the English ones."""
    return "mixup" in (folder.parent if folder.name == "data" else folder).name


def hendrycks_files(folders: Sequence[Path], subfolder: str, split: str) -> tuple[Path, ...]:
    """The files ``{subfolder}/{subject}_{split}.csv`` of the first folder that has any, also below ``data/``."""
    for folder in folders:
        for start in (folder, folder / "data"):
            files = tuple(sorted((start / subfolder).glob(f"*_{split}.csv")))
            if files:
                return files
    return ()


def read_hendrycks(part: Part, paths: Sequence[Path]) -> Iterator[Row]:
    """Rows of the CSV files of one split, subject by subject."""
    for path in paths:
        subject = re.sub(rf"_{part.split}\.csv$", "", path.name)
        yield from rows_of(csv_records(path, _COLUMNS), partial(_row_of_cells, part, subject))


def _find_hendrycks(folders: Sequence[Path], part: Part) -> tuple[Path, ...]:
    plain = [folder for folder in folders if not holds_mixup(folder)]
    subfolder = part.split if part.language == "en" else f"{part.split}_full_{part.language}"
    return hendrycks_files(plain, subfolder, part.split)


def _read_aligned(part: Part, paths: Sequence[Path]) -> Iterator[Row]:
    return rows_of(json_lines(paths[0]), lambda index, record: _row_of_letters(record, part))


def _tables(part: Part) -> tuple[Table, ...]:
    # The hub calls Filipino by its three-letter code, "fil".
    config = "fil" if part.language == "tl" else part.language
    return ((config, part.split),) if part.language in _LANGUAGES else ()


def _read_tables(part: Part, tables: Sequence[Iterable[Record]]) -> Iterator[Row]:
    return rows_of(tables[0], lambda index, record: _row_of_hub(record, part))


_LANGUAGES = tuple(
    "en am ar bn cs de el es fa tl fr ha he hi id ig it ja ko ky lt mg ms ne nl ny pl pt ro ru si sn so sr sv sw te "
    "tr uk vi yo zh".split()
)
_HUB = HubTables("CohereLabs/Global-MMLU", _tables, _read_tables)

DATASET = Dataset(
    name="mmlu",
    title="MMLU, 57 subjects, translated (Global-MMLU)",
    licence="Apache-2.0 (Global-MMLU); MIT (MMLU). Other translations that are imported keep their own",
    citation="Singh et al. 2024, Global MMLU, arXiv 2412.03304; Hendrycks et al. 2021, Measuring Massive Multitask "
    "Language Understanding, arXiv 2009.03300",
    homepage="https://huggingface.co/datasets/CohereLabs/Global-MMLU",
    schema="fields question; 4 options; answer; extra subject, category (STEM, humanities, social sciences, other)",
    text="question",
    splits=("test", "dev"),
    languages=_LANGUAGES,
    sources=(_HUB,),
    formats=(
        Format(
            "aligned JSON lines: {test,dev}_LANGUAGE.jsonl with id, subject, question, A, B, C, D, answer",
            find_all(lambda part: [f"{part.split}_{part.language}.jsonl"]),
            _read_aligned,
        ),
        Format(
            "CSV folders of Hendrycks et al. and, translated, of Chua et al.: {test,dev}/SUBJECT_{test,dev}.csv, "
            "{test,dev}_full_LANGUAGE/SUBJECT_{test,dev}.csv",
            _find_hendrycks,
            read_hendrycks,
        ),
        _HUB.clone(),
    ),
    completed=frozenset({"dev"}),
)
