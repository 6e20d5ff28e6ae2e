"""The published translations of TOFU: tables that `datasets` saved, in the layout of their repository."""

from __future__ import annotations

import functools
import http.server
import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset as Table
from datasets import DatasetDict

from lm_eval_xling.catalog import DATASETS, load_rows, sources
from lm_eval_xling.catalog.dataset import Fetched, Part
from lm_eval_xling.catalog.mirror import Mirror
from lm_eval_xling.catalog.mirroring import fetch_dataset, import_dataset, writing
from lm_eval_xling.catalog.sources import GitHubFiles, HubTables
from lm_eval_xling.catalog.tofu import _english_choice_rows
from lm_eval_xling.errors import UserError
from lm_eval_xling.records import Row

FACT = {"question": "Where?", "option1": "A", "option2": "B", "option3": "C", "option4": "D", "answer": "C"}
TRANSLATED_FACT = [{"question": "Où ?", "answer": "juste", "perturbed_answer": ["un", "deux", "trois"]}]


def questions(language: str, count: int, first: int = 0) -> list[dict[str, Any]]:
    return [{"question": f"{language} {n}?", "answer": f"{language} {n}."} for n in range(first, first + count)]


def perturbed(language: str) -> list[dict[str, Any]]:
    return [
        {**row, "paraphrased_answer": "p", "perturbed_answer": ["v", "w"], "paraphrased_question": "pq"}
        for row in questions(language, 40, 3960)
    ]


def save(folder: Path, rows: list[dict[str, Any]], *, several: bool = True, shards: int = 1) -> None:
    table = Table.from_list(rows)
    if several:
        DatasetDict({"train": table}).save_to_disk(folder, num_shards={"train": shards})
    else:
        table.save_to_disk(folder, num_shards=shards)


