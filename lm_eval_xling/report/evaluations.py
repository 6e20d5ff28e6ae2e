"""What reading a run gives: evaluations, each with its model, setting, condition and samples, and notes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lm_eval_xling.report.conditions import LoggedCondition

__all__ = ["EvaluatedModel", "Evaluation", "Note", "Samples", "Setting"]


@dataclass(frozen=True, slots=True)
class EvaluatedModel:
    """A model, with its adapter, that runs were made with."""

    label: str
    """Short name, unique in the report."""
    source: str
    """Folder or hub name of the weights, or the harness's model type where it names none."""
    adapter: str | None = None
    """Folder or hub name of the PEFT adapter."""
    arguments: str = ""
    """Other arguments that may change its numbers: revision, dtype, quantisation."""
    base: str = ""
    """Folder or hub name of the weights that it was trained from; empty for a model that is nobody's offspring."""
    trained_languages: tuple[str, ...] = ()
    """Languages that its card says it was trained on."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What has to be equal for two evaluations to be compared at all."""

    shots: int
    """Number of demonstrations."""
    shots_seed: int | None = None
    """Seed of the sampled demonstrations; None without demonstrations."""
    chat_template: bool = False
    """Whether a chat template was applied."""
    multiturn: bool = False
    """Whether demonstrations were shown as turns of a conversation."""
    system_instruction: str = ""
    """Digest of the system instruction; empty without one."""
    parameters: str = ""
    """Parameters of ``--metadata`` under ``xling`` that items in English are subject to, too, as ``name=value``;
    without ``form``."""
    generation: str = ""
    """Arguments of generation (``--gen_kwargs``), as ``name=value``."""
    form: str = ""
    """Form of the answer: ``letters``, ``cloze`` or ``generate``; empty where it is unknown."""
    variant: str = ""
    """What else tells a family's tasks apart that have no items in common: dataset, split."""

    @property
    def label(self) -> str:
        """What a reader needs to tell it from other settings."""
        parts = [f"{self.shots}-shot"]
        parts += [part for part in (self.form, self.variant) if part]
        parts += ["chat template"] if self.chat_template else []
        parts += ["demonstrations as turns"] if self.multiturn else []
        parts += [f"system instruction {self.system_instruction[:6]}"] if self.system_instruction else []
        parts += [f"demonstrations of seed {self.shots_seed}"] if self.shots_seed not in (None, 1234) else []
        given = " ".join(part for part in (self.parameters, self.generation) if part)
        return ", ".join(parts + ([given] if given else []))


@dataclass(frozen=True, slots=True)
class Samples:
    """Per-item results of one task in one run, one row an item."""

    path: str
    """The ``samples_*.jsonl`` file."""
    ids: tuple[str, ...]
    """Item ids, unique."""
    metrics: Mapping[str, Any]
    """Metric name to scores, shape (n,), nan where the item has none."""
    chosen: Any
    """Shape (n,): index of the option with the highest score; -1 where there are no options."""
    answer: Any
    """Shape (n,): index of the right option; -1 where unknown."""
    scores: Any | None
    """Shape (n, k): log-likelihood of every option; None for generated text or unequal numbers of options."""
    conditions: tuple[LoggedCondition, ...]
    """Condition of every item."""
    groups: tuple[str, ...]
    """What averages group by (subject) of every item; empty strings where there is none."""
    clusters: tuple[str, ...]
    """Label of what makes items dependent (author, passage, country), which may be in the task's language; empty for an
    item that depends on no other."""
    responses: Any
    """Shape (n,): hash of what the model answered, equal inside one process where the answers are equal bit by bit."""
    prompts: Any
    """Shape (n,): 60-bit digest of the prompt."""
    offsets: Any
    """Shape (n,): byte at which the item's line starts in the file."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One task of one harness run."""

    task: str
    """Name of the leaf task, and after it the parameters that change its languages: they are part of the condition."""
    model: EvaluatedModel
    """What was evaluated."""
    setting: Setting
    """How it was prompted."""
    family: str
    """Family of the task; the task's own name for tasks that are not ours."""
    condition: LoggedCondition
    """What all its documents have in common; unknown for tasks that are not ours."""
    metrics: Mapping[str, tuple[float, float]]
    """Metric name to the harness's aggregate and standard error (nan where it gives none), main metric first."""
    higher_is_better: Mapping[str, bool]
    """By metric name."""
    averaged: frozenset[str]
    """Metrics whose aggregate is the mean of the items' values."""
    n: int
    """Number of evaluated documents."""
    path: str
    """The ``results_*.json`` file."""
    date: str
    """When the run was written, ISO 8601; runs are ordered by it."""
    circumstances: Mapping[str, str]
    """What should be equal but does not forbid a comparison: seeds, limit, harness version, task version, …"""
    unscored: str = ""
    """Why it has no score at all, in words; empty where it has one."""
    samples: Samples | None = None
    """Per-item results; None where the run has none that can be used."""

    @property
    def metric(self) -> str:
        """Name of the main metric."""
        return next(iter(self.metrics))

    @property
    def name(self) -> str:
        """The task's name inside its family, by which a reader finds it again: ``fr_es``, ``gt_de``, ``mixup``."""
        return self.task.removeprefix("xling_").removeprefix(self.family).removeprefix("_") or self.task


@dataclass(frozen=True, slots=True)
class Note:
    """Something the reader has to know about the input before trusting a number."""

    kind: str
    """``refused`` (not compared), ``marked`` (compared, with a reservation), ``superseded`` (a newer run of the same
    task was used), ``missing`` (aggregates only, or no scores), ``damaged`` (part of a file could not be read) or
    ``suspect`` (the scores are there and can hardly mean what they seem to)."""
    text: str
    """What is the matter, in one sentence."""
    where: str = ""
    """File, task or model that it concerns."""
