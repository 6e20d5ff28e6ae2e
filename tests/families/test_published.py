"""``preset: paper`` sends, byte for byte, what the papers' released scripts make of the same rows.

``tests/fixtures/published/outputs.json`` is their output on rows that we wrote (``tests/generators/published.py``).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lm_eval.tasks import TaskManager

from lm_eval_xling import catalog
from lm_eval_xling.catalog import DATASETS
from lm_eval_xling.catalog.dataset import Part
from lm_eval_xling.catalog.papers import ZHANG
from lm_eval_xling.errors import UserError
from lm_eval_xling.families import family_named, mmlu
from lm_eval_xling.families.mmlu import MmluParameters
from lm_eval_xling.harness import requests, tasks_folder
from lm_eval_xling.records import ComposedItem, Request, Row
from tests.families.making import made
from tests.generators.published import DEMONSTRATIONS, SCRIPTS, digest

FOLDER = Path(__file__).resolve().parents[1] / "fixtures" / "published"
ROWS = json.loads((FOLDER / "rows.json").read_text(encoding="utf-8"))
OUTPUTS = json.loads((FOLDER / "outputs.json").read_text(encoding="utf-8"))


def asked(task: str, *, shots: int | None = None, chat: Any = None, **xling: Any) -> list[Request]:
    metadata = {"xling": {"preset": "paper", **xling}}
    return requests(task, num_fewshot=shots, metadata=metadata, chat_template=chat)


def shown(task: str, language: str, labels: str) -> list[str]:
    """What every document of a leaf shows; the harness adds nothing to it (``test_nothing_is_added``)."""
    documents = made(task, language, preset="paper", labels=labels).evaluated
    return [f"{document.prompt}\n{document.cue}" for document in documents]


def contexts(task: str, shots: int | None = None, **xling: Any) -> list[str]:
    return [request.context for request in asked(task, shots=shots, **xling)]


def mmlu_rows(dataset: str, language: str, split: str) -> list[Row]:
    subject = ROWS["mmlu"]["subject"]
    return [
        Row(f"{subject}/{split}/{index}", language, {"question": question}, tuple(options), "ABCD".index(letter), None,
            {"subject": subject, "category": "social sciences"})
        for index, (question, *options, letter) in enumerate(ROWS["mmlu"][split][language])
    ]  # fmt: skip


@pytest.fixture
def mmlu_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "load_rows", mmlu_rows)


LEAVES = {"en": "xling_mmlu_en", "de": "xling_mmlu_full_de", "mul": "xling_mmlu_mixup_paper"}


@pytest.mark.slow
@pytest.mark.usefixtures("mmlu_written")
@pytest.mark.parametrize("language", LEAVES)
def test_mmlu(language: str) -> None:
    task, expected = LEAVES[language], OUTPUTS["mmlu"]
    sentences = {-1: "none", 0: "question_and_options", 1: "any_language"}
    for number, name in sentences.items():
        prompts = [prompt for prompt, _ in expected[f"{language} 0-shot {number}"]]
        assert contexts(task, 0, awareness=name) == prompts
    assert contexts(task) == [prompt for prompt, _ in expected[f"{language} 5-shot"]]
    assert contexts(task, demos="placement") == [prompt for prompt, _ in expected[f"{language} 5-shot same"]]


@pytest.mark.usefixtures("mmlu_written")
def test_mmlu_identifiers_and_their_gold_answers() -> None:
    found = asked("xling_mmlu_full_de", shots=2, option_ids="1-4")
    assert {request.continuations for request in found} == {("1", "2", "3", "4")}
    answers = [request.continuations[request.document.answer or 0] for request in found]
    assert [[r.context, a] for r, a in zip(found, answers, strict=True)] == OUTPUTS["mmlu"]["de 2-shot numbers"]


@pytest.mark.usefixtures("mmlu_written")
def test_mmlu_translate_then_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def mixed(leaf: object, split: str, parameters: MmluParameters) -> list[ComposedItem]:
        return [mmlu._published(row) for row in mmlu_rows("mmlu_mixup", "mul", split)]

    monkeypatch.setattr(mmlu, "_items", mixed)
    monkeypatch.setattr(mmlu, "_english", lambda: [mmlu._published(row) for row in mmlu_rows("mmlu", "en", "dev")])
    found = asked("xling_mmlu_mixup_translate")
    assert [request.context for request in found] == [prompt for prompt, _ in OUTPUTS["mmlu"]["mul translate"]]
    assert {request.max_tokens for request in found} == {256}
    with pytest.raises(UserError, match="one sentence for translate-then-answer(.|\n)*awareness: any_language"):
        asked("xling_mmlu_mixup_translate", awareness="any_language")


def quiz_rows(dataset: str, language: str, split: str) -> list[Row]:
    lines = (FOLDER.parent / "hp" / f"quiz_{language}.jsonl").read_text(encoding="utf-8").splitlines()
    return [
        Row(
            row["id"],
            language,
            {"question": row["question"]},
            tuple(row[x] for x in "ABCD"),
            "ABCD".index(row["answer"]),
        )
        for row in map(json.loads, lines)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "de", "fr", "es", "it"])
def test_quiz(language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "load_rows", quiz_rows)
    found = asked("xling_hp_en" if language == "en" else f"xling_hp_full_{language}")
    assert [request.context for request in found] == OUTPUTS["hp"][language]
    assert {request.continuations for request in found} == {tuple("ABCD")}


@pytest.mark.parametrize("family", ["mmlu", "hp"])
def test_gpt_gets_one_message_and_gives_one_token(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "load_rows", mmlu_rows if family == "mmlu" else quiz_rows)
    task = f"xling_{family}_generate_full_de"
    found = asked(task, chat=lambda messages, **_: json.dumps(messages))
    plain = contexts(f"xling_{family}_full_de")
    assert [json.loads(request.context) for request in found] == [
        [{"role": "user", "content": prompt}] for prompt in plain
    ]
    assert {request.max_tokens for request in found} == {1}


FIELDS = {"sentiment": ("text",), "nli": ("premise", "hypothesis"), "paraphrase": ("sentence_1", "sentence_2")}
MODES = [(task, labels) for task, scripts in SCRIPTS.items() for labels in scripts]


def texts_of(task: str) -> list[list[str]]:
    return [row if isinstance(row, list) else [row] for row in ROWS[task]]


def script(task: str, labels: str) -> str:
    """A script of the shape of the released ones, with demonstrations of ours and the words of the released ones."""
    variables = ("i",) if task == "sentiment" else ("p", "h")
    chain, prefixes = [], {}
    for language in ZHANG:
        rest = OUTPUTS[task][f"{language} {labels}"]["prompts"][0].removeprefix(DEMONSTRATIONS)
        parts = [f"prompt_prefix[{language!r}]"]
        for text, variable in zip(texts_of(task)[0], variables, strict=True):
            before, _, rest = rest.partition(text)
            parts += [repr(before), variable]
        parts.append(repr(rest))
        loop = f"{', '.join(variables)} in zip({', '.join('inputs[0]' for _ in variables)})"
        prefixes[language] = DEMONSTRATIONS
        chain += [f"if target_lang == {language!r}:", f"    dataset = CustomDataset('{language}.json')"]
        chain += [f"if target_lang == {language!r}:", f"    input = [{' + '.join(parts)} for {loop}]"]
    end = "_irrelative" if labels == "agnostic" else ""
    names = ("positive", "neutral", "negative") if task == "nli" else ("positive", "negative")
    by_language = {language: OUTPUTS[task][f"{language} {labels}"]["labels"] for language in ZHANG}
    answers = [
        f"{name}_answers{end} = { ({language: words[index] for language, words in by_language.items()})!r}"
        for index, name in enumerate(names)
    ]
    return "\n".join(
        ["raise SystemExit('a script is read, never run')", f"prompt_prefix = {prefixes!r}", *answers, *chain]
    )


def serve(task: str, labels: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Serve the rows of ours, and the prompts that the catalog reads from a script."""

    def rows(dataset: str, language: str, split: str) -> list[Row]:
        if dataset == "zhang_prompts":
            assert split == f"{task}_{labels}"
            return list(DATASETS[dataset].formats[0].read(Part(language, split), [path]))
        return [
            Row(str(index), language, dict(zip(FIELDS[task], texts, strict=True)), answer=index % 2)
            for index, texts in enumerate(texts_of(task))
        ]

    monkeypatch.setattr(catalog, "load_rows", rows)


