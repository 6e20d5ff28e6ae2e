"""Tasks of data that may not be copied: they read the published files, and compose what is asked themselves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from lm_eval_xling import literals
from lm_eval_xling.catalog import DATASETS, load_rows
from lm_eval_xling.catalog.dataset import Part
from lm_eval_xling.catalog.hp import DATASET as HP
from lm_eval_xling.catalog.mirror import mirror_from_environment
from lm_eval_xling.catalog.papers import CHUA
from lm_eval_xling.catalog.sources import GitHubFiles, HubTables
from lm_eval_xling.catalog.zhang import LABELS, PUBLISHED_COLUMNS
from lm_eval_xling.errors import UserError
from lm_eval_xling.families import Family, Leaf
from lm_eval_xling.families.classification import DEMONSTRATIONS
from lm_eval_xling.families.task_files import Function
from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.records import Row
from lm_eval_xling.upstream.source_code import CLASSIFICATION, QUIZ

__all__ = ["AtSource", "at_source"]


@dataclass(frozen=True, slots=True)
class AtSource:
    """How a family's tasks read their data where these are published."""

    place: Mapping[str, Any]
    """What the YAML says of the dataset, for all leaves."""
    asked: Mapping[str, Any]
    """What it says of prompt, choices and target, for all leaves."""
    own: Callable[[Leaf], Mapping[str, Any]]
    """What the YAML of a leaf says beside that."""
    code: str
    """The content of `utils.py`."""
    stand_in: Callable[[Sequence[Leaf], Path], Mapping[str, str]]
    """Writes the rows that are read here in the published shape below a folder, the working directory of who reads
    them, and returns the paths that take the place of addresses in the YAML."""


def at_source(family: Family) -> AtSource:
    """Return how a family's tasks read their data where these are published.

    Args:
        family: one whose data may not be copied.
    """
    return _quiz() if family.name == HP.name else _classification(family)


# ---------------------------------------------------------------------------------------------------------------
# sentiment, nli, paraphrase: files of a GitHub repository
# ---------------------------------------------------------------------------------------------------------------


def _classification(family: Family) -> AtSource:
    name = family.name
    columns = PUBLISHED_COLUMNS[name]
    words = [literals.word("en", f"labels.{name}.{label}") for label in LABELS[name]]
    code = CLASSIFICATION.format(
        labels=json.dumps(LABELS[name]),
        texts=json.dumps(list(columns.values())),
        demonstrations=json.dumps([int(identifier) for identifier in DEMONSTRATIONS[name]]),
    )

    def own(leaf: Leaf) -> Mapping[str, Any]:
        language = leaf.condition["language"]
        row = Row(id="", language=language, fields={field: f"{{{{{column}}}}}" for field, column in columns.items()})
        files = {"test": _address(name, language), "english": _address(name, "en")}
        return {"dataset_kwargs": {"data_files": files}, "doc_to_text": family.questions[name](row)}

    return AtSource(
        place={"dataset_path": "json", "custom_dataset": Function("utils.load_rows")},
        asked={"doc_to_choice": words, "doc_to_target": "label"},
        own=own,
        code=code,
        stand_in=partial(_published_files, name),
    )


def _source(name: str, language: str) -> tuple[GitHubFiles, str]:
    """Return where the rows of a language are published: the repository, and the path there."""
    part = Part(language, "test")
    source = DATASETS[name].source_of(part)
    assert isinstance(source, GitHubFiles)
    return source, source.paths(part)[0]


def _address(name: str, language: str) -> str:
    source, path = _source(name, language)
    return source.address(path, source.commit)


