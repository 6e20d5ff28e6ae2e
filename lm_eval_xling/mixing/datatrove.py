"""Mixing as a block of `datatrove <https://github.com/huggingface/datatrove>`_: corpora beyond one machine.

Its executors (local, Slurm, Ray) part the input files among tasks; a task that failed runs again alone. What becomes
of a document depends on its id, the settings and the translator, and on no other document, so that the lines are
those of ``xling mix`` however the files are parted.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.writers.jsonl import JsonlWriter

from lm_eval_xling.languages import resolve
from lm_eval_xling.mixing.code_mixing import word_counts
from lm_eval_xling.mixing.corpus import PART, Level, Settings, identities, mixed_documents
from lm_eval_xling.mixing.mixture import Mixture
from lm_eval_xling.mixing.words import PAPER_RATIO
from lm_eval_xling.translation import default_cache

__all__ = ["MixLanguages", "MixedWriter"]

_FIELD = "mixed"


class MixLanguages(PipelineStep):  # type: ignore[misc]
    """Mixes documents: their text becomes the mixed text, and ``metadata["mixed"]`` the line of the mixed corpus.

    The ids of the documents must be unique and lasting, because the draws depend on them: give the input an ``id``,
    for what a reader makes up in its place names the file.

    Args:
        languages: as in ``lm_eval_xling.mix``, like all that follows.
        unit: what is drawn.
        translator: what translates.
        source: language of the documents.
        words: words a chunk.
        ratio: share of words that are drawn, for the unit ``word``.
        seed: another seed draws other languages.
        cache: translation cache; not on a file system that is shared over a network.

    Raises:
        UserError: if the settings or the translator do not fit.
    """

    type = "🌍 - MIXER"
    name = "🔀 Languages"

    def __init__(
        self,
        languages: str | Sequence[str] | Mapping[str, float],
        *,
        unit: Level = "sentence",
        translator: str,
        source: str = "en",
        words: int = 8,
        ratio: float = PAPER_RATIO,
        seed: int = 42,
        cache: str | Path | None = None,
    ) -> None:
        super().__init__()
        self.settings = Settings(
            language=resolve(source).code,
            weights=dict(Mixture.of(languages).weights),
            level=unit,
            words=words,
            ratio=ratio,
            seed=seed,
        )
        self.translator = translator
        self.cache = None if cache is None else Path(cache)
        self.settings.check()
        # Here, before any task starts.
        identities(self.settings, translator)

    def run(self, data: Iterator[Document] | None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Yield the documents mixed, in order; a part of them is held in memory and translated together."""
        part: list[Document] = []
        size = 0
        for document in data or ():
            part.append(document)
            size += len(document.text)
            if size >= PART:
                yield from self._mixed(part)
                part, size = [], 0
        if part:
            yield from self._mixed(part)

    def _mixed(self, documents: list[Document]) -> Iterator[Document]:
        refused: Counter[str] = Counter()
        with self.track_time(unit="part"):
            mixed = mixed_documents(
                [str(document.id) for document in documents],
                [{self.settings.language: document.text} for document in documents],
                self.settings,
                self.translator,
                self.cache or default_cache(),
                refused,
            )
        for reason, count in refused.items():
            self.stat_update(f"refused: {reason}", value=count, unit="part")
        for document, text in zip(documents, mixed, strict=True):
            for language, count in word_counts(text).items():
                self.stat_update(f"words: {language}", value=count)
            metadata = {**document.metadata, _FIELD: text.as_json()}
            yield Document(text.text, document.id, document.media, metadata)


class MixedWriter(JsonlWriter):  # type: ignore[misc]
    """Writes the lines of a mixed corpus, which ``xling train mixed`` reads: those of ``xling mix``, byte for byte.

    Args:
        output_folder: local or remote, as in datatrove's writers.
        output_filename: with ``${rank}``.
        options: of ``JsonlWriter``.
    """

    name = "🔀 Mixed corpus"

    def __init__(self, output_folder: Any, output_filename: str | None = None, **options: Any) -> None:
        super().__init__(output_folder, output_filename, **{"compression": None, **options})

    def _write(self, document: Mapping[str, Any], file_handler: IO[bytes], _filename: str) -> None:
        line = json.dumps(document["metadata"][_FIELD], ensure_ascii=False) + "\n"
        file_handler.write(line.encode())
