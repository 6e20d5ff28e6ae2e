"""The dataset of a leaf as the harness takes it: evaluated documents and demonstrations in one split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from lm_eval.api.samplers import ContextSampler

from lm_eval_xling.errors import UserError
from lm_eval_xling.families import Family
from lm_eval_xling.on_demand import OnDemand
from lm_eval_xling.records import Document

__all__ = ["LeafDataset", "Rows", "SamePool", "evaluated", "leaf_dataset"]


class Rows(OnDemand[Document, dict[str, Any]]):
    """Documents as the harness evaluates and logs them, made when it asks for them."""

    def __init__(self, documents: Sequence[Document]) -> None:
        super().__init__(documents, Document.as_row)

    @property
    def features(self) -> dict[str, None]:
        """The keys of the rows, where the harness looks for them in a dataset."""
        return dict.fromkeys(self[0])


@dataclass(frozen=True, slots=True, eq=False)
class LeafDataset:
    """All documents of a leaf."""

    evaluated: Rows
    """Those that are scored."""
    demonstrations: Rows
    """Those that demonstrations are chosen from."""


@cache
def leaf_dataset(family: Family, leaf: str, form: str, parameters: Any, mirror: str | None) -> LeafDataset:
    """The documents of a leaf; ``mirror`` is the variable's value, so that another mirror is read anew."""
    shown = replace(family.leaf(leaf), form=form)
    made = family.documents(shown, family.form(shown, parameters), parameters)
    if not made.evaluated:
        raise UserError("no documents are left to evaluate", where=f"{family.task(leaf)}, {parameters}")
    return LeafDataset(Rows(made.evaluated), Rows(made.demonstrations))


def evaluated(dataset: LeafDataset) -> Rows:
    """Return the documents that are scored (``process_docs``)."""
    return dataset.evaluated


class SamePool(ContextSampler):  # type: ignore[misc]
    """Demonstrations of the evaluated document's pool: the first n, never the document itself."""

    def sample(
        self,
        n: int,
        eval_doc: Mapping[str, Any] | None = None,
        df: Sequence[Mapping[str, Any]] | None = None,
        **kwargs: Any,
    ) -> list[Mapping[str, Any]]:
        """Return n demonstrations.

        Raises:
            UserError: if the pool has fewer than n.
        """
        if n == 0:
            return []
        assert eval_doc is not None, "the few-shot split has the name of the test split, so the harness passes it"
        if not hasattr(self, "_pools"):
            self._pools: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
            for document in self.df:
                self._pools[document["pool"]].append(document)
        pool = self._pools.get(eval_doc["pool"], [])
        chosen = [document for document in pool[: n + 1] if document["id"] != eval_doc["id"]][:n]
        if len(chosen) < n:
            raise UserError(
                f"{n} demonstrations were asked for, but there are {len(chosen)}",
                where=f"family {eval_doc['family']}, {eval_doc['pool']}",
                fix=f"pass --num_fewshot {len(chosen)}",
            )
        return chosen
