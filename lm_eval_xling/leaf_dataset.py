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
    from datasets.table import InMemoryTable

    shown = replace(family.leaf(leaf), form=form)
    made = family.documents(shown, family.form(shown, parameters), parameters)
    if not made.evaluated:
        raise UserError("no documents are left to evaluate", where=f"{family.task(leaf)}, {parameters}")
    documents = [*made.evaluated, *made.demonstrations]
    rows = [document.as_row() for document in documents]
    # In this order, which the harness's hash of a document depends on.
    columns: dict[str, list[Any]] = dict.fromkeys([*rows[0], "role", *(key for row in rows for key in row)], [])
    for key in columns:
        columns[key] = [row.get(key) for row in rows]
    columns["role"] = ["evaluated"] * len(made.evaluated) + ["demonstration"] * len(made.demonstrations)
    return Dataset(InMemoryTable.from_pydict(columns), fingerprint=_fingerprint())


def _fingerprint() -> str:
    """Return a name for a table, at random: hashing all of its rows takes longer than making them."""
    from datasets.fingerprint import generate_random_fingerprint

    made: str = generate_random_fingerprint()
    return made


@cache
def evaluated(dataset: Dataset) -> Dataset:
    """Return the documents that are scored (``process_docs``), once made: the harness asks for them at every turn."""
    from datasets import Dataset

    count = _scored(dataset)
    if count == len(dataset):
        return dataset
    return Dataset(dataset.data.slice(0, count), info=dataset.info, fingerprint=_fingerprint())


@cache
def demonstrations(dataset: Dataset) -> list[dict[str, Any]]:
    """Return the pool of demonstrations (``fewshot_config.process_docs``)."""
    pool: list[dict[str, Any]] = dataset.data.slice(_scored(dataset)).to_pylist()
    return pool


def _scored(dataset: Dataset) -> int:
    """Return how many of a leaf's documents are scored; the others follow them."""
    # Of Arrow's column, because a dataset decodes its own row by row.
    count: int = dataset.data.column("role").to_pylist().count("evaluated")
    return count


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
