"""``xling report``: harness runs ▸ barrier report."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from lm_eval_xling.errors import UserError

__all__ = ["EPILOG", "report"]

EPILOG = """
Examples:\n
  xling report runs/ --out report\n
  xling report runs/base runs/adapter --baseline runs/base\n
  xling report runs/ --baseline gemma-3-270m --out comparison
"""


def report(
    run_dirs: Annotated[
        list[Path], typer.Argument(metavar="RUN_DIR…", help="Folders that lm_eval --output_path wrote, at any depth.")
    ],
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="Run folder or name of the model that the others are compared with. Without it, every adapter is "
            "compared with its own base model, where that was run.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the report: page, JSON, CSV tables and plots.")] = Path("report"),
) -> None:
    """Compare runs: how large the barrier is, whether it is real, what an adapter changed, and where."""
    missing = [module for module in ("jinja2", "matplotlib", "msgspec", "scipy") if find_spec(module) is None]
    if missing:
        raise UserError(f"reports need {' and '.join(missing)}", fix="pip install 'lm-eval-xling[report]'")
    if baseline == "":
        raise UserError("no run is named", where="--baseline", fix="name a run folder or a model, or leave it out")
    from rich.console import Console
    from rich.progress import Progress

    from lm_eval_xling.report.terminal import show
    from lm_eval_xling.report.writing import make_report

    with Progress(console=Console(stderr=True), transient=True) as progress:
        step = progress.add_task("reading", total=None)

        def start(total: int) -> Callable[[int], None]:
            progress.update(step, total=total)
            return lambda size: progress.advance(step, size)

        made, page = make_report(
            run_dirs, out, baseline, say=lambda name: progress.update(step, description=name), progress=start
        )
    show(made, Console())
    print(page)
