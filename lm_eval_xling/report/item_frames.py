"""Results ▸ one table of items: who answered what, in which condition, and how it was scored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from lm_eval_xling.errors import UserError
from lm_eval_xling.report.conditions import in_words
from lm_eval_xling.report.evaluated import Run, run_folders
from lm_eval_xling.report.evaluations import Evaluation
from lm_eval_xling.report.reading import read_runs

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["samples"]


def samples(runs: Run | Sequence[Run]) -> pd.DataFrame:
    """Return the items of evaluations, one row an item of a task, with the condition in which each was shown.

    Runs are read as ``xling report`` reads them: of several runs of one task in one setting the newest counts, and
    samples that do not belong to their results are refused.

    Args:
        runs: what ``evaluate`` or ``lm_eval.simple_evaluate`` returned, folders that ``--output_path`` wrote, single
            results files, or several of these.

    Returns:
        Columns: ``model``, ``family``, ``setting`` (demonstrations, form, parameters), ``task``, ``condition`` (the
        task's name inside its family), ``words`` (the condition in English), ``placement``, ``form``,
        ``question_language`` and ``answer_language`` of this very item (``mul``: several), ``option_languages`` and
        ``other_languages`` (``context=de``), ``id`` (the same in all conditions), ``group`` (subject), ``cluster``
        (what makes items dependent), ``chosen`` and ``answer`` (index of an option; -1 where there is none), ``metric``
        (name of the main one), ``score`` (in it), ``higher_is_better``, and a column for each metric, nan where an item
        has none.
        ``attrs["notes"]`` holds what to know of the input, one text each.

    Raises:
        UserError: no readable results, or none with samples.
    """
    import pandas as pd

    with TemporaryDirectory(prefix="xling-") as folder:
        evaluations, notes = read_runs(run_folders(runs, Path(folder)))
    rows = [row for evaluation in evaluations for row in _rows(evaluation)]
    if not rows:
        raise UserError(
            "the results have no samples of single items",
            where=", ".join(dict.fromkeys(evaluation.path for evaluation in evaluations)),
            fix="evaluate with --log_samples, or lm_eval_xling.evaluate, which always keeps them",
        )
    frame = pd.DataFrame(rows)
    frame.attrs["notes"] = [f"{note.where}: {note.text}" if note.where else note.text for note in notes]
    return frame


def _rows(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    of = evaluation.samples
    if of is None:
        return
    same = {
        "model": evaluation.model.label,
        "family": evaluation.family,
        "setting": evaluation.setting.label,
        "task": evaluation.task,
        "condition": evaluation.name,
        "words": in_words(evaluation.condition) or evaluation.name,
    }
    for index, (item, condition) in enumerate(zip(of.ids, of.conditions, strict=True)):
        yield {
            **same,
            "placement": condition.placement,
            "form": condition.form or evaluation.setting.form,
            "question_language": condition.question,
            "answer_language": condition.answer,
            "option_languages": " ".join(condition.options),
            "other_languages": " ".join(f"{part}={code}" for part, code in condition.others),
            "id": item,
            "group": of.groups[index],
            "cluster": of.clusters[index],
            "chosen": int(of.chosen[index]),
            "answer": int(of.answer[index]),
            "metric": evaluation.metric,
            "score": float(of.metrics[evaluation.metric][index]),
            "higher_is_better": evaluation.higher_is_better[evaluation.metric],
            **{name: float(values[index]) for name, values in of.metrics.items()},
        }
