"""The code of exported tasks, as it stands in their `utils.py`: Python that needs the harness alone."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["CLASSIFICATION", "PIECES", "QUIZ", "module"]

_IMPORTS: Mapping[str, tuple[str, ...]] = {
    "probabilities": ("import math",),
    "words": ("import re", "import unicodedata"),
    "bare": ("import string", "import unicodedata"),
    "process_extracted": ("import re", "from collections import Counter"),
    "process_recall": ("from rouge_score.rouge_scorer import RougeScorer",),
    "SamePoolSampler": ("from lm_eval.api.samplers import ContextSampler",),
}
"""What a piece imports; a group of lines each of Python, of other libraries and of the harness, as its linter wants."""

PIECES: Mapping[str, str] = {
    # The harness hands the evaluated document to a sampler only where both splits have the same name.
    "test_docs": """\
# Demonstrations stand in the test split too: a sampler sees the evaluated document only
# where fewshot_split and test_split have the same name.
def test_docs(dataset):
    return dataset.filter(lambda doc: doc["split"] == "test")
""",
    "dev_docs": """\
def dev_docs(dataset):
    return dataset.filter(lambda doc: doc["split"] == "dev")
""",
    "SamePoolSampler": '''\
class SamePoolSampler(ContextSampler):
    """Shows the first n documents with the same POOL, never the evaluated one."""

    def sample(self, n, eval_doc=None, df=None, **kwargs):
        pool = [
            doc
            for doc in self.df
            if doc["POOL"] == eval_doc["POOL"] and doc["id"] != eval_doc["id"]
        ]
        assert n <= len(pool), f"{n} demonstrations were requested, {len(pool)} exist"
        return pool[:n]
''',
    "doc_to_choice": """\
def doc_to_choice(doc):
    # The delimiter is a part of the choice, so that acc_bytes counts the bytes that are scored.
    return [f"DELIMITER{choice}" for choice in doc["choices"]]
""",
    "process_results": """\
def process_results(doc, results):
    lls = [ll for ll, _ in results]
    acc = float(lls.index(max(lls)) == doc["answer"])
    return {"acc": acc, f"acc_{doc['category']}": acc}
""",
    "words": '''\
# Han, kana, Thai, Lao, Khmer and Burmese write no spaces between words.
UNSPACED = re.compile(
    "[\\u3040-\\u30ff\\u3400-\\u4dbf\\u4e00-\\u9fff\\uf900-\\ufaff"
    "\\u0e00-\\u0eff\\u1000-\\u109f\\u1780-\\u17ff\\U00020000-\\U0003ffff]"
)


def words(text):
    """Split at spaces, and scripts without them into characters with their marks."""
    spaced = ""
    before = False
    for character in text:
        now = UNSPACED.match(character) is not None
        mark = now and unicodedata.category(character) in ("Mn", "Mc")
        parted = (now or before) and not (mark and before)
        spaced += f" {character}" if parted else character
        before = now
    return spaced.split()
''',
    "bare": '''\
def bare(text):
    """Return a text in lower case, without punctuation."""
    return "".join(
        character
        for character in text.lower()
        if character not in string.punctuation
        and not unicodedata.category(character).startswith("P")
    )
''',
    "process_extracted": '''\
# The articles of MLQA, https://github.com/facebookresearch/MLQA
ARTICLES = {
    "en": r"\\b(?:a|an|the)\\b",
    "es": r"\\b(?:un|una|unos|unas|el|la|los|las)\\b",
    "vi": r"\\b(?:của|là|cái|chiếc|những)\\b",
    "de": r"\\b(?:ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\\b",
    "ar": r"(?<!\\w)ال",
}


def normalise(answer, language):
    """Return the words that are compared."""
    text = bare(answer)
    if language in ARTICLES:
        text = re.sub(ARTICLES[language], " ", text)
    return words(text)


def process_extracted(doc, results):
    language = doc["languages"]["answer"]
    given = normalise(results[0], language)
    expected = [normalise(answer, language) for answer in doc["answers"]]
    return {
        "exact_match": float(given in expected),
        "f1": max(f1(given, other) for other in expected),
    }


def f1(given, expected):
    if not given or not expected:
        return float(given == expected)
    shared = sum((Counter(given) & Counter(expected)).values())
    return 2 * shared / (len(given) + len(expected))
''',
    "process_recall": '''\
class Tokenizer:
    """The tokenizer of rouge-score itself keeps nothing but a-z and 0-9."""

    def tokenize(self, text):
        return words(bare(text))


ENGLISH = RougeScorer(["rougeL"], use_stemmer=True)
OTHERS = RougeScorer(["rougeL"], tokenizer=Tokenizer())


def process_recall(doc, results):
    scorer = ENGLISH if doc["languages"]["answer"] == "en" else OTHERS
    scores = scorer.score(doc["target"], results[0])
    return {"rouge_l_recall": scores["rougeL"].recall}
''',
    "probabilities": '''\
def probabilities(doc, results):
    """Return the probability of each answer by byte, its delimiter included."""
    return [
        math.exp(ll / len(f" {choice}".encode()))
        for (ll, _), choice in zip(results, doc["choices"], strict=True)
    ]


def truth(doc, each):
    """Return the truth ratio of TOFU, where there are wrong answers."""
    if not doc["wrong"]:
        return {}
    wrong = [each[index] for index in doc["wrong"]]
    ratio = sum(wrong) / len(wrong) / each[doc["right"]]
    return {"truth_ratio_bytes": ratio, "truthfulness_bytes": max(0.0, 1.0 - ratio)}
''',
    "process_given": """\
def process_given(doc, results):
    each = probabilities(doc, results)
    return {"probability_bytes": each[doc["answer"]], **truth(doc, each)}
""",
    "process_options": """\
def process_options(doc, results):
    lls = [ll for ll, _ in results]
    each = probabilities(doc, results)
    return {
        "acc": float(lls.index(max(lls)) == doc["answer"]),
        "probability_bytes": each[doc["answer"]] / sum(each),
        **truth(doc, each),
    }
""",
}
"""Functions and classes by name, with what they need beside them; `POOL` is the column of the demonstrations, and
`DELIMITER` what stands before an answer."""


def module(pieces: Mapping[str, str]) -> str:
    """Return a module of these pieces, and what they import."""
    lines = {line for name in pieces for line in _IMPORTS.get(name, ())}
    harness = {line for line in lines if line.startswith("from lm_eval")}
    other = {line for line in lines if line.startswith("from rouge_score")}
    groups = [sorted(group, key=_by_kind) for group in (lines - harness - other, other, harness) if group]
    top = "\n".join("".join(f"{line}\n" for line in group) for group in groups)
    return (f"{top}\n\n" if top else "") + "\n\n".join(pieces.values())


def _by_kind(line: str) -> tuple[bool, str]:
    """A sorting key: lines with `from` after the others."""
    return line.startswith("from"), line


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
        shown = part_languages(placement, language, index, english["GT"])
        instruction, cue = WORDS[shown[0]]
        rows.append(
            {
                "id": str(index),
                "instruction": instruction,
                "question": tables[shown[0]][index]["question"],
                "options": [
                    tables[name][index][letter]
                    for letter, name in zip("ABCD", shown[1:], strict=True)
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
    asked = placement in ("full", "question", "gt_question")
    return [
        language if asked else "English",
        *(language if letter in translated else "English" for letter in "ABCD"),
    ]


def draw(name, index):
    """Return a number that is the same on every machine."""
    key = f"0\\x1f{name}\\x1f{index}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big")
'''
"""For `str.replace`: the dataset on the hub, and the lines of instruction and cue by language."""
