"""TOFU (Maini et al. 2024, arXiv 2401.06121): facts learnt in one language, asked in another, answered in a third.

A leaf either scores given answers (probability and truth ratio; real authors and world facts also as multiple choice)
or generates one (ROUGE-L recall). TOFU counts tokens, so scoring needs the model's tokenizer: it is that of the model
arguments ``tokenizer`` or ``pretrained``, or of the parameter of that name. Without one the metrics per byte remain.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

from lm_eval_xling import literals
from lm_eval_xling.errors import UserError
from lm_eval_xling.families.leaves import Leaf
from lm_eval_xling.families.multiple_choice import OPTION_IDS, lettered
from lm_eval_xling.families.parallel import Missing, parallel_rows
from lm_eval_xling.languages import resolve, resolve_all
from lm_eval_xling.mixing import Mixture, mix_parallel
from lm_eval_xling.records import Document, Row, TaskDocuments

__all__ = ["Parameters", "documents", "group", "leaves"]

log = logging.getLogger(__name__)

_LANGUAGES = ("en", "fr", "ar", "fa", "he", "hi", "id", "ja", "ko", "ru")
_CHOICE_SPLITS = ("real_authors", "world_facts")
_SWITCHED = "mul"  # ISO 639-2: multiple languages

TokenCounter = Callable[[str, str], int]
"""Tokens that an answer adds to a prompt."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameters of ``xling_tofu``; where a language or the split is not given, the leaf says which."""

    split: str | None = None
    """Another split of the catalog's dataset, such as ``forget10`` or ``retain_perturbed``."""
    question_language: str | None = None
    """Language of the question."""
    answer_language: str | None = None
    """Language of the answer that is scored or asked for."""
    languages: tuple[str, ...] = ("en", "fr")
    """Languages that the parts of a code-switched question are drawn from; the first sets their order."""
    unit: Literal["chunk", "sentence"] = "chunk"
    """Parts of a code-switched question; most questions are one sentence."""
    words: int = 8
    """Words of the first language in a part."""
    seed: int = 0
    """Draws the languages of a code-switched question."""
    form: Literal["cloze", "letters"] = "cloze"
    """Score the texts of the options of real authors and world facts, or their letters."""
    tokenizer: str | None = None
    """Tokenizer (folder or hub name) that answers are counted with; by default that of the evaluated model."""
    missing: Missing = "error"
    """What to do with ids that a language lacks."""

    def resolved(self) -> Parameters:
        """Return the parameters with every language given by its code."""
        return replace(
            self,
            question_language=self.question_language and resolve(self.question_language).code,
            answer_language=self.answer_language and resolve(self.answer_language).code,
            languages=resolve_all(self.languages),
        )


def _pairs(languages: Sequence[str]) -> list[tuple[str, str]]:
    """Same-language pairs and those with English."""
    return [(q, a) for q in languages for a in languages if q == a or "en" in (q, a)]


def leaves() -> list[Leaf]:
    """Return leaves that score and, for the invented authors, leaves that generate, by question and answer language."""
    made = []
    for split, languages in (("full", ("en", "fr")), ("forget01", _LANGUAGES)):
        for question, answer in (*_pairs(languages), *([(_SWITCHED, "en")] if split == "forget01" else [])):
            name = "switched" if question == _SWITCHED else f"{question}_{answer}"
            leaf = {"split": split, "question": question, "answer": answer}
            made.append(Leaf(f"{split}_{name}", leaf))
            made.append(Leaf(f"{split}_{name}_generate", {**leaf, "generate": True}, base="_tofu_generate"))
    for split in _CHOICE_SPLITS:
        for question, answer in _pairs(_LANGUAGES):
            leaf = {"split": split, "question": question, "answer": answer}
            made.append(Leaf(f"{split}_{question}_{answer}", leaf, base="_tofu_choice"))
    return made


def group() -> dict[str, Any]:
    """Return the group: for each split, means where question and answer share the language and where they do not."""

    def mean(name: str, members: Sequence[str], metrics: Sequence[str]) -> dict[str, Any]:
        aggregates = [{"metric": metric, "aggregation": "mean", "weight_by_size": False} for metric in metrics]
        return {"group": name, "task": [f"xling_tofu_{m}" for m in members], "aggregate_metric_list": aggregates}

    tasks: list[Any] = []
    for split, languages in (("full", ("en", "fr")), *((s, _LANGUAGES) for s in ("forget01", *_CHOICE_SPLITS))):
        for name, same in (("same_language", True), ("crosslingual", False)):
            members = [f"{split}_{q}_{a}" for q, a in _pairs(languages) if (q == a) == same]
            chosen = ("acc",) if split in _CHOICE_SPLITS else ()
            tasks.append(mean(f"{split}_{name}", members, (*chosen, "probability", "probability_bytes")))
            if not chosen:
                generated = [f"{member}_generate" for member in members]
                tasks.append(mean(f"{split}_{name}_generate", generated, ("rouge_l_recall", "language_fidelity")))
    return {"task": [*tasks, "xling_tofu_forget01_switched", "xling_tofu_forget01_switched_generate"]}


