"""Pictures of language-specific neurons: where they are, and what texts lose without them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lm_eval_xling.drawing import PALETTE, line_style
from lm_eval_xling.probes import canvas
from lm_eval_xling.probes.probe import Measure, Picture, Probe

__all__ = ["draw_neurons"]

# More languages than this have cells of a colour alone.
_MOST_NUMBERS = 7


def draw_neurons(measures: Sequence[Measure], folder: Path, *, probe: Probe, model: str) -> list[Picture]:
    """Draw where the neurons are, by language and by sharing, and what texts lose without them."""
    pictures = []
    for view in canvas.views(measures):
        own = canvas.select(measures, view)
        languages = list(dict.fromkeys(m.language for m in own if m.quantity == "loss"))
        names = [canvas.language_name(language) for language in languages]
        with canvas.canvas(names, 2, 2, (5.4, 3.6)) as (figure, axes):
            for number, (language, name) in enumerate(zip(languages, names, strict=True)):
                series = canvas.select(own, view, quantity="neurons", language=language)
                canvas.draw_band(axes[0, 0], series, name, **line_style(number))
            axes[0, 0].set_title("neurons of each language")
            _draw_sharing(axes[0, 1], own, len(languages))
            axes[0, 1].set_title("by the number of languages that share them")
            for panel in axes[0]:
                canvas.layer_axis(panel, canvas.last_layer(own))
                panel.set_ylabel(canvas.unit_label(probe.quantity("neurons"), view))
                panel.legend(frameon=False, fontsize=8)
            # Bars are wider than points.
            axes[0, 1].set_xlim(-0.6, canvas.last_layer(own) + 0.6)
            changes = [m.value for m in own if m.quantity in ("loss_change", "random_change")]
            for panel, quantity in zip(axes[1], ("loss_change", "random_change"), strict=True):
                _draw_matrix(
                    panel, canvas.select(own, view, quantity=quantity), languages, names, max(map(abs, changes))
                )
                panel.set_title(probe.quantity(quantity).label)
            image = axes[1, 1].images[0]
            unit = canvas.unit_label(probe.quantity("loss_change"), view)
            figure.colorbar(image, ax=axes[1].tolist(), shrink=0.9, label=unit)
            n = next(m.n for m in own if m.quantity == "loss")
            figure.suptitle(f"Language-specific neurons, {view.title(model)}")
            pictures.append(
                canvas.save(
                    figure,
                    folder / f"neurons{view.suffix}.png",
                    "Above: neurons that are active in few languages, by layer, for each language and by how many "
                    "languages share a neuron. Below: by how much the loss of held-out text rises when the neurons "
                    "of a language are set to 0, and when as many random ones of the same layers are. Shaded bands "
                    f"and brackets: 95 % intervals, of {n} texts a language below.",
                )
            )
    return pictures


def _draw_sharing(panel: Any, measures: Sequence[Measure], languages: int) -> None:
    """Stack the numbers of neurons of one language, of two, and so on."""
    up: dict[int, float] = {}
    down: dict[int, float] = {}
    for k in range(1, languages + 1):
        series = [m for m in measures if m.quantity == f"shared.{k}" and m.layer is not None]
        # Differences are stacked to both sides of 0.
        floors = [(up if m.value >= 0 else down).get(m.layer or 0, 0.0) for m in series]
        for m in series:
            side = up if m.value >= 0 else down
            side[m.layer or 0] = side.get(m.layer or 0, 0.0) + m.value
        label = f"{k} language" + ("s" if k > 1 else "")
        panel.bar(
            [m.layer for m in series],
            [m.value for m in series],
            bottom=floors,
            label=label,
            color=PALETTE[(k - 1) % len(PALETTE)],
        )


def _draw_matrix(
    panel: Any, measures: Sequence[Measure], languages: Sequence[str], names: Sequence[str], reach: float
) -> None:
    """Draw changes of the loss, texts from top to bottom, neurons from left to right."""
    cells = {(m.language, m.other): m for m in measures}
    values = [[cells[text, other].value for other in languages] for text in languages]
    panel.imshow(values, cmap="RdBu_r", vmin=-reach, vmax=reach, aspect="auto")
    panel.grid(False)
    panel.set_xticks(range(len(languages)), labels=names, rotation=25, ha="right")
    panel.set_yticks(range(len(languages)), labels=names)
    panel.set(xlabel="neurons of", ylabel="text in")
    if len(languages) > _MOST_NUMBERS:
        return
    for row, text in enumerate(languages):
        for column, other in enumerate(languages):
            m = cells[text, other]
            colour = "white" if abs(m.value) > 0.6 * reach else "black"
            panel.text(column, row, f"{m.value:.2f}", ha="center", va="bottom", color=colour)
            interval = f"[{m.low:.2f}, {m.high:.2f}]"
            panel.text(column, row + 0.06, interval, ha="center", va="top", color=colour, fontsize=6)
