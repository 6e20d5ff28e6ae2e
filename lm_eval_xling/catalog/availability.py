"""Which datasets can be had here: from the mirror, from their sources, or from the package itself."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from lm_eval_xling.catalog.dataset import Dataset
from lm_eval_xling.catalog.mirror import StoredPart, mirror_from_environment

__all__ = ["Availability", "availability"]


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether and from where a dataset can be had."""

    name: str
    """Name of the dataset."""
    sources: tuple[str, ...]
    """``host:owner/name`` of each source; empty for data that are part of the package."""
    unreachable: tuple[str, ...]
    """Why sources cannot be reached now; empty if all of them can."""
    stored: tuple[StoredPart, ...]
    """What the mirror holds of it."""

    @property
    def built_in(self) -> bool:
        """Whether the data are part of the package."""
        return not self.sources


def availability(datasets: Iterable[Dataset]) -> list[Availability]:
    """Ask every source of these datasets, all at once and for a few seconds, and look into the mirror.

    Args:
        datasets: for instance ``DATASETS.values()``.

    Raises:
        UserError: if ``XLING_DATA`` names something that is not a mirror.
    """
    entries = list(datasets)
    mirror = mirror_from_environment()
    sources = {source.name: source for entry in entries for source in entry.sources}
    with ThreadPoolExecutor(max_workers=8) as pool:
        answers = dict(zip(sources, pool.map(lambda source: source.unreachable(), sources.values()), strict=True))
    return [
        Availability(
            name=entry.name,
            sources=tuple(source.name for source in entry.sources),
            unreachable=tuple(
                f"{source.name}: {answers[source.name]}" for source in entry.sources if answers[source.name] is not None
            ),
            stored=tuple(mirror.of(entry.name)) if mirror is not None else (),
        )
        for entry in entries
    ]