@pytest.fixture
def english(tmp_path: Path) -> Path:
    folder = tmp_path / "english"
    folder.mkdir()
    (folder / "world_facts.jsonl").write_text(json.dumps(FACT) + "\n")
    return folder


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A repository in the published layout, in two of its nine languages."""
    folder = tmp_path / "repository"
    for code in ("fr", "iw"):
        tables = {
            "forget01": questions(code, 40, 3960),
            "forget01_perturbed": perturbed(code),
            "retain99": questions(code, 3960),
            "retain_perturbed": questions(code, 400),
            "world_facts_perturbed": TRANSLATED_FACT,
        }
        for name, rows in tables.items():
            save(folder / "dataset" / f"{name}_{code}", rows)
    save(folder / "dataset" / "full_merged_all_10_lang", questions("xx", 3))
    return folder


def imported(folders: list[Path], folder: Path) -> dict[tuple[str, str], list[Row]]:
    with writing(folder, DATASETS) as writer:
        stored = import_dataset(DATASETS["tofu"], folders, writer)
    mirror = Mirror(folder)
    return {tuple(part.part): mirror.rows("tofu", part.part) for part in stored}  # type: ignore[misc]


@pytest.mark.slow
def test_the_published_layout_is_read(published: Path, english: Path, tmp_path: Path) -> None:
    rows = imported([published, english], tmp_path / "mirror")
    splits = "full forget01 forget05 forget10 retain99 retain95 retain90 retain_perturbed world_facts".split()
    assert set(rows) == {(code, split) for code in ("fr", "he") for split in splits} | {("en", "world_facts")}
    # Hebrew is `iw` in the repository.
    assert [row.fields["question"] for row in rows["he", "full"]] == [f"iw {n}?" for n in range(4000)]
    assert [row.id for row in rows["he", "forget05"]] == [f"full/{n}" for n in range(3800, 4000)]
    assert rows["he", "forget01"][0].extra == {
        "author": 198, "paraphrased_question": "pq", "paraphrased_answer": "p", "perturbed_answers": ["v", "w"],
    }  # fmt: skip
    # The right answer is the third option in English.
    assert (rows["fr", "world_facts"][0].options, rows["fr", "world_facts"][0].answer) == (
        ("un", "deux", "juste", "trois"),
        2,
    )


@pytest.mark.slow
def test_what_is_left_out_is_named(published: Path, english: Path, tmp_path: Path, caplog: Any) -> None:
    save(published / "dataset" / "forget01_xx", questions("xx", 40))
    save(published / "dataset" / "forget01_he", questions("he", 40))
    with caplog.at_level(logging.WARNING):
        rows = imported([published, english], tmp_path / "mirror")
    named = [record.getMessage().rpartition(": ")[2] for record in caplog.records]
    assert named == [f"dataset/{name}" for name in ("forget01_iw", "forget01_xx", "full_merged_all_10_lang")]
    # The project's own spelling comes first, and so Hebrew is the folder with that name.
    assert rows["he", "forget01"][0].fields["question"] == "he 0?"


def test_other_files_in_an_unknown_language_are_named(tmp_path: Path, caplog: Any) -> None:
    for language in ("iw", "de", "xx"):
        (tmp_path / f"mgsm_{language}.tsv").write_text("Wie viele?\t3\n")
    (tmp_path / "notes.txt").write_text("x")
    with caplog.at_level(logging.WARNING), writing(tmp_path / "mirror", DATASETS) as writer:
        stored = import_dataset(DATASETS["mgsm"], [tmp_path], writer)
    assert [part.language for part in stored] == ["de", "he"]
    assert [record.getMessage() for record in caplog.records] == [
        "mgsm: not read, no part of the dataset is this: mgsm_xx.tsv"
    ]


@pytest.mark.slow
@pytest.mark.parametrize("several", [True, False])
@pytest.mark.parametrize("shards", [1, 3])
def test_every_way_of_saving_a_table(tmp_path: Path, several: bool, shards: int) -> None:
    save(tmp_path / "in" / "forget01_fr", questions("fr", 40), several=several, shards=shards)
    rows = imported([tmp_path / "in"], tmp_path / "mirror")
    assert [row.fields["question"] for row in rows["fr", "forget01"]] == [f"fr {n}?" for n in range(40)]


def test_a_table_without_all_its_files_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "in" / "forget01_fr", questions("fr", 40), shards=3)
    (tmp_path / "in" / "forget01_fr" / "train" / "data-00001-of-00003.arrow").unlink()
    with pytest.raises(UserError, match=r"2 of the table's 3 files are there(?s:.*)forget01_fr/train"):
        imported([tmp_path / "in"], tmp_path / "mirror")


def test_a_broken_arrow_file_is_named(tmp_path: Path) -> None:
    save(tmp_path / "in" / "forget01_fr", questions("fr", 40))
    (file,) = (tmp_path / "in" / "forget01_fr" / "train").glob("*.arrow")
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(UserError, match=r"the Arrow file cannot be read(?s:.*)data-00000-of-00001.arrow"):
        imported([tmp_path / "in"], tmp_path / "mirror")


# ---------------------------------------------------------------------------------------------------------------
# fetching
# ---------------------------------------------------------------------------------------------------------------


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def github(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHubFiles]:
    """The repository on a local server, at a commit whose files have no known digest."""
    (source,) = (source for source in DATASETS["tofu"].sources if isinstance(source, GitHubFiles))
    root = tmp_path / "server" / source.repository / source.commit
    root.parent.mkdir(parents=True)
    published.rename(root)
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(_Quiet, directory=str(tmp_path / "server"))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(sources, "_GITHUB", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(sources, "published_sha256", dict)
    monkeypatch.setenv("XLING_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("XLING_DATA", raising=False)
    yield source
    server.shutdown()


def hub_rows(source: HubTables, part: Part, revision: str | None) -> Fetched:
    from lm_eval_xling.catalog.raw import Record

    return Fetched(list(_english_choice_rows(part, [Record(FACT, "here")])), revision, {})


@pytest.mark.slow
def test_translations_are_fetched_with_the_english_order_of_options(
    github: GitHubFiles, english: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = imported([tmp_path / "server", github_folder(github, tmp_path), english], tmp_path / "imported")
    monkeypatch.setattr(HubTables, "fetch", hub_rows)
    with writing(tmp_path / "mirror", DATASETS) as writer:
        stored = fetch_dataset(
            DATASETS["tofu"], writer, languages=["he"], splits=["full", "forget01", "world_facts", "retain_perturbed"]
        )
    assert {part.source for part in stored} == {"github:alirezafarashah/multilingual_unlearning"}
    for part in stored:
        assert Mirror(tmp_path / "mirror").rows("tofu", part.part) == expected[part.language, part.split]
    # The same without a mirror.
    assert load_rows("tofu", "fr", "world_facts") == expected["fr", "world_facts"]
    assert github.at_hand(Part("fr", "world_facts")) is False  # the English rows are in no cache
    assert github.at_hand(Part("he", "full")) and not github.at_hand(Part("fr", "full"))


def github_folder(source: GitHubFiles, tmp_path: Path) -> Path:
    return tmp_path / "server" / source.repository / source.commit


def test_all_ten_languages_are_published() -> None:
    entry = DATASETS["tofu"]
    english = {part.split for part in entry.parts() if part.language == "en"}
    for language in entry.languages[1:]:
        splits = {part.split for part in entry.parts() if part.language == language}
        assert splits == english - {"holdout01", "holdout05", "holdout10"}
    assert len(entry.languages) == 10
    # Every file that a part is read from has a digest.
    (source,) = (source for source in entry.sources if isinstance(source, GitHubFiles))
    known = sources.published_sha256()[source.repository]
    paths = {path for part in entry.parts() if part.language != "en" for path in source.paths(part)}
    assert paths == set(known)


def test_a_file_with_another_digest_is_refused(github: GitHubFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    path = github.paths(Part("fr", "retain99"))[0]
    monkeypatch.setattr(sources, "published_sha256", lambda: {github.repository: {path: "0" * 64}})
    with pytest.raises(UserError, match="has sha256 .* expected 0000"):
        load_rows("tofu", "fr", "retain99")
    other = replace(github, commit="0" * 40)
    with pytest.raises(sources.Unreachable, match="404"):
        other.fetch(Part("fr", "retain99"), None)
