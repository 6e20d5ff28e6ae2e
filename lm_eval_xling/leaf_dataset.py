"""The dataset of a leaf as the harness takes it: evaluated documents and demonstrations in one split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from lm_eval.api.samplers import ContextSampler

from lm_eval_xling.errors import UserError
from lm_eval_xling.families import Family

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["SamePool", "demonstrations", "evaluated", "leaf_dataset"]


@cache
def leaf_dataset(family: Family, leaf: str, form: str, parameters: Any, mirror: str | None) -> Dataset:
    """The documents of a leaf; ``mirror`` is the variable's value, so that another mirror is read anew."""
    from datasets import Dataset

    shown = replace(family.leaf(leaf), form=form)
    made = family.documents(shown, family.form(shown, parameters), parameters)
    if not made.evaluated:
        raise UserError("no documents are left to evaluate", where=f"{family.task(leaf)}, {parameters}")
    rows = [{**document.as_row(), "role": "evaluated"} for document in made.evaluated]
    rows += [{**document.as_row(), "role": "demonstration"} for document in made.demonstrations]
    # A table has the keys of its first row.
    keys = dict.fromkeys(key for row in rows for key in row)
    return Dataset.from_list([{key: row.get(key) for key in keys} for row in rows])


def evaluated(dataset: Dataset) -> Dataset:
    """Return the documents that are scored (``process_docs``)."""
    return dataset.select(range(list(dataset["role"]).count("evaluated")))


def demonstrations(dataset: Dataset) -> Dataset:
    """Return the pool of demonstrations (``fewshot_config.process_docs``)."""
    first = list(dataset["role"]).count("evaluated")
    return dataset.select(range(first, len(dataset)) if first < len(dataset) else [])


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
