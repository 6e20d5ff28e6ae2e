"""The sample of FLORES-101 devtest on which Chua et al. 2024 translate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from lm_eval_xling.catalog.dataset import Dataset, Format, Part
from lm_eval_xling.catalog.raw import Record, find_all
from lm_eval_xling.catalog.sources import GitHubFiles
from lm_eval_xling.files import read_text
from lm_eval_xling.records import Row

__all__ = ["DATASET"]

_LANGUAGES = ("en", "de", "es", "fr", "it")


def _paths(part: Part) -> tuple[str, ...]:
    return (f"Translation/data/flores/{part.language}.devtest",)


def _read(part: Part, paths: Sequence[Path]) -> Iterator[Row]:
    lines = read_text(paths[0]).removesuffix("\n").split("\n")
    for index, line in enumerate(lines):
        sentence = Record({"sentence": line}, f"{paths[0]}:{index + 1}").text("sentence")
        yield Row(id=str(index), language=part.language, fields={"sentence": sentence})


_FORMAT = Format("one sentence a line: LANGUAGE.devtest", find_all(_paths), _read)

DATASET = Dataset(
    name="flores",
    title="FLORES-101 devtest, the 100 sentences of Chua et al.",
    licence="CC BY-SA 4.0",
    citation="Goyal et al. 2022, The FLORES-101 Evaluation Benchmark, arXiv 2106.03193; sample: Chua et al. 2024, "
    "arXiv 2406.16135",
    homepage="https://github.com/google-research/crosslingual-knowledge-barriers",
    schema="fields sentence",
    splits=("devtest",),
    languages=_LANGUAGES,
    sources=(
        GitHubFiles(
            "google-research/crosslingual-knowledge-barriers",
            "62d79fe53fa5c8d3284471654be5b5de7fd71251",
            lambda part: _paths(part) if part.language in _LANGUAGES else (),
            _FORMAT,
        ),
    ),
    formats=(_FORMAT,),
)
