"""What a run measured while it trained: ``metrics.jsonl``, the progress bar and the loss plot."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformers import ProgressCallback, TrainerCallback
from transformers.trainer_callback import TrainerControl, TrainerState
from transformers.training_args import TrainingArguments

from lm_eval_xling.errors import UserError
from lm_eval_xling.files import atomic_file, write_atomically

__all__ = ["MetricsCallback", "ProgressBar", "plot_losses", "read_metrics"]

_KEPT = ("loss", "eval_loss", "grad_norm", "learning_rate", "epoch", "tokens_per_second")


class MetricsCallback(TrainerCallback):  # type: ignore[misc]
    """Append one JSON line a log to a file, with tokens per second of this process.

    The loss is checked here too: it has been brought to the CPU for the log already.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.tokens = 0
        """Tokens, without padding, that went through training since the last log; the trainer counts them."""
        self._since = time.monotonic()

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Drop the lines after the checkpoint from which the run continues."""
        self._since = time.monotonic()
        if state.is_world_process_zero:
            kept = [line for line in read_metrics(self._path) if line["step"] <= state.global_step]
            write_atomically(self._path, "".join(f"{json.dumps(line)}\n" for line in kept).encode())

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Have the last step logged, so that a run shorter than ``logging_steps`` has a loss, which is checked too."""
        if state.global_step >= state.max_steps:
            control.should_log = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Write the line.

        Raises:
            UserError: if the loss is not a number.
        """
        logs = logs if logs is not None else {}
        if "loss" in logs:
            now = time.monotonic()
            logs["tokens_per_second"] = round(self.tokens / max(now - self._since, 1e-9), 1)
            self.tokens, self._since = 0, now
        if state.is_world_process_zero and ("loss" in logs or "eval_loss" in logs):
            line = {"step": state.global_step, **{name: logs[name] for name in _KEPT if name in logs}}
            with self._path.open("a", encoding="utf-8") as out:
                out.write(f"{json.dumps(line)}\n")
        for name in ("loss", "eval_loss", "grad_norm"):
            # An infinite norm under fp16 is an overflow that the loss scale answers by skipping the step.
            if name in logs and math.isnan(logs[name]) or name != "grad_norm" and math.isinf(logs.get(name, 0.0)):
                raise UserError(
                    f"{name} is {logs[name]} at step {state.global_step}: the training has diverged",
                    where=self._path,
                    fix="lower training.learning_rate, or use precision=bf16 or fp32 in place of fp16, "
                    "with a new output folder",
                )


class ProgressBar(ProgressCallback):  # type: ignore[misc]
    """One bar with the latest loss and speed, in place of a line a log."""

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Show loss, validation loss and tokens per second beside the bar."""
        if self.training_bar is not None and logs:
            shown = {"loss": "loss", "eval_loss": "validation", "tokens_per_second": "tokens/s"}
            self._latest = {**getattr(self, "_latest", {}), **{shown[n]: logs[n] for n in shown if n in logs}}
            self.training_bar.set_postfix({name: f"{value:.4g}" for name, value in self._latest.items()})


def read_metrics(path: Path) -> list[Mapping[str, Any]]:
    """Return the lines of ``metrics.jsonl``; a last line that was cut off is left out."""
    lines: list[Mapping[str, Any]] = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            lines.append(json.loads(text))
        except ValueError:
            break
    return lines


def plot_losses(metrics: Path, picture: Path) -> bool:
    """Draw training and validation loss over steps; return False without any, or without matplotlib."""
    lines = read_metrics(metrics)
    if find_spec("matplotlib") is None or not any(name in line for line in lines for name in ("loss", "eval_loss")):
        return False
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot(xlabel="optimiser step", ylabel="loss (nats per target token)")
    for name, label, style in (("loss", "training", "-"), ("eval_loss", "validation", "o--")):
        points = [(line["step"], line[name]) for line in lines if name in line]
        if points:
            # A line through one point cannot be seen.
            axes.plot(*zip(*points, strict=True), style if points[1:] else "o", label=label, markersize=4)
    axes.grid(alpha=0.3)
    axes.legend()
    with atomic_file(picture) as stream:
        FigureCanvasAgg(figure).print_png(stream)
    return True
