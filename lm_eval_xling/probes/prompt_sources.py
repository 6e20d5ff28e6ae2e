"""Where a probe's texts come from: the task documents that the harness scores, text files, or parallel sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lm_eval_xling.errors import UserError
from lm_eval_xling.files import json_lines, read_text
from lm_eval_xling.languages import identify, resolve
from lm_eval_xling.literals import words
from lm_eval_xling.probes.labels import ENGLISH
from lm_eval_xling.probes.probe import Prompt
from lm_eval_xling.records import Document, Request
from lm_eval_xling.translation.language_files import PLACEHOLDER, language_files

__all__ = ["common_items", "from_files", "from_tasks", "parallel_sentences", "read_lines"]

_FIX = (
    'write {"id": "1", "language": "de", "text": "…", "labels": {"en": ["positive", "negative"], '
    '"de": ["positiv", "negativ"]}, "answer": 0}'
)


def from_tasks(
    tasks: Sequence[str],
    *,
    limit: int | None = None,
    num_fewshot: int | None = None,
    metadata: Mapping[str, Any] | None = None,
    include_path: Sequence[str | Path] = (),
    labels: bool = False,
    facts: bool = False,
) -> list[Prompt]:
    """Return the prompts of leaf tasks exactly as the harness sends them to the model, demonstrations included.

    Args:
        tasks: names of leaf tasks.
        limit: the first documents of each task only.
        num_fewshot: instead of each task's own.
        metadata: as with ``--metadata``.
        include_path: further folders of tasks, such as those of own data.
        labels: whether label words are needed, as for the logit lens.
        facts: whether a subject and continuations are needed, as for patching.

    Raises:
        UserError: if a task is unknown, its labels are no words of ``literals``, or it asks no facts.
    """
    from lm_eval_xling.harness import requests

    prompts = []
    for task in tasks:
        for request in requests(
            task, limit=limit, num_fewshot=num_fewshot, metadata=metadata, include_path=include_path
        ):
            document = request.document
            language = document.condition.languages["question"]
            found = _label_words(task, document, language) if labels else {}
            answer = document.answer if labels or facts else None
            prompt = Prompt(document.id, language, request.context, found, answer)
            prompts.append(_with_fact(prompt, task, request) if facts else prompt)
    return _checked(prompts, "--task")


def _label_words(task: str, document: Document, language: str) -> dict[str, tuple[str, ...]]:
    """Return the words of the document's choices in English and in the prompt's language, in the choices' order."""
    prefix = f"labels.{document.family}."
    names = {
        words(code)[key]: key
        for code in (ENGLISH, language)
        for key in words(ENGLISH)
        if key.startswith(prefix) and key in words(code)
    }
    choices = [choice.strip(' "') for choice in document.choices]
    unknown = [choice for choice in choices if choice not in names]
    if unknown or not choices:
        raise UserError(
            f"the choices of this task are no label words: {', '.join(unknown) or 'none'}",
            where=f"task {task}, document {document.id}",
            fix="probe a sentiment, NLI or paraphrase task with English or native labels, or give --texts FILE.jsonl "
            "with labels",
        )
    return {code: tuple(words(code)[names[choice]] for choice in choices) for code in (ENGLISH, language)}


def _with_fact(prompt: Prompt, task: str, request: Request) -> Prompt:
    """Return the prompt with what the task's document asks of which subject."""
    subject = request.document.fields.get("subject")
    if not isinstance(subject, str) or not request.continuations:
        raise UserError(
            "the task scores no answers to a question about a subject",
            where=f"task {task}, document {request.document.id}",
            fix="probe a task of facts such as xling_atlas_de_de, or give --texts FILE.jsonl with subjects and choices",
        )
    return replace(prompt, subject=subject, choices=request.continuations, relation=request.document.group)


