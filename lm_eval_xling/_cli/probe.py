"""``xling probe``: one command a probe, made from the probe's record."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, MutableMapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from lm_eval_xling._cli.metadata import parse_metadata
from lm_eval_xling.errors import UserError

if TYPE_CHECKING:
    from lm_eval_xling.probes import Probe
    from lm_eval_xling.probes.probe import Prompt

__all__ = ["app"]

_MODEL: dict[str, tuple[Any, Any, Any]] = {
    "model": (str, ..., typer.Option(help="Folder, hub id, or an embedded model such as gemma-3-270m.")),
    "out": (Path, ..., typer.Option(help="Folder of the run: numbers, pictures, index.html.")),
    "peft": (list[Path], [], typer.Option(metavar="DIR", help="Adapter folder; repeatable.")),
    "revision": (str | None, None, typer.Option(help="Revision of the model on the hub.")),
    "dtype": (str, "float32", typer.Option(help="float32, bfloat16, float16 or auto.")),
    "device": (
        str | None,
        None,
        typer.Option(help="cpu, cuda, cuda:1, …; default: the accelerator if there is one."),
    ),
    "batch_tokens": (
        int,
        2048,
        typer.Option(min=1, help="Greatest number of tokens in a batch, padding included."),
    ),
}
_TEXTS = typer.Option(metavar="[LANG=]FILE", help="Text file, one text a line, or .jsonl; repeatable.")
_LIMIT = (int | None, None, typer.Option(min=1, help="Only the first texts of each task or file."))
_READS: dict[str, dict[str, tuple[Any, Any, Any]]] = {
    "prompts": {
        "task": (
            list[str],
            [],
            # Named, because typer 0.27 takes a metavar that is the parameter's name for the option's.
            typer.Option("--task", metavar="TASK", help="Leaf task whose prompts are read; repeatable."),
        ),
        "texts": (list[str], [], _TEXTS),
        "limit": _LIMIT,
        "num_fewshot": (
            int | None,
            None,
            typer.Option(min=0, help="Demonstrations, instead of the task's own number."),
        ),
        "metadata": (str | None, None, typer.Option(help="JSON as for lm_eval --metadata.")),
        "include_path": (list[str], [], typer.Option(metavar="FOLDER", help="Folder of own tasks; repeatable.")),
    },
    "texts": {"texts": (list[str], ..., _TEXTS), "limit": _LIMIT},
    "parallel": {
        "parallel": (
            str,
            ...,
            typer.Option(metavar="DIR|DATASET", help="Folder with one file of sentences a language, or a dataset."),
        ),
        "limit": _LIMIT,
    },
    "sentences": {
        "parallel": (
            str | None,
            None,
            typer.Option(metavar="DIR|DATASET", help="Folder with one file of sentences a language, or a dataset."),
        ),
        "texts": (list[str], [], _TEXTS),
        "limit": _LIMIT,
    },
}
"""Options of what a probe reads: type, default (``...``: required), and the option."""


class ProbeGroup(TyperGroup):
    """The probes as commands; made when they are asked for, because the records import numpy."""

    @property
    def commands(self) -> MutableMapping[str, Any]:
        """Every probe's command by its name."""
        from lm_eval_xling.probes import PROBES

        made = typer.Typer(rich_markup_mode="rich")
        # Alone, a command would be the program itself.
        made.callback()(lambda: None)
        for probe in PROBES.values():
            made.command(probe.name, epilog=_epilog(probe))(_function(probe))
        group: Any = typer.main.get_group(made)
        return dict(group.commands)

    @commands.setter
    def commands(self, _: MutableMapping[str, Any]) -> None:
        """Take nothing: there are no other commands."""


app = typer.Typer(
    cls=ProbeGroup,
    no_args_is_help=True,
    help="Probe the layers of a model: logit lens, principal components, similarity, MEXA, activation patching, "
    "steering, language neurons. With --peft each probe also runs with the adapter switched on and reports the "
    "difference.",
    rich_markup_mode="rich",
)


@app.callback()
def _probes() -> None:
    pass


def _epilog(probe: Probe) -> str:
    return "Examples:\n\n" + "\n\n".join(f"xling probe {probe.name} {line}" for line in probe.examples)


def _function(probe: Probe) -> Callable[..., None]:
    """Return the function of a probe's command, with the signature that typer makes options of."""
    options = {**_MODEL, **_READS[probe.reads], **_settings(probe)}

    def command(**given: Any) -> None:
        from lm_eval_xling.probes import run

        settings = _read(probe, given)
        run(
            probe,
            given["model"],
            _prompts(probe, given),
            given["out"],
            adapters=given["peft"],
            revision=given["revision"],
            dtype=given["dtype"],
            device=given["device"],
            batch_tokens=given["batch_tokens"],
            **settings,
        )
        print(given["out"] / "index.html")

    command.__doc__ = probe.summary
    parameters = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=Annotated[kind, option],
            default=inspect.Parameter.empty if default is ... else default,
        )
        for name, (kind, default, option) in options.items()
    ]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def _settings(probe: Probe) -> dict[str, tuple[Any, Any, Any]]:
    """Return the options of a probe's settings; those that are read from a text have no default there."""
    options: dict[str, tuple[Any, Any, Any]] = {}
    for entry in dataclasses.fields(probe.settings):
        known = entry.metadata
        required = entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING
        shown = isinstance(entry.default, str | int | float)
        kind = type(entry.default) if shown else str if required else str | None
        default = ... if required else entry.default if shown else None
        options[entry.name] = (
            kind,
            default,
            typer.Option(help=known["help"], metavar=known["metavar"], **known["limits"]),
        )
    return options


def _read(probe: Probe, given: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that were given, each in its own type."""
    settings = {}
    for entry in dataclasses.fields(probe.settings):
        value, read = given[entry.name], entry.metadata["read"]
        if value is not None:
            settings[entry.name] = value if read is None else read(value)
    return settings


def _prompts(probe: Probe, given: dict[str, Any]) -> Sequence[Prompt]:
    from lm_eval_xling.probes import from_files, from_tasks, parallel_sentences

    if probe.reads == "parallel":
        return parallel_sentences(given["parallel"], limit=given["limit"])
    if probe.reads == "texts":
        return from_files(given["texts"], limit=given["limit"])
    if probe.reads == "sentences":
        if bool(given["parallel"]) == bool(given["texts"]):
            raise UserError("give either --parallel or --texts", fix="for example --parallel flores")
        if given["parallel"]:
            return parallel_sentences(given["parallel"], limit=given["limit"])
        return from_files(given["texts"], limit=given["limit"])
    if bool(given["task"]) == bool(given["texts"]):
        raise UserError("give either --task or --texts", fix="for example --task xling_sentiment_zh --limit 200")
    if given["texts"]:
        for name in ("num_fewshot", "metadata", "include_path"):
            if given[name] not in (None, []):
                option = f"--{name.replace('_', '-')}"
                raise UserError(f"{option} says nothing of --texts", where=option, fix="--task, or leave it out")
        return from_files(given["texts"], limit=given["limit"])
    return from_tasks(
        given["task"],
        limit=given["limit"],
        num_fewshot=given["num_fewshot"],
        metadata=parse_metadata(given["metadata"]),
        include_path=given["include_path"],
        labels=probe.labels,
        facts=probe.facts,
    )
