"""Reading what the harness writes: real output of both releases, and damaged or foreign files."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from lm_eval_xling.errors import UserError
from lm_eval_xling.report import read_report, write_report
from lm_eval_xling.report.conditions import UNKNOWN
from lm_eval_xling.report.findings import findings
from lm_eval_xling.report.naming import identify, labelled, name_of
from lm_eval_xling.report.reading import UNSCORED, find_results, read_runs
from lm_eval_xling.report.terminal import show
from tests.report.runs import document, right_or_wrong, sample, write_run

LATER = "2026-02-02T03-04-05.000001"


def rows(asked: str = "en", answered: str = "en", right: str = "1101", **more: object) -> list[dict]:
    docs = [document(f"item:{i}", asked, answered, answer=i % 4, **more) for i in range(len(right))]
    return [right_or_wrong(doc, mark == "1") for doc, mark in zip(docs, right, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize("release", ["installed", pytest.param("0.4.12", marks=pytest.mark.environment)])
def test_real_output(harness_output: dict[str, Path], release: str) -> None:
    assert release in harness_output, "lm_eval 0.4.12 could not be fetched from the package index"
    evaluations, notes = read_runs([harness_output[release]])
    assert not notes
    tasks = {evaluation.task: evaluation for evaluation in evaluations}
    # Groups are aggregates of tasks that are there themselves.
    assert sorted(tasks) == ["xling_atlas_de_en", "xling_atlas_en_en", "xling_math_de", "xling_math_en"]
    (file,) = find_results(harness_output[release])
    results = json.loads(file.read_text())
    if release == "0.4.12":
        assert results["lm_eval_version"] == release
    for name in ("xling_atlas_en_en", "xling_atlas_de_en"):
        evaluation = tasks[name]
        samples = evaluation.samples
        assert samples is not None and samples.ids == tuple(f"item:{i}" for i in range(12))
        for metric in ("acc", "acc_norm"):
            assert samples.metrics[metric].mean() == pytest.approx(results["results"][name][f"{metric},none"])
        assert (samples.chosen == samples.answer).mean() == pytest.approx(results["results"][name]["acc,none"])
        assert samples.answer.tolist() == [i % 4 for i in range(12)]
        lines = Path(samples.path).read_bytes()
        assert json.loads(lines[samples.offsets[7] :].split(b"\n")[0])["doc"]["id"] == "item:7"
    german = tasks["xling_atlas_de_en"]
    assert (german.family, german.condition.placement) == ("atlas", "de_en")
    assert (german.condition.question, german.condition.answer, german.metric) == ("de", "en", "acc")
    assert german.model.label == "dummy" and german.setting.label == "0-shot, cloze"
    # Generated text: the dummy model says "lol", which is the target of half the rows.
    math = tasks["xling_math_en"]
    assert math.samples is not None and math.samples.scores is None and set(math.samples.chosen) == {-1}
    assert math.samples.metrics["exact_match"].tolist() == [1, 1, 0, 0]
    assert math.averaged == {"exact_match"} and np.isnan(math.samples.metrics["bleu"]).all()


@pytest.mark.slow
def test_written_runs_have_the_form_of_real_ones(harness_output: dict[str, Path], tmp_path: Path) -> None:
    """The other tests rest on ``runs.write_run``: everything that it writes must stand in real output as well."""
    (real_file,) = find_results(harness_output["installed"])
    real = json.loads(real_file.read_text())
    ours = json.loads(write_run(tmp_path, {"xling_atlas_en_en": rows()}).read_text())
    assert set(ours) <= set(real)
    task = "xling_atlas_en_en"
    assert set(ours["configs"][task]) <= set(real["configs"][task])
    assert {key for key in ours["config"] if key != "model_args"} <= set(real["config"])
    assert set(real["results"][task]) >= set(ours["results"][task])
    line = json.loads(next(real_file.parent.glob(f"samples_{task}_*")).read_text().splitlines()[0])
    mine = json.loads(next(tmp_path.glob("samples_*")).read_text().splitlines()[0])
    assert set(mine) <= set(line)
    assert [type(value) for value in mine["filtered_resps"][0]] == [type(value) for value in line["filtered_resps"][0]]


def test_the_newest_run_of_a_task_counts(tmp_path: Path) -> None:
    write_run(tmp_path / "a", {"xling_atlas_en_en": rows(right="0000")})
    write_run(tmp_path / "b", {"xling_atlas_en_en": rows(right="1111")}, date=LATER)
    evaluations, notes = read_runs([tmp_path])
    assert [evaluation.metrics["acc"][0] for evaluation in evaluations] == [1.0]
    assert [note.kind for note in notes] == ["superseded"] and LATER in notes[0].text
    # The same files named twice are one run.
    again, notes = read_runs([tmp_path / "b", tmp_path / "b" / f"results_{LATER}.json"])
    assert len(again) == 1 and not notes


def test_a_run_that_was_made_again_is_one_note(tmp_path: Path) -> None:
    tasks = {f"xling_atlas_{pair}": rows() for pair in ("en_en", "en_de", "de_en")}
    first = write_run(tmp_path, tasks)
    write_run(tmp_path, tasks, date=LATER)
    evaluations, (note,) = read_runs([tmp_path])
    assert len(evaluations) == 3 and note.where == str(first)
    assert (
        note.text == f"xling_atlas_en_en and 2 more tasks (0-shot) of base, run again on {LATER}: the newer run counts"
    )


def test_settings_and_models_are_told_apart(tmp_path: Path) -> None:
    for index, (arguments, shots) in enumerate(
        [
            ("pretrained=org/base,dtype=float32", 0),
            ("pretrained=org/base,dtype=float32", 5),
            ({"pretrained": "org/base", "dtype": "float32", "peft": "runs/qa"}, 0),
            ("pretrained=other/base,dtype=float32,batch_size=7", 0),
        ]
    ):
        write_run(tmp_path / str(index), {"xling_atlas_en_en": rows()}, model_args=arguments, shots=shots)
    evaluations, notes = read_runs([tmp_path])
    assert not notes and len(evaluations) == 4
    labels = sorted({evaluation.model.label for evaluation in evaluations})
    assert labels == ["base + qa", "org/base (dtype=float32)", "other/base (dtype=float32)"]
    assert sorted(evaluation.setting.shots for evaluation in evaluations) == [0, 0, 0, 5]


def test_a_line_that_is_cut_off_is_left_out(tmp_path: Path) -> None:
    write_run(tmp_path, {"xling_atlas_en_en": rows()})
    (path,) = tmp_path.glob("samples_*")
    path.write_bytes(path.read_bytes()[:-30])
    (evaluation,), notes = read_runs([tmp_path])
    assert evaluation.samples is not None and evaluation.samples.ids == ("item:0", "item:1", "item:2")
    assert {note.kind for note in notes} == {"damaged", "marked"}
    assert any("left out: 4" in note.text for note in notes) and any("3 of 4" in note.text for note in notes)


def test_samples_of_another_run_are_refused(tmp_path: Path) -> None:
    write_run(tmp_path, {"xling_atlas_en_en": rows()})
    write_run(tmp_path / "other", {"xling_atlas_en_en": rows(asked="de", right="0001")})
    (path,), (other,) = tmp_path.glob("samples_*"), (tmp_path / "other").glob("samples_*")
    path.write_bytes(other.read_bytes())
    (evaluation,), notes = read_runs([tmp_path / f"results_{path.stem.split('_')[-1]}.json"])
    assert evaluation.samples is None and evaluation.metrics["acc"][0] == 0.75
    assert [note.kind for note in notes] == ["refused"] and "another run" in notes[0].text


def test_scores_that_do_not_add_up_are_refused(tmp_path: Path) -> None:
    write_run(tmp_path, {"xling_atlas_en_en": rows()})
    (path,) = tmp_path.glob("samples_*")
    path.write_text(path.read_text().replace('"acc": 0.0', '"acc": 1.0'))
    (evaluation,), notes = read_runs([tmp_path])
    assert evaluation.samples is None and "1.0000, the results say 0.7500" in notes[0].text


def test_duplicate_ids_count_once(tmp_path: Path) -> None:
    write_run(tmp_path, {"xling_atlas_en_en": rows()}, change=lambda results: results["task_hashes"].clear())
    (path,) = tmp_path.glob("samples_*")
    path.write_text(path.read_text() + path.read_text().splitlines()[0] + "\n")
    (evaluation,), notes = read_runs([tmp_path])
    assert evaluation.samples is not None and len(evaluation.samples.ids) == 4
    assert [note.kind for note in notes] == ["damaged"] and "1 documents have an id" in notes[0].text


def test_scores_that_are_not_numbers_are_left_out(tmp_path: Path) -> None:
    docs = [document(f"item:{i}", "en", "en") for i in range(3)]
    made = [
        right_or_wrong(docs[0], True),
        sample(docs[1], [float("nan")] * 4, acc=float("nan")),
        right_or_wrong(docs[2], False),
    ]
    write_run(tmp_path, {"xling_atlas_en_en": made})
    (evaluation,), notes = read_runs([tmp_path])
    assert evaluation.samples is not None
    assert evaluation.samples.metrics["acc"][[0, 2]].tolist() == [1, 0]
    assert np.isnan(evaluation.samples.metrics["acc"][1]) and evaluation.samples.chosen.tolist() == [0, -1, 1]
    assert [note.kind for note in notes] == ["suspect", "damaged"] and "not finite" in notes[1].text
    assert "1 of 3 items" in notes[0].text and "item item:1 with nan for option 0" in notes[0].text


@pytest.mark.parametrize("acc", [0.0, 1.0])
def test_items_without_a_number_leave_the_others_their_samples(acc: float, tmp_path: Path) -> None:
    """The harness scores them, by what happens to compare as the greatest, and averages over all."""
    docs = [document(f"item:{i}", "en", "en", answer=1) for i in range(8)]
    made = [right_or_wrong(doc, i % 2 > 0) for i, doc in enumerate(docs)]
    made[3] = sample(docs[3], [float("nan"), -1.0, -2.0, -3.0], acc=acc)
    write_run(tmp_path, {"xling_atlas_en_en": made})
    (evaluation,), notes = read_runs([tmp_path])
    assert [note.kind for note in notes] == ["suspect"] and evaluation.samples is not None
    assert np.nanmean(evaluation.samples.metrics["acc"]) == 3 / 7
    assert np.flatnonzero(np.isnan(evaluation.samples.metrics["acc"])).tolist() == [3]


def test_runs_without_samples_give_aggregates(tmp_path: Path) -> None:
    write_run(tmp_path, {"xling_atlas_de_en": rows(asked="de")}, samples=False)
    (evaluation,), notes = read_runs([tmp_path])
    assert evaluation.samples is None and evaluation.metrics["acc"][0] == 0.75
    assert [note.kind for note in notes] == ["missing"] and "--log_samples" in notes[0].text


def test_documents_without_ids_are_paired_by_position(tmp_path: Path) -> None:
    made = rows()
    for index, row in enumerate(made):
        row["doc"] = {"question": "?", "label": 0}
        row["doc_id"] = index
    write_run(tmp_path, {"xnli_de": made})
    (evaluation,), notes = read_runs([tmp_path])
    assert evaluation.samples is not None and evaluation.samples.ids == ("#0", "#1", "#2", "#3")
    assert evaluation.family == evaluation.name == "xnli_de" and evaluation.condition == UNKNOWN
    assert [note.kind for note in notes] == ["marked"]


def test_several_filters_are_several_metrics(tmp_path: Path) -> None:
    made = []
    for row, strict, loose in zip(rows(), (0.0, 0.0, 0.0, 1.0), (1.0, 0.0, 1.0, 1.0), strict=True):
        for name, value in (("strict", strict), ("loose", loose)):
            made.append({**row, "filter": name, "metrics": ["exact_match"], "exact_match": value})

    def named(results: dict) -> None:
        results["results"]["xling_math_en"] = {"exact_match,strict": 0.25, "exact_match,loose": 0.75}
        results["n-samples"]["xling_math_en"]["effective"] = 4

    write_run(tmp_path, {"xling_math_en": made}, change=named)
    (evaluation,), notes = read_runs([tmp_path])
    assert not notes and evaluation.samples is not None
    assert evaluation.samples.metrics["exact_match/loose"].tolist() == [1, 0, 1, 1]
    assert evaluation.samples.metrics["exact_match/strict"].tolist() == [0, 0, 0, 1]


def test_bad_input_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such run folder"):
        read_runs([tmp_path / "nowhere"])
    (tmp_path / "notes.json").write_text("{}")
    with pytest.raises(UserError, match="no results_"):
        read_runs([tmp_path])
    path = write_run(tmp_path / "run", {"xling_atlas_en_en": rows()})
    path.write_text(path.read_text()[:200])
    with pytest.raises(UserError, match="no results can be read"):
        read_runs([tmp_path / "run"])
    # One damaged file does not hide the others.
    write_run(tmp_path / "fine", {"xling_atlas_en_en": rows()})
    evaluations, notes = read_runs([tmp_path / "run", tmp_path / "fine"])
    assert len(evaluations) == 1 and [note.kind for note in notes] == ["damaged"]


def test_models_are_named_as_shortly_as_they_differ() -> None:
    weights = "pretrained=/cache/gemma-3-270m-0123456789ab,dtype=float32"
    arguments = ["", ",peft=/runs/zh/adapter", ",peft=/runs/sw/adapter/", ",peft=org/tuned", ",peft=/old/zh/adapter"]
    models = labelled([identify({"config": {"model": "hf", "model_args": weights + more}}) for more in arguments])
    base = "gemma-3-270m"
    assert [models[i].label for i in (0, 2, 3)] == [base, f"{base} + sw", f"{base} + tuned"]
    assert "/runs/zh/adapter" in models[1].label and "/old/zh/adapter" in models[4].label


def test_folders_that_say_nothing_are_named_by_what_is_in_or_above_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "hf"
    weights.mkdir()
    (weights / "config.json").write_text('{"_name_or_path": "google/gemma-3-270m"}')
    plain = tmp_path / "swahili" / "model"
    plain.mkdir(parents=True)
    (plain / "config.json").write_text("{}")
    for source, expected in (
        (str(weights), "gemma-3-270m"),
        (str(plain), "swahili"),
        ("runs/qa-de/adapter/", "qa-de"),
        ("runs/qa-de/checkpoint-500", "qa-de"),
        (f"hub/models--org--tiny/snapshots/{'0a' * 20}", "tiny"),
        ("org/name", "name"),
        ("adapter", "adapter"),
    ):
        assert name_of(source) == expected
    monkeypatch.chdir(plain.parent)
    assert name_of("model") == name_of("./model") == "swahili"


@pytest.mark.parametrize("as_text", [True, False])
def test_labels_hold_no_address_and_no_key(tmp_path: Path, as_text: bool) -> None:
    secrets = {
        "base_url": "http://10.1.2.3:8000/v1/completions",
        "api_key": "sk-abcdefghijklmnop",
        "OPENAI_API_KEY": "qwertzuiop",
        "hf_token": "hf_abcdefghijklmnopqrst",
        "header": "Authorization",
        "eos_string": "gpu7.example.org:8000",
        "proxy": "user:hunter2",
        "somewhere": "https://user:hunter2@example.org/",
    }
    arguments: dict[str, str] = {"model": "http://10.1.2.3:8000/org/served", "tokenizer": "org/tok", **secrets}
    given = ",".join(f"{key}={value}" for key, value in arguments.items()) if as_text else arguments
    config = {"model": "local-completions", "gen_kwargs": {"api_key": "sk-abcdefghijklmnop", "temperature": 0}}
    write_run(tmp_path / "a", {"xling_atlas_en_en": rows()}, model_args=given, config=config)
    write_run(
        tmp_path / "b",
        {"xling_atlas_en_en": rows()},
        model_args=f"{given},dtype=x" if as_text else {**arguments, "dtype": "x"},
    )
    page = write_report([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    assert {e.model.label for e in read_runs([tmp_path])[0]} == {
        "served (tokenizer=org/tok)",
        "served (dtype=x,tokenizer=org/tok)",
    }
    for file in page.parent.rglob("*"):
        if file.is_file():
            said = file.name + file.read_text(encoding="utf-8", errors="replace")
            for secret in ("10.1.2.3", "abcdefghijklmnop", "qwertzuiop", "hunter2", "example.org", "Authorization"):
                assert secret not in said, (file, secret)
            assert file.suffix != ".json" or file.name.endswith("schema.json") or "temperature=0" in said


def test_answers_without_scores_say_so(tmp_path: Path) -> None:
    """``--predict_only``: the harness writes 999, or no metric at all."""
    for name, kept in (("none", False), ("bypass", True)):
        made = rows()
        for row in made:
            del row["acc"]
            row |= {"metrics": ["bypass"], "bypass": 999.0} if kept else {"metrics": []}
        write_run(
            tmp_path / name, {"xling_atlas_en_en": made, "xling_atlas_de_en": made}, model_args=f"pretrained=org/{name}"
        )
    page = write_report([tmp_path / "none", tmp_path / "bypass"], tmp_path / "out")
    report = read_report(page.parent / "report.json")
    assert not report.barriers and all(np.isnan(row.score.estimate) for row in report.scores)
    assert len(report.scores) == 4 and {row.unscored for row in report.scores} == {UNSCORED}
    assert "--predict_only" in {note.kind: note.text for note in report.notes}["missing"]
    console = Console(file=io.StringIO(), width=200)
    show(report, console)
    printed = console.file.getvalue()
    table = (page.parent / "scores.csv").read_text()
    for said in (printed, table, page.read_text(), (page.parent / "report.json").read_text()):
        assert "999" not in said.replace("6999", "") and "--predict_only" in said
        assert not re.search(r"\bnan\b|\+nan", said), re.search(r".{30}\bnan\b.{30}", said)


def test_weights_that_give_no_numbers_have_no_score(tmp_path: Path) -> None:
    docs = [document(f"item:{i}", "en", "en") for i in range(6)]
    made = [sample(doc, [float("nan"), float("-inf"), 0.0, 0.0], acc=1.0) for doc in docs]
    write_run(tmp_path / "runs", {"xling_atlas_en_en": made})
    (evaluation,), notes = read_runs([tmp_path / "runs"])
    assert np.isnan(evaluation.metrics["acc"][0]) and "no finite numbers" in evaluation.unscored
    assert notes[0].kind == "suspect" and "6 of 6 items" in notes[0].text and "item item:0" in notes[0].text
    page = write_report([tmp_path / "runs"], tmp_path / "out")
    assert "no finite numbers" in (page.parent / "scores.csv").read_text()


def test_models_whose_answers_are_equal_bit_by_bit_are_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    docs = [document(f"item:{i}", "en", "en", answer=i % 4) for i in range(12)]
    drawn = rng.normal(size=(12, 4))
    other = drawn.copy()
    other[7, 2] = np.nextafter(other[7, 2], 1)
    for name, scores in (("base", drawn), ("cached", drawn), ("other", other)):
        made = [sample(doc, list(row)) for doc, row in zip(docs, scores, strict=True)]
        write_run(tmp_path / name, {"xling_atlas_en_en": made}, model_args=f"pretrained=org/{name}")
    report = read_report(write_report([tmp_path], tmp_path / "out").parent / "report.json")
    (note,) = [note for note in report.notes if note.kind == "suspect"]
    assert note.where == "base and cached" and "all 12 answers" in note.text and "--use_cache" in note.text
    found = [finding for finding in findings(report) if finding.family == ""]
    assert len(found) == 1 and "equal to the last bit" in found[0].text