def _published_files(name: str, leaves: Sequence[Leaf], folder: Path) -> Mapping[str, str]:
    paths = {}
    for language in dict.fromkeys(("en", *(leaf.condition["language"] for leaf in leaves))):
        path = folder / "published" / _source(name, language)[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        records = []
        for row in _in_order(name, language):
            assert row.answer is not None
            texts = {column: row.fields[field] for field, column in PUBLISHED_COLUMNS[name].items()}
            # Neither here nor there is the label of a row read in another language than English.
            records.append({**texts, "answer": LABELS[name][row.answer]})
        path.write_text(json.dumps(records, ensure_ascii=False), encoding="utf-8")
        paths[_address(name, language)] = str(path)
    return paths


def _in_order(name: str, language: str) -> Iterable[Row]:
    """Return the rows of a published file.

    Raises:
        UserError: rows that cannot be those of the file, because their ids are not their positions there.
    """
    rows = load_rows(name, language, "test")
    if [row.id for row in rows] != [str(index) for index in range(len(rows))]:
        raise UserError(
            f"the ids of {name} in {language} are not positions, so that its rows are not the published ones",
            where="XLING_DATA",
            fix=f"xling data fetch {name} --to MIRROR",
        )
    return rows


# ---------------------------------------------------------------------------------------------------------------
# hp: a dataset on the hub with a split a language
# ---------------------------------------------------------------------------------------------------------------


def _quiz() -> AtSource:
    names = {code: LANGUAGES[code].name for code in sorted(CHUA)}
    words = {
        name: (f"{literals.word(code, 'instructions.hp')}\n\n", f"{literals.word(code, 'fields.answer')}:")
        for code, name in names.items()
    }
    lines = "".join(
        f"    {json.dumps(name)}: (\n        {json.dumps(told, ensure_ascii=False)},\n"
        f"        {json.dumps(cue, ensure_ascii=False)},\n    ),\n"
        for name, (told, cue) in words.items()
    )
    repository = _hub().repository
    revision = _revision()

    def own(leaf: Leaf) -> Mapping[str, Any]:
        condition = leaf.condition
        language = {"language": names[condition["language"]]} if "language" in condition else {}
        pinned = {"revision": revision} if revision else {}
        return {"dataset_kwargs": {"placement": condition["placement"], **language, **pinned}}

    options = "\n".join(f"{letter}. {{{{options[{index}]}}}}" for index, letter in enumerate("ABCD"))
    return AtSource(
        place={"dataset_path": repository, "custom_dataset": Function("utils.load_questions")},
        asked={
            "description": "{{instruction}}",
            "doc_to_text": f"{{{{question}}}}\n{options}\n{{{{cue}}}}",
            "doc_to_choice": list("ABCD"),
            "doc_to_target": "answer",
        },
        own=own,
        code=QUIZ.replace("REPOSITORY", repository).replace("WORDS_BY_LANGUAGE", lines.rstrip("\n")),
        stand_in=_published_tables,
    )


def _hub() -> HubTables:
    (source,) = HP.sources
    assert isinstance(source, HubTables)
    return source


def _revision() -> str | None:
    """Return the commit of the hub that the mirror's rows come from, if they come from one."""
    mirror = mirror_from_environment()
    known = {part.revision for part in mirror.of(HP.name) if part.source == _hub().name} if mirror else set()
    return known.pop() if len(known) == 1 else None


def _published_tables(leaves: Sequence[Leaf], folder: Path) -> Mapping[str, str]:
    """Write the tables where `datasets` looks before it asks the hub."""
    table = folder / _hub().repository
    table.mkdir(parents=True)
    mixed = any(leaf.condition["placement"] == "mixup" for leaf in leaves)
    shown = CHUA if mixed else ("en", *(leaf.condition.get("language", "en") for leaf in leaves))
    splits = []
    for language in dict.fromkeys(shown):
        name = LANGUAGES[language].name
        lines = []
        for row in _in_order(HP.name, language):
            assert row.answer is not None
            options = dict(zip("ABCD", row.options, strict=True))
            lines.append({"question": row.fields["question"], **options, "GT": "ABCD"[row.answer]})
        text = "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)
        (table / f"{name}.jsonl").write_text(text, encoding="utf-8")
        splits.append({"split": name, "path": f"{name}.jsonl"})
    head = yaml.safe_dump({"configs": [{"config_name": "default", "data_files": splits}]})
    (table / "README.md").write_text(f"---\n{head}---\n", encoding="utf-8")
    return {}
