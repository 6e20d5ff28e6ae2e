"""Prompt words: one YAML a language, reached by ``word(language, "section.key")``.

Sections of a file: ``fields`` (what stands before a colon in a prompt), ``labels`` (answer words of a classification
task), ``instructions``, ``answers`` (sentences with the placeholder ``{answer}``), and ``sources``, which gives every
word's origin:

- ``zhang``: prompt or label of the scripts released with Zhang et al. 2024 (arXiv 2405.13816),
  github.com/Shimao-Zhang/LLM-Multilingual-Learner, commit 2953212.
- ``mgsm``: exemplars released with MGSM (Shi et al. 2022, arXiv 2210.03057), github.com/google-research/url-nlp.
- ``mmlu_prox``: prompts of MMLU-ProX (Xuan et al. 2025, arXiv 2503.10497), as lm-evaluation-harness has them.
- ``hp``: ``HP/evaluate.py`` released with Chua et al. 2024 (arXiv 2406.16135).
- ``freedict``: our own, confirmed by a FreeDict dictionary (2022.12.07), which translates the English word given.
- ``reviewed``: our own, with its literal back-translation; no second reader has confirmed it yet. Stands where no
  source has the word, or has a wrong sense of it.

A new language is one new file: all words of the prompts that it shall have (``tests/test_literals.py`` groups them by
prompt), each with its source. The tests find the file themselves.

``instructions.translate_input`` exists in English only, as in the question-alignment data of Zhang et al.; its
placeholders are the English names of the source and the target language.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

import yaml

from lm_eval_xling.errors import UserError, unknown_name
from lm_eval_xling.languages import resolve

__all__ = ["SOURCES", "file_of", "word", "words"]

SOURCES = "sources"
"""Section that gives the origin of the words and is not itself one of words."""


def file_of(language: str) -> Path:
    """Return where the words of a language stand, whether or not the file exists.

    Raises:
        UserError: if the language is unknown.
    """
    return Path(__file__).with_name(f"{resolve(language).code}.yaml")


def word(language: str, key: str) -> str:
    """Return a prompt word.

    Args:
        language: code or another spelling of a language.
        key: section and name, such as ``fields.question`` or ``labels.nli.entailment``.

    Raises:
        UserError: if the language is unknown or has no such word.
    """
    known = words(language)
    if key in known:
        return known[key]
    if key not in words("en"):
        raise unknown_name("prompt word", key, words("en"), where=file_of(language))
    name = resolve(language).name
    raise UserError(
        f"no prompt word {key!r} in {name}",
        where=file_of(language),
        fix=f"add {key!r} ({words('en')[key]!r} in English) to that file, with its source",
    )


def words(language: str) -> Mapping[str, str]:
    """Return all prompt words of a language by key.

    Raises:
        UserError: if the language is unknown, has no file, or its file is not a tree of texts.
    """
    return _words(resolve(language).code)


@cache
def _words(code: str) -> Mapping[str, str]:
    path = file_of(code)
    if not path.is_file():
        present = ", ".join(sorted(file.stem for file in path.parent.glob("*.yaml")))
        raise UserError(
            f"no prompt words in {resolve(code).name} ({code})",
            where=path,
            fix=f"add that file with the keys of {file_of('en').name}; present: {present}",
        )
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    sections = {name: branch for name, branch in tree.items() if name != SOURCES}
    return MappingProxyType(dict(_flatten(sections, "", path)))


def _flatten(tree: object, prefix: str, path: Path) -> Iterator[tuple[str, str]]:
    if isinstance(tree, str):
        yield prefix, tree
    elif isinstance(tree, dict):
        for name, branch in tree.items():
            yield from _flatten(branch, f"{prefix}.{name}" if prefix else str(name), path)
    else:
        # An unquoted `no` or `1` is a bool or a number in YAML, and would reach a prompt as "False".
        raise UserError(f"{prefix!r} is {tree!r}, not text", where=path, fix="put the word in quotes")
