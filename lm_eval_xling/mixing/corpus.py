"""A corpus ▸ a mixed corpus on disk: in parts, by several processes, with the same bytes however often it is killed."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeAlias

from lm_eval_xling.errors import UserError, unknown_name
from lm_eval_xling.files import atomic_file, check_folder, file_sha256, write_atomically
from lm_eval_xling.mixing.code_mixing import MixingStatistics
from lm_eval_xling.mixing.documents import Corpus
from lm_eval_xling.mixing.mixture import Mixture
from lm_eval_xling.mixing.texts import Source, mix_parallel, mix_texts
from lm_eval_xling.mixing.words import PAPER_RATIO, switch_words
from lm_eval_xling.records import MixedText
from lm_eval_xling.splitting import UNIT_KINDS
from lm_eval_xling.translation import Cache, GuardedTranslator, open_translator

__all__ = ["LEVELS", "PART", "Level", "Settings", "identities", "manifest_path", "mix_corpus", "mixed_documents"]

Level: TypeAlias = Literal["document", "sentence", "chunk", "word"]
LEVELS: tuple[Level, ...] = (*UNIT_KINDS, "word")
"""What is drawn: a unit, or single words of a matrix language."""

_WORDS = 8  # a chunk (Chua et al. 2024)

PART = 100_000
"""Characters of a part: what one process mixes at once, and what a kill can cost."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All that the content of a mixed corpus depends on, its input and translator apart."""

    language: str
    """Language code of the input; the matrix language of word-level code-switching."""
    weights: Mapping[str, float]
    """Language code to weight."""
    level: Level = "sentence"
    """What is drawn."""
    words: int = _WORDS
    """Words a chunk."""
    ratio: float = PAPER_RATIO
    """Probability that a word is drawn, at the word level."""
    seed: int = 42
    """Another seed draws other languages."""
    limit: int | None = None
    """Number of documents to take from the start; all if None."""

    def check(self) -> None:
        """Raise a ``UserError`` if the settings cannot give a mixed corpus."""
        if self.level not in LEVELS:
            raise unknown_name("unit", self.level, LEVELS)
        others = [code for code in Mixture(self.weights).weights if code != self.language]
        if not others or (self.level != "word" and len(self.weights) < 2):
            raise UserError(
                f"one language is no mixture: {', '.join(self.weights)}",
                fix=f"name at least two, for example --languages {self.language},fr; every line of a mixed corpus "
                "holds its source text too, for training on one language",
            )
        if self.words < 1:
            raise UserError(f"a chunk of {self.words} words", fix="--words 8")
        if not 0 <= self.ratio <= 1:
            raise UserError(f"the switching ratio is {self.ratio:g}", fix="give a probability between 0 and 1")
        for level, name, changed in (
            ("chunk", "words", self.words != _WORDS),
            ("word", "ratio", self.ratio != PAPER_RATIO),
        ):
            if changed and self.level != level:
                raise UserError(f"--{name} says nothing of --unit {self.level}", fix=f"--unit {level}, or leave it out")
        if self.limit is not None and self.limit < 1:
            raise UserError(f"the limit is {self.limit} documents", fix="give at least 1")


def manifest_path(out: Path) -> Path:
    """Return where the manifest of a mixed corpus stands: ``corpus.jsonl`` ▸ ``corpus.manifest.json``."""
    return out.with_name(f"{out.name.removesuffix('.jsonl')}.manifest.json")


