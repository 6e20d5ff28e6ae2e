"""``xling train``: the two recipes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

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

    _report(train(load_config(AlignmentConfig, config, overrides or ())))


@app.command(
    epilog="Examples: [bold]xling train mixed 'data.corpus=\\[mixed.jsonl]' output=runs/mixed[/]; the English-only "
    "ablation: [bold]xling train mixed 'data.corpus=\\[mixed.jsonl]' data.text=source output=runs/english[/]"
)
def mixed(overrides: Overrides = None, config: Config = None) -> None:
    """Mixed-language fine-tuning on a corpus of xling mix (Chua et al. 2024)."""
    from lm_eval_xling.trainers.mixed_language import train_mixed
    from lm_eval_xling.training.configuration import MixedConfig, load_config

    _report(train_mixed(load_config(MixedConfig, config, overrides or ())))


def _report(folder: Path) -> None:
    # accelerate launch starts this command once a process.
    if os.environ.get("RANK", "0") != "0":
        return
    from lm_eval_xling.training.adapters import model_path
    from lm_eval_xling.training.publishing import read_provenance

    base = model_path(read_provenance(folder)["model"])
    arguments = f"pretrained={base},peft={folder}" if folder.name == "adapter" else f"pretrained={folder}"
    typer.echo(f"{folder}: saved, reloaded and compared; loss in {folder.parent / 'metrics.jsonl'}")
    typer.echo(f"evaluate it: xling eval --model hf --model_args {arguments} --tasks crosslingual_atlas")
