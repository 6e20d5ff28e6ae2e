from __future__ import annotations

import gzip
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lm_eval_xling._cli import main
from lm_eval_xling.errors import UserError
from lm_eval_xling.mixing import corpus as corpora
from lm_eval_xling.mixing.corpus import Settings, manifest_path, mix_corpus
from lm_eval_xling.mixing.documents import open_corpus
from lm_eval_xling.mixing.mixing_files import mix
from lm_eval_xling.records import MixedText
from tests.processes import forked
from tests.translation.fakes import Shouting

SETTINGS = Settings(language="en", weights={"en": 1, "fr": 1, "de": 2}, level="sentence")


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(corpora, "PART", 2000)
    corpora._translator.cache_clear()
    corpora._documents.cache_clear()


@pytest.fixture
def book(tmp_path) -> Path:
    path = tmp_path / "book.txt"
    sentences = [f"Sentence number {n} is here." for n in range(900)]
    text = "\n\n".join("  ".join(sentences[n : n + 3]) for n in range(0, 900, 3))
    path.write_bytes(f"\r\n \n{text}\r\n\r\n\r\n".encode())
    return path


def use(monkeypatch, log: Path, seconds: float = 0.0) -> None:
    monkeypatch.setattr(corpora, "open_translator", lambda name: Shouting(log, seconds=seconds))


def run(book: Path, folder: Path, settings: Settings = SETTINGS, **more) -> dict:
    more = {"translator": "shouting", **more}
    return mix_corpus(
        open_corpus(str(book), "en", tuple(settings.weights)),
        folder / "out.jsonl",
        settings,
        cache=folder / "cache.sqlite",
        **more,
    )


def texts(folder: Path) -> list[MixedText]:
    with (folder / "out.jsonl").open(encoding="utf-8") as lines:
        return [MixedText.from_json(json.loads(line)) for line in lines]


def test_a_mixed_corpus_keeps_its_source_byte_for_byte(book, tmp_path, monkeypatch):
    use(monkeypatch, tmp_path / "log")
    manifest = run(book, tmp_path)
    mixed = texts(tmp_path)
    assert "".join(text.source for text in mixed).encode() == book.read_bytes()
    for text in mixed:
        for unit in text.units:
            expected = unit.source if unit.language == "en" else f"{unit.language}: {unit.source.upper()}"
            assert unit.text == (expected or unit.text)
    assert manifest["sha256"] == hashlib.sha256((tmp_path / "out.jsonl").read_bytes()).hexdigest()
    assert manifest == json.loads(manifest_path(tmp_path / "out.jsonl").read_text())
    assert not list(tmp_path.glob(".out*"))


def test_statistics_are_those_of_the_file(book, tmp_path, monkeypatch):
    use(monkeypatch, tmp_path / "log")
    found = run(book, tmp_path)["statistics"]
    mixed = texts(tmp_path)
    units = Counter(unit.language for text in mixed for unit in text.units)
    # Five words a sentence, the number has no letter; the target code is a sixth word of a translation.
    words = Counter({code: count * (4 if code == "en" else 5) for code, count in units.items()})
    switches = sum(a.language != b.language for t in mixed for a, b in zip(t.units, t.units[1:], strict=False))
    assert found["documents"] == 300 and found["units"] == 900
    assert found["units_by_language"] == dict(sorted(units.items()))
    assert found["share"] == {code: round(words[code] / words.total(), 4) for code in sorted(words)}
    assert found["mean_unit_words"] == round(words.total() / 900, 3)
    assert found["switch_points"] == switches
    assert found["switch_points_per_100_borders"] == round(100 * switches / 600, 2)
    per_document = []
    for text in mixed:
        count = Counter()
        for unit in text.units:
            count[unit.language] += 4 if unit.language == "en" else 5
        per_document.append(100 - 100 * max(count.values()) / count.total())
    assert found["code_mixing_index"] == pytest.approx(sum(per_document) / 300, abs=1e-3)
    assert 0.4 < units["de"] / 900 < 0.6


