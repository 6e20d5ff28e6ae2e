"""Which leaves can go to lm-evaluation-harness, and why the others cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from lm_eval_xling.catalog import DATASETS
from lm_eval_xling.errors import UserError
from lm_eval_xling.families import Family, Leaf
from lm_eval_xling.families.parameters import configure

__all__ = ["Contribution", "chosen_leaves", "contribution", "matches", "used_datasets"]


@dataclass(frozen=True, slots=True)
class Contribution:
    """What a pull request says of a family, and what its data allow."""

    title: str
    """Of the paper, or of the benchmark where there is none."""
    abstract: str
    """Address of the paper or of what stands for it."""
    homepage: str
    """Where to read about the data."""
    description: str
    """What is measured, in a sentence or two."""
    licence: Mapping[str, str] | None
    """``license`` and the like, as a dataset card has them; ``None`` where the publishers state no licence that allows
    a copy, so that the tasks read the data where these are published."""
    pool: str = "group"
    """Name of the column whose value a document shares with its demonstrations."""
    published: bool = False
    """Whether it is an existing benchmark of the literature."""
    without: Mapping[str, str] | None = None
    """Patterns of leaves that cannot go upstream, and the reason of each."""


_CLDR = {"license": "other", "license_name": "unicode-3.0", "license_link": "https://www.unicode.org/license.txt"}
_CHUA = (
    "Crosslingual Capabilities and Knowledge Barriers in Multilingual Large Language Models",
    "https://arxiv.org/abs/2406.16135",
)
_ZHANG = (
    "Getting More from Less: Large Language Models are Good Spontaneous Multilingual Learners",
    "https://arxiv.org/abs/2405.13816",
)
_OWN_DATA = "https://cldr.unicode.org"
_WORDS = "its answers in words are read by our own reader of answers in many languages, which is no short `utils.py`"

_CONTRIBUTIONS: dict[str, Contribution] = {
    "atlas": Contribution(
        title="Atlas: facts of countries, asked in one language and answered in another",
        abstract=f"none of its own; the question it asks is that of {_CHUA[1]}",
        homepage=_OWN_DATA,
        description="Facts of countries from CLDR (capital, continent, currency, official language), asked in one "
        "language and answered in another. The same facts are asked in every pair, so that the difference between two "
        "cells of the matrix is language alone.",
        licence=_CLDR,
        pool="relation",
    ),
    "ledger": Contribution(
        title="Ledger: facts of invented people, taught in one language and asked in others",
        abstract=f"none of its own; the question it asks is that of {_CHUA[1]}",
        homepage=_OWN_DATA,
        description="Facts of people who do not exist, so that no model knows them: they are taught in one language "
        "by training and asked in others. The half that is never taught is the control.",
        licence=_CLDR,
        pool="attribute",
    ),
    "mmlu": Contribution(
        title=_CHUA[0],
        abstract=_CHUA[1],
        homepage="https://huggingface.co/datasets/CohereLabs/Global-MMLU",
        description="MMLU with the question and each option in languages of their own, in nine placements. What a "
        "model knows in English and cannot use across languages is the crosslingual knowledge barrier.",
        licence={"license": "apache-2.0"},
        pool="subject",
        published=True,
        without={
            "generate_*": _WORDS,
            "mixup_translate": _WORDS,
            "mixup_paper": "its rows are published under CC BY-NC-SA 4.0, which the card of an Apache-2.0 dataset "
            "cannot cover",
        },
    ),
    "qa": Contribution(
        title="On the Cross-lingual Transferability of Monolingual Representations (XQuAD); The Belebele Benchmark: a "
        "Parallel Reading Comprehension Dataset in 122 Language Variants",
        abstract="https://arxiv.org/abs/1910.11856, https://arxiv.org/abs/2308.16884",
        homepage="https://huggingface.co/datasets/facebook/belebele",
        description="XQuAD and Belebele with passage, question and options in languages of their own.",
        licence={"license": "cc-by-sa-4.0"},
        published=True,
    ),
    "tofu": Contribution(
        title="TOFU: A Task of Fictitious Unlearning for LLMs",
        abstract="https://arxiv.org/abs/2401.06121",
        homepage=DATASETS["tofu"].homepage,
        description="Facts of invented authors, and of real ones and the world, asked and answered in languages of "
        "their own. Likelihoods are divided by bytes.",
        licence={"license": "mit"},
        published=True,
    ),
    "hp": Contribution(
        title=_CHUA[0],
        abstract=_CHUA[1],
        homepage=DATASETS["hp"].homepage,
        description="Questions on the Harry Potter books with the question and each option in languages of their own, "
        "in nine placements.",
        licence=None,
        published=True,
        without={"generate_*": _WORDS},
    ),
    "translation": Contribution(
        title=_CHUA[0],
        abstract=_CHUA[1],
        homepage="https://github.com/google-research/crosslingual-knowledge-barriers",
        description="Translation between five languages: the 100 sentences of FLORES-101 that the paper drew.",
        licence={"license": "cc-by-sa-4.0"},
        published=True,
    ),
}

_CONTRIBUTIONS |= {
    name: Contribution(
        title=_ZHANG[0],
        abstract=_ZHANG[1],
        homepage=DATASETS[name].homepage,
        description=f"{what} in 20 languages, machine-translated by the authors; the prompt is in the row's language, "
        "the labels are English.",
        licence=None,
        published=True,
    )
    for name, what in (
        ("sentiment", "Sentiment of 500 Amazon reviews"),
        ("nli", "Natural language inference on 600 pairs of SNLI"),
        ("paraphrase", "Paraphrase identification on 500 pairs of PAWS"),
    )
}

_REFUSED = {
    "math": "its answers are numbers in the digits and separators of many languages, read by our own reader",
}
"""Families that the licence allows and the harness does not."""


def contribution(family: Family) -> Contribution:
    """Return what a pull request says of a family.

    Raises:
        UserError: a family that cannot go upstream, with the reason.
    """
    if family.name in _CONTRIBUTIONS:
        return _CONTRIBUTIONS[family.name]
    raise UserError(
        f"the family {family.name} cannot be exported: {_REFUSED[family.name]}",
        where=f"tasks/{family.name}/README.md",
        fix=f"export others: {', '.join(_CONTRIBUTIONS)}",
    )


def chosen_leaves(family: Family, patterns: Sequence[str] = ()) -> tuple[list[Leaf], dict[str, str]]:
    """Return the leaves to export, and the reason of every other one that the patterns name.

    Args:
        family: the family.
        patterns: of leaves or their tasks, such as ``en_*``; all leaves if there are none.

    Raises:
        UserError: a family that cannot go upstream, or no leaf of the family that can.
    """
    without = contribution(family).without or {}
    named = [leaf for leaf in family.leaves if not patterns or any(matches(family, leaf, p) for p in patterns)]
    if not named:
        raise UserError(
            f"no leaf of {family.name} is called {' or '.join(patterns)}",
            where="--leaves",
            fix=f"xling tasks --family {family.name} lists them",
        )
    reasons = {
        leaf.name: reason for leaf in named for pattern, reason in without.items() if fnmatchcase(leaf.name, pattern)
    }
    leaves = [leaf for leaf in named if leaf.name not in reasons]
    if not leaves:
        (reason, *_) = reasons.values()
        raise UserError(
            f"none of these leaves of {family.name} can be exported: {reason}",
            where="--leaves",
            fix=f"name others: xling tasks --family {family.name}",
        )
    return leaves, reasons


def matches(family: Family, leaf: Leaf, pattern: str) -> bool:
    """Whether a pattern is of a leaf's name or of its task's."""
    return fnmatchcase(leaf.name, pattern) or fnmatchcase(family.task(leaf), pattern)


def used_datasets(family: Family, leaves: Sequence[Leaf]) -> dict[str, list[tuple[str, str]]]:
    """Return the parts, as split and language, of each dataset that leaves read."""
    used: dict[str, dict[tuple[str, str], None]] = {}
    for leaf in leaves:
        configured, parameters = configure(family, leaf, None)
        needed = family.needs(configured, family.form(configured, parameters), parameters) if family.needs else ()
        for dataset, split, language in needed:
            used.setdefault(dataset, {})[split, language] = None
    # Invented rows need nothing, and stand in the package.
    return {name: list(parts) for name, parts in used.items()} or {name: [] for name in family.datasets}
