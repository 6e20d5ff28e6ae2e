"""``xling train``: the recipes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

__all__ = ["app"]
if TYPE_CHECKING:
    from lm_eval_xling.training.configuration import AnyConfig

app = typer.Typer(
    help="Train an adapter that lowers the barrier, or all weights.", no_args_is_help=True, rich_markup_mode="rich"
)

Config = Annotated[
    Path | None, typer.Option("--config", metavar="YAML", help="Configuration; the recipe's defaults without it.")
]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="KEY=VALUE…", help="Keys of the configuration, such as lora.r=16.")
]


@app.command(
    epilog="Examples: [bold]xling train align 'data.files=\\[snli_zh10k_train_question.json]' output=runs/zh[/]; "
    "[bold]accelerate launch $(which xling) train align --config zh.yaml output=runs/zh[/]"
)
def align(overrides: Overrides = None, config: Config = None) -> None:
    """Question alignment: translate a task's questions into English (Zhang et al. 2024)."""
    from lm_eval_xling.trainers.question_alignment import align as train
    from lm_eval_xling.training.configuration import AlignmentConfig, load_config

    _run(train, load_config(AlignmentConfig, config, overrides or ()))


@app.command(
    epilog="Examples: [bold]xling train mixed 'data.corpus=\\[mixed.jsonl]' output=runs/mixed[/]; the English-only "
    "ablation: [bold]xling train mixed 'data.corpus=\\[mixed.jsonl]' data.text=source output=runs/english[/]"
)
def mixed(overrides: Overrides = None, config: Config = None) -> None:
    """Mixed-language fine-tuning on a corpus of xling mix (Chua et al. 2024)."""
    from lm_eval_xling.trainers.mixed_language import train_mixed
    from lm_eval_xling.training.configuration import MixedConfig, load_config

    _run(train_mixed, load_config(MixedConfig, config, overrides or ()))


@app.command(
    epilog="Examples: [bold]xling train facts 'data.files=\\[facts.jsonl]' output=runs/facts[/]; as a LoRA adapter on "
    "top of another: [bold]xling train facts --config facts_lora.yaml 'data.files=\\[facts.jsonl]' "
    "'adapters=\\[runs/mixed/adapter]' output=runs/taught[/]"
)
def facts(overrides: Overrides = None, config: Config = None) -> None:
    """Teach facts: questions and answers in chosen languages, to be asked in others (Maini et al. 2024)."""
    from lm_eval_xling.trainers.facts import teach
    from lm_eval_xling.training.configuration import FactsConfig, load_config

    _run(teach, load_config(FactsConfig, config, overrides or ()))


def _run(recipe: Callable[[AnyConfig], Path], config: AnyConfig) -> None:
    from lm_eval_xling.files import nothing_left

    with nothing_left(config.output, "run.json"):
        folder = recipe(config)
    _report(folder)


def _report(folder: Path) -> None:
    # accelerate launch starts this command once a process.
    if os.environ.get("RANK", "0") != "0":
        return
    from lm_eval_xling.models import model_path
    from lm_eval_xling.training.provenance import read_provenance

    provenance = read_provenance(folder)
    if losses := provenance["losses"]:
        wide = max(map(len, losses))
        typer.echo(f"{'loss (nats per target token) of':{wide}}  before   after")
        for name, (before, after) in losses.items():
            typer.echo(f"{name:{wide}}  {before:6.3f}  {after:6.3f}")
    base = model_path(provenance["model"])
    arguments = f"pretrained={base},peft={folder}" if folder.name == "adapter" else f"pretrained={folder}"
    typer.echo(f"{folder}: saved, reloaded and compared; loss in {folder.parent / 'metrics.jsonl'}")
    words = f"--model_args {arguments} --tasks crosslingual_atlas --batch_size 16"
    typer.echo(f"evaluate it: xling eval --model hf {words}")
