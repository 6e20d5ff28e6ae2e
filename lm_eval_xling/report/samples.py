"""One ``samples_*.jsonl`` file of the harness ▸ arrays, checked against the run that it belongs to."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from lm_eval_xling.records import Note, Samples

__all__ = ["metric_name", "read_samples"]


class _Doc(msgspec.Struct):
    """What pairing needs of a document; the texts stay in the file until an item is shown."""

    id: Any = None
    question_language: Any = None
    answer_language: Any = None
    placement: Any = None
    family: Any = None
    languages: Any = None
    answer: Any = None
    subject: Any = None
    category: Any = None
    cluster: Any = None
    author: Any = None
    context: Any = None
    country: Any = None


# Questions on one author, on one passage, or on one country stand or fall together.
_CLUSTERS = ("cluster", "author", "context", "country")


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
    advance: Callable[[int], object] = lambda size: None,
) -> tuple[Samples | None, dict[str, str], list[Note]]:
    """Read the samples of one task.

    Lines that cannot be read are left out and noted. A file that does not belong to its run is refused as a whole.

    Args:
        path: the file.
        aggregates: of the run, by metric name, main metric first.
        expected: number of documents that the run evaluated.
        digest: the run's ``task_hashes`` entry.
        averaged: metrics whose aggregate is the mean of the samples' values.
        advance: receives the number of bytes read, for progress.

    Returns:
        The samples, or None where they cannot be used; ``family``, ``placement``, ``question_language`` and
        ``answer_language`` as far as all documents agree (``mixed`` where they differ); notes.
    """
    rows = _Rows(path, list(aggregates))
    for offset, line in _lines(path, advance):
        rows.add(offset, line)
    where = path.name
    if not rows.ids:
        return None, {}, [*rows.notes(where), Note("missing", "the samples file holds no readable document", where)]
    facts = {name: _constant(values) for name, values in rows.facts.items()}
    samples = rows.samples()
    notes = rows.notes(where)
    if digest is not None and not rows.bad and rows.digest.hexdigest() != digest:
        notes.append(Note("refused", "the samples are of another run than the results: aggregates only", where))
        return None, facts, notes
    if len(rows.ids) < expected:
        notes.append(Note("marked", f"only {len(rows.ids)} of {expected} documents have samples", where))
        return samples, facts, notes
    for metric, (aggregate, _) in aggregates.items():
        values = samples.metrics[metric]
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


def _constant(values: set[str]) -> str:
    return next(iter(values)) if len(values) == 1 else "mixed" if values else ""


class _Rows:
    """Columns that grow line by line."""

    def __init__(self, path: Path, metrics: list[str]) -> None:
        self.path = path
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
        self.languages: list[tuple[str, ...]] = []
        self.subjects: list[str] = []
        self.clusters: list[str] = []
        self.facts: dict[str, set[str]] = {
            name: set() for name in ("family", "placement", "question_language", "answer_language")
        }
        self.bad: list[int] = []
        self.unusable = 0
        self.duplicates = 0
        self.without_id = 0
        self.count = 0
        self._known: dict[Any, tuple[str, ...]] = {}
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
                if isinstance(value, (int, float)):
                    self.unusable += not math.isfinite(value)
                    self.values[metric][row] = value

    def _parse(self, line: bytes) -> Any:
        try:
            return self.decode(line)
        except msgspec.DecodeError:
            # The harness writes NaN and Infinity, which JSON does not know but Python's parser reads.
            return msgspec.convert(json.loads(line), self.kind)

    def _add_item(self, name: str, offset: int, sample: Any, doc: _Doc) -> None:
        self.ids.append(name)
        self.offsets.append(offset)
        for values in self.values.values():
            values.append(math.nan)
        self.scores.append(_log_likelihoods(sample.filtered_resps))
        self.answers.append(doc.answer if isinstance(doc.answer, int) else -1)
        self.prompts.append(int(sample.prompt_hash[:15] or "0", 16))
        self.languages.append(self._option_languages(doc.languages))
        subject = doc.subject if doc.subject is not None else doc.category
        self.subjects.append("" if subject is None else str(subject))
        cluster = next((value for key in _CLUSTERS if (value := getattr(doc, key)) is not None), None)
        self.clusters.append("" if cluster is None else self._labels.setdefault(str(cluster), f"{len(self._labels)}"))
        for fact, known in self.facts.items():
            value = getattr(doc, fact)
            if value is not None:
                # ISO 639-2 calls several languages in one text "mul".
                known.add("mixed" if value == "mul" else str(value))

    def _option_languages(self, languages: Any) -> tuple[str, ...]:
        if not isinstance(languages, dict):
            return ()
        options = tuple(str(languages[key]) for key in languages if str(key).startswith("option_"))
        return self._known.setdefault(options, options)

    def samples(self) -> Samples:
        lengths = {len(scores) for scores in self.scores}
        same = len(lengths) == 1 and lengths != {0}
        scores = np.array(self.scores, dtype=np.float64) if same else None
        chosen = np.array([_best(row) for row in self.scores])
        return Samples(
            path=str(self.path),
            ids=tuple(self.ids),
            metrics={name: np.array(values) for name, values in self.values.items()},
            chosen=chosen,
            answer=np.array(self.answers),
            scores=scores,
            option_languages=tuple(self.languages),
            subjects=tuple(self.subjects),
            clusters=tuple(self.clusters),
            prompts=np.array(self.prompts, dtype=np.int64),
            offsets=np.array(self.offsets, dtype=np.int64),
        )

    def notes(self, where: str) -> list[Note]:
        notes = []
        if self.bad:
            listed = ", ".join(map(str, self.bad[:5])) + (", …" if len(self.bad) > 5 else "")
            notes.append(Note("damaged", f"{len(self.bad)} lines cannot be read and were left out: {listed}", where))
        if self.duplicates:
            text = f"{self.duplicates} documents have an id that occurred before: the first of each counts"
            notes.append(Note("damaged", text, where))
        if self.unusable:
            notes.append(Note("damaged", f"{self.unusable} scores are not finite numbers and were left out", where))
        if self.without_id:
            text = f"{self.without_id} documents have no id: they are paired by their position in the task"
            notes.append(Note("marked", text, where))
        return notes


def _log_likelihoods(responses: Any) -> list[float]:
    """Scores of the options; empty for generated text."""
    if not isinstance(responses, list) or len(responses) < 2:
        return []
    try:
        return [float(response[0]) for response in responses]
    except (TypeError, ValueError, IndexError):
        return []


def _best(scores: list[float]) -> int:
    if not scores or any(math.isnan(score) for score in scores):
        return -1
    return scores.index(max(scores))
