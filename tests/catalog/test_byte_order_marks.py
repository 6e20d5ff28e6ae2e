"""What editors put at the beginning of a file, and compression, change no row of any published layout."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lm_eval_xling.catalog import DATASETS
from lm_eval_xling.catalog.mirror import Mirror
from lm_eval_xling.catalog.mirroring import import_dataset, writing
from lm_eval_xling.records import Row

CHOICE = {"id": "0", "question": "Wo?", "A": "a", "B": "b", "C": "c", "D": "d", "answer": "B"}
SQUAD = {
    "data": [
        {
            "title": "T",
            "paragraphs": [
                {"context": "Im Haus.", "qas": [{"id": "1", "question": "Wo?", "answers": [
                    {"text": "Haus", "answer_start": 3}]}]}
            ],
        }
    ]
}  # fmt: skip
SENTIMENT = [{"input": "Gut.", "answer": "positive"}, {"input": "Schlecht.", "answer": "negative"}]
PAIR = {"input": "Wo?\nTranslate the input from German to English:\n", "answer": "Where?"}

LAYOUTS = {
    "mgsm": {"mgsm_de.tsv": "Wie viele?\t3\n"},
    "flores": {"de.devtest": "Guten Tag.\nBis bald.\n"},
    "mmlu": {"dev_de.jsonl": json.dumps({**CHOICE, "id": "anatomy/dev/0", "subject": "anatomy"}) + "\n"},
    "msvamp": {"test_German.json": json.dumps({"m_query": "Wie viele?", "response": "3", "equation": "3"}) + "\n"},
    "hp": {"quiz_de.jsonl": json.dumps(CHOICE) + "\n"},
    "belebele": {"belebele_de.jsonl": json.dumps({**CHOICE, "passage": "Im Haus."}) + "\n"},
    "xquad": {"xquad.de.json": json.dumps(SQUAD)},
    "sentiment": {
        "emotion_en500_test.json": json.dumps(SENTIMENT),
        "emotion_de500_test.json": json.dumps(SENTIMENT),
    },
    "question_pairs": {"snli_de10k_train_question.json": json.dumps([PAIR])},
    "tofu": {"forget01.jsonl": (json.dumps({"question": "Wer?", "answer": "Er."}) + "\n") * 40},
    "wikitext": {"wiki.test.raw": "\n = Haus = \n\n Ein Haus . \n"},
}
UNCOMPRESSED = {"mmlu": {"dev/anatomy_dev.csv": "Wo?,a,b,c,d,B\n"}}


def rows(tmp_path: Path, dataset: str, files: dict[str, str], pack: Callable[[bytes], bytes], end: str) -> list[Row]:
    source, folder = tmp_path / "source", tmp_path / "mirror"
    for name, text in files.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / (name + end)).write_bytes(pack(text.encode()))
    with writing(folder, DATASETS) as writer:
        stored = import_dataset(DATASETS[dataset], [source], writer)
    return [row for part in stored for row in Mirror(folder).rows(dataset, part.part)]


@pytest.mark.parametrize(
    ("dataset", "files"), [*LAYOUTS.items(), *UNCOMPRESSED.items()], ids=[*LAYOUTS, "mmlu of Hendrycks et al."]
)
def test_a_mark_is_no_text(tmp_path, dataset, files):
    plain = rows(tmp_path / "plain", dataset, files, bytes, "")
    assert plain
    marked = rows(tmp_path / "marked", dataset, files, lambda data: b"\xef\xbb\xbf" + data, "")
    assert marked == plain


@pytest.mark.parametrize("dataset", LAYOUTS)
def test_compressed_files_are_read(tmp_path, dataset):
    plain = rows(tmp_path / "plain", dataset, LAYOUTS[dataset], bytes, "")
    assert rows(tmp_path / "packed", dataset, LAYOUTS[dataset], gzip.compress, ".gz") == plain
