"""``xling probe``: what happens inside the layers, as numbers, pictures and one page a run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lm_eval_xling.errors import UserError

if TYPE_CHECKING:
    from lm_eval_xling.probes.drawing import Picture
    from lm_eval_xling.probes.probed_model import ProbedModel
    from lm_eval_xling.probes.runs import Run
    from lm_eval_xling.records import Measure, Prompt

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help="Probe the layers of a model: logit lens, principal components, similarity, MEXA. With --peft each probe "
    "also runs with the adapter switched on and reports the difference.",
    rich_markup_mode="rich",
)

Model = Annotated[str, typer.Option(help="Folder, hub id, or gemma-3-270m / smollm2-135m-instruct.")]
Out = Annotated[Path, typer.Option(help="Folder of the run: numbers, pictures, index.html.")]
Peft = Annotated[list[Path] | None, typer.Option(metavar="DIR", help="Adapter folder; repeatable.")]
Task = Annotated[list[str] | None, typer.Option(metavar="TASK", help="Leaf task whose prompts are read; repeatable.")]
Texts = Annotated[
    list[str] | None,
    typer.Option(metavar="[LANG=]FILE", help="Text file, one text a line, or .jsonl; repeatable."),
]
Limit = Annotated[int | None, typer.Option(min=1, help="Only the first texts of each task or file.")]
Fewshot = Annotated[int | None, typer.Option(min=0, help="Demonstrations, instead of the task's own number.")]
Metadata = Annotated[str | None, typer.Option(help="JSON as for lm_eval --metadata.")]
Lexicons = Annotated[Path | None, typer.Option(metavar="DIR", help="Word lists in MUSE's format: en-de.txt, …")]
Revision = Annotated[str | None, typer.Option(help="Revision of the model on the hub.")]
Dtype = Annotated[str, typer.Option(help="float32, bfloat16, float16 or auto.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, …; default: the accelerator if there is one.")]
BatchTokens = Annotated[int, typer.Option(min=1, help="Greatest number of tokens in a batch, padding included.")]
Seed = Annotated[int, typer.Option(help="Of bands and random replacements.")]

_LENS_EPILOG = """
Examples:\n
  xling probe logit-lens --model gemma-3-270m --task xling_sentiment_zh --limit 200 --out lens\n
  xling probe logit-lens --model gemma-3-270m --task xling_sentiment_zh --peft adapters/zh --out lens-zh\n
  xling probe logit-lens --model gemma-3-270m --texts de.txt --lexicons muse --positions 8 --out share
"""
_PCA_EPILOG = """
Examples:\n
  xling probe pca --model gemma-3-270m --task xling_sentiment_en --task xling_sentiment_zh --limit 200 --out pca\n
  xling probe pca --model gemma-3-270m --texts en.txt --texts de.txt --pooling mean --out pca-files
"""
_SIMILARITY_EPILOG = """
Examples:\n
  xling probe similarity --model gemma-3-270m --texts en=wiki.txt --lexicons muse --limit 200 --out similarity\n
  xling probe similarity --model gemma-3-270m --texts en=wiki.txt --lexicons muse --peft adapters/mixed --out after
"""
_MEXA_EPILOG = """
Examples:\n
  xling probe mexa --model gemma-3-270m --parallel flores --out mexa\n
  xling probe mexa --model gemma-3-270m --parallel sentences/ --pooling last --peft adapters/a --peft adapters/b --out m
