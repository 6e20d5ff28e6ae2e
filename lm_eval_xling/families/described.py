"""Families that are said by a description alone: rows, prompt, words; no code of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from lm_eval_xling import literals
from lm_eval_xling.composing import Placement
from lm_eval_xling.families.family import Form
from lm_eval_xling.families.placed import PlacedParameters, compose_rows, letters_of, placed_document
from lm_eval_xling.families.prompts import Template
from lm_eval_xling.records import ComposedItem, Document, Row

__all__ = ["Description"]


_REQUESTS = {
    "letters": "instructions.choose",
    "generate": "instructions.choose",
    "cloze": "instructions.complete",
}


@dataclass(frozen=True, slots=True)
class Description:
    """What a description says of multiple-choice items."""

    family: str
    """Name of the family."""
    dataset: str
    """Name in the catalog, or of the own data."""
    split: str
    """Split that is scored."""
    prompts: Mapping[str, Template]
    """Template by name of the form."""
    instruction: str = ""
    """Text before the prompt, or the key of one in the literals, which is said in the question's language."""
    main: str = "question"
    """Field whose language is the question's."""
    group: str | None = None
    """Name in ``Row.extra`` of what averages group by."""
    cluster: str | None = None
    """Name in ``Row.extra`` of what makes items dependent."""
    gold: str = "en"
    """Language of the gold answers."""
    requests: bool = True
    """Whether to tell a model that answers in words or turns what to do, in the question's language."""
    load: Callable[[str, str, str], Iterable[Row]] | None = field(default=None, compare=False)
    """Instead of ``catalog.load_rows``."""

    @property
    def words(self) -> tuple[str, ...]:
        """Keys of the prompt words that its languages need."""
        keys = [key for template in self.prompts.values() for key in template.words]
        keys += [_REQUESTS[form] for form in self.prompts]
        if self.instruction in literals.words("en"):
            keys.append(self.instruction)
        return tuple(dict.fromkeys(keys))

    def items(self, placement: Placement, parameters: PlacedParameters) -> list[ComposedItem]:
        """Return the composed items of a placement."""
        return compose_rows(self.dataset, self.split, placement, parameters, load=self.load, gold=self.gold)

    def document(
        self,
        item: ComposedItem,
        placement: str,
        form: Form,
        parameters: PlacedParameters,
    ) -> Document:
        """Return the document of an item.

        Args:
            item: the item.
            placement: as reports name it.
            form: the form that is asked for.
            parameters: the family's parameters.
        """
        # An answer in words is asked for as letters are.
        shown = self.prompts["letters" if form.generates else form.name]
        letters = () if form.name == "cloze" else letters_of(item, parameters)
        prompt = shown.render(
            item.fields,
            item.field_languages,
            options=() if form.name == "cloze" else item.options,
            option_ids=letters,
            where=f"{self.family}, id {item.id}",
        )
        asked_in = item.field_languages[self.main]
        known = self.instruction in literals.words("en")
        return placed_document(
            item,
            family=self.family,
            placement=placement,
            form=form,
            prompt=prompt,
            option_ids=letters,
            main=self.main,
            description=literals.word(asked_in, self.instruction) if known else self.instruction,
            request=literals.word(asked_in, _REQUESTS[form.name]) if self.requests else "",
            group=str(item.extra[self.group]) if self.group else "",
            cluster=str(item.extra[self.cluster]) if self.cluster else "",
        )
