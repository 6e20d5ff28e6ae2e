from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lm_eval_xling.catalog import DATASETS, Lacking, availability, commands, lacking, lacks_in_words, load_rows, loading
from lm_eval_xling.errors import UserError
from lm_eval_xling.languages import LANGUAGES


def test_every_entry_is_complete() -> None:
    assert set(DATASETS) == {
        "atlas", "ledger", "mmlu", "mmlu_mixup", "hp", "sentiment", "nli", "paraphrase", "zhang_prompts", "tofu",
        "mgsm", "msvamp", "xquad", "belebele", "flores", "wikitext", "question_pairs",
    }  # fmt: skip
    for name, entry in DATASETS.items():
        assert entry.name == name
        assert all((entry.title, entry.licence, entry.citation, entry.schema)), name
        assert entry.homepage.startswith("https://")
        assert set(entry.languages) <= {*LANGUAGES, "mul"}
        assert len(set(entry.languages)) == len(entry.languages)
        assert entry.parts(), name
        assert (entry.built_in is None) == bool(entry.sources) == bool(entry.formats)


def test_every_real_part_has_whole_rows(mirror: Path, use_mirror: None) -> None:
    from lm_eval_xling.catalog.mirror import Mirror

    for (name, part), stored in Mirror(mirror).parts.items():
        rows = load_rows(name, *part)
        assert len(rows) == stored.rows
        assert len({row.id for row in rows}) == len(rows)
        assert all(row.language == part.language for row in rows)
        assert all(text.strip() for row in rows for text in (*row.fields.values(), *row.options))
        assert all(row.answer is not None and row.answer < len(row.options) for row in rows if row.options)


def test_languages_of_a_dataset_are_parallel_in_the_mirror(mirror: Path, use_mirror: None) -> None:
    from lm_eval_xling.catalog.mirror import Mirror

    for (name, part), _ in Mirror(mirror).parts.items():
        rows = {row.id: row for row in load_rows(name, *part)}
        others = {row.id: row for row in load_rows(name, "en", part.split)} if name != "question_pairs" else rows
        assert set(rows) <= set(others)
        if name == "wikitext":
            continue
        for identifier, row in rows.items():
            other = others[identifier]
            assert (row.answer, tuple(row.fields)) == (other.answer, tuple(other.fields))


def test_rows_are_read_once_and_each_caller_has_its_own_list(use_mirror: None) -> None:
    first, second = load_rows("hp", "de", "test"), load_rows("hp", "German", "test")
    assert first == second and first is not second and first[0] is second[0]
    first.clear()
    assert load_rows("hp", "deu_Latn", "test") == second


