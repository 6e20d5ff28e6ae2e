"""Run folders ▸ a folder with the report: JSON, tables, plots and one HTML page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec

from lm_eval_xling.errors import UserError
from lm_eval_xling.files import UNFINISHED, check_folder, write_atomically
from lm_eval_xling.report.comparing import compare, resolve_baselines
from lm_eval_xling.report.evaluated import Run, run_folders
from lm_eval_xling.report.gallery import draw
from lm_eval_xling.report.items import item_groups
from lm_eval_xling.report.reading import holds_results, read_runs
from lm_eval_xling.report.rendering import render
from lm_eval_xling.report.schema import SCHEMA_VERSION, Report
from lm_eval_xling.report.spreadsheets import write_csv

__all__ = ["make_report", "read_report", "write_report"]

PAGE = "report.html"
NUMBERS = "report.json"
_BEFORE_NUMBERS = frozenset({"evaluated", "plots"})
"""What a report that was stopped early leaves."""


def write_report(
    runs: Run | Sequence[Run],
    out: Path | str,
    baseline: Path | str | None = None,
    *,
    say: Callable[[str], object] = lambda step: None,
) -> Path:
    """Compare harness runs and write the report.

    Args:
        runs: folders that ``lm_eval --output_path`` wrote, single results files, or what ``lm_eval.simple_evaluate``
            returned with ``log_samples=True``, which is written into ``evaluated/`` of the report's folder. The
            harness's results in memory do not say whether a chat template was applied.
        out: folder of the report; made if it is not there, files of an older report are replaced.
        baseline: run folder or label of the model that the others are compared with; without it, every adapter is
            compared with its own base model, where that was run.
        say: receives the name of each step.

    Returns:
        Path of the HTML page.

    Raises:
        UserError: no readable results, a baseline that is not among them, or a folder with other files.
    """
    return make_report(runs, out, baseline, say=say)[1]


def make_report(
    runs: Run | Sequence[Run],
    out: Path | str,
    baseline: Path | str | None = None,
    *,
    say: Callable[[str], object] = lambda step: None,
    progress: Callable[[int], Callable[[int], object]] | None = None,
) -> tuple[Report, Path]:
    """Do what ``write_report`` does and return the report beside the page's path."""
    out = Path(out)
    _check_out(out)
    paths = run_folders(runs, out / "evaluated")
    # A folder may have the name of a model, such as that of its weights.
    if baseline is not None and holds_results(Path(baseline)):
        paths.append(Path(baseline))
    say("reading")
    evaluations, notes = read_runs(paths, progress=progress)
    baselines = resolve_baselines(evaluations, baseline)
    report, blocks = compare(evaluations, notes, baselines=baselines, say=say)
    plots = out / "plots"
    plots.mkdir(parents=True, exist_ok=True)
    write_atomically(out / NUMBERS, msgspec.json.format(msgspec.json.encode(report), indent=1))
    write_atomically(out / "report.schema.json", msgspec.json.format(msgspec.json.encode(_schema()), indent=1))
    write_csv(report, out)
    say("plots")
    pictures = draw(report, plots)
    say("page")
    write_atomically(out / PAGE, render(report, pictures, item_groups(blocks)).encode())
    return report, out / PAGE


def read_report(path: Path | str) -> Report:
    """Read a ``report.json`` back, from the file or from the folder of the report.

    Raises:
        UserError: if the file is not a report, or one of another schema version.
    """
    path = Path(path)
    path = path / NUMBERS if path.is_dir() else path
    try:
        raw = msgspec.json.decode(path.read_bytes())
        version = raw.get("schema_version") if isinstance(raw, dict) else None
        if version != SCHEMA_VERSION:
            raise UserError(
                f"a report of schema version {version}, expected {SCHEMA_VERSION}",
                where=path,
                fix="write it again with xling report",
            )
        return msgspec.convert(_with_nan(raw, Report), Report)
    except (OSError, msgspec.MsgspecError) as error:
        raise UserError(f"not a report ({error})", where=path, fix="xling report RUN_DIR") from error


def _check_out(out: Path) -> None:
    """Refuse a folder whose files a report would be mixed with, such as those of a model or of runs."""
    check_folder(out, "--out")
    names = {path.name for path in out.iterdir() if not path.match(UNFINISHED)} if out.is_dir() else set()
    if NUMBERS not in names and not names <= _BEFORE_NUMBERS:
        raise UserError(
            f"the folder is not empty and holds no report: {', '.join(sorted(names - _BEFORE_NUMBERS)[:3])}",
            where=f"--out {out}",
            fix="choose another --out",
        )


def _with_nan(value: Any, kind: Any) -> Any:
    """JSON has no nan and no infinity: where a number is expected, null stands for what is not defined."""
    if value is None and kind is float:
        return float("nan")
    if isinstance(value, list):
        return [_with_nan(entry, get_args(kind)[0]) for entry in value]
    if isinstance(value, dict):
        kind = next((option for option in get_args(kind) or (kind,) if is_dataclass(option)), kind)
        hints = get_type_hints(kind) if is_dataclass(kind) else {}
        return {name: _with_nan(entry, hints.get(name)) for name, entry in value.items()}
    return value


def _schema() -> dict[str, Any]:
    """JSON Schema of the report, in which every number may be null."""
    return dict(_nullable(msgspec.json.schema(Report)))


def _nullable(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {
            key: ["number", "null"] if key == "type" and value == "number" else _nullable(value)
            for key, value in schema.items()
        }
    return [_nullable(entry) for entry in schema] if isinstance(schema, list) else schema
