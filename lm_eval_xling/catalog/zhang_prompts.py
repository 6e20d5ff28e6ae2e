"""The prompts and label words that the scripts of Zhang et al. 2024 show and score, read from the scripts themselves.

They have no licence, so that nothing of them is part of this package. A script is parsed, never run: it holds a
dictionary of demonstrations, dictionaries of label words, and for each language an expression that joins constants and
the texts of a row.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lm_eval_xling.catalog.dataset import Dataset, Format, Part
from lm_eval_xling.catalog.papers import ZHANG
from lm_eval_xling.catalog.raw import find_all
from lm_eval_xling.catalog.sources import GitHubFiles
from lm_eval_xling.catalog.zhang import REPOSITORY_COMMIT
from lm_eval_xling.errors import UserError
from lm_eval_xling.files import read_text
from lm_eval_xling.records import Row

__all__ = ["DATASET"]

_SCRIPTS = {
    "sentiment_english": "emotion_eval_2shot_enout.py",
    "sentiment_native": "emotion_eval_2shot.py",
    "sentiment_agnostic": "emotion_eval_2shot_irrelative.py",
    "nli_english": "snli_eval_6shot_enout.py",
    "paraphrase_english": "paws_eval_4shot_enout.py",
}
_FIELDS = {"sentiment": ("text",), "nli": ("premise", "hypothesis"), "paraphrase": ("sentence_1", "sentence_2")}
_FIX = "fetch the script of the commit that the catalog names: xling data fetch zhang_prompts"


def _read(part: Part, paths: Sequence[Path]) -> Iterator[Row]:
    task, _, labels = part.split.partition("_")
    dictionaries, expressions = _script(paths[0])
    if part.language not in expressions:
        raise UserError(f"the script has no prompt in {part.language!r}", where=paths[0], fix=_FIX)
    end = "_irrelative" if labels == "agnostic" else ""
    answers = [f"{name}_answers{end}" for name in ("positive", "neutral", "negative")]
    spoken = part.language if labels == "native" else "en"
    yield Row(
        id="prompt",
        language=part.language,
        fields={"prompt": _prompt(expressions[part.language], dictionaries, _FIELDS[task], paths[0])},
        options=tuple(dictionaries[name][spoken] for name in answers if name in dictionaries),
        answer=0,
    )


def _script(path: Path) -> tuple[Mapping[str, Mapping[str, str]], Mapping[str, ast.ListComp]]:
    """Return a script's dictionaries of texts by name, and the expression of a prompt by language."""
    try:
        tree = ast.parse(read_text(path))
    except SyntaxError as error:
        raise UserError(f"the script cannot be parsed: {error}", where=path, fix=_FIX) from None
    dictionaries: dict[str, dict[str, str]] = {}
    expressions: dict[str, ast.ListComp] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Dict() as value):
                try:
                    dictionaries[name] = ast.literal_eval(value)
                except ValueError:
                    continue
            case ast.If(
                test=ast.Compare(left=ast.Name(id="target_lang"), comparators=[ast.Constant(value=str() as language)]),
                body=[ast.Assign(targets=[ast.Name(id="input")], value=ast.ListComp() as made)],
            ):
                expressions[language] = made
    return dictionaries, expressions


def _prompt(
    made: ast.ListComp, dictionaries: Mapping[str, Mapping[str, str]], fields: Sequence[str], path: Path
) -> str:
    """Return what a list of prompts is made of, with ``{field}`` for the texts of a row."""
    target = made.generators[0].target
    names = [part.id for part in ast.walk(target) if isinstance(part, ast.Name)]
    slots = dict(zip(names, fields, strict=True))

    def text(node: ast.expr) -> str:
        match node:
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return text(left) + text(right)
            case ast.Constant(value=str() as constant):
                return constant
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=str() as key)):
                return dictionaries[name][key]
            case ast.Name(id=name) if name in slots:
                return f"{{{slots[name]}}}"
        raise UserError(f"the prompt is made of {ast.unparse(node)!r}, which is not known", where=path, fix=_FIX)

    return text(made.elt)


def _paths(part: Part) -> tuple[str, ...]:
    return (_SCRIPTS[part.split],) if part.language in ZHANG else ()


_FORMAT = Format(f"the paper's scripts: {', '.join(_SCRIPTS.values())}", find_all(_paths), _read)

DATASET = Dataset(
    name="zhang_prompts",
    title="prompts of Zhang et al. as their scripts have them, for `preset: paper`",
    licence="not stated by the publisher",
    citation="Zhang et al. 2024, Large Language Models are Good Spontaneous Multilingual Learners, arXiv 2405.13816",
    homepage="https://github.com/Shimao-Zhang/LLM-Multilingual-Learner",
    schema="one row a language: field prompt, with {text} and the like for the texts of a row; options: label words",
    splits=tuple(_SCRIPTS),
    languages=ZHANG,
    sources=(GitHubFiles(*REPOSITORY_COMMIT, _paths, _FORMAT),),
    formats=(_FORMAT,),
)