def mix_corpus(
    corpus: Corpus,
    out: Path,
    settings: Settings,
    *,
    translator: str | None = None,
    cache: Path,
    processes: int = 1,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda message: None,
) -> dict[str, Any]:
    """Write a mixed corpus and its manifest; a killed run continues and gives the same bytes.

    Args:
        corpus: the input.
        out: JSON lines, one ``MixedText.as_json`` a line.
        settings: what to draw.
        translator: name for ``translation.open_translator``; not needed for parallel input.
        cache: the translation cache.
        processes: how many processes mix.
        overwrite: whether a corpus made from something else may be replaced.
        say: receives one line before each step.

    Returns:
        The manifest.

    Raises:
        UserError: if the settings, the input, the translator or the output file do not fit.
    """
    settings.check()
    check_folder(out.parent, "--out")
    if out.is_dir():
        raise UserError("a file is needed, and this is a folder", where=f"--out {out}", fix="name another")
    translators = _translators(corpus, settings, translator)
    say(f"reading {corpus.name}")
    plan = {
        "format": 1,
        "input": {"name": Path(corpus.name).name, "digest": corpus.digest(), "parallel": corpus.parallel},
        "settings": asdict(settings),
        "translators": translators,
        "versions": _versions(),
    }
    done = _finished(out, plan, overwrite)
    if done is not None:
        say(f"{out} is there already")
        return done
    work = _work(out, plan)
    try:
        bounds = _prepared(corpus, work, settings.limit)
        missing = [part for part in range(len(bounds)) if not _statistics_file(work, part).exists()]
        if len(missing) < len(bounds):
            say(f"continuing: {len(bounds) - len(missing)} of {len(bounds)} parts are there")
        _run(missing, work, bounds, settings, None if corpus.parallel else translator, cache, processes)
        return _joined(out, work, len(bounds), plan)
    except UserError:
        if not any(work.glob("[0-9]*.json")):
            # No part is done that the same command could continue from.
            shutil.rmtree(work, ignore_errors=True)
        raise
    except FileNotFoundError:
        # The same command ran twice at once; the other one has finished and removed the parts.
        done = _finished(out, plan, overwrite)
        if done is None:
            raise
        return done


def _translators(corpus: Corpus, settings: Settings, translator: str | None) -> dict[str, str]:
    """Check the translator for every language of the mixture, before anything is read or written."""
    if corpus.parallel:
        if settings.level == "word":
            raise UserError(
                "single words have no counterpart in parallel texts",
                where=corpus.name,
                fix="give one language's texts and --with lexicon:FILE",
            )
        if translator is not None:
            raise UserError("parallel input needs no translator", where=corpus.name, fix="leave --with out")
        return {}
    return identities(settings, translator)


def identities(settings: Settings, translator: str | None) -> dict[str, str]:
    """Return what translates into each language of the mixture.

    Raises:
        UserError: if there is no translator, or it does not know a language.
    """
    if translator is None:
        raise UserError(
            "no translator",
            fix="--with apertium, hf:MODEL, ct2:MODEL, llm:…, lexicon:FILE or parallel:FILE (see docs/mixing.md)",
        )
    opened = open_translator(translator)
    found = {}
    for code in settings.weights:
        if code != settings.language:
            opened.check(settings.language, code)
            found[code] = opened.identity(settings.language, code)
    return dict(sorted(found.items()))


def _versions() -> dict[str, str]:
    """Libraries that splitting depends on."""
    from importlib.metadata import version

    return {name: version(name) for name in ("lm-eval-xling", "sentencex", "icu4py")}


def _finished(out: Path, plan: Mapping[str, Any], overwrite: bool) -> dict[str, Any] | None:
    """Return the manifest if the same corpus is there already."""
    try:
        manifest: dict[str, Any] = json.loads(manifest_path(out).read_bytes())
    except (OSError, ValueError):
        manifest = {}
    if out.exists() and manifest and all(manifest.get(name) == value for name, value in _plain(plan).items()):
        if file_sha256(out) == manifest.get("sha256"):
            return manifest
        if not overwrite:
            raise UserError(
                "this corpus is not the one that its manifest describes: it was changed, or a run was killed",
                where=out,
                fix="--overwrite makes it again",
            )
    if out.exists() and manifest and not overwrite:
        raise UserError("another corpus is there", where=out, fix="--overwrite, or another name with --out")
    if out.exists() and not manifest and not _work(out, plan).is_dir() and not overwrite:
        raise UserError("a file is there", where=out, fix="--overwrite, or another name with --out")
    return None


