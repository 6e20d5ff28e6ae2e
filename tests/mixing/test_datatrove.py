"""The block of datatrove against ``xling mix``, over two files and two tasks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.readers import JsonlReader

from lm_eval_xling import mix
from lm_eval_xling.errors import UserError
from lm_eval_xling.mixing import corpus as corpora
from lm_eval_xling.mixing.datatrove import MixedWriter, MixLanguages

NOUNS = "ship harbour baker bridge letter garden teacher window river market".split()
LEXICON = {"the": "le", "old": "vieux", **{noun: f"{noun}_fr" for noun in NOUNS}}


@pytest.fixture
def shards(tmp_path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for shard in range(2):
        rows = [
            {
                # Numbers, too: they are text in what is written.
                "id": n if shard else f"first/{n}",
                "text": "\n".join(
                    f"The old {NOUNS[(n * k) % 10]} saw the {NOUNS[(n + k) % 10]} {k}." for k in range(9)
                ),
            }
            for n in range(12)
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{shard}.jsonl").write_text(text)
        with (tmp_path / "all.jsonl").open("a") as whole:
            whole.write(text)
    (tmp_path / "en-fr.txt").write_text("".join(f"{word} {other}\n" for word, other in LEXICON.items()))
    return folder


def executor(shards: Path, unit: str, seed: int = 42) -> LocalPipelineExecutor:
    folder = shards.parent
    step = MixLanguages(
        "en,fr", unit=unit, translator=f"lexicon:{folder}/en-fr.txt", seed=seed, cache=folder / f"{unit}.sqlite"
    )
    pipeline = [JsonlReader(str(shards)), step, MixedWriter(str(folder / unit))]
    return LocalPipelineExecutor(pipeline, tasks=2, workers=1, logging_dir=str(folder / f"{unit}.logs"))


def written(shards: Path, unit: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((shards.parent / unit).iterdir())]


@pytest.mark.parametrize("unit", ["document", "sentence", "chunk", "word"])
def test_two_tasks_write_the_bytes_of_one_process(shards, unit, monkeypatch):
    # Parts of other documents than the command's.
    monkeypatch.setattr("lm_eval_xling.mixing.datatrove.PART", 900)
    corpora._translator.cache_clear()
    executor(shards, unit).run()
    folder = shards.parent
    one = folder / "one.jsonl"
    name = f"lexicon:{folder}/en-fr.txt"
    mix(folder / "all.jsonl", one, "en,fr", unit=unit, translator=name, cache=folder / "one.sqlite")
    assert b"".join(written(shards, unit)) == one.read_bytes()
    assert len(set(written(shards, unit))) == 2


def test_a_task_that_failed_runs_again_alone(shards):
    executor(shards, "word").run()
    before = written(shards, "word")
    folder = shards.parent
    (folder / "word.logs/completions/00001").unlink()
    whole = folder / "word/00001.jsonl"
    whole.write_bytes(whole.read_bytes()[:300])
    # What the other task wrote is not touched: a mark in it stays.
    first = folder / "word/00000.jsonl"
    first.write_bytes(before[0] + b"\n")
    executor(shards, "word").run()
    assert written(shards, "word") == [before[0] + b"\n", before[1]]


def test_the_statistics_count_words_by_language(shards):
    executor(shards, "sentence").run()
    stats = json.loads((shards.parent / "sentence.logs/stats.json").read_text())
    (counts,) = [step["stats"] for step in stats if "MIXER" in step["name"]]
    assert counts["words: fr"]["total"] > 100 < counts["words: en"]["total"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"languages": "en"}, "one language is no mixture"),
        ({"unit": "paragraph"}, "unknown unit"),
        ({"translator": "lexicon:nowhere.txt"}, "nowhere.txt"),
        ({"translator": "lexicn:x"}, "unknown translator"),
    ],
)
def test_mistakes_are_found_before_a_task_starts(more, message):
    with pytest.raises(UserError, match=message):
        MixLanguages(**{"languages": "en,fr", "translator": "lexicon:x", **more})