"""


@app.command("logit-lens", epilog=_LENS_EPILOG)
def logit_lens(
    model: Model,
    out: Out,
    task: Task = None,
    texts: Texts = None,
    peft: Peft = None,
    limit: Limit = None,
    num_fewshot: Fewshot = None,
    metadata: Metadata = None,
    lexicons: Lexicons = None,
    positions: Annotated[int, typer.Option(min=1, help="Evenly spaced positions a text; 1 is the last token.")] = 1,
    revision: Revision = None,
    dtype: Dtype = "float32",
    device: Device = None,
    batch_tokens: BatchTokens = 2048,
    seed: Seed = 0,
) -> None:
    """Read every layer as if it were the last: label probabilities, entropy, languages of the next token."""
    from lm_eval_xling.probes import logit_lens as probe
    from lm_eval_xling.probes.lexicons import read_lexicons, words_by_language
    from lm_eval_xling.probes.pictures import draw_logit_lens
    from lm_eval_xling.probes.runs import observation_rows

    prompts = _prompts(task, texts, limit, num_fewshot, metadata, labels=True)
    known = words_by_language(read_lexicons(lexicons)) if lexicons else {}
    loaded = _load(model, peft, revision, dtype, device)
    settings = {"positions": positions, "lexicons": _words_digest(known), "seed": seed}
    run = _open(out, "logit-lens", loaded, prompts, settings)
    result = probe.logit_lens(
        loaded,
        prompts,
        folder=run.activations,
        lexicons=known,
        positions=positions,
        batch_tokens=batch_tokens,
        seed=seed,
    )
    run.save(
        result.measures,
        observations=observation_rows(
            result.values, result.quantities, [prompt.id for prompt in prompts], [prompt.language for prompt in prompts]
        ),
    )
    run.describe(label_tokens=result.set_sizes)
    # Words stand in a panel's title only where all prompts of the language have the same.
    labels = {language: words for prompt in prompts for language, words in prompt.labels.items()}
    varying = {code for prompt in prompts for code, words in prompt.labels.items() if labels[code] != words}
    labels = {code: words for code, words in labels.items() if code not in varying}
    _finish(run, result.measures, draw_logit_lens(result.measures, run.figures, model=model, labels=labels))


@app.command("pca", epilog=_PCA_EPILOG)
def pca(
    model: Model,
    out: Out,
    task: Task = None,
    texts: Texts = None,
    peft: Peft = None,
    limit: Limit = None,
    num_fewshot: Fewshot = None,
    metadata: Metadata = None,
    pooling: Annotated[str, typer.Option(help="last (token) or mean (over tokens).")] = "last",
    revision: Revision = None,
    dtype: Dtype = "float32",
    device: Device = None,
    batch_tokens: BatchTokens = 2048,
    seed: Seed = 0,
) -> None:
    """Show the same items in several languages on joint principal components, and how languages agree."""
    from lm_eval_xling.probes.pca import pca as probe
    from lm_eval_xling.probes.pictures import draw_pca

    _one_of("pooling", pooling, ("last", "mean"))
    prompts = _prompts(task, texts, limit, num_fewshot, metadata, labels=False)
    loaded = _load(model, peft, revision, dtype, device)
    run = _open(out, "pca", loaded, prompts, {"pooling": pooling, "seed": seed})
    result = probe(loaded, prompts, folder=run.activations, pooling=pooling, batch_tokens=batch_tokens, seed=seed)
    run.save(result.measures, points=result.points)
    _finish(run, result.measures, draw_pca(result.measures, result.points, run.figures, model=model))


@app.command("similarity", epilog=_SIMILARITY_EPILOG)
def similarity(
    model: Model,
    out: Out,
    texts: Texts,
    lexicons: Annotated[Path, typer.Option(metavar="DIR", help="Word lists in MUSE's format: en-de.txt, …")],
    peft: Peft = None,
    limit: Limit = None,
    languages: Annotated[
        str | None, typer.Option(help="Languages of the translations, such as de,fr; default: all of the lexicons.")
    ] = None,
    ratio: Annotated[float, typer.Option(min=0, max=1, help="Probability that a word is changed.")] = 0.16,
    revision: Revision = None,
    dtype: Dtype = "float32",
    device: Device = None,
    batch_tokens: BatchTokens = 2048,
    seed: Seed = 42,
) -> None:
    """Compare texts with versions whose words are translated, foreign at random, random tokens, or dropped."""
    from lm_eval_xling.languages import resolve_all
    from lm_eval_xling.probes.lexicons import read_lexicons
    from lm_eval_xling.probes.pictures import draw_similarity
    from lm_eval_xling.probes.prompts import from_files
    from lm_eval_xling.probes.runs import observation_rows
    from lm_eval_xling.probes.similarity import similarity as probe
    from lm_eval_xling.probes.similarity import version_names

    prompts = from_files(texts or (), limit=limit)
    words = read_lexicons(lexicons)
    language = prompts[0].language
    targets = (
        resolve_all(languages.split(","))
        if languages
        else tuple(target for source, target in words if source == language)
    )
    loaded = _load(model, peft, revision, dtype, device)
    settings = {
        "ratio": ratio,
        "languages": targets,
        "lexicons": _words_digest(words),
        "seed": seed,
    }
    run = _open(out, "similarity", loaded, prompts, settings)
    result = probe(
        loaded,
        prompts,
        words,
        folder=run.activations,
        languages=targets,
        ratio=ratio,
        batch_tokens=batch_tokens,
        seed=seed,
    )
    values = {variant: array.reshape(*array.shape[:2], -1) for variant, array in result.values.items()}
    run.save(
        result.measures,
        observations=observation_rows(values, version_names(), result.ids, [language] * len(result.ids)),
    )
    run.describe(texts_with_changed_words=len(result.ids), changed_share_of_tokens=result.changed_share)
    _finish(run, result.measures, draw_similarity(result.measures, run.figures, model=model))


@app.command("mexa", epilog=_MEXA_EPILOG)
def mexa(
    model: Model,
    out: Out,
    parallel: Annotated[
        str, typer.Option(metavar="DIR|flores", help="Folder with one file of sentences a language, or a dataset.")
    ],
    peft: Peft = None,
    limit: Limit = None,
    pivot: Annotated[str, typer.Option(help="Language that the others are compared with.")] = "en",
    pooling: Annotated[str, typer.Option(help="weighted (by position, as in the paper), last or mean.")] = "weighted",
    revision: Revision = None,
    dtype: Dtype = "float32",
    device: Device = None,
    batch_tokens: BatchTokens = 2048,
    seed: Seed = 0,
) -> None:
    """Score how well translations are each other's nearest sentences, per layer and language."""
    from lm_eval_xling.languages import resolve
    from lm_eval_xling.probes.activations import POOLINGS
    from lm_eval_xling.probes.mexa import LAYER_QUANTITIES
    from lm_eval_xling.probes.mexa import mexa as probe
    from lm_eval_xling.probes.pictures import draw_mexa
    from lm_eval_xling.probes.prompts import parallel_sentences
    from lm_eval_xling.probes.runs import observation_rows

    _one_of("pooling", pooling, POOLINGS)
    sentences = parallel_sentences(parallel, limit=limit)
    loaded = _load(model, peft, revision, dtype, device)
    settings = {"pivot": resolve(pivot).code, "pooling": pooling, "seed": seed}
    run = _open(out, "mexa", loaded, sentences, settings)
    result = probe(
        loaded,
        sentences,
        folder=run.activations,
        pivot=resolve(pivot).code,
        pooling=pooling,
        batch_tokens=batch_tokens,
        seed=seed,
    )
    values = {variant: array.reshape(-1, *array.shape[2:]) for variant, array in result.values.items()}
    languages = [language for language in result.languages for _ in result.ids]
    run.save(
        result.measures,
        observations=observation_rows(values, LAYER_QUANTITIES, result.ids * len(result.languages), languages),
    )
    _finish(run, result.measures, draw_mexa(result.measures, run.figures, model=model))


