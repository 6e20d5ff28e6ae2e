"""TOFU (Maini et al. 2024, arXiv 2401.06121): facts of invented authors, asked and answered in languages of their own.

Chua et al. 2024 (arXiv 2406.16135, sections 3.2 and 4.2) teach the English facts and ask in other languages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from lm_eval_xling import catalog, literals
from lm_eval_xling.errors import UserError
from lm_eval_xling.families.answering import FIDELITY_METRICS, language_scores
from lm_eval_xling.families.choosing import GENERATE, letter_scores, sent_lengths
from lm_eval_xling.families.family import Family, Form, Group, Leaf, Metric, Part, mean
from lm_eval_xling.families.parallel_rows import Missing, parallel_rows, parts_of
from lm_eval_xling.families.prompts import identifiers, option_lines
from lm_eval_xling.families.switching import SWITCHED, switched_question
from lm_eval_xling.languages import resolve, resolve_all
from lm_eval_xling.metrics.tofu import given_answer_scores, rouge_l_recall
from lm_eval_xling.on_demand import OnDemand
from lm_eval_xling.records import Condition, Document, Response, Row, TaskDocuments

__all__ = ["FAMILY", "TofuParameters"]

_LANGUAGES = catalog.DATASETS["tofu"].languages
_CHOICE_SPLITS = ("real_authors", "world_facts")
_SPLITS = (("full", ("en", "fr")), ("forget01", _LANGUAGES))


@dataclass(frozen=True, slots=True)
class TofuParameters:
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
    tokenizer: str | None = None
    """Tokenizer (folder or hub name) that answers are counted with; by default that of the evaluated model."""
    missing: Missing = "error"
    """What to do with ids that a language lacks."""

    def resolved(self) -> TofuParameters:
        """Return the parameters with every language given by its code.

        Raises:
            UserError: an unknown language, or a part without words.
        """
        if self.words < 1:
            raise UserError(f"a part of {self.words} words", where="words", fix="1 or more; 8 by default")
        return replace(
            self,
            question_language=self.question_language and resolve(self.question_language).code,
            answer_language=self.answer_language and resolve(self.answer_language).code,
            languages=resolve_all(self.languages),
        )


def _pairs(languages: Sequence[str]) -> list[tuple[str, str]]:
    """Same-language pairs and those with English."""
    return [(q, a) for q in languages for a in languages if q == a or "en" in (q, a)]


_PLACES = ("split", "question_language", "answer_language", "missing")


def _leaves() -> list[Leaf]:
    """Return leaves that score and, for the invented authors, leaves that generate, by question and answer language."""
    made = []
    for split, languages in _SPLITS:
        for question, answer in (*_pairs(languages), *([(SWITCHED, "en")] if split == "forget01" else [])):
            name = "switched" if question == SWITCHED else f"{question}_{answer}"
            condition = {"split": split, "question": question, "answer": answer}
            own = (*_PLACES, *(("languages", "unit", "words", "seed") if question == SWITCHED else ()))
            made.append(Leaf(f"{split}_{name}", "cloze", condition, (*own, "tokenizer")))
            made.append(Leaf(f"{split}_{name}_generate", "generate", condition, own))
    for split in _CHOICE_SPLITS:
        for question, answer in _pairs(_LANGUAGES):
            condition = {"split": split, "question": question, "answer": answer}
            made.append(
                Leaf(
                    f"{split}_{question}_{answer}", "choice", condition, (*_PLACES, "tokenizer"), ("letters", "choose")
                )
            )
    return made


def _documents(leaf: Leaf, form: Form, parameters: TofuParameters) -> TaskDocuments:
    """Return the documents of a leaf: ``split``, and the languages of ``question`` (``mul``: switched) and ``answer``.

    Raises:
        UserError: a split that does not fit the leaf, or a bad row.
    """
    split = parameters.split or leaf.condition["split"]
    if (split in _CHOICE_SPLITS) != (leaf.condition["split"] in _CHOICE_SPLITS) and leaf.form != "generate":
        kind = "real_authors and world_facts have options, the splits on invented authors have none"
        raise UserError(f"split {split!r} does not fit the leaf: {kind}", where=f"leaf {leaf.name}")
    asked_in, answered_in, needed = _shown(leaf, parameters)
    condition = Condition("", form.name, {"question": asked_in, "answer": answered_in})

    def asked(rows: Mapping[str, Row]) -> Document:
        question, heading, more = _question(rows, asked_in, answered_in, parameters)
        document = Document(
            id=rows["en"].id,
            family="tofu",
            condition=condition,
            prompt=f"{literals.word(heading, 'fields.question')}: {question}",
            cue=f"{literals.word(answered_in, 'fields.answer')}:",
            target=rows[answered_in].target,
            # Twenty questions are on one author, so they are no independent observations.
            cluster=str(rows["en"].extra.get("author", "")),
            fields={"split": split, "question": question, **more},
        )
        if leaf.form in ("letters", "choose"):
            return _lettered(document, rows[answered_in], rows["en"], scored=not form.generates)
        return document if form.generates else _given(document, rows[answered_in], rows["en"])

    return TaskDocuments(OnDemand(parallel_rows("tofu", split, needed, parameters.missing), asked))


def _shown(leaf: Leaf, parameters: TofuParameters) -> tuple[str, str, tuple[str, ...]]:
    """Return the languages of question and answer, and all whose rows are read."""
    asked_in = parameters.question_language or leaf.condition["question"]
    answered_in = parameters.answer_language or leaf.condition["answer"]
    shown = parameters.languages if asked_in == SWITCHED else (asked_in,)
    return asked_in, answered_in, (answered_in, *shown, "en")


def _needs(leaf: Leaf, form: Form, parameters: TofuParameters) -> list[Part]:
    return parts_of("tofu", parameters.split or leaf.condition["split"], _shown(leaf, parameters)[2])


def _question(
    rows: Mapping[str, Row], asked_in: str, answered_in: str, parameters: TofuParameters
) -> tuple[str, str, dict[str, Any]]:
    """Return the question, the language of the word before it, and more for the document."""
    if asked_in != SWITCHED:
        question = rows[asked_in].fields["question"]
        if not question.strip():
            raise UserError("the question is empty", where=f"tofu in {asked_in}, id {rows[asked_in].id}")
        return question, asked_in, {}
    mixed = switched_question(
        rows, parameters.languages, unit=parameters.unit, words=parameters.words, seed=parameters.seed
    )
    return mixed.text, answered_in, {"units": mixed.as_json()["units"]}


def _given(document: Document, row: Row, gold: Row) -> Document:
    """Return the document with the answers to score; ``right`` and ``wrong`` are indices of those that are compared."""
    where = f"tofu in {row.language}, id {row.id}"
    if row.options:
        if gold.answer is None or not 0 <= gold.answer < len(row.options):
            raise UserError(f"the answer {gold.answer!r} is not the index of an option", where=where)
        wrong = [index for index in range(len(row.options)) if index != gold.answer]
        fields = {**document.fields, "right": gold.answer, "wrong": wrong}
        return replace(document, choices=row.options, options=row.options, answer=gold.answer, fields=fields)
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
    fields = {**document.fields, "right": right, "wrong": wrong}
    return replace(document, choices=(*choices, *perturbed), answer=0, fields=fields)


def _lettered(document: Document, row: Row, gold: Row, scored: bool) -> Document:
    letters = identifiers("A-D", len(row.options), f"tofu in {row.language}, id {row.id}")
    return replace(
        document,
        prompt=f"{document.prompt}\n{option_lines(row.options, letters)}",
        request=literals.word(document.condition.languages["answer"], "instructions.choose"),
        choices=letters if scored else (),
        options=row.options,
        answer=gold.answer,
        fields={**document.fields, "letters": list(letters)},
    )


def given_scores(document: Document, responses: Sequence[Response]) -> Mapping[str, float]:
    """Return TOFU's metrics of given answers, per token where the tokens were counted, and always per byte.

    Real authors and world facts have options: there ``probability`` is relative to all of them, and ``acc`` says
    whether the right one is the likeliest.
    """
    return given_answer_scores(
        [response.log_likelihood for response in responses],
        sent_lengths(responses),
        answer=document.answer or 0,
        right=document.fields["right"],
        wrong=document.fields["wrong"],
        options=bool(document.options),
    )


def recall_scores(document: Document, responses: Sequence[Response]) -> Mapping[str, float]:
    """Return the ROUGE-L recall of the generated answer, and the metrics of its language."""
    text, language = responses[0].text, document.condition.languages["answer"]
    recall = rouge_l_recall(text, document.target or "", language)
    return {"rouge_l_recall": recall, **language_scores(text, language)}


def _groups() -> list[Group | str]:
    """Return, for each split, means where question and answer share the language and where they do not."""
    groups: list[Group | str] = []
    for split, languages in (*_SPLITS, *((split, _LANGUAGES) for split in _CHOICE_SPLITS)):
        for name, same in (("same_language", True), ("crosslingual", False)):
            members = tuple(f"{split}_{q}_{a}" for q, a in _pairs(languages) if (q == a) == same)
            chosen = ("acc",) if split in _CHOICE_SPLITS else ()
            metrics = (*chosen, "probability", "probability_bytes")
            groups.append(Group(f"{split}_{name}", members, metrics, by_size=False))
            if not chosen:
                generated = tuple(f"{member}_generate" for member in members)
                metrics = ("rouge_l_recall", "language_fidelity")
                groups.append(Group(f"{split}_{name}_generate", generated, metrics, by_size=False))
    return [*groups, "forget01_switched", "forget01_switched_generate"]


_GIVEN = mean(
    "probability",
    "truth_ratio",
    "truthfulness",
    "probability_bytes",
    "truth_ratio_bytes",
    "truthfulness_bytes",
    lower_is_better=("truth_ratio", "truth_ratio_bytes"),
)

FAMILY = Family(
    name="tofu",
    summary="Facts of invented authors, asked and answered in different languages",
    datasets=("tofu",),
    parameters=TofuParameters,
    forms={
        "cloze": Form("cloze", given_scores, _GIVEN, shots=0, counts_tokens=True),
        "choice": Form("cloze", given_scores, (Metric("acc"), *_GIVEN), shots=0, counts_tokens=True),
        "letters": Form("letters", letter_scores, mean("acc"), shots=0),
        "choose": GENERATE,
        "generate": Form(
            "generate",
            recall_scores,
            (*mean("rouge_l_recall"), *FIDELITY_METRICS),
            shots=0,
            max_tokens=128,
            stops=("\n",),
        ),
    },
    leaves=tuple(_leaves()),
    documents=_documents,
    needs=_needs,
    groups=tuple(_groups()),
    words=("fields.question", "fields.answer", "instructions.choose"),
    version=1.1,
)
