"""The mixup rows of MMLU that Chua et al. 2024 published: which language each part has is not recorded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lm_eval_xling.catalog.dataset import Dataset, Format, Part
from lm_eval_xling.catalog.mmlu import hendrycks_files, holds_mixup, read_hendrycks
from lm_eval_xling.catalog.sources import HubFiles
from lm_eval_xling.languages import MULTIPLE

__all__ = ["DATASET"]


def _find_anywhere(folders: Sequence[Path], part: Part) -> tuple[Path, ...]:
    return hendrycks_files(folders, part.split, part.split) if part.language == MULTIPLE else ()


def _find(folders: Sequence[Path], part: Part) -> tuple[Path, ...]:
    if part.language != MULTIPLE:
        return ()
    copies = [folder for folder in folders if holds_mixup(folder)]
    return _find_anywhere(copies, part) or hendrycks_files(folders, f"{part.split}_mixup", part.split)


DATASET = Dataset(
    name="mmlu_mixup",
    title="MMLU, mixup rows of Chua et al. as published",
    licence="CC BY-NC-SA 4.0; MMLU is MIT",
    citation="Chua et al. 2024, Crosslingual Capabilities and Knowledge Barriers in Multilingual Large Language "
    "Models, arXiv 2406.16135",
    homepage="https://huggingface.co/datasets/cross-ling-know/mixup-lang-mmlu",
    schema="fields question; 4 options; answer; extra subject, category; ids as in mmlu",
    splits=("test", "dev"),
    languages=(MULTIPLE,),
    sources=(
        # Their CSV files have no header, and `datasets` would take the first row of each for one.
        HubFiles(
            "cross-ling-know/mixup-lang-mmlu",
            lambda part: (f"data/{part.split}/*_{part.split}.csv",) if part.language == MULTIPLE else (),
            Format("CSV files below data/", _find_anywhere, read_hendrycks),
        ),
    ),
    formats=(
        Format(
            "copy of the hub's repository in a folder with `mixup` in its name, or, as the paper's script writes "
            "them, {test,dev}_mixup/SUBJECT_{test,dev}.csv",
            _find,
            read_hendrycks,
        ),
    ),
)
