"""GitHub through a local server with published files; the hub through local copies in its repositories' shapes."""

from __future__ import annotations

import http.server
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas
import pytest

from lm_eval_xling.catalog import DATASETS, load_rows, loading, sources, wikitext_hp
from lm_eval_xling.catalog.dataset import Dataset, Part
from lm_eval_xling.catalog.mirror import Mirror
from lm_eval_xling.catalog.mirroring import fetch_dataset, writing
from lm_eval_xling.catalog.sources import HubFiles, HubTables
from lm_eval_xling.catalog.wikitext_hp import LinesOfWikiText
from lm_eval_xling.errors import UserError
from lm_eval_xling.files import file_sha256
from lm_eval_xling.records import Row

COMMIT = "452a21ad3dae5668c06ceeac21ff073e1e40f9be"


class Server(http.server.ThreadingHTTPServer):
    """Serves the MGSM files at the paths that GitHub has them at."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.asked: list[str] = []
        self.delay = 0.0
        self.spoil: Callable[[bytes], bytes] = bytes
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def digests(self) -> dict[str, dict[str, str]]:
        """What the catalog would say of the served files; of the real ones it does."""
        paths = sorted(self.folder.glob("*.tsv"))
        return {"google-research/url-nlp": {f"mgsm/{path.name}": file_sha256(path) for path in paths}}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        prefix = f"/google-research/url-nlp/{COMMIT}/mgsm/"
        path = self.server.folder / self.path.removeprefix(prefix)
        if not self.path.startswith(prefix) or not path.is_file():
            self.send_error(404)
            return
        self.server.asked.append(path.name)
        data = self.server.spoil(path.read_bytes())
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[:1000])
        time.sleep(self.server.delay)
        self.wfile.write(data[1000:])

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def github(raw_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server(raw_data / "mgsm")
    monkeypatch.setattr(sources, "_GITHUB", server.url)
    monkeypatch.setattr(sources, "published_sha256", server.digests)
    monkeypatch.setenv("XLING_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("XLING_DATA", raising=False)
    # Rows are read once a process, and another server has other files.
    loading._rows.cache_clear()
    yield server
    loading._rows.cache_clear()
    server.shutdown()


def fetch(dataset: Dataset, folder: Path, **options: Any) -> list[str]:
    with writing(folder, DATASETS) as mirror:
        return [stored.language for stored in fetch_dataset(dataset, mirror, **options)]


def test_published_files_become_the_same_rows(github: Server, mirror: Path, tmp_path: Path) -> None:
    assert set(fetch(DATASETS["mgsm"], tmp_path / "mirror")) == set(DATASETS["mgsm"].languages)
    fetched = Mirror(tmp_path / "mirror")
    for stored in fetched.of("mgsm"):
        assert (stored.source, stored.revision) == ("github:google-research/url-nlp", COMMIT)
        assert fetched.rows("mgsm", stored.part) == Mirror(mirror).rows("mgsm", stored.part)
    assert sorted(github.asked) == sorted(f"mgsm_{language}.tsv" for language in DATASETS["mgsm"].languages)


def test_what_is_in_the_mirror_or_the_cache_is_not_asked_for_again(github: Server, tmp_path: Path) -> None:
    fetch(DATASETS["mgsm"], tmp_path / "mirror", languages=["de", "th"])
    assert github.asked == ["mgsm_de.tsv", "mgsm_th.tsv"]
    fetch(DATASETS["mgsm"], tmp_path / "mirror", languages=["de", "th"])
    fetch(DATASETS["mgsm"], tmp_path / "another", languages=["de"])
    assert github.asked == ["mgsm_de.tsv", "mgsm_th.tsv"]


def test_without_a_mirror_rows_come_from_the_source(github: Server, mirror: Path) -> None:
    assert load_rows("mgsm", "bn", "test") == Mirror(mirror).rows("mgsm", Part("bn", "test"))
    assert github.asked == ["mgsm_bn.tsv"]


def test_a_file_with_another_digest_is_refused(github: Server, tmp_path: Path) -> None:
    github.spoil = lambda data: data.replace(b"16", b"17", 1)
    with pytest.raises(
        UserError, match=r"'mgsm' \(en test\) cannot be reached: (?s:.*)mgsm_en.tsv has sha256 .* expected"
    ):
        fetch(DATASETS["mgsm"], tmp_path / "mirror")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    github.spoil = bytes
    assert fetch(DATASETS["mgsm"], tmp_path / "mirror", languages=["en"]) == ["en"]


def test_a_changed_file_in_the_cache_is_downloaded_again(github: Server, tmp_path: Path) -> None:
    fetch(DATASETS["mgsm"], tmp_path / "mirror", languages=["en"])
    (cached,) = (tmp_path / "cache").rglob("*.tsv")
    whole = cached.read_bytes()
    cached.write_bytes(whole[:-1])
    fetch(DATASETS["mgsm"], tmp_path / "another", languages=["en"])
    assert cached.read_bytes() == whole and github.asked == ["mgsm_en.tsv"] * 2


def test_a_file_that_is_gone_is_named(github: Server, tmp_path: Path) -> None:
    (source,) = DATASETS["mgsm"].sources
    moved = replace(DATASETS["mgsm"], sources=(replace(source, commit="0" * 40),))  # type: ignore[type-var]
    with pytest.raises(UserError, match=r"404 (?s:.*)mgsm_en.tsv(?s:.*)github:google-research/url-nlp"):
        fetch(moved, tmp_path / "mirror")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"languages": ["it"]}, "unknown language of dataset 'mgsm' 'it'"),
        ({"splits": ["dev"]}, "unknown split of dataset 'mgsm' 'dev'"),
    ],
)
def test_what_is_not_published_is_not_fetched(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        fetch(DATASETS["mgsm"], tmp_path / "mirror", **options)


def test_killed_while_downloading_it_goes_on(github: Server, mirror: Path, tmp_path: Path) -> None:
    github.delay = 0.5
    program = f"from lm_eval_xling.catalog import sources; sources._GITHUB = {github.url!r}; "
    program += f"sources.published_sha256 = lambda: {github.digests()!r}; "
    program += "from lm_eval_xling._cli import main; main()"
    command = [sys.executable, "-c", program, "data", "fetch", "mgsm", "--to", str(tmp_path / "mirror")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(github.asked) < 3 and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert [stored.language for stored in Mirror(tmp_path / "mirror").of("mgsm")] == ["bn", "en"]
    assert len(list((tmp_path / "cache").rglob("*.tsv"))) == 2
    github.delay = 0
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert len(github.asked) == 12  # the third was asked for twice
    found = Mirror(tmp_path / "mirror")
    assert {part: found.rows("mgsm", part) for _, part in found.parts} == {
        part: Mirror(mirror).rows("mgsm", part) for name, part in Mirror(mirror).parts if name == "mgsm"
    }


# ---------------------------------------------------------------------------------------------------------------
# the hub
# ---------------------------------------------------------------------------------------------------------------


def repository(folder: Path, tables: Mapping[tuple[str, str], list[dict[str, Any]]], suffix: str = "parquet") -> Path:
    """Write tables as a hub repository keeps them: files by configuration and split, listed in README.md."""
    configs: dict[str, list[dict[str, str]]] = {}
    for (config, split), records in tables.items():
        place = "data" if config == "default" else config
        path = folder / place / f"{split}-00000-of-00001.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        frame = pandas.DataFrame(records)
        if suffix == "parquet":
            frame.to_parquet(path)
        elif suffix == "csv":
            frame.to_csv(path, index=False)
        else:
            frame.to_json(path, orient="records", lines=True, force_ascii=False)
        configs.setdefault(config, []).append({"split": split, "path": f"{place}/{split}-*"})
    head = {"configs": [{"config_name": name, "data_files": files} for name, files in configs.items()]}
    (folder / "README.md").write_text(f"---\n{json.dumps(head)}\n---\n# A data set\n")
    return folder


def choice(text: str, answer: str) -> dict[str, Any]:
    """A row in the columns of Global-MMLU."""
    return {
        "sample_id": f"anatomy/test/{text}", "subject": "anatomy", "subject_category": "Medical",
        "question": f"{text}?", "option_a": f"{text} a", "option_b": f"{text} b", "option_c": "None",
        "option_d": f"{text} d", "answer": answer, "required_knowledge": "[]", "time_sensitive": "[]",
        "reference": None, "culture": "[]", "region": None, "country": None,
        "cultural_sensitivity_label": "-", "is_annotated": False,
    }  # fmt: skip


def lines(*texts: str) -> list[dict[str, str]]:
    return [{"text": text} for text in texts]


SPAN = {"id": "q", "question": "Wer?", "context": "Ada war es.", "answers": {"text": ["Ada"], "answer_start": [0]}}
PASSAGE = {
    "link": "https://en.wikibooks.org/wiki/A", "question_number": 2, "flores_passage": "P.", "question": "Q?",
    "mc_answer1": "w", "mc_answer2": "x", "mc_answer3": "y", "mc_answer4": "z", "correct_answer_num": "3",
    "dialect": "deu_Latn", "ds": "2023-05-03",
}  # fmt: skip
QUIZ = {"question": "Wer?", "A": "a", "B": "b", "C": "c", "D": "d", "GT": "D"}
FACT = {"question": "Where?", "option1": "A", "option2": "B", "option3": "C", "option4": "D", "answer": "C"}
INVENTED = [{"question": f"{number}?", "answer": f"{number}."} for number in range(40)]
PERTURBED = [
    {**row, "paraphrased_answer": "p", "perturbed_answer": ["v", "w"], "paraphrased_question": "pq"} for row in INVENTED
]

SHAPES: list[tuple[str, Part, Mapping[tuple[str, str], list[dict[str, Any]]], str, Row]] = [
    (
        "mmlu", Part("de", "test"), {("de", "test"): [choice("0", "B"), choice("1", "D")]}, "parquet",
        Row("anatomy/test/0", "de", {"question": "0?"}, ("0 a", "0 b", "None", "0 d"), 1, None,
            {"subject": "anatomy", "category": "STEM"}),
    ),
    (
        "mmlu", Part("tl", "test"), {("fil", "test"): [choice("7", "A")]}, "parquet",
        Row("anatomy/test/7", "tl", {"question": "7?"}, ("7 a", "7 b", "None", "7 d"), 0, None,
            {"subject": "anatomy", "category": "STEM"}),
    ),
    (
        "hp", Part("de", "test"),
        {("default", "German"): [QUIZ], ("default", "English"): [{**QUIZ, "question": "Who?"}]},
        "csv", Row("0", "de", {"question": "Wer?"}, ("a", "b", "c", "d"), 3),
    ),
    (
        "xquad", Part("de", "validation"), {("xquad.de", "validation"): [SPAN]}, "parquet",
        Row("q", "de", {"question": "Wer?", "context": "Ada war es."}, (), None, "Ada",
            {"answers": ["Ada"], "answer_start": [0]}),
    ),
    (
        "belebele", Part("de", "test"), {("deu_Latn", "test"): [PASSAGE]}, "jsonl",
        Row("https://en.wikibooks.org/wiki/A 2", "de", {"question": "Q?", "context": "P."}, ("w", "x", "y", "z"), 2),
    ),
    (
        "tofu", Part("en", "world_facts"), {("world_facts", "train"): [FACT]}, "jsonl",
        Row("world_facts/0", "en", {"question": "Where?"}, ("A", "B", "C", "D"), 2, "C",
            {"perturbed_answers": ["A", "B", "D"]}),
    ),
    (
        "tofu", Part("en", "forget01"), {("forget01", "train"): INVENTED, ("forget01_perturbed", "train"): PERTURBED},
        "jsonl",
        Row("full/3960", "en", {"question": "0?"}, (), None, "0.",
            {"author": 198, "paraphrased_question": "pq", "paraphrased_answer": "p", "perturbed_answers": ["v", "w"]}),
    ),
    (
        "wikitext", Part("en", "test"),
        {("wikitext-2-raw-v1", "test"): lines("", " = Ada = \n", "", " She wrote . \n", "", " = = Life = = \n", "")},
        "parquet", Row("0", "en", {"text": "= Ada =\nShe wrote .\n= = Life = ="}, extra={"title": "Ada"}),
    ),
]  # fmt: skip


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "part", "tables", "suffix", "expected"), SHAPES, ids=lambda value: str(value)[:20])
def test_the_hubs_shapes_become_rows(
    name: str,
    part: Part,
    tables: Mapping[tuple[str, str], list[dict[str, Any]]],
    suffix: str,
    expected: Row,
    tmp_path: Path,
    hub_cache: None,
    imported: Callable[..., list[Row]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Read through ``datasets`` from a local repository, fetched as from the hub and imported as a copy."""
    folder = repository(tmp_path / "copy", tables, suffix)
    assert imported(name, folder, *part)[0] == expected

    entry = DATASETS[name]
    hub = next((source for source in entry.sources if isinstance(source, HubTables)), None)
    if hub is None:
        return
    monkeypatch.setattr(sources, "_hub_commit", lambda repository: "0" * 40)
    local = replace(entry, sources=(replace(hub, repository=str(folder)),))
    with writing(tmp_path / "fetched", DATASETS) as mirror:
        (stored,) = fetch_dataset(local, mirror, languages=[part.language], splits=[part.split])
    assert stored.revision == "0" * 40 and stored.source == f"hub:{folder}"
    assert Mirror(tmp_path / "fetched").rows(name, part)[0] == expected


