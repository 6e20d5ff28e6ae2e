"""The `utils.py` of tasks that read the published files: Python of the harness's, with places for what differs."""

from __future__ import annotations

__all__ = ["CLASSIFICATION", "QUIZ"]

CLASSIFICATION = '''\
from datasets import Dataset, DatasetDict, load_dataset


LABELS = {labels}
TEXTS = {texts}
# The positions of the rows that are shown as demonstrations, in this order.
DEMONSTRATIONS = {demonstrations}


def load_rows(data_files, **kwargs):
    """Return the rows with the labels of the English rows at the same positions.

    The label words of the other languages are machine-translated, and some are wrong.
    """
    source = load_dataset("json", data_files=data_files)
    english = list(source["english"])
    rows = [
        {{"id": str(index), **row, "label": LABELS.index(english[index]["answer"])}}
        for index, row in enumerate(source["test"])
    ]
    # A demonstration is not scored, and neither is a row that shares a text with one.
    shown = {{english[index][text] for index in DEMONSTRATIONS for text in TEXTS}}
    scored = [
        row
        for row, original in zip(rows, english, strict=True)
        if shown.isdisjoint(original[text] for text in TEXTS)
    ]
    return DatasetDict(
        {{
            "test": Dataset.from_list(scored),
            "dev": Dataset.from_list([rows[index] for index in DEMONSTRATIONS]),
        }}
    )
'''
"""For `str.format`: the labels in the order of the choices, the columns with texts, positions of demonstrations."""

QUIZ = '''\
import hashlib
import itertools

from datasets import Dataset, DatasetDict, load_dataset


# What stands before the question and after the options, in the question's language.
WORDS = {
WORDS_BY_LANGUAGE
}


def load_questions(placement, language="English", revision=None, **kwargs):
    """Return the questions, each part in the language in which the placement shows it."""
    source = load_dataset("REPOSITORY", revision=revision)
    tables = {name: list(rows) for name, rows in source.items()}
    rows = []
    for index, english in enumerate(tables["English"]):
        asked_in, *answered_in = part_languages(placement, language, index, english["GT"])
        instruction, cue = WORDS[asked_in]
        rows.append(
            {
                "id": str(index),
                "instruction": instruction,
                "question": tables[asked_in][index]["question"],
                "options": [
                    tables[name][index][letter]
                    for letter, name in zip("ABCD", answered_in, strict=True)
                ],
                "cue": cue,
                "answer": "ABCD".index(english["GT"]),
            }
        )
    return DatasetDict({"test": Dataset.from_list(rows)})


def part_languages(placement, language, index, answer):
    """Return the languages of the question and of the four options."""
    if placement == "mixup":
        orders = list(itertools.permutations(WORDS))
        return orders[draw("mixup", index) % len(orders)]
    wrong = [letter for letter in "ABCD" if letter != answer]
    translated = {
        "full": "ABCD",
        "options": "ABCD",
        "gt": answer,
        "gt_question": answer,
        "onewrong": wrong[draw("onewrong", index) % len(wrong)],
        "threewrong": wrong,
    }.get(placement, "")
    shown = placement in ("full", "question", "gt_question")
    return [
        language if shown else "English",
        *(language if letter in translated else "English" for letter in "ABCD"),
    ]


def draw(name, index):
    """Return a number that is the same on every machine."""
    key = f"0\\x1f{name}\\x1f{index}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big")
'''
"""For `str.replace`: the dataset on the hub, and the lines of instruction and cue by language."""
