"""What an evaluation gives: the harness's dictionary, which shows itself as a table."""

from __future__ import annotations

from typing import Any

from lm_eval_xling.drawing.html_tables import html_table

__all__ = ["Results"]


class Results(dict[str, Any]):
    """What ``lm_eval.simple_evaluate`` returns, and how the model was prompted.

    ``samples`` and ``write_report`` of this package take it as it is. A notebook shows it as a table.
    """

    def scores(self) -> list[tuple[str, str, float, float | None]]:
        """Return task or group, metric, score, and its standard error or None where the harness has none."""
        found = []
        for task, values in {**self.get("results", {}), **self.get("groups", {})}.items():
            for key, value in values.items():
                metric, comma, kind = key.partition(",")
                if not comma or metric.endswith("_stderr") or not isinstance(value, int | float):
                    continue
                error = values.get(f"{metric}_stderr,{kind}")
                name = metric if kind == "none" else f"{metric}/{kind}"
                found.append((task, name, float(value), float(error) if isinstance(error, int | float) else None))
        return found

    def _repr_html_(self) -> str:
        rows = (
            (task, metric, f"{score:.4f}", "" if error is None else f"± {error:.4f}")
            for task, metric, score, error in self.scores()
        )
        return html_table(("task", "metric", "score", "standard error"), rows)
