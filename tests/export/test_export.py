"""Exported families: what the harness alone asks and scores, and which folders and families are refused."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pyarrow import parquet

from lm_eval_xling.errors import UserError
from lm_eval_xling.families import FAMILIES
from lm_eval_xling.harness import tasks_folder
from lm_eval_xling.upstream import check, export
from lm_eval_xling.upstream.exportable import chosen_leaves

NAMES = ("atlas", "ledger", "mmlu", "qa", "translation")
# At least one of every way in which demonstrations stand, and of every form that can be exported.
LEAVES = {
    "atlas": ["mixup"],
    "ledger": ["taught_de_it"],
    "mmlu": ["mixup"],
    "qa": ["belebele_question_de"],
    "translation": ["en_de", "fr_it"],
}
TASKS = [f"xling_{family}_{leaf}" for family, leaves in LEAVES.items() for leaf in leaves]


@pytest.fixture
def data(full_mirror: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in full_mirror.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def exported(full_mirror: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some leaves of every family that can be exported."""
    folder = tmp_path_factory.mktemp("export") / "upstream"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in full_mirror.items():
            patch.setenv(name, value)
        export(NAMES, folder, leaves=TASKS)
    return folder


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize("raw_data", ["written"], indirect=True, scope="session")
class TestExport:
    @pytest.mark.slow
    def test_the_harness_alone_asks_and_scores_the_same(self, exported: Path) -> None:
        found = list(check(exported))
        assert {agreement.task: agreement.difference for agreement in found} == dict.fromkeys(TASKS)
        # Those that show demonstrations only when asked to are compared with some as well.
        sent = {agreement.task: agreement.requests for agreement in found}
        assert sent["xling_atlas_mixup"] == 2 * 4 * 382
        assert sent["xling_ledger_taught_de_it"] == 2 * 4 * 100
        assert sent["xling_mmlu_mixup"] == 4 * found[TASKS.index("xling_mmlu_mixup")].documents > 0
        assert all(sent.values())

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
        (tasks / "xling_translation" / "xling_translation_en_de.yaml").unlink()
        _replace(tasks / "xling_translation" / "_generate_yaml", "max_gen_toks: 256", "max_gen_toks: 255")
        found = {agreement.task: agreement.difference for agreement in check(folder)}
        assert re.fullmatch(r"2 demonstrations: row \d+ sends something else", str(found["xling_atlas_mixup"]))
        assert re.fullmatch(r"row \d+: acc_bytes is .* instead of .*", str(found["xling_ledger_taught_de_it"]))
        assert re.match(r"row \d+: acc", str(found["xling_mmlu_mixup"]))
        assert re.match(r"row \d+: acc is", str(found["xling_qa_belebele_question_de"]))
        assert "xling_translation_en_de" in str(found["xling_translation_en_de"])
        assert found["xling_translation_fr_it"] == "row 0 sends something else"

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
        # The harness's own linters; it formats at 88 columns.
        ruff = [sys.executable, "-m", "ruff"]
        subprocess.run([*ruff, "check", "--isolated", "--select", "E4,E7,E9,F,I,UP,W", tasks], check=True)
        subprocess.run([*ruff, "format", "--isolated", "--check", tasks], check=True)

    def test_a_group_is_kept_where_all_its_leaves_are(self, tmp_path: Path) -> None:
        export(["atlas"], tmp_path / "out", leaves=["en_en", "fr_fr", "de_de", "es_es", "it_it", "en_fr"])
        written = tmp_path / "out" / "lm_eval" / "tasks" / "xling_atlas" / "_crosslingual_atlas.yaml"
        (member,) = yaml.safe_load(written.read_text())["task"]
        assert (member["group"], len(member["task"])) == ("same_language", 5)

    @pytest.mark.slow
    def test_a_dataset_with_a_name_on_the_hub(self, tmp_path: Path) -> None:
        export(["atlas"], tmp_path / "out", leaves=["??_en"], hub="somebody/atlas")
        base = tmp_path / "out" / "lm_eval" / "tasks" / "xling_atlas" / "_cloze_yaml"
        assert "dataset_path: somebody/atlas\n" in base.read_text()
        assert {agreement.difference for agreement in check(tmp_path / "out")} == {None}

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


@pytest.mark.parametrize("content", ["{", "[]", '{"atlas": {"leaves": []}}', '{"atlas": 1}'])
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
