"""One ``samples_*.jsonl`` file of the harness ▸ arrays, checked against the run that it belongs to."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from lm_eval_xling.report.conditions import UNKNOWN, LoggedCondition, condition_of
from lm_eval_xling.report.evaluations import Note, Samples

__all__ = ["BYPASS", "Facts", "metric_name", "read_samples"]

BYPASS = "bypass"
"""The harness's stand-in for every metric under ``--predict_only``; its values mean nothing."""


_NOTHING = msgspec.Raw()


class _Doc(msgspec.Struct):
    """What pairing needs of a document; the texts stay in the file until an item is shown."""

    id: Any = None
    family: Any = None
    # Parsed once for all documents that have the same.
    condition: msgspec.Raw = _NOTHING
    group: Any = None
    answer: Any = None
    choices: Any = None
    # Of runs that were made before documents had a condition.
    question_language: Any = None
    answer_language: Any = None
    placement: Any = None
    languages: msgspec.Raw = _NOTHING
    subject: Any = None
    category: Any = None
    cluster: Any = None
    author: Any = None
    context: Any = None
    country: Any = None


_RAW = ("condition", "languages")
# Questions on one author, on one passage, or on one country stand or fall together: what older documents call it.
_CLUSTERS = ("cluster", "author", "context", "country")


@dataclass(frozen=True, slots=True)
class Facts:
    """What the documents of a file say of themselves."""

    family: str = ""
    """Family; empty where the documents name none."""
    conditions: frozenset[LoggedCondition] = frozenset()
    """Every condition that occurs."""
    silent: int = 0
    """Number of documents that name no condition."""


def metric_name(metric: str, filter_name: str) -> str:
    """Return the name under which a metric of a filter is reported: ``acc``, ``exact_match/strict``."""
    return metric if filter_name == "none" else f"{metric}/{filter_name}"


def read_samples(
    path: Path,
    aggregates: Mapping[str, tuple[float, float]],
    *,
    expected: int,
    digest: str | None = None,
    averaged: frozenset[str] = frozenset(),
    form: str = "",
    advance: Callable[[int], object] = lambda size: None,
) -> tuple[Samples | None, Facts, list[Note]]:
    """Read the samples of one task.

    Lines that cannot be read are left out and noted. A file that does not belong to its run is refused as a whole.

    Args:
        path: the file.
        aggregates: of the run, by metric name, main metric first.
        expected: number of documents that the run evaluated.
        digest: the run's ``task_hashes`` entry.
        averaged: metrics whose aggregate is the mean of the samples' values.
        form: of the answer, for documents of older runs, as far as the results say it.
        advance: receives the number of bytes read, for progress.

    Returns:
        The samples, or None where they cannot be used; what the documents say of themselves; notes.
    """
    rows = _Rows(path, list(aggregates), form)
    for offset, line in _lines(path, advance):
        rows.add(offset, line)
    where = path.name
    if not rows.ids:
        return (
            None,
            Facts(),
            [*rows.notes(where), Note("missing", "the samples file holds no readable document", where)],
        )
    facts = Facts(min(rows.families, default=""), frozenset(rows.conditions) - {UNKNOWN}, rows.silent)
    # As the harness averaged them: it scores items without a number, too.
    logged = {name: np.array(values) for name, values in rows.values.items()}
    samples = rows.samples()
    notes = rows.notes(where)
    if digest is not None and not rows.bad and rows.digest.hexdigest() != digest:
        notes.append(Note("refused", "the samples are of another run than the results: aggregates only", where))
        return None, facts, notes
    if len(rows.ids) < expected:
        notes.append(Note("marked", f"only {len(rows.ids)} of {expected} documents have samples", where))
        return samples, facts, notes
    for metric, (aggregate, _) in aggregates.items():
        values = logged[metric]
        mean = float(np.nanmean(values)) if np.isfinite(values).any() else math.nan
        if metric in averaged and math.isfinite(aggregate) and not rows.unusable and abs(mean - aggregate) > 1e-6:
            text = f"the samples' mean {metric} is {mean:.4f}, the results say {aggregate:.4f}: aggregates only"
            notes.append(Note("refused", text, where))
            return None, facts, notes
    return samples, facts, notes


