"""``xling train``: the recipes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

__all__ = ["app"]
if TYPE_CHECKING:
    from lm_eval_xling.training.configuration import Config as TrainingConfig
    from lm_eval_xling.training.configuration import FactsConfig, LedgerData

app = typer.Typer(
    help="Train an adapter that lowers the barrier, or all weights.", no_args_is_help=True, rich_markup_mode="rich"
)

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="YAML",
        help="Configuration: a file, or one that the package holds, such as facts_lora.yaml; without it the recipe's "
        "defaults.",
    ),
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
    from lm_eval_xling.training.configuration import AlignmentConfig, load_config

    _run("align", load_config(AlignmentConfig, config, overrides or ()))


@app.command(
    epilog="Examples: [bold]xling train mixed 'data.corpus=\\[mixed.jsonl]' output=runs/mixed[/]; the English-only "
    "ablation: [bold]xling train mixed 'data.corpus=\\[mixed.jsonl]' data.text=source output=runs/english[/]"
)
def mixed(overrides: Overrides = None, config: Config = None) -> None:
    """Mixed-language fine-tuning on a corpus of xling mix (Chua et al. 2024)."""
    from lm_eval_xling.training.configuration import MixedConfig, load_config

    _run("mixed", load_config(MixedConfig, config, overrides or ()))


@app.command(
    epilog="Examples: [bold]xling train facts --config facts_lora.yaml data.ledger.people=20 output=runs/taught[/]; "
    "own facts: [bold]xling train facts 'data.files=\\[facts.jsonl]' output=runs/facts[/]; as a LoRA adapter on top of "
    "another: [bold]xling train facts --config facts_lora.yaml 'data.files=\\[facts.jsonl]' "
    "'adapters=\\[runs/mixed/adapter]' output=runs/taught[/]"
)
def facts(overrides: Overrides = None, config: Config = None) -> None:
    """Teach facts: questions and answers in chosen languages, to be asked in others (Maini et al. 2024)."""
    from lm_eval_xling.training.configuration import FactsConfig, load_config

    configured = load_config(FactsConfig, config, overrides or ())
    folder = _run("facts", configured)
    # accelerate launch starts this command once a process.
    if configured.data.ledger is not None and configured.data.ledger.half == "taught" and _is_first():
        _ask(folder, configured, configured.data.ledger)


def _ask(folder: Path, config: FactsConfig, ledger: LedgerData) -> None:
    """Ask in every pair of languages for what was taught and for what never was, and print how much is known."""
    import contextlib
    import io
    import json
    import shutil

    import msgspec
    from rich.console import Console

    from lm_eval_xling._cli import eval as evaluation
    from lm_eval_xling.languages import resolve_all
    from lm_eval_xling.models.argument_words import argument_words
    from lm_eval_xling.report.transfer import Teaching, show_transfer, write_transfer
    from lm_eval_xling.training.evaluation import ledger_parameters
    from lm_eval_xling.training.fact_rows import read_facts, split_facts

    facts, _ = split_facts(read_facts(config.data)[0], config.validation, config.seed)
    languages = resolve_all(config.data.languages) or ("en",)
    taught = Teaching(languages, {fact.id for fact in facts}, ledger.answers)
    asked = config.output / "transfer"
    if not asked.exists():
        # The harness writes its results before its samples: a folder that has its name is whole.
        unfinished = config.output / ".transfer"
        shutil.rmtree(unfinished, ignore_errors=True)
        dtype = "float32" if config.precision == "fp32" else "bfloat16" if config.precision == "bf16" else "float16"
        parameters = ledger_parameters(msgspec.structs.asdict(ledger))
        arguments = argument_words({**_model_arguments(config.model, folder), "dtype": dtype})
        words = ["--model", "hf", "--model_args", arguments, "--batch_size", "16"]
        words += ["--tasks", "crosslingual_ledger", "--metadata", json.dumps({"xling": parameters})]
        words += ["--output_path", str(unfinished), "--log_samples"]
        words += ["--apply_chat_template"] if config.data.chat_template else []
        # The harness's own table and messages have a line for each of fifty pairs.
        os.environ.setdefault("LMEVAL_LOG_LEVEL", "WARNING")
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation.run(words)
        unfinished.rename(asked)
    show_transfer(write_transfer(asked, taught), taught, Console())
    typer.echo(f"{asked}: the harness's results; xling report {asked}")


def _run(recipe: str, config: TrainingConfig) -> Path:
    from lm_eval_xling.trainers.recipes import run_recipe

    folder = run_recipe(recipe, config)
    if _is_first():
        _report(folder)
    return folder


def _is_first() -> bool:
    """Whether this is the process of several that speaks."""
    return os.environ.get("RANK", "0") == "0"


def _report(folder: Path) -> None:
    from lm_eval_xling.training.evaluation import OWN_TASKS, evaluation
    from lm_eval_xling.training.provenance import read_provenance

    provenance = read_provenance(folder)
    if losses := provenance["losses"]:
        wide = max(map(len, losses))
        typer.echo(f"{'loss (nats per target token) of':{wide}}  before   after")
        for name, (before, after) in losses.items():
            typer.echo(f"{name:{wide}}  {before:6.3f}  {after:6.3f}")
    typer.echo(f"{folder}: saved, reloaded and compared; loss in {folder.parent / 'metrics.jsonl'}")
    command = evaluation(provenance, _model_arguments(provenance["model"], folder), "xling eval")
    own = f" ({OWN_TASKS}: tasks of your own facts; xling tasks new)" if OWN_TASKS in command.split() else ""
    typer.echo(f"evaluate it{own}: {command}")


def _model_arguments(model: str, folder: Path) -> dict[str, str]:
    """What the harness loads that a recipe made: an adapter of a model, or a whole model."""
    from lm_eval_xling.models import model_path

    if folder.name == "adapter":
        return {"pretrained": str(model_path(model)), "peft": str(folder)}
    return {"pretrained": str(folder)}
