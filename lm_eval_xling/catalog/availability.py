"""What can be had here: from the mirror, from the sources, or from the package itself."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

from lm_eval_xling.catalog.dataset import Dataset, Part
from lm_eval_xling.catalog.loading import named_part
from lm_eval_xling.catalog.mirror import Mirror, StoredPart, mirror_from_environment
from lm_eval_xling.catalog.registry import DATASETS

__all__ = ["Availability", "Lacking", "availability", "commands", "lacking", "lacks_in_words"]


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


@dataclass(frozen=True, slots=True)
class Lacking:
    """A part that ``load_rows`` cannot give here and now."""

    dataset: str
    """Name of the dataset."""
    split: str
    """Split."""
    language: str
    """Language code."""
    why: str
    """What is in the way."""


def lacking(dataset: str, split: str, languages: Iterable[str]) -> list[Lacking]:
    """Return the parts of a dataset that cannot be loaded here, without reading a row.

    With a mirror (``XLING_DATA``) a part is there if its file has the size that the manifest says; its bytes are
    checked when it is read. Without one, a source must answer, which it is asked once a process, or hold the part in
    its cache.

    Args:
        dataset: a key of ``DATASETS``.
        split: one of the dataset's splits.
        languages: in any spelling; ``mul`` for rows that mix languages.

    Raises:
        UserError: if there is no such dataset, language or split, or ``XLING_DATA`` names something that is no mirror.
    """
    mirror = mirror_from_environment()
    found = []
    for part in [named_part(dataset, language, split) for language in languages]:
        entry = DATASETS[dataset]
        why = _why_lacking(entry, part, mirror)
        if why is not None:
            found.append(Lacking(dataset, split, part.language, why))
    return found


def _why_lacking(entry: Dataset, part: Part, mirror: Mirror | None) -> str | None:
    if entry.built_in is not None:
        return None if part in entry.parts() else f"it is made in {', '.join(entry.languages)} only"
    if mirror is not None:
        return mirror.why_lacking(entry.name, part)
    source = entry.source_of(part)
    if source is None:
        return "no source publishes it"
    reason = _unreachable(entry.name, entry.sources.index(source))
    return None if reason is None or source.at_hand(part) else f"{source.name}: {reason}"


@cache
def _unreachable(dataset: str, source: int) -> str | None:
    return DATASETS[dataset].sources[source].unreachable()


def commands(parts: Iterable[Lacking]) -> list[str]:
    """Return the commands that get these parts, or bring them in: one for all languages that lack the same splits.

    Those that fetch can be pasted but for ``MIRROR``, which stands where ``XLING_DATA`` is not set and is set last.

    Raises:
        UserError: if ``XLING_DATA`` names something that is no mirror.
    """
    mirror = mirror_from_environment()
    folder = "MIRROR" if mirror is None else str(mirror.folder)
    found: dict[str, None] = {}
    published = []
    for part in dict.fromkeys(parts):
        entry = DATASETS[part.dataset]
        if entry.built_in is not None:
            found["xling data list"] = None
        elif entry.source_of(Part(part.language, part.split)) is None:
            found[f"xling data import {part.dataset} --from DIR --to {folder}"] = None
        else:
            published.append(part)
    fetched = (
        f"xling data fetch {dataset} --languages {','.join(languages)} --splits {','.join(splits)} --to {folder}"
        for dataset, languages, splits in _together(published)
    )
    lines = [*fetched, *found]
    return [*lines, "export XLING_DATA=MIRROR"] if mirror is None and any("MIRROR" in line for line in lines) else lines


def lacks_in_words(parts: Iterable[Lacking]) -> str:
    """Say which parts are lacking and why, as in ``mmlu in en, fr, splits test, dev: REASON; mgsm in …``."""
    by_reason: dict[str, list[Lacking]] = {}
    for part in dict.fromkeys(parts):
        by_reason.setdefault(part.why, []).append(part)
    return "; ".join(
        " and ".join(
            f"{dataset} in {', '.join(languages)}, {'split' if len(splits) == 1 else 'splits'} {', '.join(splits)}"
            for dataset, languages, splits in _together(together)
        )
        + f": {why}"
        for why, together in by_reason.items()
    )


def _together(parts: Iterable[Lacking]) -> list[tuple[str, list[str], list[str]]]:
    """Datasets with their languages and splits: each language once, beside those with the same splits."""
    splits: dict[tuple[str, str], list[str]] = {}
    for part in parts:
        splits.setdefault((part.dataset, part.language), []).append(part.split)
    languages: dict[tuple[str, frozenset[str]], list[str]] = {}
    for (dataset, language), named in splits.items():
        languages.setdefault((dataset, frozenset(named)), []).append(language)
    return [(dataset, named, splits[dataset, named[0]]) for (dataset, _), named in languages.items()]