def _prompts(
    task: Sequence[str] | None,
    texts: Sequence[str] | None,
    limit: int | None,
    num_fewshot: int | None,
    metadata: str | None,
    *,
    labels: bool,
) -> list[Prompt]:
    from lm_eval_xling.probes.prompts import from_files, from_tasks

    if bool(task) == bool(texts):
        raise UserError("give either --task or --texts", fix="for example --task xling_sentiment_zh --limit 200")
    if texts:
        return from_files(texts, limit=limit)
    return from_tasks(task or (), limit=limit, num_fewshot=num_fewshot, metadata=_parsed(metadata), labels=labels)


def _parsed(metadata: str | None) -> dict[str, Any] | None:
    if metadata is None:
        return None
    try:
        value = json.loads(metadata)
    except json.JSONDecodeError as error:
        raise UserError(f"--metadata is no JSON: {error}", where=metadata) from error
    if not isinstance(value, dict):
        raise UserError("--metadata is no JSON object", where=metadata, fix="""write '{"xling": {"seed": 1}}'""")
    return value


def _one_of(option: str, value: str, known: Sequence[str]) -> None:
    from lm_eval_xling.errors import unknown_name

    if value not in known:
        raise unknown_name(option, value, known)


def _load(model: str, peft: Sequence[Path] | None, revision: str | None, dtype: str, device: str | None) -> ProbedModel:
    from importlib.util import find_spec

    from lm_eval_xling.probes.probed_model import ProbedModel

    # Asked before the model runs: hours of numbers are not lost for a picture.
    missing = [
        module for module in ("jinja2", "matplotlib", "pyarrow", "regex", "scipy", "sklearn") if not find_spec(module)
    ]
    if missing:
        raise UserError(f"not installed: {', '.join(missing)}", fix="pip install 'lm-eval-xling[probes]'")
    _one_of("dtype", dtype, ("float32", "bfloat16", "float16", "auto"))
    return ProbedModel(model, peft or (), revision=revision, dtype=dtype, device=device)


def _open(out: Path, probe: str, model: ProbedModel, prompts: Sequence[Prompt], settings: Mapping[str, Any]) -> Run:
    from lm_eval_xling.probes.runs import Run

    return Run(out, probe, model=model.describe(), prompts=prompts, settings=settings)


def _words_digest(words: Mapping[Any, Any]) -> str | None:
    """Return a digest of lexicons, whatever order their files were read in."""
    import hashlib

    if not words:
        return None
    digest = hashlib.sha256()
    for key in sorted(words):
        entries = words[key]
        digest.update(
            repr((key, sorted(entries.items()) if isinstance(entries, Mapping) else sorted(entries))).encode()
        )
    return digest.hexdigest()[:16]


def _finish(run: Run, measures: Sequence[Measure], pictures: Sequence[Picture]) -> None:
    from lm_eval_xling.probes.page import write_page

    page = run.folder / "index.html"
    write_page(page, run.probe, measures, pictures, run.manifest)
    print(page)
