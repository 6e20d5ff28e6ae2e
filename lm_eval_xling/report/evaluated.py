"""Results in memory (``lm_eval.simple_evaluate``) ▸ the files that the harness would have written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

from lm_eval_xling.errors import UserError

__all__ = ["Run", "run_folders"]

Run: TypeAlias = Path | str | Mapping[str, Any]
"""A folder that ``lm_eval --output_path`` wrote, a results file, or what ``lm_eval.simple_evaluate`` returned."""


def run_folders(runs: Run | Sequence[Run], folder: Path) -> list[Path]:
    """Return the runs as paths; results in memory are written into a folder first, samples included.

    Args:
        runs: one run or several.
        folder: where results in memory are written, each into a folder of its own.

    Raises:
        UserError: if a mapping is not what the harness returns.
    """
    given = [runs] if isinstance(runs, (str, Path, Mapping)) else list(runs)
    return [_write(run, folder) if isinstance(run, Mapping) else Path(run) for run in given]


def _write(results: Mapping[str, Any], folder: Path) -> Path:
    if "results" not in results or "configs" not in results:
        raise UserError(
            "not the results of an evaluation: the keys 'results' and 'configs' are missing",
            fix="pass what lm_eval.simple_evaluate(…, log_samples=True) returned, or the folder of a run",
        )
    from lm_eval.loggers import EvaluationTracker

    samples = results.get("samples") or {}
    number = 1
    while (own := folder / str(number)).exists():
        number += 1
    # The harness writes its own form; it adds to what it is given, so it gets a copy.
    tracker = EvaluationTracker(output_path=str(own))
    for name in asdict(tracker.general_config_tracker):
        # How the model was prompted, where the results say it: ``lm_eval_xling.evaluate`` keeps it.
        setattr(tracker.general_config_tracker, name, results.get(name))
    tracker.save_results_aggregated(
        results={key: value for key, value in results.items() if key != "samples"}, samples=samples
    )
    for task in results["configs"]:
        if task in samples:
            tracker.save_results_samples(task_name=task, samples=samples[task])
    return own
