"""Exported families: what the harness alone asks and scores, and which folders and families are refused."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import pytest
import yaml
from pyarrow import parquet

from lm_eval_xling.catalog import DATASETS, load_rows
from lm_eval_xling.catalog.dataset import Part
from lm_eval_xling.catalog.mirror import Mirror, encode_manifest
from lm_eval_xling.catalog.mirroring import import_dataset, writing
from lm_eval_xling.catalog.sources import GitHubFiles
from lm_eval_xling.catalog.zhang import PUBLISHED_COLUMNS
from lm_eval_xling.errors import UserError
from lm_eval_xling.families import FAMILIES
from lm_eval_xling.families.parameters import configure
from lm_eval_xling.harness import tasks_folder
from lm_eval_xling.upstream import agreement, check, export
from lm_eval_xling.upstream.alone import complaint
from lm_eval_xling.upstream.at_source import at_source
from lm_eval_xling.upstream.exportable import chosen_leaves
from lm_eval_xling.upstream.harness_checks import linted
from tests.conftest import FIXTURES

AT_SOURCE = ("sentiment", "nli", "paraphrase", "hp")
NAMES = ("atlas", "ledger", "mmlu", "qa", "translation", "tofu", *AT_SOURCE)
# At least one of every way in which demonstrations stand, and of every form that can be exported.
LEAVES = {
    "atlas": ["mixup"],
    "ledger": ["taught_de_it"],
    "mmlu": ["mixup"],
    "qa": ["xquad_es_en", "xquad_zh_zh", "belebele_question_de"],
    "translation": ["en_de", "fr_it"],
    "tofu": ["forget01_en_en", "forget01_en_en_generate", "forget01_ja_ja_generate", "world_facts_en_fr"],
    "sentiment": ["no"],
    "nli": ["de"],
    "paraphrase": ["en"],
    "hp": ["onewrong_de", "mixup"],
}
TASKS = [f"xling_{family}_{leaf}" for family, leaves in LEAVES.items() for leaf in leaves]


HARNESS_CHECKS = ["lm_eval validate", "ruff check", "ruff format"]


@pytest.fixture(scope="module")
def published(full_mirror: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Mirror in which the ids of the quiz are positions, as where it is published."""
    quiz, folder = tmp_path_factory.mktemp("quiz"), tmp_path_factory.mktemp("published") / "data"
    for path in (FIXTURES / "hp").glob("quiz_*.jsonl"):
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        (quiz / path.name).write_text("".join(json.dumps({**row, "id": i}) + "\n" for i, row in enumerate(rows)))
    shutil.copytree(
        full_mirror["XLING_DATA"], folder, copy_function=os.link, ignore=shutil.ignore_patterns(".lock", "hp")
    )
    with writing(folder, DATASETS) as writer:
        import_dataset(DATASETS["hp"], [quiz], writer)
    return folder