def _lines(path: Path, advance: Callable[[int], object]) -> Iterator[tuple[int, bytes]]:
    offset = reported = 0
    with path.open("rb") as stream:
        for line in stream:
            if line.strip():
                yield offset, line
            offset += len(line)
            if offset - reported >= 1_000_000:
                advance(offset - reported)
                reported = offset
    advance(offset - reported)


class _Rows:
    """Columns that grow line by line."""

    def __init__(self, path: Path, metrics: list[str], form: str) -> None:
        self.path = path
        self.form = form
        self.wanted = metrics
        # Fields get neutral names, because a metric's name need not be an identifier ("chrf++").
        plain = sorted({name.split("/")[0] for name in metrics})
        self.fields = {name: f"metric_{index}" for index, name in enumerate(plain)}
        kind = msgspec.defstruct(
            "Sample",
            [
                ("doc", _Doc, msgspec.field(default_factory=_Doc)),
                ("doc_id", Any, None),
                ("filter", str, "none"),
                ("filtered_resps", Any, None),
                ("doc_hash", str, ""),
                ("prompt_hash", str, ""),
                ("target_hash", str, ""),
                *((field, Any, None) for field in self.fields.values()),
            ],
            rename={field: name for name, field in self.fields.items()},
        )
        self.kind = kind
        self.decode = msgspec.json.Decoder(kind).decode
        self.digest = hashlib.sha256()
        self.position: dict[str, int] = {}
        self.ids: list[str] = []
        self.seen: set[tuple[str, str]] = set()
        self.offsets: list[int] = []
        self.values: dict[str, list[float]] = {name: [] for name in metrics}
        self.scores: list[list[float]] = []
        self.answers: list[int] = []
        self.prompts: list[int] = []
        self.responses: list[int] = []
        self.conditions: list[LoggedCondition] = []
        self.groups: list[str] = []
        self.clusters: list[str] = []
        self.families: set[str] = set()
        self.silent = 0
        self.bad: list[int] = []
        self.unusable = 0
        self.broken: list[tuple[str, int, float]] = []
        self.duplicates = 0
        self.without_id = 0
        self.count = 0
        self._known: dict[Any, LoggedCondition] = {}
        self._labels: dict[str, str] = {}

    def add(self, offset: int, line: bytes) -> None:
        self.count += 1
        try:
            sample = self._parse(line)
        except (ValueError, msgspec.MsgspecError):
            self.bad.append(self.count)
            return
        self.digest.update((sample.doc_hash + sample.prompt_hash + sample.target_hash).encode())
        doc = sample.doc
        if doc.id is None:
            self.without_id += 1
        name = f"#{sample.doc_id}" if doc.id is None else str(doc.id)
        key = (name, sample.filter)
        if key in self.seen:
            self.duplicates += 1
            return
        self.seen.add(key)
        row = self.position.get(name)
        if row is None:
            row = self.position[name] = len(self.ids)
            self._add_item(name, offset, sample, doc)
        for metric in self.wanted:
            plain, _, filter_name = metric.partition("/")
            if (filter_name or "none") == sample.filter:
                value = getattr(sample, self.fields[plain])
                # Corpus metrics log what they are computed from, which is no score of the item.
                if isinstance(value, (int, float)) and plain != BYPASS:
                    self.unusable += not math.isfinite(value)
                    self.values[metric][row] = value

    def _parse(self, line: bytes) -> Any:
        try:
            return self.decode(line)
        except msgspec.DecodeError:
            # The harness writes NaN and Infinity, which JSON does not know but Python's parser reads.
            sample = json.loads(line)
            if isinstance(sample, dict) and isinstance(sample.get("doc"), dict):
                raw = {key: msgspec.Raw(json.dumps(sample["doc"][key])) for key in _RAW if key in sample["doc"]}
                sample["doc"] |= raw
            return msgspec.convert(sample, self.kind)

    def _add_item(self, name: str, offset: int, sample: Any, doc: _Doc) -> None:
        self.ids.append(name)
        self.offsets.append(offset)
        for values in self.values.values():
            values.append(math.nan)
        scores = _log_likelihoods(sample.filtered_resps)
        broken = next((index for index, score in enumerate(scores) if not math.isfinite(score)), None)
        if broken is not None:
            self.broken.append((name, broken, scores[broken]))
        self.scores.append(scores)
        # Python's hash of numbers does not vary; that of text varies between processes only.
        self.responses.append(hash(tuple(scores)) if scores else hash(str(sample.filtered_resps)))
        self.answers.append(doc.answer if isinstance(doc.answer, int) else -1)
        self.prompts.append(int(sample.prompt_hash[:15] or "0", 16))
        self.conditions.append(self._condition(doc, bool(scores)))
        group = next((value for value in (doc.group, doc.subject, doc.category) if value is not None), None)
        self.groups.append("" if group is None else str(group))
        cluster = next((value for key in _CLUSTERS if (value := getattr(doc, key)) is not None), None)
        # One text for all items of a cluster: older documents have the whole passage there.
        self.clusters.append(self._labels.setdefault(str(cluster), str(cluster)) if cluster else "")
        if isinstance(doc.family, str):
            self.families.add(doc.family)

    def _condition(self, doc: _Doc, has_options: bool) -> LoggedCondition:
        # Few conditions occur, and building one takes longer than reading the line.
        letters = has_options and _are_letters(doc.choices)
        texts = bytes(doc.condition), bytes(doc.languages)
        key = (*texts, repr((doc.placement, doc.question_language, doc.answer_language)), letters)
        known = self._known.get(key)
        if known is None:
            form = self.form or ("generate" if not has_options else "letters" if letters else "cloze")
            condition, languages = (msgspec.json.decode(text) if text else None for text in texts)
            asked, answered = doc.question_language, doc.answer_language
            found = condition_of(condition, doc.placement, asked, answered, languages, form=form)
            known = self._known[key] = found or UNKNOWN
        self.silent += known is UNKNOWN
        return known

    def samples(self) -> Samples:
        lengths = {len(scores) for scores in self.scores}
        same = len(lengths) == 1 and lengths != {0}
        scores = np.array(self.scores, dtype=np.float64) if same else None
        chosen = np.array([_best(row) for row in self.scores])
        if self.broken:
            # What is right is decided by comparing scores, and nothing compares with what is no number.
            lost = [self.position[name] for name, _, _ in self.broken]
            for values in self.values.values():
                for row in lost:
                    values[row] = math.nan
        return Samples(
            path=str(self.path),
            ids=tuple(self.ids),
            metrics={name: np.array(values) for name, values in self.values.items()},
            chosen=chosen,
            answer=np.array(self.answers),
            scores=scores,
            conditions=tuple(self.conditions),
            groups=tuple(self.groups),
            clusters=tuple(self.clusters),
            responses=np.array(self.responses, dtype=np.int64),
            prompts=np.array(self.prompts, dtype=np.int64),
            offsets=np.array(self.offsets, dtype=np.int64),
        )

    def notes(self, where: str) -> list[Note]:
        notes = []
        if self.bad:
            listed = ", ".join(map(str, self.bad[:5])) + (", …" if len(self.bad) > 5 else "")
            notes.append(Note("damaged", f"{len(self.bad)} lines cannot be read and were left out: {listed}", where))
        if self.broken:
            item, option, value = self.broken[0]
            text = (
                f"{len(self.broken)} of {len(self.ids)} items have log-likelihoods that are no finite numbers, the "
                f"first is item {item} with {value} for option {option}: the model's weights or its precision are "
                "broken; these items are left out"
            )
            notes.append(Note("suspect", text, where))
        if self.duplicates:
            text = f"{self.duplicates} documents have an id that occurred before: the first of each counts"
            notes.append(Note("damaged", text, where))
        if self.unusable:
            notes.append(Note("damaged", f"{self.unusable} scores are not finite numbers and were left out", where))
        if self.without_id:
            text = f"{self.without_id} documents have no id: they are paired by their position in the task"
            notes.append(Note("marked", text, where))
        return notes


def _are_letters(choices: Any) -> bool:
    return isinstance(choices, list) and all(isinstance(choice, str) and len(choice.strip()) == 1 for choice in choices)


def _log_likelihoods(responses: Any) -> list[float]:
    """Scores of the options; empty for generated text."""
    if not isinstance(responses, list) or len(responses) < 2:
        return []
    try:
        return [float(response[0]) for response in responses]
    except (TypeError, ValueError, IndexError):
        return []


def _best(scores: list[float]) -> int:
    if not scores or not all(math.isfinite(score) for score in scores):
        return -1
    return scores.index(max(scores))
