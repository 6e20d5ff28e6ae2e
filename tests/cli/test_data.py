from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from lm_eval_xling import _cli
from lm_eval_xling.catalog import DATASETS


class Result(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


XLing = Callable[..., Result]


@pytest.fixture
def xling(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> XLing:
    """Runs ``xling data`` with these arguments in this process."""

    def run(*arguments: object, **environment: str) -> Result:
        monkeypatch.delenv("XLING_DATA", raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["xling", "data", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            _cli.main()
        code = exit_.value.code
        return Result(code if isinstance(code, int) else 0, *capsys.readouterr())

    return run


def refused(result: Result, *texts: str) -> None:
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert all(text in result.stderr for text in texts), result.stderr


def test_import_verify_and_list(xling: XLing, raw_data: Path, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    result = xling("import", "mgsm", "hp", "--from", raw_data, "--to", mirror)
    files = {"mgsm": raw_data / "mgsm", "hp": raw_data / "harry_potter_ende"}
    paths = {name: [*folder.glob("*.tsv"), *folder.glob("*.jsonl")] for name, folder in files.items()}
    rows = {name: sum(len(p.read_text().splitlines()) for p in found) for name, found in paths.items()}
    lines = [f"{name}: {rows[name]:,} rows in {len(paths[name])} files\n" for name in paths]
    assert (result.returncode, result.stdout) == (0, "".join(lines))
    count = sum(map(len, paths.values()))
    assert xling("verify", mirror).stdout == f"{count} files, {sum(rows.values()):,} rows: all as they were stored\n"
    listed = xling("list", XLING_DATA=str(mirror)).stdout
    assert listed.count("not in the mirror") == sum(entry.built_in is None for entry in DATASETS.values()) - 2
    assert f"in the mirror: {rows['hp']} rows, {len(paths['hp'])} languages, imported: JSON lines" in listed
    told = xling("list", "mgsm", "--mirror", mirror).stdout
    for text in (
        "CC BY 4.0",
        "arXiv 2210.03057",
        "github:google-research/url-nlp",
        "mgsm_LANGUAGE.tsv",
        f"{rows['mgsm']:,} rows",
    ):
        assert text in told

    path = mirror / "mgsm" / "test" / "sw.jsonl"
    path.write_bytes(path.read_bytes().replace(b"1", b"2", 1))
    result = xling("verify", mirror)
    refused(result, "the mirror is not as it was stored; files: 1")
    assert result.stdout.startswith("mgsm/test/sw.jsonl: the file was changed: sha256")
    # What the message says mends it.
    path.unlink()
    assert xling("import", "mgsm", "--from", raw_data, "--to", mirror).returncode == 0
    assert xling("verify", mirror).returncode == 0


@pytest.mark.slow
def test_import_all_takes_what_is_there(xling: XLing, tmp_path: Path) -> None:
    result = xling("import", "--all", "--from", Path(__file__).parents[1] / "fixtures", "--to", tmp_path / "mirror")
    assert result.stdout == "mmlu_mixup: 5 rows in 2 files\nhp: 20 rows in 5 files\n"


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (["import", "mgmm", "--from", ".", "--to", "M"], ["unknown dataset 'mgmm'", "did you mean mgsm"]),
        (["import", "atlas", "--from", ".", "--to", "M"], ["'atlas' is part of the package and needs no mirror"]),
        (["import", "--from", ".", "--to", "M"], ["name the datasets, or say --all", "known: mmlu, "]),
        (["import", "mgsm", "--all", "--from", ".", "--to", "M"], ["name the datasets, or say --all"]),
        (["import", "mgsm", "--from", "nowhere", "--to", "M"], ["there is no such folder", "nowhere"]),
        (["import", "mgsm", "--from", ".", "--to", "M"], ["no files of dataset 'mgsm'", "mgsm_LANGUAGE.tsv"]),
        (["import", "--all", "--from", ".", "--to", "M"], ["the folders hold no dataset's files"]),
        (["verify", "nowhere"], ["there is no mirror: manifest.json is missing"]),
        (["list", "mgmm"], ["unknown dataset 'mgmm'", "did you mean mgsm"]),
        (["fetch", "mmlu", "--languages", "de,xx", "--to", "M"], ["unknown language 'xx'"]),
        (["fetch", "xquad", "--languages", "fr", "--to", "M"], ["unknown language of dataset 'xquad' 'fr'"]),
        (["fetch", "mmlu", "--splits", "val", "--to", "M"], ["unknown split of dataset 'mmlu' 'val'"]),
        (["fetch", "mmlu", "--to", "M"], ["'mmlu' (en test) cannot be reached", "hub:CohereLabs/Global-MMLU"]),
    ],
)
def test_wrong_input_is_one_message(xling: XLing, arguments: list[str], texts: list[str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    places = {".": str(tmp_path / "empty"), "M": str(tmp_path / "mirror"), "nowhere": str(tmp_path / "nowhere")}
    refused(xling(*(places.get(argument, argument) for argument in arguments)), *texts)


def test_bad_rows_are_counted_when_left_out(xling: XLing, tmp_path: Path) -> None:
    (tmp_path / "mgsm_en.tsv").write_text("How many?\t18\nHow many?\tmany\nHow many?\t1,000\n")
    arguments = ("import", "mgsm", "--from", tmp_path, "--to", tmp_path / "mirror")
    refused(xling(*arguments), "holds 'many', not a number", "mgsm_en.tsv:2", "--skip-bad-rows")
    result = xling(*arguments, "--skip-bad-rows")
    assert result.stdout == "mgsm: 2 rows in 1 files; left out: 1 bad rows\n"
    # The others keep their positions, and so their ids.
    text = (tmp_path / "mirror" / "mgsm" / "test" / "en.jsonl").read_text()
    assert [json.loads(line)["id"] for line in text.splitlines()] == ["0", "2"]


def test_a_fetch_names_every_dataset_it_could_not_have(xling: XLing, tmp_path: Path) -> None:
    result = xling("fetch", "mmlu", "belebele", "--to", tmp_path / "mirror")
    refused(result, "2 parts or datasets could not be stored", "CohereLabs/Global-MMLU", "facebook/belebele")


def test_it_runs_as_a_command(tmp_path: Path) -> None:
    command = [Path(sys.executable).with_name("xling"), "data", "verify", tmp_path]
    result = subprocess.run(command, capture_output=True, text=True)
    refused(Result(result.returncode, result.stdout, result.stderr), "there is no mirror")
