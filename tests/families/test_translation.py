"""The FLORES sample, through the harness."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from lm_eval_xling import catalog
from lm_eval_xling.errors import UserError
from lm_eval_xling.families import FAMILIES, translation
from lm_eval_xling.families.translation import translation_scores
from lm_eval_xling.harness import requests
from lm_eval_xling.metrics.fidelity import is_in_language
from lm_eval_xling.records import Row, TaskDocuments
from tests.families.making import made, said

LANGUAGES = ("en", "fr", "de", "es", "it")


@pytest.fixture(autouse=True)
def mirrored(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLING_DATA", str(mirror))


def test_twenty_directions() -> None:
    names = {leaf.name for leaf in FAMILIES["translation"].leaves}
    assert names == {f"{source}_{target}" for source in LANGUAGES for target in LANGUAGES if source != target}


def test_prompt_is_that_of_alma() -> None:
    rows = {code: catalog.load_rows("flores", code, "devtest") for code in LANGUAGES}
    shown = requests("xling_translation_de_it")
    assert len(shown) == len(rows["de"])
    german = rows["de"][5].fields["sentence"]
    assert shown[5].context == f"Translate this from German to Italian:\nGerman: {german}\nItalian:"
    assert shown[5].document.target == rows["it"][5].fields["sentence"]


def test_five_shot_demonstrations_are_ours_and_all_sentences_are_scored() -> None:
    shown = requests("xling_translation_en_fr", num_fewshot=5)
    assert len(shown) == len(catalog.load_rows("flores", "en", "devtest"))
    assert shown[0].context.count("Translate this from English to French:\n") == 6
    assert "French: Des chercheurs ont constaté" in shown[0].context
    sentences = {row.fields["sentence"] for row in catalog.load_rows("flores", "en", "devtest")}
    demonstrations = made("translation", "en_fr").demonstrations
    assert not sentences & {document.fields["source"] for document in demonstrations}


def test_demonstrations_are_in_their_languages() -> None:
    path = Path(translation.__file__).with_name("translation_demonstrations.yaml")
    for sentences in yaml.safe_load(path.read_text(encoding="utf-8")):
        assert all(is_in_language(text, code) for code, text in sentences.items())


def test_results_hold_corpus_scores_and_signatures() -> None:
    from lm_eval import simple_evaluate
    from lm_eval.api.metrics import bleu
    from lm_eval.tasks import TaskManager

    from lm_eval_xling.harness import tasks_folder
    from lm_eval_xling.metrics.translation_quality import chrf_plus_plus

    name = "xling_translation_en_fr"
    manager = TaskManager(include_path=str(tasks_folder()), include_defaults=False)
    results = simple_evaluate(model="dummy", tasks=[name], limit=5, task_manager=manager, log_samples=True)
    assert results is not None
    pairs = [(sample["doc"]["target"], sample["filtered_resps"][0]) for sample in results["samples"][name]]
    assert results["results"][name]["bleu,none"] == pytest.approx(bleu(pairs))
    assert results["results"][name]["chrf++,none"] == pytest.approx(chrf_plus_plus(pairs))
    assert "tok:13a" in results["results"][name]["sacrebleu,none"]


def test_language_of_a_translation() -> None:
    (request,) = requests("xling_translation_en_fr", rows=[1])
    right = translation_scores(request.document, said(request.document.target or ""))
    assert right["bleu"] == right["chrf++"] == (request.document.target, request.document.target)
    assert right["language_fidelity"] == 1.0
    assert translation_scores(request.document, said(request.document.fields["source"]))["language_fidelity"] == 0.0


def test_bad_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    def serve(**sentences: list[str]) -> None:
        def rows(dataset: str, language: str, split: str) -> list[Row]:
            return [Row(str(i), language, {"sentence": text}) for i, text in enumerate(sentences[language])]

        monkeypatch.setattr(catalog, "load_rows", rows)

    def documents(**parameters: Any) -> TaskDocuments:
        return made("translation", "en_fr", **parameters)

    serve(en=["a", "b"], fr=["c"])
    with pytest.raises(UserError, match=r"1 of 2 ids (.|\n)*'1' \(not in fr\)"):
        documents()
    assert len(documents(missing="drop").evaluated) == 1
    serve(en=["a"], fr=[" "])
    with pytest.raises(UserError, match="a sentence is empty(.|\n)*id 0"):
        documents()
