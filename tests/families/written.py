"""Rows that we wrote for every dataset: each text says its own language and what it is a part of."""

from __future__ import annotations

from collections.abc import Sequence

from lm_eval_xling.families.atlas import RELATIONS
from lm_eval_xling.records import Row

IDS = {
    # The demonstrations, and rows to score.
    "sentiment": ("99", "20", "0", "1", "2"),
    "nli": ("116", "324", "191", "414", "544", "343", "0", "1", "2"),
    "paraphrase": ("271", "39", "232", "260", "0", "1", "2"),
}
FIELDS = {
    "sentiment": ("text",),
    "nli": ("premise", "hypothesis"),
    "paraphrase": ("sentence_1", "sentence_2"),
    "xquad": ("context", "question"),
    "belebele": ("context", "question"),
    "flores": ("sentence",),
}
LABELS = {"sentiment": 2, "nli": 3, "paraphrase": 2}
SUBJECTS = {"anatomy": "Other", "abstract_algebra": "STEM"}


def rows_of(dataset: str, language: str, split: str) -> list[Row]:
    """A few parallel rows of a dataset of the catalog, in any language and split."""

    def text(part: str, number: object) -> str:
        # Longer than a chunk of words, and of two sentences.
        return f"{language} {part} {number} has a first sentence of ten words. The {language} second one is here."

    def options(number: object) -> tuple[str, ...]:
        return tuple(f"{language} option {index} of {number}" for index in range(4))

    if dataset == "atlas":
        return [
            Row(f"{relation}/{i}", language, {"subject": f"{language} country {i}"}, options(f"{relation} {i}"), i % 4,
                None, {"relation": relation})
            for relation in RELATIONS for i in range(3)
        ]  # fmt: skip
    if dataset in ("mmlu", "mmlu_mixup"):
        return [
            Row(f"{subject}/{split}/{i}", language, {"question": text(f"{split} {subject}", i)}, options(i), i % 4,
                None, {"subject": subject, "category": category})
            for subject, category in SUBJECTS.items() for i in range(6 if split == "dev" else 3)
        ]  # fmt: skip
    if dataset == "hp":
        return [Row(str(i), language, {"question": text("quiz", i)}, options(i), i % 4) for i in range(3)]
    if dataset == "tofu":
        return [_author(language, split, i, text("author", i), options(i)) for i in range(3)]
    if dataset in ("mgsm", "msvamp"):
        return [Row(str(i), language, {"question": text("problem", i)}, target=str(7 * i)) for i in range(3)]
    if dataset in LABELS:
        # The second text of a paraphrase is that of the first in the last row.
        def parts(identifier: str) -> dict[str, str]:
            same = dataset == "paraphrase" and identifier == "2"
            return {name: text("same" if same else name, identifier) for name in FIELDS[dataset]}

        return [
            Row(identifier, language, parts(identifier), answer=index % LABELS[dataset])
            for index, identifier in enumerate(IDS[dataset])
        ]
    if dataset == "zhang_prompts":
        slots = " ".join(f"{{{name}}}" for name in FIELDS[split.partition("_")[0]])
        return [Row("prompt", language, {"prompt": f'{language} {split}\n{slots}\nWord: "'}, ("x", "y", "z"), 0)]
    fields: Sequence[str] = FIELDS[dataset]
    more = {"xquad": {"answers": [f"{language} context"]}, "belebele": {}, "flores": {}}[dataset]
    return [
        Row(str(i), language, {name: text(name, i) for name in fields}, options(i) if dataset == "belebele" else (),
            i % 4 if dataset == "belebele" else None, f"{language} context", more)
        for i in range(3)
    ]  # fmt: skip


def _author(language: str, split: str, number: int, question: str, options: tuple[str, ...]) -> Row:
    fields = {"question": f"{split}: {question}"}
    if split in ("real_authors", "world_facts"):
        return Row(f"{split}/{number}", language, fields, options, number, options[number])
    answers = {
        "paraphrased_answer": f"{language} paraphrase {number}",
        "perturbed_answers": tuple(f"{language} wrong {index} of {number}" for index in range(3)),
    }
    extra = {"author": f"author {number // 2}", **answers}
    return Row(f"{split}/{number}", language, fields, target=f"{language} answer {number}", extra=extra)
