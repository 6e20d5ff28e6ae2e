from __future__ import annotations

import os
import pickle
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from lm_eval_xling.errors import UserError
from lm_eval_xling.translation import Cache, GuardedTranslator
from lm_eval_xling.translation.memory import Entry
from tests.processes import forked
from tests.translation.fakes import Shouting

TEXTS = [f"text number {number}" for number in range(60)]


def run(folder: Path, seconds: float) -> None:
    GuardedTranslator(Shouting(folder / "log", seconds=seconds), Cache(folder / "c.sqlite"))(TEXTS, "en", "fr")


def test_keeps_by_identity_pair_and_text(tmp_path):
    cache = Cache(tmp_path / "deep" / "c.sqlite")
    cache.put("a", "en", "fr", {"cat": Entry("chat", None), "x": Entry(None, "empty")})
    again = Cache(tmp_path / "deep" / "c.sqlite")
    assert again.get("a", "en", "fr", ["x", "cat", "dog"]) == {"cat": Entry("chat", None), "x": Entry(None, "empty")}
    assert again.get("b", "en", "fr", ["cat"]) == again.get("a", "en", "de", ["cat"]) == {}
    assert again.get("a", "fr", "en", ["cat"]) == {}


def test_what_is_kept_first_stays(tmp_path):
    cache = Cache(tmp_path / "c.sqlite")
    cache.put("a", "en", "fr", {"cat": Entry("chat", None)})
    cache.put("a", "en", "fr", {"cat": Entry("matou", None), "dog": Entry("chien", None)})
    assert cache.get("a", "en", "fr", ["cat"])["cat"].output == "chat"
    assert cache.get("a", "en", "fr", ["dog"])["dog"].output == "chien"


def test_many_texts_at_once(tmp_path):
    cache = Cache(tmp_path / "c.sqlite")
    entries = {f"t{number}": Entry(f"u{number}", None) for number in range(2500)}
    cache.put("a", "en", "fr", entries)
    assert cache.get("a", "en", "fr", list(entries)) == entries


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "c.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(UserError, match="cannot be used") as caught:
        Cache(tmp_path / "c.sqlite").get("a", "en", "fr", ["x"])
    assert caught.value.where == str(tmp_path / "c.sqlite")


def test_a_newer_format_is_left_alone(tmp_path):
    with sqlite3.connect(tmp_path / "c.sqlite") as connection:
        connection.execute("PRAGMA user_version=99")
    with pytest.raises(UserError, match="format 99"):
        Cache(tmp_path / "c.sqlite").get("a", "en", "fr", ["x"])


def test_a_second_run_translates_nothing(tmp_path):
    run(tmp_path, 0)
    log = (tmp_path / "log").read_text()
    assert sorted(log.splitlines()) == sorted(TEXTS)
    again = GuardedTranslator(Shouting(tmp_path / "log"), pickle.loads(pickle.dumps(Cache(tmp_path / "c.sqlite"))))
    assert again(TEXTS, "en", "fr") == [f"fr: {text.upper()}" for text in TEXTS]
    assert (tmp_path / "log").read_text() == log
    assert again.counts == {"requested": 60, "cached": 60}


@pytest.mark.parametrize("after", [0.15, 0.4, 0.7])
def test_a_killed_run_continues(tmp_path, after):
    process = forked(run, tmp_path, 0.06)
    process.start()
    time.sleep(after)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    translator = Shouting(tmp_path / "log")
    before = len(translator.asked)
    assert before < len(TEXTS)
    outputs = GuardedTranslator(translator, Cache(tmp_path / "c.sqlite"))(TEXTS, "en", "fr")
    assert outputs == [f"fr: {text.upper()}" for text in TEXTS]
    # At most the batch that was under way is translated twice.
    assert len(TEXTS) <= len(translator.asked) <= len(TEXTS) + translator.batch


def test_two_processes_use_one_cache(tmp_path):
    processes = [forked(run, tmp_path, 0.01) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    entries = Cache(tmp_path / "c.sqlite").get("shouting", "en", "fr", TEXTS)
    assert {text: entry.output for text, entry in entries.items()} == {t: f"fr: {t.upper()}" for t in TEXTS}


def test_a_fork_does_not_inherit_the_connection(tmp_path):
    cache = Cache(tmp_path / "c.sqlite")
    cache.put("a", "en", "fr", {"cat": Entry("chat", None)})

    def child() -> None:
        cache.put("a", "en", "fr", {"dog": Entry("chien", None)})

    process = forked(child)
    process.start()
    process.join()
    assert process.exitcode == 0
    assert set(cache.get("a", "en", "fr", ["cat", "dog"])) == {"cat", "dog"}