TEXT = ("", " = A @-@ B = \n", "", " She wrote . \n", " \n", " He <unk> . \n", "")


def hp_copy(folder: Path, indices: list[int]) -> tuple[Path, Path]:
    """A copy of the hub's WikiText-103, and the file that selects its lines."""
    text = repository(folder / "copy", {("wikitext-103-v1", "train"): lines(*TEXT)})
    path = text / "HP_related_index_for_wikitext-103.json"
    path.write_text(json.dumps({"HP-related-index": indices}))
    return text, path


def test_lines_about_harry_potter_are_selected_from_wikitext(
    tmp_path: Path, hub_cache: None, imported: Callable[..., list[Row]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As published: blank lines are not counted, and the order is that of the selection."""
    text, selection = hp_copy(tmp_path, [2, 0])
    expected = [Row("2", "en", {"text": "He <unk> ."}), Row("0", "en", {"text": "= A @-@ B ="})]
    assert imported("wikitext", text, "en", "train_103_hp") == expected
    # And fetched: the text from the hub, the selection from the paper's repository.
    monkeypatch.setenv("XLING_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sources, "published_sha256", dict)
    monkeypatch.setattr(sources, "_hub_commit", lambda repository: "0" * 40)
    source = LinesOfWikiText(str(text))
    part = Part("en", "train_103_hp")
    assert source.covers(part) and not source.covers(Part("en", "train_103")) and not source.at_hand(part)
    published = wikitext_hp._INDEX_FILE
    path = published._folder(published.commit) / wikitext_hp._INDICES
    path.parent.mkdir(parents=True)
    selection.rename(path)
    entry = replace(DATASETS["wikitext"], sources=(source,))
    with writing(tmp_path / "fetched", DATASETS) as mirror:
        (stored,) = fetch_dataset(entry, mirror, languages=["en"], splits=["train_103_hp"])
    assert stored.revision == "0" * 40 and list(stored.inputs) == [wikitext_hp._INDICES]
    assert Mirror(tmp_path / "fetched").rows("wikitext", part) == expected


@pytest.mark.parametrize(
    ("indices", "message"),
    [([0, 7], "line 7 is named, and there are 3 lines"), (["0"], "does not hold HP-related-index"), ([], "does not")],
)
def test_a_selection_of_no_lines_is_named(
    indices: list[Any], message: str, tmp_path: Path, hub_cache: None, imported: Callable[..., list[Row]]
) -> None:
    text, _ = hp_copy(tmp_path, indices)
    with pytest.raises(UserError, match=message):
        imported("wikitext", text, "en", "train_103_hp")


def test_a_bad_row_of_the_hub_is_named(tmp_path: Path, hub_cache: None, imported: Callable[..., list[Row]]) -> None:
    rows = [choice("0", "B"), {**choice("1", "D"), "option_b": None}]
    folder = repository(tmp_path / "copy", {("de", "test"): rows})
    with pytest.raises(UserError, match=r"field 'option_b' holds None, not text(?s:.*)de/test, row 1(?s:.*)--skip-bad"):
        imported("mmlu", folder, "de", "test")


def test_bad_rows_are_left_out_only_on_demand(
    tmp_path: Path, hub_cache: None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [choice("0", "B"), {**choice("1", "D"), "option_b": None}, choice("2", "E"), choice("3", "A")]
    (hub,) = DATASETS["mmlu"].sources
    folder = repository(tmp_path / "copy", {("de", "test"): rows})
    entry = replace(DATASETS["mmlu"], sources=(replace(hub, repository=str(folder)),))  # type: ignore[type-var]
    monkeypatch.setattr(sources, "_hub_commit", lambda repository: "0" * 40)
    assert fetch(entry, tmp_path / "mirror", languages=["de"], splits=["test"], skip_bad_rows=True) == ["de"]
    mirror = Mirror(tmp_path / "mirror")
    assert [row.id for row in mirror.rows("mmlu", Part("de", "test"))] == ["anatomy/test/0", "anatomy/test/3"]
    assert [(stored.rows, stored.skipped) for stored in mirror.of("mmlu")] == [(2, 2)]
    assert ["option_b" in caplog.messages[0], "holds 'E'" in caplog.messages[1]] == [True, True]
    with pytest.raises(UserError, match="option_b"):
        fetch(entry, tmp_path / "another", languages=["de"], splits=["test"])


def test_a_fetch_goes_on_at_the_commit_it_began_with(
    tmp_path: Path, hub_cache: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str | None, str, str | None]] = []

    def load_dataset(path: str, config: str | None, *, split: str, revision: str | None) -> list[dict[str, Any]]:
        asked.append((config, split, revision))
        if config == "de" and len(asked) == 2:
            raise ConnectionError("the line is dead")
        return [choice("0", "B")]

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    commits = iter(["a" * 40, "b" * 40])
    monkeypatch.setattr(sources, "_hub_commit", lambda repository: next(commits))
    with pytest.raises(UserError, match="cannot be reached: the line is dead"):
        fetch(DATASETS["mmlu"], tmp_path / "mirror", languages=["en", "de"], splits=["test"])
    assert fetch(DATASETS["mmlu"], tmp_path / "mirror", languages=["en", "de"], splits=["test"]) == ["en", "de"]
    # English was there already, and the newer commit was not taken.
    assert asked == [("en", "test", "a" * 40), ("de", "test", "a" * 40), ("de", "test", "a" * 40)]


def test_the_mixup_files_are_read_as_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = tmp_path / "snapshots" / ("c" * 40)
    shutil.copytree(Path(__file__).parents[1] / "fixtures" / "mmlu_mixup", snapshot)
    asked: list[dict[str, Any]] = []

    def snapshot_download(repository: str, **options: Any) -> str:
        asked.append({"repository": repository, **options})
        return str(snapshot)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    monkeypatch.setattr(sources, "_hub_commit", lambda repository: "c" * 40)
    (source,) = DATASETS["mmlu_mixup"].sources
    assert isinstance(source, HubFiles)
    with writing(tmp_path / "mirror", DATASETS) as mirror:
        fetch_dataset(DATASETS["mmlu_mixup"], mirror)
    assert asked[0] == {
        "repository": "cross-ling-know/mixup-lang-mmlu", "repo_type": "dataset", "revision": "c" * 40,
        "allow_patterns": ["data/test/*_test.csv"], "local_files_only": False,
    }  # fmt: skip
    rows = Mirror(tmp_path / "mirror").rows("mmlu_mixup", Part("mul", "test"))
    assert [row.id for row in rows] == ["anatomy/test/0", "anatomy/test/1", "elementary_mathematics/test/0"]
    assert rows[0].options == ("The liver", "Das Herz", "El pulmón", "Il rene")


# ---------------------------------------------------------------------------------------------------------------
# what is at hand without a network
# ---------------------------------------------------------------------------------------------------------------


def test_a_downloaded_file_is_at_hand(github: Server, tmp_path: Path) -> None:
    (source,) = DATASETS["mgsm"].sources
    assert not source.at_hand(Part("de", "test"))
    fetch(DATASETS["mgsm"], tmp_path / "mirror", languages=["de"])
    assert source.at_hand(Part("de", "test")) and not source.at_hand(Part("th", "test"))


def test_a_table_that_datasets_prepared_is_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    source = DATASETS["mmlu"].sources[0]
    assert not source.at_hand(Part("de", "test"))
    raw = tmp_path / "raw.jsonl"
    raw.write_text(json.dumps(choice("0", "B")) + "\n")
    datasets.load_dataset("json", data_files={"test": str(raw)}, cache_dir=str(tmp_path / "cache"))
    # As if it had been prepared from the hub: the names of folders and the configuration are all that differs.
    (prepared,) = (tmp_path / "cache" / "json").iterdir()
    folder = tmp_path / "cache" / "CohereLabs___global-mmlu"
    folder.mkdir()
    prepared.rename(folder / "de")
    (info,) = folder.rglob("dataset_info.json")
    info.write_text(json.dumps({**json.loads(info.read_text()), "config_name": "de", "dataset_name": "global-mmlu"}))
    for table in list(folder.rglob("json-*.arrow")):
        table.rename(table.with_name(table.name.replace("json-", "global-mmlu-")))
    assert source.at_hand(Part("de", "test"))
    assert not source.at_hand(Part("fr", "test")) and not source.at_hand(Part("de", "dev"))
    # And it can indeed be read: `datasets` looks for the same files.
    monkeypatch.delenv("XLING_DATA", raising=False)
    assert [row.answer for row in load_rows("mmlu", "de", "test")] == [1]
