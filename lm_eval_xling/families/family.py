"""What a family of tasks is: one value, from which everything that names or lists families is derived."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from lm_eval_xling.errors import UserError, unknown_name
from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.records import Document, Response, Row, TaskDocuments

__all__ = ["Family", "Form", "Group", "Leaf", "Metric", "Part", "Preset", "Scores", "mean"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A number that the harness aggregates over the documents of a leaf."""

    name: str
    """As in results."""
    aggregation: str = "mean"
    """Name of one of the harness's aggregations, or the dotted path of a function of ours."""
    higher_is_better: bool = True
    """Its direction."""


Part = tuple[str, str, str]
"""Dataset, split and language of rows that a leaf needs."""

Preset = Literal["default", "paper"]
"""Values of the parameter ``preset``: what users of the harness expect, or what the paper's released scripts do."""

Scores = Callable[[Document, Sequence[Response]], Mapping[str, Any]]
"""Metric name to the value of one document, from the responses in the order of its choices, or the one that was
generated. A metric may be left out for some documents: its mean is one over the others."""


@dataclass(frozen=True, slots=True)
class Form:
    """How an answer is asked for and scored."""

    name: str
    """``letters`` and ``cloze`` compare likelihoods of option identifiers and of texts; ``generate`` reads a text, and
    so do names of a family's own, such as ``translate``."""
    scores: Scores
    """What a document scores."""
    metrics: tuple[Metric, ...]
    """What ``scores`` may return, the most telling first."""
    shots: int | None = None
    """Demonstrations by default; 0 where there are none at all, ``None`` where there are but none is shown unless asked
    for."""
    delimiter: str = " "
    """Between the cue and the answer, and so the beginning of every scored continuation."""
    shots_delimiter: str = "\n\n"
    """After the answer of a demonstration."""
    max_tokens: int | None = None
    """Longest generated answer in tokens; ``None`` where likelihoods are compared."""
    stops: tuple[str, ...] = ()
    """Strings that end a generated answer of a base model."""
    generation: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of generation beside length and stops, in the harness's words; greedy where there are none."""
    counts_tokens: bool = False
    """Whether the scores need ``Response.tokens``."""
    next_token: Literal["last", "prefixes"] | None = None
    """Compare probabilities of the next token alone: of the ``last`` token of an answer written without a space, or of
    all tokens that are ``prefixes`` of it. ``None``: the log-likelihood of the whole answer."""
    messages: Literal["turns", "one", "system"] = "turns"
    """What a chat model is sent: turns as the harness makes them, ``one`` message with all that a base model reads, or
    the description as the ``system``'s message and the prompt as the user's."""
    paper: Form | None = None
    """The form in its place under ``preset: paper``; ``None`` where the paper's scripts have none."""

    @property
    def generates(self) -> bool:
        """Whether text is generated."""
        return self.max_tokens is not None


@dataclass(frozen=True, slots=True)
class Leaf:
    """One leaf task."""

    name: str
    """What follows ``xling_<family>_`` in the task's name."""
    form: str
    """Key of its form in ``Family.forms``."""
    condition: Mapping[str, Any]
    """What tells it from other leaves: placement, languages of the parts, split."""
    parameters: tuple[str, ...] = ()
    """Parameters of the family that change it; others are refused."""
    alternatives: tuple[str, ...] = ()
    """Keys of the other forms that ``--metadata '{"xling": {"form": …}}'`` may choose."""
    beside: Mapping[str, str] = field(default_factory=dict)
    """Of its parameters those that change it only beside another, and which; alone they are refused."""


@dataclass(frozen=True, slots=True)
class Group:
    """An average over leaves, as the harness's groups give it."""

    name: str
    """Follows the group's name: ``crosslingual_<family>::<name>``."""
    leaves: tuple[str, ...]
    """Names of the leaves."""
    metrics: tuple[str, ...]
    """Metrics that are averaged."""
    by_size: bool = True
    """Whether a leaf counts by its number of documents, or all alike."""


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """A family of tasks over the same items."""

    name: str
    """In task names, folders and results."""
    summary: str
    """What it measures, in one line."""
    datasets: tuple[str, ...]
    """Its data, by name in the catalog."""
    parameters: type
    """Frozen dataclass of what ``--metadata '{"xling": {…}}'`` may change; the published setting is the default."""
    forms: Mapping[str, Form]
    """Its forms by key."""
    leaves: tuple[Leaf, ...]
    """Its leaf tasks."""
    documents: Callable[[Leaf, Form, Any], TaskDocuments]
    """The documents of a leaf in one of its forms, with an instance of ``parameters``."""
    needs: Callable[[Leaf, Form, Any], Sequence[Part]] | None = None
    """Parts of datasets that ``documents`` reads, given the same arguments; ``None`` for own data."""
    groups: tuple[Group | str, ...] = ()
    """Members of the group ``crosslingual_<name>``: averages, and names of leaves that stand alone."""
    average: tuple[str, ...] = ()
    """Metrics that are averaged over all members of the group too, all leaves alike."""
    words: tuple[str, ...] = ()
    """Prompt words (keys of the literals) that each of its languages needs; none where prompts are in English."""
    questions: Mapping[str, Callable[[Row], str]] = field(default_factory=dict)
    """By dataset: a row's prompt up to where the answer would follow, for question alignment."""
    version: float = 1.0
    """Raised by every change that alters a score."""
    load: Callable[[str, str, str], Sequence[Row]] | None = None
    """Rows of own data by name, language and split; ours come from the catalog."""
    check: Callable[[], int] | None = None
    """Reads all rows of own data, raises a ``UserError`` for what is wrong, and returns the number of items."""

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes of the languages that its leaves name, English first."""
        named = {
            value
            for leaf in self.leaves
            for value in leaf.condition.values()
            if isinstance(value, str) and value in LANGUAGES
        }
        return tuple(sorted(named | {"en"}, key=lambda code: (code != "en", code)))

    def leaf(self, name: str) -> Leaf:
        """Return the leaf of a name.

        Raises:
            UserError: if there is none.
        """
        for leaf in self.leaves:
            if leaf.name == name:
                return leaf
        raise unknown_name("leaf", name, [leaf.name for leaf in self.leaves], where=f"family {self.name}")

    def form(self, leaf: Leaf, parameters: Any) -> Form:
        """Return the form in which a leaf is asked: the paper's own under ``preset: paper``.

        Raises:
            UserError: if the paper has no such form.
        """
        form = self.forms[leaf.form]
        if getattr(parameters, "preset", "default") == "default":
            return form
        if form.paper is None:
            raise UserError(
                f"the paper's scripts have no form {form.name!r}",
                where=f"preset of {self.task(leaf)}",
                fix="leave out the form or the preset",
            )
        return form.paper

    def task(self, leaf: Leaf | str) -> str:
        """Return the name of a leaf's task."""
        return f"xling_{self.name}_{leaf if isinstance(leaf, str) else leaf.name}"


def mean(*names: str, lower_is_better: Sequence[str] = ()) -> tuple[Metric, ...]:
    """Return metrics whose aggregate is the mean over documents."""
    return tuple(Metric(name, higher_is_better=name not in lower_is_better) for name in names)
