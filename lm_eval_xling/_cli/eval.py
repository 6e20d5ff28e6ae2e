"""``xling eval``: the harness's own command line, with our tasks in sight and the fast scoring backend."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from contextlib import nullcontext

import typer

from lm_eval_xling.errors import UserError

__all__ = ["EPILOG", "evaluate", "run"]

EPILOG = """
Examples:\n
  xling eval --model hf --model_args pretrained=MODEL --tasks crosslingual_atlas --batch_size 16 --output_path results\n
  xling eval --model hf --model_args pretrained=MODEL,peft=ADAPTER --tasks xling_mmlu_mixup --batch_size 16\n
  xling eval --model hf --model_args pretrained=MODEL --peft A --peft B --tasks xling_mmlu_mixup --batch_size 16\n
  xling eval --model hf --model_args pretrained=gemma-3-270m --tasks crosslingual_atlas --batch_size 16\n
  xling eval --model dummy --tasks 'xling_*' --limit 1
"""

_LOGGER = logging.getLogger(__name__)


def evaluate(context: typer.Context) -> None:
    """Run `lm_eval run` with every flag it knows; `lm_eval run --help` lists them.

    `--model hf` scores with the shared-prefix backend (same numbers, computed once a prefix). `pretrained` may be an
    embedded model. `--include_path` may stand several times, and our tasks are always among them. `--use_cache` and
    `--cache_requests` keep apart what belongs to different models, parameters and data. `--skip-missing` leaves out
    the tasks of ours whose data is not here; without it they are all named before a model is loaded. `--peft ADAPTER`,
    once or several times, evaluates the model and then each adapter as so many commands do, with one load and one plan.
    `--model_args …,dtype=bfloat16` about doubles the speed where the processor or GPU computes in it (`xling doctor`
    says) and rounds: accuracies move by what a few near ties make.
    """
    run(context.args)


def run(words: Sequence[str]) -> None:
    """Run the command with these arguments, in this process.

    Raises:
        UserError: for what the command line, the model or the data do not allow.
    """
    from lm_eval_xling.evaluating.arguments import check_tasks, complete, runs
    from lm_eval_xling.evaluating.messages import messages
    from lm_eval_xling.evaluating.task_index import task_index
    from lm_eval_xling.harness import check_version
    from lm_eval_xling.scoring.one_load import one_load
    from lm_eval_xling.servers import failures, served

    check_version()
    with messages():
        arguments = _parse(list(words))
        complete(arguments)
        check_tasks(arguments)
        several = runs(arguments)
        with one_load() if len(several) > 1 else nullcontext():
            for one in several:
                with served(one.model, one.model_args, one.apply_chat_template) as one.model_args:
                    with failures(one.model, kept=bool(one.use_cache)), task_index(one):
                        one.func(one)


def _parse(words: list[str]) -> argparse.Namespace:
    """Read the command line with the harness's own parser, but for flags that may stand several times."""
    from lm_eval._cli import HarnessCLI
    from lm_eval.utils import setup_logging

    setup_logging()
    several = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    several.add_argument("--include_path", action="append", default=[])
    several.add_argument("--peft", action="append", default=[])
    several.add_argument("--skip-missing", action="store_true")
    own, rest = several.parse_known_args(words)
    sys.argv = ["lm_eval", "run", *(rest or ["--help"])]
    try:
        arguments: argparse.Namespace = HarnessCLI().parse_args()
    except ValueError as error:
        # The harness reads JSON while it parses.
        raise UserError(
            str(error).partition(" Hint:")[0],
            where="--metadata, --model_args or --gen_kwargs",
            fix="""quote the whole for the shell, names in double quotes: --metadata '{"xling": {"demos": 3}}'""",
        ) from None
    arguments.include_path = own.include_path
    arguments.peft = own.peft
    arguments.skip_missing = own.skip_missing
    return arguments
