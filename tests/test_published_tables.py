"""The tables of examples/published on a tiny model and a few rows: every command runs and says what it found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import pytest

from lm_eval_xling import catalog
from lm_eval_xling.families.available import matching
from lm_eval_xling.leaf_dataset import leaf_dataset
from lm_eval_xling.training.configuration import AlignmentConfig, load_config
from tests.families.written import rows_of
from tests.programs import EXAMPLES, program

published, read = program("published"), program("study_file").read
TABLES = sorted((EXAMPLES / "published").glob("*.yaml"))


@pytest.mark.slow
@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_a_table(path: Path, tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = read(path, [], published.KEYS)
    monkeypatch.setattr(catalog, "load_rows", rows_of)
    leaf_dataset.cache_clear()
    # Two leaves stand for the twenty of a family; the dtype and the quantization are the GPU's.
    tasks = {name: ",".join(list(matching([pattern]))[:2]) for name, pattern in table["tasks"].items()}
    first = {**table["rows"][0], "pretrained": str(tiny("llama")), "paper": {name: 12.5 for name in tasks}}
    overrides = [
        f"{key}={json.dumps(value)}"
        for key, value in {"output": str(tmp_path), "tasks": tasks, "rows": [first], "limit": 2}.items()
    ]
    overrides.append("model_args={device: cpu}")
    published.main(read(path, overrides, published.KEYS))
    text = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {table['title']}\n")
    for name in tasks:
        known = json.loads((tmp_path / f"{first['name']} {name}.json").read_text(encoding="utf-8"))
        assert f"| {first['name']} | {name} | {100 * fmean(known.values()):.2f} | 12.5 |" in text
    # A second call evaluates nothing.
    monkeypatch.setattr(published, "simple_evaluate", None)
    published.main(read(path, overrides, published.KEYS))
    assert (tmp_path / "results.md").read_text(encoding="utf-8") == text
    leaf_dataset.cache_clear()


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_every_row_names_a_model_once_and_settings_that_exist(path: Path) -> None:
    table = read(path, [], published.KEYS)
    names = [row["name"] for row in table["rows"]]
    assert len(names) == len(set(names))
    for row in table["rows"]:
        assert set(row.get("paper", {})) <= set(table["tasks"])
        if "train" in row:
            settings = {"output": "x", **row["train"]}
            config = load_config(AlignmentConfig, None, [f"{key}={value}" for key, value in settings.items()])
            assert config.data.split in catalog.DATASETS["question_pairs"].splits
