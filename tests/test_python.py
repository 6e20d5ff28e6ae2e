"""The public face: light, typed, and what its functions return agrees with the report."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import lm_eval_xling as xling
from lm_eval_xling.report.writing import make_report
from tests.report.runs import document, generated, right_or_wrong, write_run

HEAVY = ("torch", "transformers", "datasets", "lm_eval", "matplotlib", "scipy", "numpy", "pandas", "yaml", "rich")

SCRIPT = """
from pathlib import Path

import pandas as pd
from typing_extensions import assert_type

import lm_eval_xling as xling
from lm_eval_xling.probes import from_tasks

results = xling.evaluate(["crosslingual_atlas"], model_args={"pretrained": "MODEL"}, limit=5, metadata={"xling": {}})
assert_type(results, xling.Results)
table = xling.samples(results)
assert_type(table, pd.DataFrame)
found = xling.barrier(table, "en_en", {"answer_language": ["de", "fr"]})
assert_type(found.difference.estimate, float)
page: Path = xling.write_report([results, "runs"], "report")
print(xling.read_report("report").barriers[0].barrier, page, found.p_value)
adapter: Path = xling.train("facts", "facts_lora.yaml", {"output": "taught"})
manifest = xling.mix("texts.txt", "mixed.jsonl", {"en": 1, "de": 2}, translator="lexicon:en-de.txt", unit="word")
findings = xling.probe("pca", "MODEL", from_tasks(["xling_atlas_en_en"]), "pca")
print(findings.measures[0].value, manifest["statistics"], xling.task_manager().all_tasks)
try:
    xling.barrier(table, "en_en", "nowhere")
except xling.UserError as error:
    print(error.fix)
