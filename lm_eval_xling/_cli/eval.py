"""``xling eval``: the harness's own command line, with our tasks in sight and the fast scoring backend."""

from __future__ import annotations

import sys

import typer

from lm_eval_xling.errors import UserError

__all__ = ["EPILOG", "evaluate"]

EPILOG = """
Examples:\n
  xling eval --model hf --model_args pretrained=MODEL --tasks crosslingual_atlas --output_path results\n
  xling eval --model hf --model_args pretrained=MODEL,peft=ADAPTER --tasks xling_mmlu_mixup --output_path results\n
  xling eval --model dummy --tasks 'xling_*' --limit 1
"""


def evaluate(context: typer.Context) -> None:
    """Run `lm_eval run` with every flag it knows.

    Adds --include_path when the harness cannot see the tasks, and scores `--model hf` with the shared-prefix
    backend (same numbers, computed once a prefix). `lm_eval run --help` lists the flags.
    """
    from lm_eval_xling.harness import check_version, is_visible, tasks_folder

    check_version()
    arguments = list(context.args)
    if not is_visible():
        if any(argument.split("=")[0] == "--include_path" for argument in arguments):
            raise UserError(
                "the harness takes one --include_path, and this installation needs it for the xling tasks",
                fix=f"link your task folder into one directory with {tasks_folder()}, or install the wheel",
            )
        arguments += ["--include_path", str(tasks_folder())]
    sys.argv = ["lm_eval", "run", *_with_backend(arguments)]
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()


def _with_backend(arguments: list[str]) -> list[str]:
    """Ask for the shared-prefix backend where the arguments ask for ``hf``, by name or by default."""
    from lm_eval_xling.scoring import model_name

    for index, argument in enumerate(arguments):
        flag, equals, value = argument.partition("=")
        if flag in ("--model", "-M"):
            if equals:
                return [*arguments[:index], f"{flag}={model_name(value)}", *arguments[index + 1 :]]
            if index + 1 < len(arguments):
                return [*arguments[: index + 1], model_name(arguments[index + 1]), *arguments[index + 2 :]]
    # A configuration file may name the model.
    by_file = any(argument.partition("=")[0] in ("--config", "-C") for argument in arguments)
    return arguments if by_file else [*arguments, "--model", model_name("hf")]
