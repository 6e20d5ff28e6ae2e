"""The ``xling`` command: one module a subcommand, heavy imports inside the functions."""

from __future__ import annotations

import sys

import typer

from lm_eval_xling._cli import data, doctor, eval, export, mix, probe, report, tasks, train
from lm_eval_xling.errors import UserError

__all__ = ["app", "main"]

app = typer.Typer(
    name="xling",
    help="Measure, lower and explain the crosslingual knowledge barrier of language models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command("eval", epilog=eval.EPILOG, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
    eval.evaluate
)
app.command("doctor", epilog=doctor.EPILOG)(doctor.doctor)
app.command("report", epilog=report.EPILOG)(report.report)
app.add_typer(tasks.app, name="tasks")
app.add_typer(data.app, name="data")
app.add_typer(probe.app, name="probe")
app.add_typer(train.app, name="train")
app.command("mix", epilog=mix.EPILOG)(mix.mix)
app.command("export", epilog=export.EPILOG)(export.export)


def main() -> None:
    """Run the command; a user's error is one message and exit code 2."""
    try:
        app()
    except UserError as error:
        message = str(error)
    else:
        return
    # Only now are the frames of the error gone, and with them the progress bars that they had begun to draw.
    print(f"xling: {message}", file=sys.stderr)
    sys.exit(2)
