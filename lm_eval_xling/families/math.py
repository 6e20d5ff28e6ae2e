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
from typing import Any

import yaml

from lm_eval_xling import literals
from lm_eval_xling.errors import UserError
from lm_eval_xling.families.leaves import Leaf
from lm_eval_xling.families.parallel import Missing, parallel_rows
from lm_eval_xling.languages import resolve, resolve_all
from lm_eval_xling.mixing import Mixture, mix_parallel
from lm_eval_xling.records import Document, MixedText, Row, TaskDocuments

__all__ = ["Parameters", "documents", "group", "leaves"]

_LANGUAGES = {
    "mgsm": tuple("en bn de es fr ja ru sw te th zh".split()),
    "msvamp": tuple("en bn de es fr ja ru sw th zh".split()),
}
_SWITCHED = "mul"  # ISO 639-2: multiple languages
_SHOTS = 8


@dataclass(frozen=True, slots=True)
class Parameters:
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

    def resolved(self) -> Parameters:
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


def _leaf(dataset: str, name: str, question: str, demos: str, reasoning: str, steps: bool) -> Leaf:
    places = {"dataset": dataset, "question": question, "demos": demos, "reasoning": reasoning, "steps": steps}
    return Leaf(f"{dataset}_{name}", places, base=None if steps else "_math_direct")


def leaves() -> list[Leaf]:
    """Return, for either dataset, direct and step-by-step leaves by language, and a code-switched one."""
    made = []
    for dataset, languages in _LANGUAGES.items():
        for code in languages:
            made.append(_leaf(dataset, f"direct_{code}", code, code, code, steps=False))
            made.append(_leaf(dataset, f"native_{code}", code, code, code, steps=True))
            if code != "en":
                made.append(_leaf(dataset, f"english_reasoning_{code}", code, code, "en", steps=True))
                made.append(_leaf(dataset, f"english_demos_{code}", code, "en", "en", steps=True))
        made.append(_leaf(dataset, "switched", _SWITCHED, "en", "en", steps=True))
    return made


def group() -> dict[str, Any]:
    """Return the group: for either dataset and each way of asking, the unweighted mean over the languages."""

    def mean(dataset: str, way: str) -> dict[str, Any]:
        tasks = [f"xling_math_{leaf.name}" for leaf in leaves() if leaf.name.startswith(f"{dataset}_{way}_")]
        metrics = [{"metric": "exact_match", "aggregation": "mean", "weight_by_size": False}]
        return {"group": f"{dataset}_{way}", "task": tasks, "aggregate_metric_list": metrics}

    ways = ("direct", "native", "english_reasoning", "english_demos")
    switched = [f"xling_math_{dataset}_switched" for dataset in _LANGUAGES]
    return {"task": [mean(dataset, way) for dataset in _LANGUAGES for way in ways] + switched}


def documents(leaf: Mapping[str, Any], parameters: Parameters) -> TaskDocuments:
    """Return the documents of a leaf.

    Args:
        leaf: ``dataset``; ``question``, ``demos`` and ``reasoning``: language codes, ``mul`` for a code-switched
            question; ``steps``: whether the answer is reasoned step by step.
        parameters: see ``Parameters``.
    """
    asked_in = parameters.question_language or leaf["question"]
    demonstrated_in = parameters.demos_language or leaf["demos"]
    answered_in = parameters.reasoning_language or leaf["reasoning"]
    shown = parameters.languages if asked_in == _SWITCHED else (asked_in,)
    evaluated = []
    for rows in parallel_rows(leaf["dataset"], "test", (*shown, "en"), parameters.missing):
        if asked_in == _SWITCHED:
            mixed = _switched(rows, parameters)
            question, heading, more = mixed.text, answered_in, {"units": mixed.as_json()["units"]}
        else:
            # Many rows of MSVAMP begin with a space.
            question, heading, more = rows[asked_in].fields["question"].strip(), asked_in, {}
        evaluated.append(
            {
                "id": rows["en"].id,
                **_prompt(question, heading, answered_in, leaf["steps"]),
                "question_language": asked_in,
                "answer_language": answered_in,
                "demos_language": demonstrated_in,
                "target": _target(rows["en"], leaf["dataset"]),
                **more,
            }
        )
    pool = [_demonstration(index, demonstrated_in, answered_in, leaf["steps"]) for index in range(_SHOTS)]
    return TaskDocuments(evaluated, pool)


def _prompt(question: str, heading: str, answered_in: str, steps: bool) -> Document:
    """Fields that evaluated documents and demonstrations share."""
    if not question.strip():
        raise UserError("the question is empty", where=f"math in {heading}", fix="complete the row")
    answer = literals.word(answered_in, "fields.step_by_step_answer" if steps else "fields.answer")
    final = literals.word(answered_in, "answers.final")
    return {
        "family": "math",
        "question": question,
        "prompt": f"{literals.word(heading, 'fields.question')}: {question}\n{answer}:",
        # What the final number follows in an answer.
        "marker": final.split("{answer}")[0].strip() if steps else "",
        # Every demonstration is one for every document.
        "subject": "math",
    }


def _target(row: Row, dataset: str) -> str:
    try:
        return str(Decimal(row.target or ""))
    except InvalidOperation:
        raise UserError(f"the answer {row.target!r} is not a number", where=f"{dataset}, id {row.id}") from None


def _switched(rows: Mapping[str, Row], parameters: Parameters) -> MixedText:
    first = parameters.languages[0]
    return mix_parallel(
        {language: rows[language].fields["question"].strip() for language in parameters.languages},
        first,
        Mixture(dict.fromkeys(parameters.languages, 1.0)),
        id=rows[first].id,
        unit="sentence",
        seed=parameters.seed,
    )


@cache
def _problems() -> Sequence[Mapping[str, Any]]:
    path = Path(__file__).with_name("math_demonstrations.yaml")
    problems: list[Mapping[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return problems


def _demonstration(index: int, asked_in: str, answered_in: str, steps: bool) -> Document:
    problem = _problems()[index]
    for language in (asked_in, answered_in):
        if language not in problem:
            known = ", ".join(code for code in problem if code != "answer")
            raise UserError(
                f"no demonstrations in {language!r}",
                where="xling_math",
                fix=f"""there are some in {known}; or pass --num_fewshot 0 and "demos_language" among these""",
            )
    target = problem["answer"]
    if steps:
        # Chinese and Japanese write no space between sentences.
        space = "" if answered_in in ("zh", "ja") else " "
        sentence = literals.word(answered_in, "answers.final").format(answer=target)
        target = f"{problem[answered_in]['steps']}{space}{sentence}"
    return {
        "id": f"demonstration/{index}",
        **_prompt(problem[asked_in]["question"], asked_in, answered_in, steps),
        "question_language": asked_in,
        "answer_language": answered_in,
        "demos_language": asked_in,
        "target": target,
    }