def _work(out: Path, plan: Mapping[str, Any]) -> Path:
    """Return the folder of the parts: what a killed run with other settings still writes must not be taken for ours."""
    digest = hashlib.blake2b(json.dumps(plan, sort_keys=True).encode(), digest_size=6).hexdigest()
    return out.with_name(f".{out.name}.{digest}.parts")


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return what JSON makes of a value, to compare it with what was read."""
    plain: dict[str, Any] = json.loads(json.dumps(value))
    return plain


def _prepared(corpus: Corpus, work: Path, limit: int | None) -> list[tuple[int, int]]:
    """Copy the documents to a memory-mapped file and cut it into parts; or take what an earlier run made.

    Returns:
        First document, and the one after the last, of each part.
    """
    kept = work / "bounds.json"
    if kept.exists():
        return [(first, last) for first, last in json.loads(kept.read_bytes())]
    work.mkdir(parents=True, exist_ok=True)
    # Renamed when whole: the same command may run twice at once.
    documents = work / f"documents.{os.getpid()}"
    bounds = _write_documents(corpus, documents, limit)
    os.replace(documents, work / "documents.arrow")
    write_atomically(kept, json.dumps(bounds).encode())
    return bounds


def _write_documents(corpus: Corpus, path: Path, limit: int | None) -> list[tuple[int, int]]:
    from datasets import Features, Value
    from datasets.arrow_writer import ArrowWriter

    bounds: list[tuple[int, int]] = []
    first = size = count = 0
    has_text = False
    features = Features({"id": Value("string"), "texts": Value("large_string")})
    with ArrowWriter(path=str(path), features=features, writer_batch_size=64) as writer:
        for document in islice(corpus, limit):
            has_text = has_text or any(map(str.strip, document.texts.values()))
            writer.write({"id": document.id, "texts": json.dumps(dict(document.texts), ensure_ascii=False)})
            count += 1
            size += sum(map(len, document.texts.values()))
            if size >= PART:
                bounds.append((first, count))
                first, size = count, 0
        if has_text:
            writer.finalize()
    if not has_text:
        raise UserError("the corpus is empty", where=corpus.name, fix="give a text with at least one word")
    return [*bounds, (first, count)] if first < count else bounds


def _part_file(work: Path, part: int) -> Path:
    return work / f"{part:06d}.jsonl"


def _statistics_file(work: Path, part: int) -> Path:
    return work / f"{part:06d}.json"


def _run(
    parts: list[int],
    work: Path,
    bounds: list[tuple[int, int]],
    settings: Settings,
    translator: str | None,
    cache: Path,
    processes: int,
) -> None:
    """Mix parts, in this process or in several."""
    from datasets import Dataset
    from tqdm import tqdm

    if not parts:
        return

    def mixed(rows: Mapping[str, list[int]]) -> dict[str, list[UserError | None]]:
        try:
            for row in zip(rows["part"], rows["first"], rows["last"], strict=True):
                _mix_part(*row, work, settings, translator, cache)
        except UserError as error:
            # As a result, because a traceback from another process would become part of the message.
            return {"error": [error]}
        return {"error": [None]}

    columns = {"part": parts, "first": [bounds[p][0] for p in parts], "last": [bounds[p][1] for p in parts]}
    lazy = Dataset.from_dict(columns).with_transform(mixed)
    results: Iterable[Mapping[str, UserError | None]] = (lazy[index] for index in range(len(parts)))
    if processes > 1:
        from torch.utils.data import DataLoader

        # Unlike those of Dataset.map, its processes end when the one that started them is killed.
        results = DataLoader(lazy, batch_size=None, num_workers=min(processes, len(parts)))
    for result in tqdm(results, total=len(parts), desc="mixing", unit="part"):
        if result["error"] is not None:
            raise result["error"]


@lru_cache(maxsize=1)
def _translator(name: str, cache: Path) -> GuardedTranslator:
    """One translator a process: a model is loaded once."""
    return GuardedTranslator(open_translator(name), Cache(cache))


@lru_cache(maxsize=1)
def _documents(path: str) -> Any:
    from datasets import Dataset

    return Dataset.from_file(path)


def _mix_part(
    part: int, first: int, last: int, work: Path, settings: Settings, translator: str | None, cache: Path
) -> None:
    """Write one part of the corpus and its statistics."""
    documents = _documents(str(work / "documents.arrow"))[first:last]
    texts = [json.loads(text) for text in documents["texts"]]
    refused: Counter[str] = Counter()
    mixed = mixed_documents(documents["id"], texts, settings, translator, cache, refused)
    statistics = MixingStatistics()
    statistics.add(mixed)
    lines = "".join(json.dumps(text.as_json(), ensure_ascii=False) + "\n" for text in mixed)
    write_atomically(_part_file(work, part), lines.encode())
    # Last of all: a part counts as done when its statistics are there.
    counts = {**statistics.as_json(), "refused": dict(sorted(refused.items()))}
    write_atomically(_statistics_file(work, part), json.dumps(counts).encode())


def mixed_documents(
    ids: list[str],
    texts: list[dict[str, str]],
    settings: Settings,
    translator: str | None,
    cache: Path,
    refused: Counter[str],
) -> list[MixedText]:
    """Mix documents that are held in memory together.

    Args:
        ids: of the documents.
        texts: by language code; in the source language alone where there is a translator.
        settings: what to draw.
        translator: as in ``mix_corpus``.
        cache: the translation cache.
        refused: receives the number of texts refused, by reason.
    """
    mixture = Mixture(settings.weights)
    unit = None if settings.level == "word" else settings.level
    if translator is None:
        assert unit is not None
        return [
            mix_parallel(text, settings.language, mixture, id=id, unit=unit, words=settings.words, seed=settings.seed)
            for id, text in zip(ids, texts, strict=True)
        ]
    translate = _translator(translator, cache)
    before = translate.refusals.copy()
    sources = [Source(id, text[settings.language], settings.language) for id, text in zip(ids, texts, strict=True)]
    if unit is None:
        mixed = switch_words(sources, mixture, translate, ratio=settings.ratio, seed=settings.seed)
    else:
        mixed = mix_texts(sources, mixture, translate, unit=unit, words=settings.words, seed=settings.seed)
    refused.update(translate.refusals - before)
    return mixed


def _joined(out: Path, work: Path, parts: int, plan: Mapping[str, Any]) -> dict[str, Any]:
    """Put the parts together, write the manifest, and remove the parts."""
    digest = hashlib.sha256()
    statistics = MixingStatistics()
    refused: Counter[str] = Counter()
    # A name of its own among the parts: the same command may run twice at once.
    with atomic_file(out, folder=work) as stream:
        for part in range(parts):
            data = _part_file(work, part).read_bytes()
            digest.update(data)
            stream.write(data)
            counts = json.loads(_statistics_file(work, part).read_bytes())
            refused.update(counts.pop("refused"))
            statistics.merge(counts)
    manifest = {
        "corpus": out.name,
        "sha256": digest.hexdigest(),
        **_plain(plan),
        "statistics": statistics.summary(),
        "refused_texts": dict(sorted(refused.items())),
    }
    write_atomically(manifest_path(out), json.dumps(manifest, ensure_ascii=False, indent=1).encode() + b"\n")
    # Parts of runs that were killed and then given up for other settings are of no use either.
    for folder in out.parent.glob(f".{glob.escape(out.name)}.*.parts"):
        shutil.rmtree(folder, ignore_errors=True)
    return manifest