def from_files(specifications: Iterable[str], *, limit: int | None = None) -> list[Prompt]:
    """Return the texts of files, one a line.

    Args:
        specifications: ``FILE`` or ``LANGUAGE=FILE``; without a language the file's name begins with one, as in
            ``de.txt``. A ``.jsonl`` file has objects with ``text``, ``language``, and for the logit lens ``labels``
            (language to words) and ``answer`` (index), for facts ``subject``, ``choices``, ``answer`` and ``relation``;
            lines of the same number, or the same ``id``, are the same item in several languages.
        limit: the first texts of each file only.

    Raises:
        UserError: if a file cannot be read or names no language.
    """
    prompts = []
    for specification in specifications:
        language, path = _language_and_path(specification)
        if path.suffix == ".jsonl":
            prompts += _from_json_lines(path, language, limit)
        else:
            if language is None:
                raise UserError(
                    "the file's name says no language", where=path, fix=f"write the language first: en={path}"
                )
            lines = read_lines(path)
            prompts += [Prompt(str(number), language, line) for number, line in enumerate(lines) if line][:limit]
    return _checked(prompts, "--texts")


def read_lines(path: Path) -> list[str]:
    """Return the lines of a UTF-8 file without white space at their ends; empty lines stay, as pairs count lines.

    Raises:
        UserError: if the file cannot be read.
    """
    # Not splitlines(): a form feed or a line separator inside a sentence ends no line of a parallel file.
    lines = read_text(path).split("\n")
    if lines and not lines[-1]:
        lines.pop()
    return [line.strip() for line in lines]


def parallel_sentences(source: str, *, limit: int | None = None) -> list[Prompt]:
    """Return parallel sentences, by line.

    Args:
        source: a folder with one file a language, whose names begin with the language's code in any spelling
            (``de.devtest``, ``dan_Latn.txt``), a pattern of such names (``flores/{language}.devtest``), or the name
            of a dataset of the catalog whose rows have one main text, such as ``flores``. Any language that has a tag
            will do.
        limit: the first sentences only.

    Raises:
        UserError: if there are fewer than two languages, a file's name says none, two files are of one language, the
            files differ in length, or the dataset's rows have no one main text.
    """
    folder = Path(source)
    if not folder.is_dir() and PLACEHOLDER not in folder.name:
        return _from_catalog(source, limit)
    found = language_files(source)
    if len(found) < 2:
        raise UserError(
            f"parallel sentences need files of at least two languages, here are {len(found)}",
            where=folder,
            fix="name each file after its language: en.txt, de.txt",
        )
    lines = {language: read_lines(path) for language, path in found.items()}
    lengths = {language: len(of_language) for language, of_language in lines.items()}
    if len(set(lengths.values())) > 1:
        raise UserError(f"the files are not parallel: {lengths} lines", where=folder, fix="give one sentence a line")
    # A pair with an empty side says nothing, in no language.
    kept = [number for number, row in enumerate(zip(*lines.values(), strict=True)) if all(row)][:limit]
    return [Prompt(str(number), language, lines[language][number]) for language in lines for number in kept]


def _from_catalog(name: str, limit: int | None) -> list[Prompt]:
    from lm_eval_xling.catalog import DATASETS, load_rows

    serving = [entry.name for entry in DATASETS.values() if entry.text_field is not None and len(entry.languages) > 1]
    if name not in serving:
        reason = "neither a folder nor a dataset of the catalog"
        if name in DATASETS:
            single = len(DATASETS[name].languages) < 2
            reason = "the dataset is in one language" if single else "the dataset's rows have no one main text"
        raise UserError(
            reason, where=name, fix=f"give a folder with one file a language, or one of: {', '.join(serving)}"
        )
    dataset, field = DATASETS[name], str(DATASETS[name].text_field)
    split = dataset.splits[0]
    rows = {language: {row.id: row for row in load_rows(name, language, split)} for language in dataset.languages}
    # Rows are parallel by id, not by position: a language may lack some.
    first, *others = rows.values()
    shared = [id for id in first if all(id in other for other in others)][:limit]
    prompts = [Prompt(id, language, rows[language][id].fields[field]) for language in rows for id in shared]
    return _checked(prompts, name)


