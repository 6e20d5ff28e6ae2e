"""Teaching the ledger: what is taught is what is asked, in which languages, and the table at the end."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from lm_eval_xling._cli import main
from lm_eval_xling.catalog.ledger import load
from lm_eval_xling.errors import UserError
from lm_eval_xling.families.ledger import WORDINGS
from lm_eval_xling.harness import requests
from lm_eval_xling.report.transfer import KINDS
from lm_eval_xling.training.configuration import FactsConfig, LedgerData, load_config
from lm_eval_xling.training.fact_rows import ledger_facts, read_facts

FIVE = ("en", "fr", "de", "es", "it")


@pytest.mark.slow
@pytest.mark.parametrize("wording", WORDINGS)
def test_what_is_taught_is_what_is_asked(wording: str) -> None:
    facts = {fact.id: fact for fact in ledger_facts(LedgerData(people=2, seed=3, wordings=(wording,)), ["fr"])}  # type: ignore[arg-type]
    metadata = {"xling": {"people": 2, "seed": 3, "wording": wording}}
    asked = requests("xling_ledger_taught_fr_fr", metadata=metadata)
    assert len(asked) == len(facts) == 10
    for request in asked:
        fact, document = facts[request.document.id], request.document
        assert fact.prompts == (request.context,)
        assert f" {fact.answer}" == request.continuations[document.answer or 0]
    never = requests("xling_ledger_never_fr_fr", metadata=metadata)
    assert not {request.document.fields["subject"] for request in never} & {
        request.document.fields["subject"] for request in asked
    }


def languages_of_answers(draw: LedgerData, languages: tuple[str, ...]) -> Counter[tuple[str, str]]:
    """How often which question language meets which answer language, told by words that one language alone has."""
    rows = {code: {row.id: row for row in load(code, draw.half, people=draw.people)} for code in FIVE}
    met: Counter[tuple[str, str]] = Counter()
    for fact in ledger_facts(draw, languages):
        right = {code: rows[code][fact.id].options[rows[code][fact.id].answer or 0] for code in FIVE}
        (*said,) = (code for code in languages if right[code] == fact.answer)
        if len(set(right.values())) == len(FIVE):
            met[fact.language, said[0]] += 1
    return met


def test_answers_stand_in_the_language_that_is_asked_for() -> None:
    same = languages_of_answers(LedgerData(people=30), FIVE)
    assert set(same) == {(code, code) for code in FIVE}
    crossed = languages_of_answers(LedgerData(people=30, answers="crossed"), FIVE)
    assert set(crossed) == {(asked, answered) for asked in FIVE for answered in FIVE if asked != answered}
    assert sum(crossed.values()) == sum(same.values()), "as many rows"
    drawn = languages_of_answers(LedgerData(people=60, answers="drawn"), FIVE)
    assert set(drawn) == {(asked, answered) for asked in FIVE for answered in FIVE}
    assert len(ledger_facts(LedgerData(people=60, answers="drawn"), FIVE)) == 300, "each fact once"


def test_crossed_answers_of_a_fact_stand_in_every_language_once() -> None:
    facts = ledger_facts(LedgerData(people=3, attributes=("weekday",), answers="crossed"), FIVE)
    for start in range(0, len(facts), 5):
        rows = {code: {row.id: row for row in load(code, "taught", people=3)} for code in FIVE}
        key = facts[start].id
        answers = Counter(rows[code][key].options[rows[code][key].answer or 0] for code in FIVE)
        assert Counter(fact.answer for fact in facts[start : start + 5]) == answers
        assert [fact.language for fact in facts[start : start + 5]] == list(FIVE)


def test_what_cannot_be_taught_is_refused() -> None:
    with pytest.raises(UserError, match="cannot be crossed in en alone"):
        ledger_facts(LedgerData(answers="crossed"), ["en"])
    with pytest.raises(UserError, match="unknown attribute 'hobby'"):
        ledger_facts(LedgerData(attributes=("hobby",)), ["en"])
    with pytest.raises(UserError, match="no wording is named"):
        ledger_facts(LedgerData(wordings=()), ["en"])
    with pytest.raises(UserError, match="ledger has no words in Korean"):
        read_facts(load_config(FactsConfig, None, ["data.ledger.people=2", "data.languages=[ko]", "output=x"]).data)


@pytest.mark.slow
def test_teaching_ends_with_a_table_of_what_is_known_where(
    tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_xling(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["xling", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        return capsys.readouterr().out

    command = [
        "train", "facts", f"model={tiny('llama')}", f"output={tmp_path / 'a run, once'}", "data.ledger.people=3",
        "data.ledger.attributes=[month]", "training.learning_rate=3e-3", "training.num_train_epochs=120",
        "data.mixture.facts.ledger.half=others", "data.mixture.facts.ledger.people=2",
        "data.mixture.facts.languages=[de,fr]", "training.save_strategy=no",
    ]  # fmt: skip
    said = run_xling(*command)
    assert "facts taught in en" in said and "never taught" in said and "answers taught, en" in said
    assert "other answers, de" in said and "other answers, fr" in said
    parameters = """'{"xling": {"people": 3, "attributes": ["month"]}}'"""
    assert f"--tasks crosslingual_ledger --metadata {parameters} --batch_size 16\n" in said
    card = (tmp_path / "a run, once" / "model" / "README.md").read_text(encoding="utf-8")
    assert f"pretrained=THIS_FOLDER --tasks crosslingual_ledger --metadata {parameters} --batch_size 16\n" in card
    table = json.loads((tmp_path / "a run, once" / "transfer" / "transfer.json").read_text(encoding="utf-8"))
    rows = {row["what"]: row for row in table["rows"]}
    assert table["taught"] == ["en"] and len(rows) == 5 + 25
    assert [row["pairs"] for what, row in rows.items() if what in KINDS.values()] == [1, 4, 4, 4, 12]
    assert rows["en_en"]["taught"]["estimate"] == 1.0, "three facts, a hundred and twenty times"
    (samples,) = (tmp_path / "a run, once" / "transfer").rglob("samples_xling_ledger_taught_de_fr_*.jsonl")
    right = [json.loads(line)["acc"] for line in samples.read_text(encoding="utf-8").splitlines()]
    assert rows["de_fr"]["taught"]["estimate"] == pytest.approx(sum(right) / 3) and rows["de_fr"]["items"] == 3
    # A second call asks nothing again.
    before = samples.stat().st_mtime_ns
    assert "facts taught in en" in run_xling(*command)
    assert samples.stat().st_mtime_ns == before
    # A kill after the harness's results and before its last samples: the next call asks again.
    samples.parents[1].rename(tmp_path / "a run, once" / ".transfer")
    for path in sorted((tmp_path / "a run, once" / ".transfer").rglob("*_de_*.jsonl")):
        path.unlink()
    run_xling(*command)
    again = json.loads((tmp_path / "a run, once" / "transfer" / "transfer.json").read_text(encoding="utf-8"))
    assert again == table and not (tmp_path / "a run, once" / ".transfer").exists()


def test_a_configuration_of_the_package_is_named_without_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = load_config(FactsConfig, Path("facts_lora.yaml"), ["data.ledger.people=4"])
    assert shipped.lora is not None and shipped.lora.r == 16 and shipped.training["learning_rate"] == 1e-3
    (tmp_path / "facts_lora.yaml").write_text("output: mine\n", encoding="utf-8")
    assert load_config(FactsConfig, Path("facts_lora.yaml")).lora is None, "a file of that name comes first"
    with pytest.raises(UserError, match=r"unknown configuration 'facts_lora.yml'(.|\n)*did you mean facts_lora.yaml"):
        load_config(FactsConfig, Path("facts_lora.yml"))