def test_another_mirror_is_read_anew(
    use_mirror: None, imported: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(load_rows("hp", "en", "test")) > 1
    row = {"id": "7", "question": "Who?", "A": "a", "B": "b", "C": "c", "D": "d", "answer": "A"}
    (tmp_path / "quiz_en.jsonl").write_text(json.dumps(row) + "\n")
    imported("hp", tmp_path, "en", "test")
    monkeypatch.setenv("XLING_DATA", str(tmp_path / "mirror"))
    assert [row.id for row in load_rows("hp", "en", "test")] == ["7"]


def test_atlas_needs_no_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLING_DATA", "/nowhere")
    assert len(load_rows("atlas", "fr", "test")) >= 300


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mmul", "en", "test"), r"unknown dataset 'mmul'\n  fix: did you mean mmlu"),
        (("mmlu", "en", "tset"), r"unknown split of dataset 'mmlu' 'tset'\n  fix: did you mean test"),
        (("mmlu", "Germn", "test"), r"unknown language 'Germn'\n  fix: did you mean de"),
        (("atlas", "ko", "test"), r"dataset 'atlas' is not published in language 'ko', split 'test'"),
    ],
)
def test_wrong_names_are_answered_with_the_nearest(arguments: tuple[str, str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_rows(*arguments)


def test_without_mirror_and_network_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XLING_DATA", raising=False)
    # Rows are read once a process, and another test may have served these.
    loading._rows.cache_clear()
    with pytest.raises(UserError) as raised:
        load_rows("mmlu", "de", "test")
    text = str(raised.value)
    assert "dataset 'mmlu' (de test) cannot be reached" in text
    assert "hub:CohereLabs/Global-MMLU" in text
    assert "xling data fetch mmlu --to MIRROR" in text and "export XLING_DATA=MIRROR" in text


def test_a_language_nobody_publishes_can_still_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XLING_DATA", raising=False)
    with pytest.raises(UserError, match=r"not published in language 'it'(?s:.*)xling data import mgsm --from"):
        load_rows("mgsm", "it", "test")


def test_availability_tells_sources_and_mirror(use_mirror: None) -> None:
    states = {state.name: state for state in availability(DATASETS.values())}
    assert list(states) == list(DATASETS)
    assert states["atlas"].built_in and not states["atlas"].unreachable
    assert states["mmlu"].unreachable[0].startswith("hub:CohereLabs/Global-MMLU: ")
    assert {stored.language for stored in states["mgsm"].stored} == set(DATASETS["mgsm"].languages)
    assert states["mmlu_mixup"].stored == ()


def test_a_mirror_lacks_what_it_does_not_hold_or_holds_in_part(
    imported: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported("hp", Path(__file__).parents[1] / "fixtures" / "hp", "en", "test")
    folder = tmp_path / "mirror"
    monkeypatch.setenv("XLING_DATA", str(folder))
    assert lacking("hp", "test", ["en", "German"]) == []
    german = lacking("mgsm", "test", ["deu_Latn"])
    assert german == [Lacking("mgsm", "test", "de", "the mirror does not hold it")]
    assert commands(german) == [f"xling data fetch mgsm --languages de --splits test --to {folder}"]
    # Nobody publishes the quiz in Korean.
    assert commands(lacking("hp", "test", ["ko"])) == [f"xling data import hp --from DIR --to {folder}"]
    with (folder / "hp" / "test" / "de.jsonl").open("ab") as out:
        out.write(b"{}\n")
    (folder / "hp" / "test" / "fr.jsonl").unlink()
    why = {part.language: part.why for part in lacking("hp", "test", ["en", "de", "fr"])}
    assert why.keys() == {"de", "fr"} and "bytes, the manifest says" in why["de"] and "is missing" in why["fr"]
    for part in ("de", "fr"):
        with pytest.raises(UserError):
            load_rows("hp", part, "test")


def test_without_a_mirror_a_source_must_answer_or_have_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XLING_DATA", raising=False)
    assert lacking("atlas", "test", ["fr"]) == []
    assert [part.language for part in lacking("atlas", "test", ["ko"])] == ["ko"]
    (german,) = lacking("mmlu", "test", ["de"])
    assert german.why.startswith("hub:CohereLabs/Global-MMLU: ")
    fetched = "xling data fetch mmlu --languages de --splits test --to MIRROR"
    assert commands([german]) == [fetched, "export XLING_DATA=MIRROR"]
    assert commands(lacking("atlas", "test", ["ko"])) == ["xling data list"]
    (icelandic,) = lacking("mmlu", "test", ["is"])
    assert icelandic.why == "no source publishes it"
    monkeypatch.setattr(type(DATASETS["mmlu"].sources[0]), "at_hand", lambda source, part: part.language == "de")
    assert [part.language for part in lacking("mmlu", "test", ["de", "fr"])] == ["fr"]


def test_what_is_lacking_for_one_reason_is_one_command_and_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Languages that lack the same splits go together, so that a command gets no split that was not asked for."""
    monkeypatch.delenv("XLING_DATA", raising=False)
    asked = [("mmlu", "test", "en"), ("mmlu", "test", "de"), ("mmlu", "dev", "en"), ("mmlu", "test", "fr")]
    parts = [Lacking(*part, "no network") for part in [*asked, asked[0], ("mgsm", "test", "de")]]
    assert commands(parts) == [
        "xling data fetch mmlu --languages en --splits test,dev --to MIRROR",
        "xling data fetch mmlu --languages de,fr --splits test --to MIRROR",
        "xling data fetch mgsm --languages de --splits test --to MIRROR",
        "export XLING_DATA=MIRROR",
    ]
    assert lacks_in_words([*parts, Lacking("hp", "test", "ko", "no source publishes it")]) == (
        "mmlu in en, splits test, dev and mmlu in de, fr, split test and mgsm in de, split test: no network; "
        "hp in ko, split test: no source publishes it"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mmul", "test", ["en"]), "unknown dataset 'mmul'"),
        (("mmlu", "tset", ["en"]), "unknown split"),
        (("mmlu", "test", ["da"]), r"Danish \(da\) is not among the"),
    ],
)
def test_wrong_names_are_no_lack(arguments: tuple[str, str, list[str]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        lacking(*arguments)


def test_the_text_of_parallel_rows_is_a_field_of_theirs(mirror: Path, use_mirror: None) -> None:
    parallel = {name: entry.text_field for name, entry in DATASETS.items() if entry.text_field is not None}
    assert set(DATASETS) - set(parallel) == {
        "atlas", "ledger", "mmlu_mixup", "wikitext", "question_pairs", "zhang_prompts",
    }  # fmt: skip
    for name, field in parallel.items():
        texts = [row.fields[field] for row in load_rows(name, "en", DATASETS[name].splits[0])]
        # Repeated texts cannot be told apart by their translations.
        assert len(set(texts)) > 0.9 * len(texts), name