"""


def test_nothing_is_imported_before_it_is_used() -> None:
    code = (
        "import sys; import lm_eval_xling\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
        "print(sorted(name for name in dir(lm_eval_xling)) == sorted(lm_eval_xling.__all__))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "[]\nTrue\n"


def test_every_public_name_is_there() -> None:
    for name in xling.__all__:
        assert getattr(xling, name) is not None
        # The module of a name must not hide the name: importing it sets an attribute of the package.
        assert not hasattr(getattr(xling, name), "__path__")
    with pytest.raises(AttributeError, match="evaluates"):
        xling.evaluates  # noqa: B018


def test_a_script_of_a_user_is_typed(tmp_path: Path) -> None:
    script = tmp_path / "script.py"

    def checked(text: str) -> str:
        script.write_text(text, encoding="utf-8")
        command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", str(script)]
        return subprocess.run(command, capture_output=True, text=True, cwd=Path(xling.__file__).parents[1]).stdout

    assert checked(SCRIPT).startswith("Success")
    assert "incompatible type" in checked(SCRIPT.replace("limit=5", 'limit="five"'))


PAIRS = (("en", "en"), ("en", "fr"), ("fr", "fr"))


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """36 items of 12 countries in three pairs of languages, each pair with other mistakes; one item lacks a pair."""
    tasks = {}
    for place, (asked, answered) in enumerate(PAIRS):
        docs = [document(f"item:{i}", asked, answered, answer=i % 4, cluster=f"country {i // 3}") for i in range(36)]
        rows = [right_or_wrong(doc, (index * 7) % 9 >= 2 * place) for index, doc in enumerate(docs)]
        tasks[f"xling_atlas_{asked}_{answered}"] = rows[1:] if place == 1 else rows
    write_run(tmp_path / "runs", tasks)
    return tmp_path / "runs"


def test_any_two_conditions_give_the_statistics_of_the_report(runs: Path, tmp_path: Path) -> None:
    table = xling.samples(runs)
    report, _ = make_report(runs, tmp_path / "report")
    by_name = {row.condition: row for row in report.barriers if row.scope == "task"}
    assert set(by_name) == {"en_fr", "fr_fr"}
    for name, row in by_name.items():
        found = xling.barrier(table, "en_en", name)
        assert row.paired is not None
        assert found.difference == row.paired.difference
        assert (found.p_value, found.paired.n, found.paired.units) == (
            row.paired.p_value,
            row.paired.n,
            row.paired.units,
        )
        assert (found.reference_score, found.score) == (row.reference_score, row.score)
    assert by_name["en_fr"].paired.n == 35 and by_name["en_fr"].paired.units == 12  # type: ignore[union-attr]
    # The reverse of two conditions is the same number with the other sign, and no reference need be English.
    there, back = xling.barrier(table, "en_fr", "fr_fr"), xling.barrier(table, "fr_fr", "en_fr")
    assert there.difference.estimate == -back.difference.estimate
    assert there.p_value == back.p_value


def test_a_condition_of_several_tasks_is_an_items_mean_over_them(runs: Path) -> None:
    table = xling.samples(runs)
    found = xling.barrier(table, "en_en", {"answer_language": "fr"})
    mean = table[table.answer_language == "fr"].groupby("id")["score"].mean()
    whole = table[table.answer_language == "fr"].groupby("id").size() == 2
    assert found.paired.n == 35
    assert found.score == pytest.approx(mean[whole].mean(), rel=1e-12)
    alone = xling.barrier(table, "en_en", {"question_language": "en", "answer_language": "fr"})
    assert alone.score == xling.barrier(table, "en_en", "en_fr").score


def test_two_models_are_compared_by_naming_them(runs: Path, tmp_path: Path) -> None:
    docs = [document(f"item:{i}", "en", "en", answer=i % 4) for i in range(36)]
    write_run(
        tmp_path / "other",
        {"xling_atlas_en_en": [right_or_wrong(doc, True) for doc in docs]},
        model_args="pretrained=o",
    )
    table = xling.samples([runs, tmp_path / "other"])
    ours, other = sorted(table["model"].unique(), key=lambda name: str(name) == "o")
    found = xling.barrier(table, {"model": other, "condition": "en_en"}, {"model": ours, "condition": "en_en"})
    assert found.reference_score == 1.0
    with pytest.raises(xling.UserError, match="more than one model(.|\n)*name one"):
        xling.barrier(table, "en_en", "en_fr")


def test_a_mistake_is_named_with_what_is_there(runs: Path) -> None:
    table = xling.samples(runs)
    with pytest.raises(xling.UserError, match="unknown condition 'en_fx'(.|\n)*did you mean en_fr"):
        xling.barrier(table, "en_en", "en_fx")
    with pytest.raises(xling.UserError, match="unknown column 'answer_languag'(.|\n)*answer_language"):
        xling.barrier(table, "en_en", {"answer_languag": "fr"})
    with pytest.raises(xling.UserError, match=r"Results is no table of items(.|\n)*xling.samples\("):
        xling.barrier(xling.Results({"results": {}}), "en_en", "en_fr")  # type: ignore[arg-type]
    with pytest.raises(xling.UserError, match=r"a table without setting, cluster(.|\n)*xling.samples\("):
        xling.barrier(table.drop(columns=["setting", "cluster"]), "en_en", "en_fr")
    with pytest.raises(xling.UserError, match="no item with a score in both"):
        xling.barrier(table[(table.condition != "en_en") | (table.id == "item:0")], "en_en", "en_fr")
    with pytest.raises(xling.UserError, match="unknown argument 'gen_kwarg'(.|\n)*gen_kwargs"):
        xling.evaluate("xling_atlas_en_en", model="dummy", gen_kwarg={})
    with pytest.raises(xling.UserError, match="unknown recipe 'fact'(.|\n)*facts"):
        xling.train("fact")  # type: ignore[arg-type]


def test_less_is_better_is_a_barrier_too(tmp_path: Path) -> None:
    tasks = {}
    for asked, errors in (("en", 0.1), ("fr", 0.4)):
        docs = [document(f"item:{i}", asked, asked, target="x") for i in range(12)]
        tasks[f"xling_atlas_{asked}_{asked}"] = [generated(doc, "y", ter=errors) for doc in docs]

    def worse(results: dict[str, object]) -> None:
        results["higher_is_better"] = {task: {"ter": False} for task in tasks}

    write_run(tmp_path / "runs", tasks, change=worse)
    found = xling.barrier(xling.samples(tmp_path / "runs"), "en_en", "fr_fr")
    assert found.difference.estimate == pytest.approx(0.3)


def test_what_a_notebook_shows_holds_no_markup_of_names() -> None:
    table = pd.DataFrame(
        {
            "model": "m", "family": "f", "setting": "s", "task": ["a"] * 3 + ["b"] * 3, "metric": "acc",
            "condition": ["<script>"] * 3 + ["b"] * 3, "id": ["1", "2", "3"] * 2, "cluster": "",
            "score": [1.0, 1, 0, 0, 1, 0], "higher_is_better": True,
        }
    )  # fmt: skip
    shown = xling.barrier(table, "<script>", "b")._repr_html_()
    assert "<script>" not in shown and "&lt;script&gt;" in shown
    assert "+0.333" in shown
    results = xling.Results(results={"<b>": {"alias": "<b>", "acc,none": 0.5, "acc_stderr,none": "N/A"}})
    assert "<b>" not in results._repr_html_() and "0.5000" in results._repr_html_()


@pytest.mark.slow
def test_evaluate_returns_what_the_report_reads(tmp_path: Path) -> None:
    results = xling.evaluate(
        ["xling_atlas_en_en", "xling_atlas_en_fr"],
        model="dummy",
        limit=8,
        output_path=tmp_path / "out",
        seed=[1, 2, 3, 4],
    )
    assert [task for task, metric, _, _ in results.scores() if metric == "acc"] == [
        "xling_atlas_en_en",
        "xling_atlas_en_fr",
    ]
    assert results["config"]["random_seed"] == 1 and results["chat_template_sha"] is None
    in_memory, written = xling.samples(results), xling.samples(str(tmp_path / "out"))
    pd.testing.assert_frame_equal(in_memory, written)
    assert len(in_memory) == 16
    page = xling.write_report(results, tmp_path / "report")
    assert page.is_file() and len(xling.read_report(str(tmp_path / "report")).barriers) >= 1


@pytest.mark.slow
def test_a_chat_template_is_known_of_results_in_memory() -> None:
    results = xling.evaluate("xling_atlas_en_en", model="dummy", limit=2)
    assert "chat template" not in xling.samples(results)["setting"].iloc[0]
    results["chat_template_sha"] = "0123"
    assert "chat template" in xling.samples(results)["setting"].iloc[0]


def test_the_manager_names_each_task_once(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    manager = xling.task_manager(include_defaults=False)
    assert "xling_atlas_en_fr" in manager.all_subtasks
    assert not caplog.records
    with pytest.raises(xling.UserError, match="no such folder"):
        xling.task_manager([tmp_path / "nowhere"])


def test_errors_name_the_arguments_of_python() -> None:
    with pytest.raises(xling.UserError) as raised:
        xling.evaluate("xling_atlas_en_fr", model="dummy", limit=-1)
    assert raised.value.where == "limit" and "--" not in str(raised.value)


@pytest.mark.slow
def test_answers_alone_need_no_folder() -> None:
    results = xling.evaluate("xling_atlas_en_fr", model="dummy", limit=2, predict_only=True)
    rows = results["samples"]["xling_atlas_en_fr"]
    assert len(rows) == 2 and all(len(row["resps"]) == 4 for row in rows)
    assert results["configs"]["xling_atlas_en_fr"]["metric_list"] == [{"metric": "bypass"}]