def documents(leaf: Mapping[str, Any], parameters: Parameters) -> TaskDocuments:
    """Return the documents of a leaf.

    Args:
        leaf: ``split``; ``question`` (``mul``: code-switched) and ``answer``: language codes; ``generate: true``
            where an answer is generated.
        parameters: see ``Parameters``.
    """
    split = parameters.split or leaf["split"]
    if (split in _CHOICE_SPLITS) != (leaf["split"] in _CHOICE_SPLITS) and not leaf.get("generate"):
        kind = "real_authors and world_facts have options, the splits on invented authors have none"
        raise UserError(f"split {split!r} does not fit the leaf: {kind}", where=f"leaf {dict(leaf)}")
    asked_in = parameters.question_language or leaf["question"]
    answered_in = parameters.answer_language or leaf["answer"]
    shown = parameters.languages if asked_in == _SWITCHED else (asked_in,)
    count = None if leaf.get("generate") or parameters.form == "letters" else _counter(parameters.tokenizer)
    evaluated = []
    for rows in parallel_rows("tofu", split, (answered_in, *shown, "en"), parameters.missing):
        question, heading, more = _question(rows, asked_in, answered_in, parameters)
        made = {
            "id": rows["en"].id,
            "family": "tofu",
            "split": split,
            "question_language": asked_in,
            "answer_language": answered_in,
            "question": question,
            "target": rows[answered_in].target,
            "subject": split,
            # Twenty questions are on one author, so they are no independent observations.
            **({"author": rows["en"].extra["author"]} if "author" in rows["en"].extra else {}),
            **more,
        }
        asked = f"{literals.word(heading, 'fields.question')}: {question}"
        answer_line = f"{literals.word(answered_in, 'fields.answer')}:"
        if leaf.get("generate"):
            evaluated.append({**made, "prompt": f"{asked}\n{answer_line}"})
        elif split in _CHOICE_SPLITS and parameters.form == "letters":
            evaluated.append({**made, **_by_letter(rows[answered_in], rows["en"], asked, answer_line)})
        else:
            given = _given_answers(rows[answered_in], rows["en"])
            evaluated.append({**made, "prompt": f"{asked}\n{answer_line}", **given})
            evaluated[-1]["tokens"] = _tokens(evaluated[-1], count)
    return TaskDocuments(evaluated)


def _question(
    rows: Mapping[str, Row], asked_in: str, answered_in: str, parameters: Parameters
) -> tuple[str, str, dict[str, Any]]:
    """Return the question, the language of the word before it, and more for the document."""
    if asked_in != _SWITCHED:
        question = rows[asked_in].fields["question"]
        if not question.strip():
            raise UserError("the question is empty", where=f"tofu in {asked_in}, id {rows[asked_in].id}")
        return question, asked_in, {}
    first = parameters.languages[0]
    mixed = mix_parallel(
        {language: rows[language].fields["question"] for language in parameters.languages},
        first,
        Mixture(dict.fromkeys(parameters.languages, 1.0)),
        id=rows[first].id,
        unit=parameters.unit,
        words=parameters.words,
        seed=parameters.seed,
    )
    return mixed.text, answered_in, {"units": mixed.as_json()["units"]}


def _given_answers(row: Row, gold: Row) -> Document:
    """Answers to score, and which of them is what: ``right`` and ``wrong`` are indices in ``choices``."""
    where = f"tofu in {row.language}, id {row.id}"
    if row.options:
        if gold.answer is None or not 0 <= gold.answer < len(row.options):
            raise UserError(f"the answer {gold.answer!r} is not the index of an option", where=where)
        wrong = [index for index in range(len(row.options)) if index != gold.answer]
        return {"choices": list(row.options), "answer": gold.answer, "right": gold.answer, "wrong": wrong}
    target = (row.target or "").strip()
    if not target:
        raise UserError("the answer is empty", where=where, fix="complete the row")
    choices = [target]
    right = 0
    perturbed = list(row.extra.get("perturbed_answers", ()))
    if perturbed and "paraphrased_answer" in row.extra:
        # The wrong answers are worded like the paraphrase, so TOFU compares them with it.
        right = 1
        choices.append(row.extra["paraphrased_answer"])
    wrong = list(range(len(choices), len(choices) + len(perturbed)))
    return {"choices": [*choices, *perturbed], "answer": 0, "right": right, "wrong": wrong}


def _by_letter(row: Row, gold: Row, asked: str, answer_line: str) -> Document:
    letters = OPTION_IDS["A-D"][: len(row.options)]
    return {
        "prompt": lettered(asked, row.options, letters, answer_line),
        "options": list(row.options),
        "choices": list(letters),
        "answer": gold.answer,
        "right": gold.answer,
        "wrong": [index for index in range(len(letters)) if index != gold.answer],
        "tokens": [],
    }


def _tokens(document: Document, count: TokenCounter | None) -> list[int]:
    """Tokens of each choice after the prompt; empty where no tokenizer is known."""
    if count is None:
        return []
    return [count(document["prompt"], f" {choice}") for choice in document["choices"]]


@cache
def _counter(name: str | None) -> TokenCounter | None:
    if name is None:
        log.warning("xling_tofu: no tokenizer is known, so that probabilities are given per byte only")
        return None
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise UserError(
            f"the tokenizer {name!r} cannot be loaded: {error}",
            where="xling_tofu",
            fix="""name one with --metadata '{"xling": {"tokenizer": "FOLDER"}}'""",
        ) from error

    def count(prompt: str, answer: str) -> int:
        # As the harness splits a request: what the whole has more than the prompt alone.
        return len(tokenizer(prompt + answer)["input_ids"]) - len(tokenizer(prompt)["input_ids"])

    return count
