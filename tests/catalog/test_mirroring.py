from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lm_eval_xling.catalog import DATASETS
from lm_eval_xling.catalog.dataset import Fetched, Part
from lm_eval_xling.catalog.mirror import Mirror
from lm_eval_xling.catalog.mirroring import import_dataset, writing
from lm_eval_xling.errors import UserError
from lm_eval_xling.files import UNFINISHED
from lm_eval_xling.records import Row


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def import_all(source: Path, folder: Path) -> None:
    with writing(folder, DATASETS) as mirror:
        for name in ("nli", "mgsm", "hp"):
            import_dataset(DATASETS[name], [source], mirror)


def test_a_second_import_writes_nothing(raw_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mirror"
    import_all(raw_data, folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.json*")}
    quiz = len(list((raw_data / "harry_potter_ende").glob("*.jsonl")))
    assert len(before) == 20 + 11 + quiz + 1
    import_all(raw_data, folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.json*")} == before


def test_only_what_is_missing_or_changed_is_made_again(raw_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mirror"
    import_all(raw_data, folder)
    whole = contents(folder)
    (folder / "nli" / "test" / "sw.jsonl").unlink()
    with (folder / "mgsm" / "test" / "th.jsonl").open("ab") as stream:
        stream.write(b"x")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.jsonl")}
    import_all(raw_data, folder)
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("*.jsonl")}
    changed = {path.relative_to(folder).as_posix() for path in after if after[path] != before.get(path)}
    assert changed == {"nli/test/sw.jsonl", "mgsm/test/th.jsonl"}
    assert contents(folder) == whole


def test_changed_raw_files_are_imported_again(raw_data: Path, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(raw_data / "harry_potter_ende", raw)
    with writing(tmp_path / "mirror", DATASETS) as mirror:
        import_dataset(DATASETS["hp"], [raw], mirror)
    path = raw / "quiz_de.jsonl"
    lines = path.read_text().splitlines()
    lines[1] = json.dumps({**json.loads(lines[1]), "question": "Wie heißt Hagrids Hund?"})
    path.write_text("\n".join(lines) + "\n")
    with writing(tmp_path / "mirror", DATASETS) as mirror:
        import_dataset(DATASETS["hp"], [raw], mirror)
    rows = Mirror(tmp_path / "mirror").rows("hp", Part("de", "test"))
    assert rows[1].fields["question"] == "Wie heißt Hagrids Hund?"


def test_a_new_release_may_change_every_language(raw_data: Path, tmp_path: Path) -> None:
    """The new one has the same ids and other answers; half-way the mirror holds old and new languages."""
    old, new = raw_data / "harry_potter_ende", tmp_path / "new"
    new.mkdir()
    for path in old.glob("*.jsonl"):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        turned = [{**row, "answer": "BCDA"["ABCD".index(row["answer"])]} for row in rows[:3]]
        (new / path.name).write_text("".join(json.dumps(row) + "\n" for row in turned))
    found = []
    for source in (old, new):
        with writing(tmp_path / "mirror", DATASETS) as mirror:
            import_dataset(DATASETS["hp"], [source], mirror)
        found.append([row.answer for row in Mirror(tmp_path / "mirror").rows("hp", Part("de", "test"))])
    assert found[1] == [((answer or 0) + 1) % 4 for answer in found[0][:3]]


def test_a_language_that_comes_later_is_compared_with_those_that_are_there(raw_data: Path, tmp_path: Path) -> None:
    for language in ("en", "de"):
        (tmp_path / language).mkdir()
        shutil.copy(raw_data / "harry_potter_ende" / f"quiz_{language}.jsonl", tmp_path / language)
    path = tmp_path / "de" / "quiz_de.jsonl"
    lines = path.read_text().splitlines()
    first = json.loads(lines[0])
    right = "ABCD".index(first["answer"])
    wrong = (right + 1) % 4
    path.write_text("\n".join([json.dumps({**first, "answer": "ABCD"[wrong]}), *lines[1:]]) + "\n")
    with writing(tmp_path / "mirror", DATASETS) as mirror:
        import_dataset(DATASETS["hp"], [tmp_path / "en"], mirror)
    with (
        writing(tmp_path / "mirror", DATASETS) as mirror,
        pytest.raises(UserError, match=f"not parallel: row {first['id']} has {wrong}, but {right} in en test"),
    ):
        import_dataset(DATASETS["hp"], [tmp_path / "de"], mirror)


@pytest.mark.slow
@pytest.mark.parametrize("parts_before_the_kill", [1, 25])
def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(
    parts_before_the_kill: int, raw_data: Path, tmp_path: Path
) -> None:
    folder, whole = tmp_path / "mirror", tmp_path / "whole"
    import_all(raw_data, whole)
    command = [sys.executable, "-c", "from lm_eval_xling._cli import main; main()"]
    command += ["data", "import", "nli", "mgsm", "hp", "--from", str(raw_data), "--to", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(list(folder.rglob("*.jsonl"))) < parts_before_the_kill and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert 0 < len(list(folder.rglob("*.jsonl"))) < len(Mirror(whole).parts)
    if (folder / "manifest.json").exists():
        # What the manifest names is whole; at most one more file had its name already.
        assert all(complaint is None for _, complaint in Mirror(folder).verify())
        assert len(Mirror(folder).strangers()) <= 1
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert list(folder.rglob(UNFINISHED)) == []
    assert contents(folder) == contents(whole)


def test_unfinished_files_of_a_killed_run_are_removed(raw_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mirror"
    import_all(raw_data, folder)
    left_over = folder / "nli" / "test" / ".sw.jsonl-abc.part"
    left_over.write_text('{"id"')
    assert Mirror(folder).strangers() == []
    import_all(raw_data, folder)
    assert not left_over.exists()


def test_two_processes_do_not_write_at_once(tmp_path: Path) -> None:
    with (
        writing(tmp_path / "mirror", DATASETS),
        pytest.raises(UserError, match="another xling process is writing"),
        writing(tmp_path / "mirror", DATASETS),
    ):
        pass


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UserError, match=r"not a mirror: it holds 'thesis.tex'"), writing(tmp_path, DATASETS):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(UserError, match="a folder is needed"), writing(tmp_path / "thesis.tex", DATASETS):
        pass


def test_sources_do_not_mix_in_one_part(raw_data: Path, tmp_path: Path) -> None:
    with writing(tmp_path / "mirror", DATASETS) as mirror:
        import_dataset(DATASETS["hp"], [raw_data], mirror)
        rows = [Row("0", "de", {"question": "q"}, ("a", "b"), 0)]
        with pytest.raises(UserError, match=r"already holds hp de test from another source: imported: JSON lines"):
            mirror.store(DATASETS["hp"], Part("de", "test"), "hub:x/y", Fetched(rows, "c", {}))
    assert len(Mirror(tmp_path / "mirror").rows("hp", Part("de", "test"))) > 1


BAD = {
    "there are no rows": [],
    "the id '1' occurs twice": [Row("1", "de", {"question": "q"}, ("a", "b"), 0)] * 2,
    "field 'question' is empty": [Row("1", "de", {"question": " "}, ("a", "b"), 0)],
    "option 1 is empty": [Row("1", "de", {"question": "q"}, ("a", ""), 0)],
    "the answer 2 is not the index of an option": [Row("1", "de", {"question": "q"}, ("a", "b"), 2)],
    "the answer None is not the index of an option": [Row("1", "de", {"question": "q"}, ("a", "b"))],
}


@pytest.mark.parametrize("message", BAD)
def test_bad_rows_are_never_stored(message: str, tmp_path: Path) -> None:
    with (
        writing(tmp_path / "mirror", DATASETS) as mirror,
        pytest.raises(UserError, match=f"{message}(?s:.*)hp de test"),
    ):
        mirror.store(DATASETS["hp"], Part("de", "test"), "hub:x/y", Fetched(BAD[message], None, {}))
    assert list((tmp_path / "mirror").rglob("*.jsonl")) == []


def test_several_bad_parts_are_all_named_and_the_good_ones_stored(raw_data: Path, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    for language in ("en", "de", "fr"):
        shutil.copy(raw_data / "mgsm" / f"mgsm_{language}.tsv", raw)
    for language in ("de", "fr"):
        with (raw / f"mgsm_{language}.tsv").open("a") as stream:
            stream.write("one cell\n")
    line = len((raw / "mgsm_de.tsv").read_text().splitlines())
    with (
        writing(tmp_path / "mirror", DATASETS) as mirror,
        pytest.raises(UserError, match=rf"2 parts (?s:.*)mgsm_de.tsv:{line}(?s:.*)mgsm_fr.tsv:{line}"),
    ):
        import_dataset(DATASETS["mgsm"], [raw], mirror)
    assert [stored.language for stored in Mirror(tmp_path / "mirror").of("mgsm")] == ["en"]


def test_the_manifest_names_no_machine(mirror: Path, raw_data: Path) -> None:
    text = (mirror / "manifest.json").read_text()
    assert str(raw_data) not in text and os.environ.get("HOME", "/root") not in text
    inputs = [stored.inputs for stored in Mirror(mirror).parts.values()]
    assert all((raw_data / name).is_file() for name in itertools.chain.from_iterable(inputs))
