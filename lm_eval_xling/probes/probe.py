"""What a probe is: one value that names what it reads, measures, draws, and how each of its quantities is shown."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lm_eval_xling.errors import UserError, unknown_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lm_eval_xling.probes.probed_model import ProbedModel

__all__ = [
    "ALL_LANGUAGES",
    "Findings",
    "Measure",
    "Picture",
    "Point",
    "Probe",
    "Prompt",
    "Quantity",
    "one_of",
    "setting",
]

ALL_LANGUAGES = "all"
"""What stands for a language where all are counted together; as a code it would be Allar's."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A text that a probe reads, and what the logit lens looks for after its last token."""

    id: str
    """The same in every language; probes over several languages pair on it."""
    language: str
    """Language code of the text."""
    text: str
    """Exactly what the model reads, demonstrations included."""
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Label words by language code, in one order for all languages; empty for free text."""
    answer: int | None = None
    """Index of the correct label, or of the right one among ``choices``."""
    subject: str = ""
    """What a fact is about, as the text has it; empty where no fact is asked."""
    choices: tuple[str, ...] = ()
    """Continuations of the text of which one is right."""
    relation: str = ""
    """What is asked of the subject, such as ``capital``."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of a probe with its 95 % band: what tables and pictures are made of."""

    quantity: str
    """What was measured; the probe's ``quantities`` say what each means and its unit."""
    variant: str
    """``base`` or the adapter's name."""
    minus: str | None
    """Variant that was subtracted, item by item; ``None`` for a level."""
    language: str
    """Language code of the prompts, or of the first of two languages, or ``ALL_LANGUAGES``."""
    other: str | None
    """Second language of a pair, or the control that a similarity is compared with."""
    layer: int | None
    """0 is the embedding, the highest is the model's output; ``None`` is an aggregate over layers."""
    value: float
    """The estimate; NaN where nothing could be measured."""
    low: float
    """Lower end of the 95 % band; NaN where the value describes these very items and has none."""
    high: float
    """Upper end of the 95 % band; NaN as ``low``."""
    n: int
    """Number of items (prompts, texts or sentence pairs)."""
    p: float | None = None
    """Two-sided p-value adjusted over the layers (Benjamini-Hochberg), where a test was made."""


@dataclass(frozen=True, slots=True)
class Point:
    """One prompt on the first two principal components of a layer."""

    variant: str
    """``base`` or the adapter's name; each variant has its own components."""
    layer: int
    """0 is the embedding, the highest is the model's output."""
    language: str
    """Language code of the prompt."""
    id: str
    """Id of the prompt, the same in every language."""
    x: float
    """Score on the first component, in the units of the hidden state."""
    y: float
    """Score on the second component."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """How one quantity is shown."""

    label: str
    """Name in legends and tables."""
    unit: str
    """Unit on the axis."""
    meaning: str
    """One sentence for readers who know neither paper nor code."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What a probe saw: what ``run`` writes down and draws."""

    measures: Sequence[Measure]
    """Means, scores and differences with their bands."""
    points: Sequence[Point] = ()
    """Prompts on principal components."""
    columns: Sequence[str] = ()
    """Names along the last axis of ``values``."""
    values: Mapping[str, NDArray[np.floating[Any]]] = field(default_factory=dict)
    """What was seen of each text: per variant ``(texts, layers + 1, columns)``, NaN where nothing can be measured."""
    ids: Sequence[str] = ()
    """Id of each text."""
    languages: Sequence[str] = ()
    """Language of each text."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else was found, for ``run.json``."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture on disk."""

    path: Path
    """The PNG; the SVG has the same stem."""
    caption: str
    """What it shows, for readers who do not know the paper."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One probe. A new one is a value of this kind in a module of ``probes/kinds``."""

    name: str
    """As in ``xling probe``."""
    title: str
    """Heading of its page."""
    summary: str
    """One line for the command's help."""
    reads: str
    """``prompts`` (of tasks or files), ``texts`` (of files), ``parallel`` (sentences in several languages) or
    ``sentences`` (parallel ones, or texts of files)."""
    settings: type[Any]
    """Dataclass of what its numbers depend on, made with ``setting``; each is an option of the command."""
    quantities: Mapping[str, Quantity]
    """Each quantity of its measures. A name that ends in a dot stands for all that begin so, ``{}`` for the rest."""
    measure: Callable[[ProbedModel, Sequence[Prompt], Any, Path, int], Findings]
    """From model, prompts, settings, the folder of activations and the tokens of a batch to what was seen."""
    draw: Callable[[Findings, Sequence[Prompt], Path, str], list[Picture]]
    """From findings, prompts, the folder of pictures and the model's name to pictures."""
    prepare: Callable[[Sequence[Prompt], Any], Any] = lambda prompts, settings: settings
    """Checks the prompts, and fills in settings that depend on them, before a model is loaded."""
    labels: bool = False
    """Whether prompts of tasks need label words."""
    facts: bool = False
    """Whether prompts need a subject, and continuations of which one is right."""
    examples: Sequence[str] = ()
    """Arguments of the command that can be pasted, for its help."""

    def quantity(self, name: str) -> Quantity:
        """Return how a quantity is shown."""
        if name in self.quantities:
            return self.quantities[name]
        prefix, dot, rest = name.partition(".")
        found = self.quantities[prefix + dot]
        return dataclasses.replace(found, label=found.label.format(rest), meaning=found.meaning.format(repr(rest)))

    def settings_from(self, given: Mapping[str, Any]) -> Any:
        """Return settings of the probe.

        Raises:
            UserError: if one is unknown, missing, or has a value that the probe does not know.
        """
        known = {entry.name: entry for entry in dataclasses.fields(self.settings)}
        for name, value in given.items():
            if name not in known:
                raise unknown_name(f"setting of {self.name}", name, known)
            check = known[name].metadata.get("check")
            if check is not None:
                check(value)
        missing = [name for name, entry in known.items() if _is_required(entry) and name not in given]
        if missing:
            raise UserError(f"the probe {self.name} needs {', '.join(missing)}", fix=f"xling probe {self.name} --help")
        return self.settings(**given)


def setting(
    default: Any = dataclasses.MISSING,
    *,
    help: str,
    read: Callable[[Any], Any] | None = None,
    check: Callable[[Any], None] | None = None,
    metavar: str | None = None,
    **limits: float,
) -> Any:
    """Return a field of a probe's settings.

    Args:
        default: value without the option; an option without default must be given.
        help: of the option.
        read: from what the command line gives, a text, to the value; without it the value's own type is read.
        check: raises a UserError for a value that is unknown.
        metavar: of the option.
        limits: ``min`` and ``max`` of a number.
    """
    metadata = {"help": help, "read": read, "check": check, "metavar": metavar, "limits": limits}
    if isinstance(default, Mapping):
        return field(default_factory=lambda: default, metadata=metadata)
    return field(default=default, metadata=metadata)


def one_of(option: str, known: Sequence[str]) -> Callable[[Any], None]:
    """Return a check that a value is one of those known."""

    def check(value: Any) -> None:
        if value not in known:
            raise unknown_name(option, str(value), known)

    return check


def _is_required(entry: dataclasses.Field[Any]) -> bool:
    return entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING
