"""Word problems: MGSM (Shi et al. 2022, arXiv 2210.03057) and MSVAMP (Chen et al. 2023, arXiv 2310.20246).

The languages of the question, of the demonstrations and of the answer are chosen independently. A step-by-step prompt
has MGSM's form: ``Question: …``, ``Step-by-Step Answer: … The answer is 11.``
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from lm_eval_xling import catalog, literals
from lm_eval_xling.errors import UserError
from lm_eval_xling.families.answering import LANGUAGE_METRICS, language_scores
from lm_eval_xling.families.family import Family, Form, Group, Leaf, Part, mean
from lm_eval_xling.families.parallel_rows import Missing, parallel_rows, parts_of
from lm_eval_xling.families.sliding import Slide, SlidingPart, slide
from lm_eval_xling.families.switching import SWITCHED, switched_question
from lm_eval_xling.languages import resolve, resolve_all
from lm_eval_xling.metrics.numbers import final_number
from lm_eval_xling.on_demand import OnDemand
from lm_eval_xling.records import Condition, Document, Response, Row, TaskDocuments

__all__ = ["FAMILY", "MathParameters"]

_DATASETS = ("mgsm", "msvamp")
_SHOTS = 8


@dataclass(frozen=True, slots=True)
class MathParameters:
    """Parameters of ``xling_math``; where a language is not given, the leaf says which."""

    question_language: str | None = None
    """Language of the question."""
    demos_language: str | None = None
    """Language of the questions of the demonstrations."""
    reasoning_language: str | None = None
    """Language of the answer, in the demonstrations and as asked for."""
    languages: tuple[str, ...] = ("en", "de", "es", "fr")
    """Languages that the sentences of a code-switched question are drawn from; the first sets their order."""
    seed: int = 0
    """Draws the languages of a code-switched question."""
    missing: Missing = "error"
    """What to do with ids that a language lacks."""
    demos: Literal["same", "to_english", "from_english"] = "same"
    """Questions of the demonstrations as they are, or each in up to five steps that slide from its language to English,
    or back."""

    def resolved(self) -> MathParameters:
        """Return the parameters with every language given by its code."""

        def code(spelling: str | None) -> str | None:
            return None if spelling is None else resolve(spelling).code

        return replace(
            self,
            question_language=code(self.question_language),
            demos_language=code(self.demos_language),
            reasoning_language=code(self.reasoning_language),
            languages=resolve_all(self.languages),
        )


def _leaf(dataset: str, name: str, question: str, demos: str, reasoning: str, form: str) -> Leaf:
    condition = {"dataset": dataset, "question": question, "demos": demos, "reasoning": reasoning}
    switched = ("languages", "seed") if question == SWITCHED else ()
    places = ("question_language", "demos_language", "reasoning_language", "missing")
    # English has nowhere to slide to; leaves all in English take the parameter as the reference of such a run.
    beside = {"demos": "demos_language"} if demos == "en" and question != "en" else {}
    return Leaf(f"{dataset}_{name}", form, condition, (*places, "demos", *switched), (), beside)


def _leaves() -> list[Leaf]:
    """Return, for either dataset, direct and step-by-step leaves by language, and a code-switched one."""
    made = []
    for dataset in _DATASETS:
        for code in catalog.DATASETS[dataset].languages:
            made.append(_leaf(dataset, f"direct_{code}", code, code, code, "direct"))
            made.append(_leaf(dataset, f"native_{code}", code, code, code, "steps"))
            if code != "en":
                made.append(_leaf(dataset, f"english_reasoning_{code}", code, code, "en", "steps"))
                made.append(_leaf(dataset, f"english_demos_{code}", code, "en", "en", "steps"))
        made.append(_leaf(dataset, "switched", SWITCHED, "en", "en", "steps"))
    return made


def _documents(leaf: Leaf, form: Form, parameters: MathParameters) -> TaskDocuments:
    """Return the documents of a leaf.

    ``leaf.condition`` has ``dataset``, and language codes of ``question`` (``mul``: code-switched), ``demos`` and
    ``reasoning``.
    """
    dataset = leaf.condition["dataset"]
    asked_in, shown = _shown(leaf, parameters)
    demonstrated_in = parameters.demos_language or leaf.condition["demos"]
    answered_in = parameters.reasoning_language or leaf.condition["reasoning"]
    slides = parameters.demos != "same" and demonstrated_in != "en"
    shown_in = SWITCHED if slides else demonstrated_in
    languages = {"question": asked_in, "demonstrations": shown_in, "answer": answered_in}
    condition = Condition("", form.name, languages)

    def asked(rows: Mapping[str, Row]) -> Document:
        more: dict[str, Any] = {}
        if asked_in == SWITCHED:
            mixed = switched_question(rows, parameters.languages, unit="sentence", seed=parameters.seed)
            question, heading, more = mixed.text, answered_in, {"units": mixed.as_json()["units"]}
        else:
            question, heading = rows[asked_in].fields["question"], asked_in
        return _document(rows["en"].id, question, heading, condition, _target(rows["en"], dataset), more)

    evaluated = OnDemand(parallel_rows(dataset, "test", shown, parameters.missing), asked)
    pool = [_demonstration(index, demonstrated_in, condition) for index in range(_SHOTS)]
    if parameters.demos != "same" and slides:
        pool = [_sliding(document, index, demonstrated_in, parameters.demos) for index, document in enumerate(pool)]
    return TaskDocuments(evaluated, pool)


def _shown(leaf: Leaf, parameters: MathParameters) -> tuple[str, tuple[str, ...]]:
    """Return the question's language, and all whose rows are read."""
    asked_in = parameters.question_language or leaf.condition["question"]
    return asked_in, (*(parameters.languages if asked_in == SWITCHED else (asked_in,)), "en")