@pytest.fixture
def data(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLING_DATA", str(published))


@pytest.fixture(scope="module")
def exported(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some leaves of every family that can be exported."""
    folder = tmp_path_factory.mktemp("export") / "upstream"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XLING_DATA", str(published))
        export(NAMES, folder, leaves=TASKS)
    return folder


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize("raw_data", ["written"], indirect=True, scope="session")
class TestExport:
    @pytest.mark.slow
    def test_the_harness_alone_asks_and_scores_the_same(self, exported: Path) -> None:
        found = list(check(exported))
        assert {leaf.task: leaf.difference for leaf in found} == dict.fromkeys([*TASKS, *HARNESS_CHECKS])
        # Those that show demonstrations only when asked to are compared with some as well.
        sent = {leaf.task: leaf.requests for leaf in found}
        assert sent["xling_atlas_mixup"] == 2 * 4 * 382
        assert sent["xling_ledger_taught_de_it"] == 2 * 4 * 100
        assert sent["xling_mmlu_mixup"] == 4 * found[TASKS.index("xling_mmlu_mixup")].documents > 0
        # Demonstrations, and what shares a text with one, are not scored.
        assert sent["xling_sentiment_no"] == 2 * 498
        assert all(sent[task] for task in TASKS)

    @pytest.mark.slow
    def test_every_difference_is_found(self, exported: Path, tmp_path: Path) -> None:
        folder = shutil.copytree(exported, tmp_path / "changed")
        tasks = folder / "lm_eval" / "tasks"
        # A document is its own demonstration.
        _replace(tasks / "xling_atlas" / "utils.py", ' and doc["id"] != eval_doc["id"]', "")
        # Lengths without the delimiter: the requests are the same, and acc_bytes is not.
        _replace(tasks / "xling_ledger" / "utils.py", 'f" {choice}"', "choice")
        _replace(tasks / "xling_ledger" / "_cloze_yaml", "target_delimiter: ''", "target_delimiter: ' '")
        # The least likely option counts.
        _replace(tasks / "xling_mmlu" / "utils.py", "max(lls)", "min(lls)")
        rows = parquet.read_table(table := folder / "data/xling_qa/xling_qa_belebele_question_de/test.parquet")
        answers = [(row + 1) % 4 for row in rows.column("answer").to_pylist()]
        parquet.write_table(rows.set_column(rows.column_names.index("answer"), "answer", [answers]), table)
        _replace(tasks / "xling_qa" / "utils.py", "2 * shared", "3 * shared")
        _replace(tasks / "xling_tofu" / "utils.py", "/ sum(each)", "/ max(each)")
        _replace(tasks / "xling_tofu" / "utils.py", "].recall", "].recall / 2 + 0.1")
        # The labels of the language's own file count.
        _replace(tasks / "xling_sentiment" / "utils.py", 'english[index]["answer"]', "LABELS[index % 2]")
        _replace(tasks / "xling_nli" / "utils.py", "[116, 324,", "[324, 116,")
        _replace(tasks / "xling_paraphrase" / "xling_paraphrase_en.yaml", "\\nSentence 2:", "\\nSentence 2 :")
        _replace(tasks / "xling_hp" / "utils.py", 'f"0\\x1f', 'f"1\\x1f')
        (tasks / "xling_translation" / "xling_translation_en_de.yaml").unlink()
        _replace(tasks / "xling_translation" / "_generate_yaml", "max_gen_toks: 256", "max_gen_toks: 255")
        found = {found.task: found.difference for found in check(folder)}
        assert re.fullmatch(r"2 demonstrations: row \d+ sends something else", str(found["xling_atlas_mixup"]))
        assert re.fullmatch(r"row \d+: acc_bytes is .* instead of .*", str(found["xling_ledger_taught_de_it"]))
        assert re.match(r"row \d+: acc", str(found["xling_mmlu_mixup"]))
        assert re.match(r"row \d+: acc is", str(found["xling_qa_belebele_question_de"]))
        assert "xling_translation_en_de" in str(found["xling_translation_en_de"])
        assert found["xling_translation_fr_it"] == "row 0 sends something else"
        assert re.match(r"row \d+: f1 is", str(found["xling_qa_xquad_es_en"]))
        assert re.match(r"row 0: probability_bytes is", str(found["xling_tofu_world_facts_en_fr"]))
        assert re.match(r"row \d+: rouge_l_recall is", str(found["xling_tofu_forget01_en_en_generate"]))
        assert (
            found["xling_sentiment_no"]
            == found["xling_nli_de"]
            == found["xling_paraphrase_en"]
            == "row 0 sends something else"
        )
        assert re.fullmatch(r"row \d+ sends something else", str(found["xling_hp_onewrong_de"]))
        assert re.fullmatch(r"row \d+ sends something else", str(found["xling_hp_mixup"]))
        assert found["lm_eval validate"] == "Tasks not found: xling_translation_en_de"
        assert str(found["ruff format"]).startswith("1 file would be reformatted")

    def test_this_package_is_out_of_reach(self, exported: Path, tmp_path: Path) -> None:
        folder = shutil.copytree(exported, tmp_path / "changed")
        code = folder / "lm_eval" / "tasks" / "xling_mmlu" / "utils.py"
        _replace(code, "from lm_eval.api", "import lm_eval_xling\nfrom lm_eval.api")
        with pytest.raises(UserError, match="lm_eval_xling must not be needed here"):
            list(check(folder))

    def test_nothing_of_ours_is_needed(self, exported: Path) -> None:
        tasks = exported / "lm_eval" / "tasks"
        for path in tasks.rglob("*"):
            assert path.name != "__pycache__"
            assert path.is_dir() or "lm_eval_xling" not in path.read_text(encoding="utf-8"), path
            if path.is_file():
                # Its pre-commit hooks: one line end at the end of a file, none with white space before it.
                text = path.read_text(encoding="utf-8")
                assert text.endswith("\n") and not text.endswith("\n\n"), path
                assert [line for line in text.splitlines() if line != line.rstrip()] == [], path
        assert dict(linted(tasks)) == dict.fromkeys(HARNESS_CHECKS[1:])

    def test_demonstrations_are_found_by_the_oldest_release(self, exported: Path) -> None:
        # lm_eval 0.4.12 does not read `fewshot_config.split`.
        bases = [
            yaml.load(path.read_text(encoding="utf-8").replace("!function", ""), yaml.SafeLoader)
            for folder in (tasks_folder(), exported)
            for path in folder.rglob("_*")
            if path.is_file() and path.suffix in ("", ".yaml")
        ]
        shown = [base for base in bases if "fewshot_config" in base]
        assert len(shown) > 20
        assert [base for base in shown if "split" in base["fewshot_config"] or not base["fewshot_split"]] == []

    def test_the_linters_of_the_harness_complain(self, exported: Path, tmp_path: Path) -> None:
        code = shutil.copytree(exported, tmp_path / "changed") / "lm_eval" / "tasks" / "xling_mmlu" / "utils.py"
        _replace(code, "lls = [ll for ll, _ in results]", "lls = list(ll for ll, _ in results if eval('ll'))")
        assert re.match(r"utils.py:\d+:\d+: ", str(dict(linted(code.parent))["ruff check"]))

    def test_no_row_of_data_that_may_not_be_copied(self, tmp_path: Path) -> None:
        export(AT_SOURCE, tmp_path / "out")
        written = {path: path.read_text(encoding="utf-8") for path in (tmp_path / "out").rglob("*") if path.is_file()}
        assert not (tmp_path / "out" / "data").exists()
        everything = "\n".join(written.values())
        for name in AT_SOURCE:
            for language in ("en", "de"):
                for row in load_rows(name, language, "test"):
                    assert [text for text in row.fields.values() if text in everything] == []
            page = written[tmp_path / "out" / "lm_eval" / "tasks" / f"xling_{name}" / "README.md"]
            assert f"Licence: {DATASETS[name].licence}." in page

    def test_data_that_may_not_be_copied_need_not_be_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("XLING_DATA")
        export(["nli"], tmp_path / "out", leaves=["th"])
        written = yaml.safe_load((tmp_path / "out/lm_eval/tasks/xling_nli/xling_nli_th.yaml").read_text("utf-8"))
        assert written["dataset_kwargs"]["data_files"]["test"] == (
            "https://raw.githubusercontent.com/Shimao-Zhang/LLM-Multilingual-Learner/"
            "5605459cab2d9c2c170a30268c0ab84cf17bb66a/data/snli/snli_th600_test.json"
        )

    def test_rows_that_are_not_the_published_ones(
        self, full_mirror: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        export(["hp"], tmp_path / "out", leaves=["en"])
        # Its ids begin at 1.
        monkeypatch.setenv("XLING_DATA", full_mirror["XLING_DATA"])
        with pytest.raises(UserError, match="the ids of hp in en are not positions"):
            list(check(tmp_path / "out"))

    def test_rows_of_a_commit_are_read_at_it(
        self, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = shutil.copytree(published, tmp_path / "mirror")
        hub = "hub:cross-ling-know/HarryPotter-Quiz"
        parts = [replace(part, source=hub, revision="0" * 40) for part in Mirror(folder).of("hp")]
        (folder / "manifest.json").write_bytes(encode_manifest({"hp": {}}, parts))
        monkeypatch.setenv("XLING_DATA", str(folder))
        export(["hp"], tmp_path / "out", leaves=["gt_fr"])
        written = yaml.safe_load((tmp_path / "out/lm_eval/tasks/xling_hp/xling_hp_gt_fr.yaml").read_text())
        assert written["dataset_kwargs"] == {"placement": "gt", "language": "French", "revision": "0" * 40}
        (first, *_) = check(tmp_path / "out")
        assert first.difference is None

    def test_a_group_is_kept_where_all_its_leaves_are(self, tmp_path: Path) -> None:
        export(["atlas"], tmp_path / "out", leaves=["en_en", "fr_fr", "de_de", "es_es", "it_it", "en_fr"])
        written = tmp_path / "out" / "lm_eval" / "tasks" / "xling_atlas" / "_crosslingual_atlas.yaml"
        (member,) = yaml.safe_load(written.read_text())["task"]
        assert (member["group"], len(member["task"])) == ("same_language", 5)

    @pytest.mark.slow
    def test_a_dataset_with_a_name_on_the_hub(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        # It reads all tasks of the harness, which takes ten seconds.
        monkeypatch.setattr(agreement, "validated", lambda *given: None)
        export(["atlas"], tmp_path / "out", leaves=["??_en"], hub="somebody/atlas")
        base = tmp_path / "out" / "lm_eval" / "tasks" / "xling_atlas" / "_cloze_yaml"
        assert "dataset_path: somebody/atlas\n" in base.read_text()
        # In another interpreter, which is this one and says that it was asked.
        other = tmp_path / "python"
        other.write_text(f'#!/bin/sh\ntouch "$0.asked"\nexec "{sys.executable}" "$@"\n')
        other.chmod(0o755)
        assert {found.difference for found in check(Path("out"), "./python")} == {None}
        assert (tmp_path / "python.asked").exists()

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (None, "no interpreter: No such file"),
            ("exit 0", "it ends without an answer"),
            ("echo hello", "it answers as no Python interpreter does"),
            (f'exec "{sys.executable}" -S "$@"', "No module named 'lm_eval'"),
        ],
    )
    def test_an_interpreter_that_cannot_evaluate(self, content: str | None, said: str, tmp_path: Path) -> None:
        export(["atlas"], tmp_path / "out", leaves=["en_en"])
        other = tmp_path / "python"
        if content is not None:
            other.write_text(f"#!/bin/sh\n{content}\n")
            other.chmod(0o755)
        with pytest.raises(UserError, match=said):
            list(check(tmp_path / "out", str(other)))

    def test_nothing_is_left_of_an_export_that_fails(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XLING_DATA", str(tmp_path / "nowhere"))
        with pytest.raises(UserError):
            export(["atlas", "mmlu"], tmp_path / "out")
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", FAMILIES)
def test_a_page_says_what_cannot_be_exported_and_why(name: str) -> None:
    page = " ".join((tasks_folder() / name / "README.md").read_text(encoding="utf-8").split())
    section = page.partition("## In lm-evaluation-harness itself ")[2].partition(" ## ")[0]
    if name in NAMES:
        reasons = set(chosen_leaves(FAMILIES[name])[1].values())
        assert f"`xling export {name}" in section
    else:
        with pytest.raises(UserError) as refused:
            chosen_leaves(FAMILIES[name])
        reasons = {refused.value.what.partition(": ")[2].partition("; licence of")[0]}
    assert [reason for reason in reasons if reason not in section] == []


@pytest.mark.parametrize("name", ["sentiment", "nli", "paraphrase"])
@pytest.mark.parametrize("language", ["en", "no", "ja"])
def test_published_files_are_read_as_they_are(
    name: str, language: str, raw_data: Path, mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XLING_DATA", str(mirror))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    family = FAMILIES[name]
    task: dict[str, Any] = {}
    exec(at_source(family).code, task)

    def file(code: str) -> str:
        source = DATASETS[name].source_of(Part(code, "test"))
        assert isinstance(source, GitHubFiles)
        return str(raw_data / "zhang_eval" / source.paths(Part(code, "test"))[0].removeprefix("data/"))

    read = task["load_rows"](data_files={"test": file(language), "english": file("en")}, version=1.0)
    leaf, parameters = configure(family, family.leaf(language), None)
    made = family.documents(leaf, family.form(leaf, parameters), parameters)
    for split, documents in (("test", made.evaluated), ("dev", made.demonstrations)):
        shown = [
            {column: document.fields[field] for field, column in PUBLISHED_COLUMNS[name].items()}
            for document in documents
        ]
        expected = [
            {"id": document.id, **texts, "label": document.answer}
            for document, texts in zip(documents, shown, strict=True)
        ]
        assert [{key: row[key] for key in expected[0]} for row in read[split]] == expected


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({}, None),
        ({"doc_to_text": lambda doc: ["What?"]}, "row 0: doc_to_text gives"),
        ({"doc_to_text": lambda doc: "What? "}, "row 0: doc_to_text ends in white space"),
        ({"doc_to_choice": lambda doc: ("a", "b")}, "row 0: doc_to_choice gives"),
        ({"doc_to_choice": lambda doc: ["a", 1]}, "row 0: doc_to_choice gives"),
        ({"doc_to_target": lambda doc: None}, "row 0: doc_to_target gives None"),
        ({"eval_docs": []}, "there are no documents"),
    ],
)
def test_what_the_tests_of_the_harness_say(broken: dict[str, Any], said: str | None) -> None:
    sound = {
        "config": SimpleNamespace(dataset_kwargs=None, target_delimiter=" "),
        "OUTPUT_TYPE": "multiple_choice",
        "eval_docs": [{"id": "0"}],
        "download": lambda dataset_kwargs: None,
        "doc_to_text": lambda doc: "What?",
        "doc_to_choice": lambda doc: ["a", "b"],
        "doc_to_target": lambda doc: 1,
        "construct_requests": lambda doc, ctx: [],
        "build_all_requests": lambda **options: None,
    }
    found = complaint(SimpleNamespace(**sound | broken))
    assert found is None if said is None else found is not None and found.startswith(said)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"atlas": {"leaves": []}}', '{"atlas": 1}'])
def test_a_folder_that_is_no_export(content: str, tmp_path: Path) -> None:
    (tmp_path / "export.json").write_text(content)
    with pytest.raises(UserError, match="the folder is no export"):
        list(check(tmp_path))


def test_a_hub_name_of_a_manifest_leads_nowhere_else(tmp_path: Path) -> None:
    entry = {"leaves": ["en_en"], "groups": [], "hub": "../../elsewhere"}
    (tmp_path / "export.json").write_text(json.dumps({"atlas": entry}))
    with pytest.raises(UserError, match="no name of a dataset"):
        list(check(tmp_path))


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, (path, text)
    path.write_text(text.replace(old, new), encoding="utf-8")