def test_any_number_of_processes_gives_the_same_bytes(book, tmp_path, monkeypatch):
    found = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        folder.mkdir()
        use(monkeypatch, folder / "log")
        manifest = run(book, folder, processes=processes)
        found.append(((folder / "out.jsonl").read_bytes(), manifest))
    assert found[0] == found[1]


def test_a_second_run_does_nothing_and_another_one_asks(book, tmp_path, monkeypatch):
    use(monkeypatch, tmp_path / "log")
    manifest = run(book, tmp_path)
    asked = (tmp_path / "log").read_text()
    assert run(book, tmp_path) == manifest
    with pytest.raises(UserError, match="another corpus is there"):
        run(book, tmp_path, replace(SETTINGS, seed=1))
    assert run(book, tmp_path, replace(SETTINGS, seed=1), overwrite=True)["sha256"] != manifest["sha256"]
    assert run(book, tmp_path, overwrite=True) == manifest
    # The other seed drew other languages; going back translated nothing.
    new = (tmp_path / "log").read_text().removeprefix(asked).splitlines()
    assert len(set(new)) == len(new) - sum(count - 1 for count in Counter(new).values())
    assert len(asked.splitlines()) == manifest["statistics"]["replaced_units"]


def test_a_corpus_that_is_not_its_manifests_is_not_taken_for_finished(book, tmp_path, monkeypatch):
    use(monkeypatch, tmp_path / "log")
    manifest = run(book, tmp_path)
    whole = (tmp_path / "out.jsonl").read_bytes()
    (tmp_path / "out.jsonl").write_bytes(whole[:100])
    with pytest.raises(UserError, match="not the one that its manifest describes"):
        run(book, tmp_path)
    assert run(book, tmp_path, overwrite=True) == manifest and (tmp_path / "out.jsonl").read_bytes() == whole