def common_items(prompts: Sequence[Prompt]) -> tuple[tuple[str, ...], list[list[Prompt]]]:
    """Return the languages, and each language's prompts of the ids that all languages have, in one order.

    Raises:
        UserError: if there are fewer than two languages, or fewer than three ids in common.
    """
    by_language: dict[str, dict[str, Prompt]] = {}
    for prompt in prompts:
        by_language.setdefault(prompt.language, {})[prompt.id] = prompt
    if len(by_language) < 2:
        raise UserError(
            f"languages cannot be compared: there is only {', '.join(by_language)}",
            fix="give the same items in at least two languages, for example --task xling_sentiment_en "
            "--task xling_sentiment_de",
        )
    shared = [id for id in next(iter(by_language.values())) if all(id in found for found in by_language.values())]
    fewest = min(by_language, key=lambda language: len(by_language[language]))
    if len(by_language[fewest]) < 3:
        raise UserError(
            f"too few items: {len(by_language[fewest])} in {identify(fewest).name}, and a comparison needs 3 or more",
            fix="give more texts in every language, or a --limit of 3 or more",
        )
    if len(shared) < 3:
        sizes = {language: len(found) for language, found in by_language.items()}
        raise UserError(
            f"the languages have {len(shared)} items in common, of {sizes}",
            fix="give texts whose ids, or line numbers, are the same in every language",
        )
    return tuple(by_language), [[found[id] for id in shared] for found in by_language.values()]


def _from_json_lines(path: Path, language: str | None, limit: int | None) -> list[Prompt]:
    prompts: list[Prompt] = []
    for where, row in json_lines(path, fix=_FIX):
        if limit is not None and len(prompts) >= limit:
            break
        try:
            labels = {identify(code).code: tuple(map(str, of)) for code, of in row.get("labels", {}).items()}
            code = identify(row["language"]).code if "language" in row else language
            text, answer = row["text"], row.get("answer")
            choices = tuple(map(str, row.get("choices", ())))
            if isinstance(row.get("choices"), str):
                raise TypeError("'choices' is a string, not a list")
            if not isinstance(text, str):
                raise TypeError(f"'text' is {text!r}, not a string")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"the line is no prompt: {type(error).__name__} {error}",
                where=where,
                fix=_FIX,
            ) from error
        if code is None:
            raise UserError("no language", where=where, fix='add "language": "de"')
        prompts.append(
            Prompt(
                str(row.get("id", where.rpartition(":")[2])),
                code,
                text,
                labels,
                answer,
                subject=str(row.get("subject", "")),
                choices=choices,
                relation=str(row.get("relation", "")),
            )
        )
    return prompts


def _language_and_path(specification: str) -> tuple[str | None, Path]:
    language, separator, rest = specification.partition("=")
    if separator and not Path(specification).exists():
        return identify(language).code, Path(rest)
    path = Path(specification)
    return _language_of(path), path


def _language_of(path: Path) -> str | None:
    stem = path.name.split(".")[0]
    try:
        # Of the table alone: almost any three letters are the code of a language.
        return resolve(stem).code
    except UserError:
        return None


def _checked(prompts: list[Prompt], where: str) -> list[Prompt]:
    if not prompts:
        raise UserError("there are no texts", where=where, fix="give a task or a file that is not empty")
    seen: set[tuple[str, str]] = set()
    for prompt in prompts:
        if (prompt.language, prompt.id) in seen:
            raise UserError(
                f"the item {prompt.id!r} occurs twice in {identify(prompt.language).name}",
                where=where,
                fix="give each item once a language",
            )
        seen.add((prompt.language, prompt.id))
    return prompts