def _needs(leaf: Leaf, form: Form, parameters: MathParameters) -> list[Part]:
    return parts_of(leaf.condition["dataset"], "test", _shown(leaf, parameters)[1])


def _document(
    id: str, question: str, heading: str, condition: Condition, target: str, fields: Mapping[str, Any]
) -> Document:
    answered_in = condition.languages["answer"]
    steps = condition.form == "steps"
    final = literals.word(answered_in, "answers.final")
    prompt, cue = _asked(question, heading, answered_in, steps)
    return Document(
        id=id,
        family="math",
        condition=condition,
        prompt=prompt,
        cue=cue,
        target=target,
        # Every demonstration is one for every document.
        pool="math",
        # What the final number follows in an answer.
        fields={**fields, "question": question, "marker": final.split("{answer}")[0].strip() if steps else ""},
    )


def _asked(question: str, heading: str, answered_in: str, steps: bool) -> tuple[str, str]:
    """Return the prompt and the cue; many rows of MSVAMP begin with a space."""
    if not question.strip():
        raise UserError("the question is empty", where=f"math in {heading}", fix="complete the row")
    answer = literals.word(answered_in, "fields.step_by_step_answer" if steps else "fields.answer")
    return f"{literals.word(heading, 'fields.question')}: {question.strip()}", f"{answer}:"


def _question(row: Row) -> str:
    return "\n".join(_asked(row.fields["question"], row.language, row.language, steps=False))


def _target(row: Row, dataset: str) -> str:
    try:
        return str(Decimal(row.target or ""))
    except InvalidOperation:
        raise UserError(f"the answer {row.target!r} is not a number", where=f"{dataset}, id {row.id}") from None


@cache
def _problems() -> Sequence[Mapping[str, Any]]:
    path = Path(__file__).with_name("math_demonstrations.yaml")
    problems: list[Mapping[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return problems


def _demonstration(index: int, asked_in: str, condition: Condition) -> Document:
    problem = _problems()[index]
    answered_in = condition.languages["answer"]
    for language in (asked_in, answered_in):
        if language not in problem:
            known = ", ".join(code for code in problem if code != "answer")
            raise UserError(
                f"no demonstrations in {language!r}",
                where="xling_math",
                fix=f"""there are some in {known}; or pass --num_fewshot 0 and "demos_language" among these""",
            )
    target = problem["answer"]
    if condition.form == "steps":
        # Chinese and Japanese write no space between sentences.
        space = "" if answered_in in ("zh", "ja") else " "
        sentence = literals.word(answered_in, "answers.final").format(answer=target)
        target = f"{problem[answered_in]['steps']}{space}{sentence}"
    shown = replace(condition, languages={**condition.languages, "question": asked_in})
    return _document(f"demonstration/{index}", problem[asked_in]["question"], asked_in, shown, target, {})


def _sliding(document: Document, index: int, asked_in: str, direction: Slide) -> Document:
    """Return a demonstration whose question slides to English or back; English text has the English word before it."""
    part = SlidingPart(document.fields["question"], asked_in, _problems()[index]["en"]["question"])
    steps = [text for (text,) in slide([part], direction, id=document.id)]
    arrived = steps[-1 if direction == "to_english" else 0]
    answered_in, reasons = document.condition.languages["answer"], document.condition.form == "steps"
    lines = [_asked(text, "en" if text == arrived else asked_in, answered_in, reasons)[0] for text in steps]
    languages = {**document.condition.languages, "question": SWITCHED}
    return replace(document, prompt="\n".join(lines), condition=replace(document.condition, languages=languages))


def number_scores(document: Document, responses: Sequence[Response]) -> Mapping[str, float]:
    """Return ``exact_match`` of the number that the answer ends in, and the metrics of its language."""
    text, language = responses[0].text, document.condition.languages["answer"]
    found = final_number(text, language, document.fields["marker"])
    right = found is not None and found == Decimal(document.target or "")
    return {"exact_match": float(right), **language_scores(text, language, right)}


def _groups() -> list[Group | str]:
    """Return, for either dataset and each way of asking, the unweighted mean over the languages."""
    names = [leaf.name for leaf in _leaves()]
    ways = ("direct", "native", "english_reasoning", "english_demos")
    means = [
        Group(way, tuple(name for name in names if name.startswith(f"{way}_")), ("exact_match",), by_size=False)
        for way in (f"{dataset}_{way}" for dataset in _DATASETS for way in ways)
    ]
    return [*means, *(f"{dataset}_switched" for dataset in _DATASETS)]


_METRICS = (*mean("exact_match"), *LANGUAGE_METRICS)

FAMILY = Family(
    name="math",
    summary="MGSM and MSVAMP: languages of question, demonstrations and reasoning apart",
    datasets=_DATASETS,
    parameters=MathParameters,
    forms={
        "steps": Form("steps", number_scores, _METRICS, shots=_SHOTS, max_tokens=384, stops=("\n\n",)),
        "direct": Form("direct", number_scores, _METRICS, shots=_SHOTS, max_tokens=32, stops=("\n",)),
    },
    leaves=tuple(_leaves()),
    documents=_documents,
    needs=_needs,
    groups=tuple(_groups()),
    words=("fields.question", "fields.answer", "fields.step_by_step_answer", "answers.final"),
    questions=dict.fromkeys(_DATASETS, _question),
    version=1.1,
)