def test_documents_have_ids_of_their_own(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": null, "text": "One."}\n{"text": "Two."}\n')
    assert [d.id for d in open_corpus(str(path), "de", ())] == ["0", "1"]
    path.write_text('{"id": "1", "text": "One."}\n{"text": "Two."}\n')
    with pytest.raises(UserError, match="line 2 has the id '1' of an earlier line"):
        list(open_corpus(str(path), "de", ()))


def test_what_is_no_text_is_not_mixed_as_text(tmp_path):
    (tmp_path / "a.csv").write_text("id,text\n1,Hello.\n")
    with pytest.raises(UserError, match="a table is no text"):
        open_corpus(str(tmp_path / "a.csv"), "en", ())
    (tmp_path / "a.jsonl").write_text('{"id": "1", "txt": "One."}\n')
    with pytest.raises(UserError, match="line 1 is no document: its fields are id, txt"):
        list(open_corpus(str(tmp_path / "a.jsonl"), "en", ()))
    (tmp_path / "a.txt").write_text('" Nobody knew , " said the mayor .\n')
    with pytest.raises(UserError, match="this is no WikiText"):
        list(open_corpus(str(tmp_path / "a.txt"), "en", (), "wikitext"))


def test_parallel_input_has_no_cache(tmp_path):
    with pytest.raises(UserError, match="nothing is cached"):
        mix("catalog:atlas/test/subject", tmp_path / "o.jsonl", "en,de", cache=tmp_path / "c.sqlite")


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("after", [0.3, 0.9, 1.6])
def test_a_killed_run_continues_with_the_same_result(book, tmp_path, monkeypatch, processes, after):
    expected = tmp_path / "expected"
    expected.mkdir()
    use(monkeypatch, expected / "log")
    run(book, expected)
    use(monkeypatch, tmp_path / "log", seconds=0.02)
    process = forked(run, book, tmp_path, processes=processes)
    process.start()
    time.sleep(after)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert not (tmp_path / "out.jsonl").exists()
    use(monkeypatch, tmp_path / "log")
    run(book, tmp_path, processes=processes)
    for name in ("out.jsonl", "out.manifest.json"):
        assert (tmp_path / name).read_bytes() == (expected / name).read_bytes()
    asked = (tmp_path / "log").read_text().splitlines()
    # Every process loses at most the batch under way; orphans of the killed run may finish one part each.
    assert len(asked) < 1.5 * len((expected / "log").read_text().splitlines())


def test_the_same_command_twice_at_once(book, tmp_path, monkeypatch):
    expected = tmp_path / "expected"
    expected.mkdir()
    use(monkeypatch, expected / "log")
    run(book, expected)
    use(monkeypatch, tmp_path / "log", seconds=0.01)
    processes = [forked(run, book, tmp_path) for _ in range(2)]
    for process in processes:
        process.start()
        time.sleep(0.1)
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    for name in ("out.jsonl", "out.manifest.json"):
        assert (tmp_path / name).read_bytes() == (expected / name).read_bytes()


def test_word_level_and_limit(book, tmp_path, monkeypatch):
    use(monkeypatch, tmp_path / "log")
    manifest = run(book, tmp_path, replace(SETTINGS, level="word", ratio=0.5, limit=10))
    mixed = texts(tmp_path)
    assert len(mixed) == manifest["statistics"]["documents"] == 10
    assert "".join(text.source for text in mixed) in book.read_bytes().decode()
    assert 40 < manifest["statistics"]["replaced_units"] < 80


def test_parallel_input_needs_no_translator(tmp_path, raw_data):
    pattern = f"parallel:{raw_data}/flores_sample/{{language}}.devtest"
    settings = replace(SETTINGS, weights={"en": 1, "fr": 1, "de": 1, "es": 1, "it": 1}, level="document")
    manifest = mix_corpus(
        open_corpus(pattern, "en", tuple(settings.weights)), tmp_path / "o.jsonl", settings, cache=tmp_path / "c"
    )
    lines = {
        code: (raw_data / f"flores_sample/{code}.devtest").read_text(encoding="utf-8").splitlines()
        for code in settings.weights
    }
    with (tmp_path / "o.jsonl").open(encoding="utf-8") as rows:
        for number, row in enumerate(map(json.loads, rows)):
            [unit] = row["units"]
            assert unit["text"] == lines[unit["language"]][number].strip()
    assert set(manifest["statistics"]["units_by_language"]) == set(settings.weights)
    with pytest.raises(UserError, match="needs no translator"):
        mix_corpus(open_corpus(pattern, "en", ("fr",)), tmp_path / "p", settings, translator="apertium", cache=tmp_path)
    with pytest.raises(UserError, match="no counterpart"):
        mix_corpus(open_corpus(pattern, "en", ("fr",)), tmp_path / "p", replace(settings, level="word"), cache=tmp_path)


def test_catalog_rows_are_parallel(tmp_path, monkeypatch):
    from lm_eval_xling import catalog
    from lm_eval_xling.records import Row

    rows = {
        "en": [Row("a", "en", {"q": "One?"}), Row("b", "en", {"q": "Two?"})],
        "fr": [Row("b", "fr", {"q": "Deux ?"}), Row("a", "fr", {"q": "Un ?"})],
    }
    monkeypatch.setattr(catalog, "load_rows", lambda dataset, language, split: rows[language])
    corpus = open_corpus("catalog:tofu/full/q", "en", ("en", "fr"))
    assert [(d.id, d.texts) for d in corpus] == [
        ("a", {"en": "One?", "fr": "Un ?"}),
        ("b", {"en": "Two?", "fr": "Deux ?"}),
    ]
    rows["fr"].pop()
    with pytest.raises(UserError, match="row 'a' is missing in 'fr'"):
        list(corpus)


def test_wikitext_of_the_catalog_is_divided_into_articles_or_lines(monkeypatch):
    from lm_eval_xling import catalog
    from lm_eval_xling.records import Row

    article = Row("7", "en", {"text": " = A = \n \n One , two . \n"})
    monkeypatch.setattr(catalog, "load_rows", lambda dataset, language, split: [article])
    name = "catalog:wikitext/validation/text"
    for format, expected in (
        (None, [("7", "= A =\nOne, two.")]),
        ("wikitext", [("7", "= A =\nOne, two.")]),
        ("lines", [("7/0", "= A ="), ("7/2", "One , two .")]),
    ):
        corpus = open_corpus(name, "en", ("en", "fr"), format)
        assert [(d.id, d.texts["en"]) for d in corpus] == expected
    assert corpus.digest() != open_corpus(name, "en", ("en", "fr")).digest()
    for refused, format in ((name, "text"), ("catalog:tofu/full/q", "lines"), ("parallel:a.{language}", "lines")):
        with pytest.raises(UserError, match="its rows are the documents"):
            open_corpus(refused, "en", ("en", "fr"), format)


def test_an_option_of_another_unit_is_refused():
    weights = {"en": 1.0, "fr": 1.0}
    Settings("en", weights, "chunk", words=4).check()
    Settings("en", weights, "word", ratio=0.5).check()
    with pytest.raises(UserError, match="--words says nothing of --unit sentence"):
        Settings("en", weights, words=4).check()
    with pytest.raises(UserError, match="--ratio says nothing of --unit chunk"):
        Settings("en", weights, "chunk", ratio=0.5).check()


def test_a_dataset_of_the_hub_is_read_through_datasets(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    # A folder is loaded as a repository is; its name says that it is WikiText.
    folder = tmp_path / "wikitext"
    folder.mkdir()
    lines = ["", " = A = \n", "", " One , two . \n", "", " = B = \n", "", " Three . \n"]
    (folder / "train.jsonl").write_text("".join(json.dumps({"text": line, "n": "x"}) + "\n" for line in lines))
    corpus = open_corpus(f"hub:{folder},split=train", "en", ("fr",))
    assert [(d.id, d.texts["en"]) for d in corpus] == [("0", "= A =\nOne, two."), ("1", "= B =\nThree.")]
    assert corpus.digest() == open_corpus(f"hub:{folder},split=train", "en", ("fr",)).digest()
    assert len(list(open_corpus(f"hub:{folder},split=train,field=n", "en", (), "lines"))) == 8
    with pytest.raises(UserError, match="did you mean text"):
        list(open_corpus(f"hub:{folder},split=train,field=texts", "en", ()))
    with pytest.raises(UserError, match="did you mean split"):
        open_corpus(f"hub:{folder},splits=train", "en", ())
    with pytest.raises(UserError, match="cannot be loaded"):
        list(open_corpus(f"hub:{tmp_path}/none", "en", ()))


def test_json_lines_keep_their_ids_and_lines_are_documents(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"id": "x", "text": "One."}\n\n{"text": "Two."}\n')
    found = [(d.id, d.texts["de"]) for d in open_corpus(str(tmp_path / "a.jsonl"), "de", ())]
    assert found == [("x", "One."), ("2", "Two.")]
    (tmp_path / "b.txt").write_text("One.\nTwo.\n\nThree.")
    assert [d.texts["en"] for d in open_corpus(str(tmp_path / "b.txt"), "en", (), "lines")] == [
        *("One.\n", "Two.\n", "\n", "Three.")
    ]
    assert [d.texts["en"] for d in open_corpus(str(tmp_path / "b.txt"), "en", ())] == ["One.\nTwo.\n\n", "Three."]


def xling(*arguments: str, **more) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from lm_eval_xling._cli import main; main()", "mix", *arguments],
        capture_output=True,
        text=True,
        **more,
    )


@pytest.fixture
def failing(monkeypatch, capsys) -> Callable[..., str]:
    """Runs the command in this process; returns what it prints when it exits with code 2."""

    def run(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["xling", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        assert caught.value.code == 2
        return capsys.readouterr().err

    return run


@pytest.fixture
def lexicon(tmp_path) -> str:
    (tmp_path / "en-fr.txt").write_text("is est\nhere ici\n")
    return f"lexicon:{tmp_path}/{{source}}-{{target}}.txt"


def test_the_command(book, tmp_path, lexicon):
    done = xling(
        *(str(book), "--languages", "en,fr", "--with", lexicon, "--out", str(tmp_path / "out.jsonl")),
        *("--cache", str(tmp_path / "cache")),
    )
    assert done.returncode == 0, done.stderr
    assert "300 documents, 900 units" in done.stdout
    units = [unit for text in texts(tmp_path) for unit in text.units]
    assert len(units) == 900 and {unit.language for unit in units} == {"en", "fr"}
    translated = [unit for unit in units if unit.language == "fr"]
    assert all(" est ici" in unit.text and " is here" in (unit.source or "") for unit in translated)


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (b" \n\n", ["--languages", "en,fr"], "the corpus is empty"),
        (b"Hi.", ["--languages", "en"], "one language is no mixture"),
        (b"Hi.", ["--languages", "en,de"], "no file for English (en) to German (de)"),
        (b"Hi.", ["--languages", "en,klingon"], "Klingon (tlh) is not among the"),
        (b"Hi.", ["--languages", "en,blorp"], "unknown language 'blorp'"),
        (b"Hi.", ["--languages", "en,fr", "--unit", "sentences"], "did you mean sentence"),
        (b"Hi.", ["--languages", "en,fr", "--format", "wiki"], "did you mean wikitext"),
        (b"Hi.", ["--languages", "en,fr", "--words", "0", "--unit", "chunk"], "chunk of 0 words"),
        (b"Hi.", ["--languages", "en,fr", "--limit", "0"], "the limit is 0"),
        (b"Hi \xff", ["--languages", "en,fr"], "not UTF-8"),
        (b"{}", ["--languages", "en,fr", "--format", "jsonl"], "line 1 is no document"),
    ],
)
def test_bad_input_is_one_message_and_leaves_nothing(tmp_path, lexicon, failing, content, arguments, message):
    (tmp_path / "in.txt").write_bytes(content)
    out = tmp_path / "out" / "o.jsonl"
    stderr = failing(
        *("mix", str(tmp_path / "in.txt"), "--with", lexicon, "--out", str(out), "--cache", str(tmp_path / "c")),
        *arguments,
    )
    assert message in stderr
    assert not out.exists() and not manifest_path(out).exists()


def test_a_missing_file_and_a_missing_translator(tmp_path, failing):
    stderr = failing("mix", str(tmp_path / "none"), "--languages", "en,fr", "--out", str(tmp_path / "o"))
    assert "there is no such file" in stderr
    (tmp_path / "in.txt").write_text("Hi.")
    stderr = failing("mix", str(tmp_path / "in.txt"), "--languages", "en,fr", "--out", str(tmp_path / "o"))
    assert "no translator" in stderr


def test_a_foreign_file_is_not_replaced(book, tmp_path, monkeypatch):
    use(monkeypatch, tmp_path / "log")
    (tmp_path / "out.jsonl").write_text("precious")
    with pytest.raises(UserError, match="a file is there"):
        run(book, tmp_path)
    assert (tmp_path / "out.jsonl").read_text() == "precious"


@pytest.mark.slow
def test_a_full_disk_keeps_what_is_done(book, tmp_path, lexicon):
    arguments = [str(book), "--languages", "en,fr", "--with", lexicon, "--out", str(tmp_path / "out.jsonl")]
    # The limit of the file size is what a full disk looks like to a process. Only the corpus is larger.
    limit = 120_000
    full = xling(
        *arguments,
        *("--cache", str(tmp_path / "cache")),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert full.returncode == 2, full.stderr
    assert "disk is full" in full.stderr and "Traceback" not in full.stderr
    assert not (tmp_path / "out.jsonl").exists()
    # And one that is too full for the cache.
    full = xling(
        *arguments,
        *("--cache", str(tmp_path / "cache2")),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000)),
    )
    assert full.returncode == 2 and "make room" in full.stderr and "Traceback" not in full.stderr, full.stderr
    done = xling(*arguments, "--cache", str(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr
    assert "".join(text.source for text in texts(tmp_path)).encode() == book.read_bytes()


@pytest.mark.parametrize(("name", "format"), [("a.txt", "text"), ("a.txt", "lines"), ("a.jsonl.gz", None)])
def test_a_byte_order_mark_is_no_part_of_the_first_document(tmp_path, name, format):
    content = '{"text": "Hi."}\n' if format is None else "Hi.\n"
    data = b"\xef\xbb\xbf" + content.encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    first = next(iter(open_corpus(str(tmp_path / name), "en", ("en",), format)))
    assert first.texts["en"].rstrip() == "Hi."
