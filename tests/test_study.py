"""The studies of examples/ on a tiny model and a few rows: every step, continued, and the table's figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from lm_eval_xling.errors import UserError
from lm_eval_xling.families.ledger import WORDINGS
from lm_eval_xling.harness import requests
from lm_eval_xling.records import MixedText, Unit
from lm_eval_xling.training.configuration import AlignmentConfig, FactsConfig, MixedConfig, load_config
from lm_eval_xling.training.fact_rows import read_file
from tests.programs import EXAMPLES, program

study_program, ledger_study = program("study"), program("ledger_study")
read = program("study_file").read


KINDS = {"align": AlignmentConfig, "mixed": MixedConfig, "facts": FactsConfig}


def study(name: str, environment: dict[str, str], *overrides: str, program: str = "study.py") -> None:
    command = [sys.executable, str(EXAMPLES / program), str(EXAMPLES / "studies" / f"{name}.yaml"), *overrides]
    subprocess.run(command, check=True, env={**os.environ, **environment, "OMP_NUM_THREADS": "1"}, capture_output=True)


@pytest.mark.slow
@pytest.mark.parametrize("raw_data", ["written"], indirect=True, scope="session")
def test_question_alignment(tiny: Callable[[str], Path], full_mirror: dict[str, str], tmp_path: Path) -> None:
    overrides = [
        f"output={tmp_path}",
        f"model={tiny('llama')}",
        "training.data.limit=40",
        'adapters={"zh": {"recipe": "align", "with": {"data.sources": ["zh"], "training.save_strategy": "no"}}}',
        "training.validation=0",
        'evaluations=[{"tasks": ["xling_sentiment_en", "xling_sentiment_zh"], "rows": [2, 8], "num_fewshot": 0}]',
        'groups={"both": ["xling_sentiment_en", "xling_sentiment_zh"]}',
    ]
    study("question_alignment", full_mirror, *overrides)
    (row,) = json.loads((tmp_path / "results.json").read_text())
    accuracies = []
    for model in ("base", "zh"):
        right = []
        for task in ("xling_sentiment_en", "xling_sentiment_zh"):
            (samples,) = (tmp_path / "evaluations" / f"{model}-0").rglob(f"samples_{task}_2*.jsonl")
            lines = [json.loads(line) for line in samples.read_text().splitlines()]
            assert [line["doc_id"] for line in lines] == list(range(2, 8))
            right += [line["acc"] for line in lines]
        accuracies.append(np.mean(right))
    assert row["accuracy_from"] == pytest.approx(accuracies[0]) and row["accuracy_to"] == pytest.approx(accuracies[1])
    assert row["difference"] == pytest.approx(accuracies[1] - accuracies[0])
    assert row["low"] <= row["difference"] <= row["high"]
    assert f"{100 * row['difference']:+.1f}" in (tmp_path / "results.md").read_text()
    # A second call trains and evaluates nothing: it needs neither data nor model.
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*") if path.name[:7] != "results")
    study("question_alignment", {"XLING_DATA": "/nowhere"}, *overrides)
    assert before == sorted((p, p.stat().st_mtime_ns) for p in tmp_path.rglob("*") if p.name[:7] != "results")


@pytest.mark.slow
def test_mixed_language(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    units = (Unit("The river is long.", "en", " "), Unit("El mar es azul.", "es", source="The sea is blue."))
    corpus = "".join(json.dumps(MixedText(str(i), "en", units).as_json()) + "\n" for i in range(60))
    (tmp_path / "mixed.jsonl").write_text(corpus, encoding="utf-8")
    overrides = [
        f"output={tmp_path}",
        f"model={tiny('llama')}",
        'adapters={"mixed": {"recipe": "mixed", "with": {}}}',
        'evaluations=[{"tasks": ["xling_atlas_en_es"], "limit": 4}]',
        'groups={"atlas": ["xling_atlas_en_es"]}',
    ]
    study("mixed_language", {}, *overrides)
    (row,) = json.loads((tmp_path / "results.json").read_text())
    assert (row["from"], row["to"], row["items"]) == ("base", "mixed", 4)
    study("mixed_language", {}, *overrides, 'pairs=[["mixed", "base"]]')
    (turned,) = json.loads((tmp_path / "results.json").read_text())
    assert (turned["from"], turned["to"], turned["difference"]) == ("mixed", "base", -row["difference"])
    study(
        "mixed_language",
        {},
        *overrides,
        "seeds=[1,2]",
        'evaluations=[{"tasks": ["xling_atlas_en_es", "xling_atlas_en_en"], "limit": 4}]',
        'groups={"atlas": ["xling_atlas_en_es"], "English": ["xling_atlas_en_en"]}',
        'barriers={"barrier": ["English", "atlas"]}',
        "training.training.learning_rate=0.05",
        f"output={tmp_path / 'seeds'}",
        f"training.data.corpus={tmp_path / 'mixed.jsonl'}",
        "prepare=[]",
    )
    rows = {row["group"]: row for row in json.loads((tmp_path / "seeds" / "results.json").read_text())}
    assert rows["barrier"]["accuracy_to"] == rows["English"]["accuracy_to"] - rows["atlas"]["accuracy_to"]
    assert rows["barrier"]["difference"] == pytest.approx(rows["English"]["difference"] - rows["atlas"]["difference"])
    trained = [
        json.loads((tmp_path / "seeds" / f"mixed-{seed}" / "adapter" / "provenance.json").read_text())["config"]
        for seed in (1, 2)
    ]
    assert [config["training"]["seed"] for config in trained] == [1, 2]
    right = [
        json.loads(line)["acc"]
        for path in (tmp_path / "seeds" / "evaluations").glob("mixed-*/**/samples_xling_atlas_en_es_*.jsonl")
        for line in path.read_text().splitlines()
    ]
    assert len(right) == 8 and rows["atlas"]["accuracy_to"] == sum(right) / 8
    provenance = json.loads((tmp_path / "mixed" / "adapter" / "provenance.json").read_text())
    assert provenance["languages"] == ["en", "es"] and provenance["data"][0]["name"] == "mixed.jsonl"


def test_seeds_are_averaged_item_by_item() -> None:
    scores = study_program.mean_scores([{"task": {"a": 1.0, "b": 0.0}}, {"task": {"a": 1.0, "b": 1.0}}])
    assert scores == {"task": {"a": 1.0, "b": 0.5}}


def test_rows_of_a_task_are_taught_as_they_are_asked(tmp_path: Path) -> None:
    def call(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(EXAMPLES / "task_rows.py"), *words]
        return subprocess.run(command, env={**os.environ, "XLING_DATA": ""}, capture_output=True, text=True)

    path = tmp_path / "made" / "rows.jsonl"
    assert call("xling_atlas_en_es", str(path), "1", "6", "2").returncode == 0
    asked = requests("xling_atlas_en_es", rows=[1, 3, 5], num_fewshot=0)
    taught = list(read_file(path))
    assert [fact.id for fact in taught] == [request.document.id for request in asked]
    for fact, request in zip(taught, asked, strict=True):
        assert fact.prompts == (request.context,) and fact.language == "en"
        assert request.continuations[request.document.answer or 0] == f" {fact.answer}"
    for words in (["xling_atlas_en_xx", "0", "2"], ["xling_atlas_en_es", "0", "9999"], ["xling_atlas_en_es", "a", "2"]):
        refused = call(words[0], str(tmp_path / "none.jsonl"), *words[1:])
        assert refused.returncode == 2 and "error: " in refused.stderr and "Traceback" not in refused.stderr
    assert not (tmp_path / "none.jsonl").exists()


@pytest.mark.slow
def test_ledger(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    facts = {"data.ledger.people": 3, "data.ledger.attributes": ["month"], "lora": {"r": 2}, "training.max_steps": 3}
    beside = {"data.mixture.facts.ledger.half": "others", "data.mixture.facts.languages": ["de"]}
    before = {
        "data.dataset": "ledger",
        "data.split": "others",
        "data.sources": ["fr"],
        "data.limit": 8,
        "validation": 0,
    }
    conditions = {
        "alone": {},
        "beside": beside,
        "in a sentence": {"ask": {"of": "alone", "wording": "sentence"}},
        "aligned": {"adapters": ["{output}/pairs/adapter"], "data.languages": ["de"]},
        "after others": {"adapters": ["{output}/others-{seed}/adapter"]},
    }
    others = {"data.ledger.half": "others", "data.ledger.people": 3, "lora": {"r": 2}, "training.max_steps": 2}
    given = {
        "output": str(tmp_path),
        "model": str(tiny("llama")),
        "seeds": [0, 1],
        "prepare": [],
        "before": {
            "pairs": {"recipe": "align", "with": {**before, "training.max_steps": 2}},
            "others": {"recipe": "facts", "with": others},
        },
        "facts": facts,
        "conditions": conditions,
        "against": {"beside": "alone", "in a sentence": "alone", "aligned": "alone"},
    }
    overrides = [f"{key}={json.dumps(value)}" for key, value in given.items()]
    study("ledger", {}, *overrides, program="ledger_study.py")
    rows = json.loads((tmp_path / "results.json").read_text())
    assert [row["condition"] for row in rows] == list(conditions) * 5
    values: dict[str, list[float]] = {}
    for name in conditions:
        taught = "de" if name == "aligned" else "en"
        for seed in (0, 1):
            folder = tmp_path / f"seed-{seed}" / name.replace(" ", "-") / "transfer"
            for code in {"en", "fr", "de", "es", "it"} - {taught}:
                (samples,) = folder.rglob(f"samples_xling_ledger_taught_{taught}_{code}_2*.jsonl")
                lines = [json.loads(line) for line in samples.read_text().splitlines()]
                asked = {line["arguments"]["gen_args_0"]["arg_0"].count("\n") for line in lines}
                assert asked == {0 if name == "in a sentence" else 1}
                assert {line["doc"]["cluster"] for line in lines} == {f"taught-{seed}-{n}" for n in range(3)}
                values.setdefault(name, []).extend(line["acc"] for line in lines)
    elsewhere = {row["condition"]: row for row in rows if row["kind"] == "answer in another language"}
    for name, row in elsewhere.items():
        assert row["items"] == 24 and row["people"] == 6
        assert row["accuracy"] == pytest.approx(np.mean(values[name]))
    difference = np.mean(values["beside"]) - np.mean(values["alone"])
    assert elsewhere["beside"]["difference"] == pytest.approx(difference)
    assert "p" not in elsewhere["alone"] and elsewhere["beside"]["p"] <= elsewhere["beside"]["adjusted_p"]
    assert f"| beside | {100 * np.mean(values['beside']):.1f} |" in (tmp_path / "results.md").read_text()
    assert (tmp_path / "barrier.png").stat().st_size > 10_000
    made = {name: tmp_path / name / "adapter" / "provenance.json" for name in ("pairs", "others-0", "others-1")}
    seeds = {name: json.loads(path.read_text())["config"]["training"].get("seed") for name, path in made.items()}
    assert seeds == {"pairs": 42, "others-0": 0, "others-1": 1} and not (tmp_path / "others").exists()


@pytest.mark.parametrize("program", ["study.py", "ledger_study.py", "published.py"])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "the following arguments are required: file"),
        (("none.yaml",), "it cannot be read: "),
        (("broken.yaml",), "it cannot be read: "),
        (("empty.yaml",), "it holds no keys"),
        (("right.yaml", "titel=x"), "unknown key 'titel'\n  in: right.yaml\n  fix: did you mean title?"),
        (("right.yaml", "title"), "'title' sets nothing\n  fix: title=VALUE"),
        (("right.yaml", "title=["), "'title=[' cannot be set: "),
    ],
)
def test_a_wrong_file_or_override_is_one_message(program: str, words: Sequence[str], said: str, tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("title: [")
    (tmp_path / "empty.yaml").write_text("# nothing")
    (tmp_path / "right.yaml").write_text("title: Study")
    command = [sys.executable, str(EXAMPLES / program), *words]
    refused = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert refused.returncode == 2 and said in refused.stderr and "Traceback" not in refused.stderr, refused.stderr


def test_a_step_that_fails_ends_the_study_with_its_code(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(
        "{title: Study, output: out, seeds: [0], conditions: {}, prepare: [{makes: x, run: 'xling mix none.txt "
        "--languages en,fr --out out/x'}]}"
    )
    command = [sys.executable, str(EXAMPLES / "ledger_study.py"), "study.yaml"]
    refused = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert refused.returncode == 2 and "there is no such file" in refused.stderr, refused.stderr
    assert "continues" not in refused.stderr and "Traceback" not in refused.stderr


def test_a_step_with_other_settings_is_not_taken_for_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[list[str]] = []

    def run(command: Sequence[str]) -> None:
        made.append(list(command))
        (tmp_path / "run" / "adapter").mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(study_program, "run", run)
    for _ in range(2):
        study_program.run_once(["xling", "train", "mixed", "data.limit=1"], tmp_path / "run" / "adapter")
    assert len(made) == 1
    with pytest.raises(UserError, match="made with other settings"):
        study_program.run_once(["xling", "train", "mixed", "data.limit=2"], tmp_path / "run" / "adapter")
    # Without its record a step is not finished: the command itself finds what is there.
    (tmp_path / "run" / "adapter.command.json").unlink()
    study_program.run_once(["xling", "train", "mixed", "data.limit=2"], tmp_path / "run" / "adapter")
    assert len(made) == 2


def test_an_override_reaches_keys_with_dots_and_places_in_lists(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("{training: {data.limit: 1}, evaluations: [{limit: 2}, {limit: 3}]}")
    given = ["training.data.limit=4", "training.data.block=5", "evaluations.1.limit=6", "evaluations.0={limit: 7}"]
    assert read(path, given, ("training", "evaluations")) == {
        "training": {"data.limit": 4, "data.block": 5},
        "evaluations": [{"limit": 7}, {"limit": 6}],
    }
    with pytest.raises(UserError, match=r"'evaluations.2.limit=1' cannot be set"):
        read(path, ["evaluations.2.limit=1"], ("training", "evaluations"))


@pytest.mark.parametrize("path", sorted((EXAMPLES / "studies").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_study_names_tasks_and_keys_that_exist(path: Path) -> None:
    program = ledger_study if "\nconditions:" in path.read_text(encoding="utf-8") else study_program
    content = read(path, [], program.KEYS)

    def load(recipe: str, given: dict[str, object]) -> None:
        load_config(KINDS[recipe], None, ["output=x", *(f"{key}={json.dumps(value)}" for key, value in given.items())])

    if "conditions" in content:
        for settings in content.get("before", {}).values():
            load(settings["recipe"], settings["with"])
        for settings in content["conditions"].values():
            if "ask" in settings:
                assert "ask" not in content["conditions"][settings["ask"]["of"]]
                assert settings["ask"]["wording"] in WORDINGS
            else:
                load("facts", {**content["facts"], **settings})
        assert {*content["against"], *content["against"].values()} <= set(content["conditions"])
        return
    tasks = {task for evaluation in content["evaluations"] for task in evaluation["tasks"]}
    known = {found.stem for found in (EXAMPLES.parent / "tasks").rglob("xling_*.yaml")}
    assert tasks <= known
    assert {task for group in content["groups"].values() for task in group} <= tasks
    assert {name for pair in content.get("pairs", ()) for name in pair} <= {"base", *content["adapters"]}
    for settings in content["adapters"].values():
        load(settings["recipe"], {**content["training"], **settings["with"]})
    if path.stem == "question_alignment_full":  # the paper's Table 2: pairs of the task that is asked
        assert all(content["training"]["data.split"] in task for task in tasks)