@pytest.mark.parametrize(("task", "labels"), MODES)
def test_classification(task: str, labels: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "script.py"
    path.write_text(script(task, labels), encoding="utf-8")
    serve(task, labels, path, monkeypatch)
    for language in ZHANG:
        expected = OUTPUTS[task][f"{language} {labels}"]
        found = made(task, language, preset="paper", labels=labels).evaluated
        # The Thai labels begin alike; the script shows the model that beginning in tokens of its own.
        shared = "เชิง" if (task, labels, language) == ("sentiment", "native", "th") else ""
        assert shown(task, language, labels) == [f"{prompt}{shared}" for prompt in expected["prompts"]]
        words = tuple(word.removeprefix(shared) for word in expected["labels"])
        assert {document.choices for document in found} == {words}
        spoken = language if labels == "native" else "en"
        assert {document.condition.languages["answer"] for document in found} == {spoken}


def test_nothing_is_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "script.py"
    path.write_text(script("nli", "english"), encoding="utf-8")
    serve("nli", "english", path, monkeypatch)
    found = asked("xling_nli_sw")
    assert [request.context for request in found] == OUTPUTS["nli"]["sw english"]["prompts"]
    assert {request.continuations for request in found} == {("entailment", "neutral", "contradiction")}


SOURCE = DATASETS["zhang_prompts"].sources[0]

# Left out where nobody has fetched the scripts, which have no licence: xling data fetch zhang_prompts.
if all(SOURCE.at_hand(part) for part in DATASETS["zhang_prompts"].parts()):
    # Looked up now: the tests have a cache of their own.
    SCRIPTS = {part: SOURCE.download(part, None)[0][0] for part in DATASETS["zhang_prompts"].parts()}  # type: ignore[attr-defined]

    @pytest.mark.parametrize(("task", "labels"), MODES)
    def test_classification_with_the_demonstrations_of_the_released_script(
        task: str, labels: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        serve(task, labels, SCRIPTS[Part("en", f"{task}_{labels}")], monkeypatch)
        for language in ZHANG:
            found = shown(task, language, labels)
            if (task, labels, language) == ("sentiment", "native", "th"):
                found = [context.removesuffix("เชิง") for context in found]
            assert digest(found) == OUTPUTS[task][f"{language} {labels}"]["digest"]


@pytest.mark.parametrize("labels", ["native", "agnostic"])
def test_labels_that_the_paper_has_no_script_for_are_refused(labels: str) -> None:
    with pytest.raises(UserError, match=f"no script for paraphrase with {labels} labels(.|\n)*it has: english"):
        asked("xling_paraphrase_de", labels=labels)


def test_a_script_that_is_another_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "script.py"
    serve("nli", "english", path, monkeypatch)
    path.write_text(script("nli", "english").replace(" + p + ", " + p.upper() + "), encoding="utf-8")
    with pytest.raises(UserError, match=r"made of 'p.upper\(\)', which is not known"):
        asked("xling_nli_de")
    path.write_text("prompt_prefix = {", encoding="utf-8")
    with pytest.raises(UserError, match="the script cannot be parsed"):
        asked("xling_nli_de")
    path.write_text("prompt_prefix = {}", encoding="utf-8")
    with pytest.raises(UserError, match="no prompt in 'de'(.|\n)*xling data fetch zhang_prompts"):
        asked("xling_nli_de")


def sentences(dataset: str, language: str, split: str) -> list[Row]:
    column = ("en", "fr").index(language)
    return [Row(str(index), language, {"sentence": pair[column]}) for index, pair in enumerate(ROWS["flores"])]


@pytest.mark.parametrize("direction", ["en_fr", "fr_en"])
def test_translation_by_gpt(direction: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "load_rows", sentences)
    task = f"xling_translation_{direction}"
    found = asked(task, form="chat", chat=lambda messages, **_: json.dumps(messages))
    expected = OUTPUTS["translation"][direction]
    assert [json.loads(request.context) for request in found] == [sent["messages"] for sent in expected]
    options = family_named("translation").forms["chat"].paper
    assert options is not None
    assert {"max_tokens": options.max_tokens, **options.generation} == {
        "do_sample": True,
        **{key: value for key, value in expected[0].items() if key != "messages"},
    }


def test_translation_by_beams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "load_rows", sentences)
    (first, *_) = asked("xling_translation_en_fr")
    sentence = ROWS["flores"][0][0]
    # ALMA's prompt (Xu et al. 2023), which the paper's README names.
    assert first.context == f"Translate this from English to French:\nEnglish: {sentence}\nFrench:"
    manager = TaskManager(
        include_path=str(tasks_folder()), include_defaults=False, metadata={"xling": {"preset": "paper"}}
    )
    task = manager.load(["xling_translation_en_fr"])["tasks"]["xling_translation_en_fr"]
    assert task.config.generation_kwargs["num_beams"] == 5
