"""No word of a picture is cut off, however long the names in it are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lm_eval_xling.report.plots import bars, heat_map, points, slope

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MODELS = [f"organisation/model-of-{size}-billion-parameters-fine-tuned-on-mixed-sentences" for size in (1, 8, 70)]
CONDITION = "question and right option in German, wrong options in English"
LABEL = f"change of the score (points) against {MODELS[0]}; pale: not significant"


def of_bars() -> Figure:
    return bars({model: {CONDITION: (8.0, 5.0, 11.0, True)} for model in MODELS}, title=MODELS[0], value_label=LABEL)


def of_one_model() -> Figure:
    return bars({MODELS[0]: {CONDITION: (8.0, 5.0, 11.0, True)}}, value_label=LABEL)


def of_languages() -> Figure:
    groups = {f"{script}, another family": {"Swahili": (1.0, 9.0, 5.0, 12.0)} for script in ("Latin", "another script")}
    return points(groups, title=MODELS[0], place_label="class of resources", value_label="barrier (points)")


def of_pairs() -> Figure:
    return heat_map(np.eye(2), np.eye(2) / 9, ["English", "Scottish Gaelic"], ["English", "German"], title=MODELS[0])


def of_changes() -> Figure:
    pairs = {"English": (20.0, 60.0), "question in German, options in English": (30.0, 20.0)}
    return slope(pairs, title=MODELS[0], value_label="score", names=("before", "after"))


@pytest.mark.parametrize("draw", [of_bars, of_one_model, of_languages, of_pairs, of_changes])
def test_no_word_is_cut_off(draw: Callable[[], Figure]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = draw()
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    width, height = figure.get_size_inches()
    drawn = figure.get_tightbbox(canvas.get_renderer())
    assert drawn.x0 >= 0 and drawn.y0 >= 0 and drawn.x1 <= width and drawn.y1 <= height
