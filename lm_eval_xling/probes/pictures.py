"""The pictures of each probe: which panels, series and captions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lm_eval_xling.drawing import PALETTE, line_style
from lm_eval_xling.probes import canvas
from lm_eval_xling.probes.canvas import View, select
from lm_eval_xling.probes.language_share import SHARE
from lm_eval_xling.probes.probe import Measure, Picture, Point, Probe

__all__ = ["draw_logit_lens", "draw_mexa", "draw_pca", "draw_similarity"]

_LENS_LOOKS = {
    "p_correct_en": {"color": PALETTE[0], "linestyle": "-"},
    "p_all_en": {"color": PALETTE[0], "linestyle": "--"},
    "p_correct_target": {"color": PALETTE[1], "linestyle": "-"},
    "p_all_target": {"color": PALETTE[1], "linestyle": "--"},
    "p_shared": {"color": "#777777", "linestyle": ":"},
}
_BAND = "Lines are means, shaded bands their 95 % intervals."


def draw_logit_lens(
    measures: Sequence[Measure], folder: Path, *, probe: Probe, model: str, labels: Mapping[str, Sequence[str]]
) -> list[Picture]:
    """Draw label probabilities with an entropy strip, and the share of each language, one panel a language.

    Args:
        measures: of the logit lens.
        folder: where the pictures go.
        probe: names the quantities.
        model: name in the titles.
        labels: label words by language, where they are the same for all prompts.
    """
    pictures = []
    for view in canvas.views(measures):
        of_view = select(measures, view)
        if any(measure.quantity in _LENS_LOOKS for measure in of_view):
            pictures.append(_labels(of_view, view, folder, model, labels, probe))
        pictures.append(_shares(of_view, view, folder, model, probe))
    return pictures


def _labels(
    measures: Sequence[Measure], view: View, folder: Path, model: str, labels: Mapping[str, Sequence[str]], probe: Probe
) -> Picture:
    languages = list(dict.fromkeys(measure.language for measure in measures))
    titles = [canvas.language_name(language) for language in languages]
    words = [canvas.label_words(labels, language) for language in languages]
    rows, columns = canvas.grid(len(languages), 3)
    last = canvas.last_layer(measures)
    entropies = [m.value for m in select(measures, view, quantity="entropy")]
    reach = max(map(abs, entropies))
    with canvas.canvas([*titles, *words], 2 * rows, columns, (4.2, 1.9)) as (figure, axes):
        for gap in range(rows):
            for column in range(columns):
                strip, panel = axes[2 * gap, column], axes[2 * gap + 1, column]
                number = gap * columns + column
                if number >= len(languages):
                    canvas.hide_from([strip, panel], 0)
                    continue
                own = select(measures, view, language=languages[number])
                image = strip.imshow(
                    [[m.value for m in own if m.quantity == "entropy"]],
                    aspect="auto",
                    extent=(-0.5, last + 0.5, 0, 1),
                    cmap="RdBu_r" if view.minus else "viridis",
                    vmin=-reach if view.minus else 0,
                    vmax=reach,
                )
                strip.set_title(f"{titles[number]}\n{words[number]}" if words[number] else titles[number])
                strip.set(yticks=[], xticks=[])
                strip.grid(False)
                if column == 0:
                    strip.set_ylabel("entropy", rotation=0, ha="right", va="center")
                for name, look in _LENS_LOOKS.items():
                    series = [m for m in own if m.quantity == name]
                    if series:
                        canvas.draw_band(panel, series, probe.quantity(name).label, **look)
                if languages[number] != "en" and not any(m.quantity == "p_correct_target" for m in own):
                    panel.text(
                        0.02,
                        0.97,
                        "every token that begins these labels\nbegins an English label too",
                        transform=panel.transAxes,
                        va="top",
                        fontsize=8,
                        color="#444444",
                    )
                canvas.layer_axis(panel, last)
                panel.set_xlim(-0.5, last + 0.5)
                if column == 0:
                    panel.set_ylabel(canvas.unit_label(probe.quantity("p_correct_en"), view))
        # The entropy strips are thin.
        axes[0, 0].get_gridspec().set_height_ratios([0.16, 1.84] * rows)
        figure.colorbar(image, ax=axes[:, -1].tolist(), shrink=0.5, label=_entropy_label(view), aspect=30)
        handles = {
            text: handle
            for panel in np.ravel(axes)
            for handle, text in zip(*panel.get_legend_handles_labels(), strict=True)
        }
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3, frameon=False)
        figure.suptitle(f"Logit lens at the last prompt token, {view.title(model)}")
        return canvas.save(
            figure,
            folder / f"logit-lens{view.suffix}.png",
            "What each layer would say next: probability of the labels in English (blue) and in the language of the "
            f"prompt (orange), of the correct one (solid) and of all (dashed). {_BAND} Above: entropy in bits.",
        )


def _entropy_label(view: View) -> str:
    return "difference of entropy (bits)" if view.minus else "entropy (bits)"


def _shares(measures: Sequence[Measure], view: View, folder: Path, model: str, probe: Probe) -> Picture:
    groups = list(dict.fromkeys(m.quantity for m in measures if m.quantity.startswith(SHARE)))
    languages = list(dict.fromkeys(measure.language for measure in measures))
    titles = [canvas.language_name(language) for language in languages]
    names = {group: canvas.language_name(group.removeprefix(SHARE)) for group in groups}
    rows, columns = canvas.grid(len(languages), 3)
    last = canvas.last_layer(measures)
    greys = {f"{SHARE}unassigned": "#999999", f"{SHARE}no letters": "#cccccc"}
    with canvas.canvas([*titles, *names.values()], rows, columns, (4.2, 3.2)) as (figure, axes):
        for number, (panel, language) in enumerate(zip(np.ravel(axes), languages, strict=False)):
            for index, group in enumerate(groups):
                look = {"color": greys[group]} if group in greys else line_style(index)
                series = [m for m in measures if m.quantity == group and m.language == language]
                canvas.draw_band(panel, series, names[group], **look)
            panel.set_title(f"text in {titles[number]}")
            canvas.layer_axis(panel, last)
            panel.set_ylabel(canvas.unit_label(probe.quantity(groups[0]), view))
        canvas.hide_from(axes, len(languages))
        handles, texts = np.ravel(axes)[0].get_legend_handles_labels()
        figure.legend(handles, texts, loc="outside lower center", ncols=4, frameon=False)
        figure.suptitle(f"Languages of the next token by layer, {view.title(model)}")
        return canvas.save(
            figure,
            folder / f"language-share{view.suffix}.png",
            "Share of each layer's next-token probability on tokens of each language, assigned by script and lexicon. "
            f"{_BAND} Grey: tokens that no language or several claim (--lexicons tells languages of one script apart), "
            "and tokens without letters.",
        )


def draw_pca(
    measures: Sequence[Measure], points: Sequence[Point], folder: Path, *, probe: Probe, model: str
) -> list[Picture]:
    """Draw the scatter of every layer, and agreement between languages over the layers."""
    pictures = []
    for view in canvas.views(measures):
        if view.minus is None:
            own = [point for point in points if point.variant == view.variant]
            shares = select(measures, view, quantity="explained_variance")
            pictures.append(_scatter(own, shares, view, folder, model))
        pictures.append(_agreement(select(measures, view), view, folder, model, probe))
    return pictures


def _scatter(points: Sequence[Point], shares: Sequence[Measure], view: View, folder: Path, model: str) -> Picture:
    languages = list(dict.fromkeys(point.language for point in points))
    names = [canvas.language_name(language) for language in languages]
    explained = {measure.layer: measure.value for measure in shares}
    layers = sorted({point.layer for point in points})
    rows, columns = canvas.grid(len(layers), 5)
    markers = "os^Dv"
    with canvas.canvas(names, rows, columns, (2.5, 2.3)) as (figure, axes):
        for panel, layer in zip(np.ravel(axes), layers, strict=False):
            for index, language in enumerate(languages):
                own = [point for point in points if point.layer == layer and point.language == language]
                panel.scatter(
                    [point.x for point in own],
                    [point.y for point in own],
                    s=7,
                    alpha=0.6,
                    linewidths=0,
                    color=PALETTE[index % len(PALETTE)],
                    marker=markers[index % len(markers)],
                    label=names[index],
                    rasterized=True,
                )
            share = explained.get(layer)
            known = share is not None and not np.isnan(share)
            panel.set_title(f"layer {layer}" + (f" ({share:.0%} on first)" if known else " (all equal)"), fontsize=8)
            panel.set(xticks=[], yticks=[])
        canvas.hide_from(axes, len(layers))
        handles, texts = np.ravel(axes)[0].get_legend_handles_labels()
        figure.legend(
            handles, texts, loc="outside lower center", ncols=min(5, len(texts)), frameon=False, markerscale=2.5
        )
        figure.suptitle(
            f"First (horizontal) and second principal component of prompts, {view.title(model)}\n"
            "fitted over all languages; each layer has its own axes"
        )
        return canvas.save(
            figure,
            folder / f"pca{view.suffix}.png",
            "Every prompt on the first two principal components of each layer, one colour a language. Languages in "
            "separate clouds are represented apart; mixed clouds mean a representation shared between languages.",
        )


def _agreement(measures: Sequence[Measure], view: View, folder: Path, model: str, probe: Probe) -> Picture:
    quantities = ("pc1_correlation", "centred_cosine", "cka_debiased")
    pairs = list(dict.fromkeys((m.language, m.other) for m in measures if m.quantity in quantities))
    # More pairs than colours: those with the first language stand out, the others are thin and grey.
    named = pairs if len(pairs) <= len(PALETTE) else [pair for pair in pairs if pair[0] == pairs[0][0]]
    names = {pair: " – ".join(canvas.language_name(str(code)) for code in pair) for pair in named}
    last = canvas.last_layer(measures)
    with canvas.canvas(list(names.values()), 1, 3, (4.2, 3.4)) as (figure, axes):
        for panel, name in zip(axes[0], quantities, strict=True):
            for pair in pairs:
                series = [m for m in measures if m.quantity == name and (m.language, m.other) == pair]
                if pair in names:
                    canvas.draw_band(panel, series, names[pair], **line_style(named.index(pair)))
                else:
                    ordered = sorted(series, key=lambda m: m.layer or 0)
                    panel.plot([m.layer for m in ordered], [m.value for m in ordered], color="#bbbbbb", linewidth=0.7)
            panel.axhline(0, color="#444444", linewidth=0.8)
            panel.set_title(probe.quantity(name).label)
            panel.set_ylabel(canvas.unit_label(probe.quantity(name), view))
            canvas.layer_axis(panel, last)
        handles, texts = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, texts, loc="outside lower center", ncols=3, frameon=False)
        figure.suptitle(f"Agreement between languages on the same items, {view.title(model)}")
        return canvas.save(
            figure,
            folder / f"agreement{view.suffix}.png",
            "How alike two languages represent the same items, per layer: correlation of their scores on the joint "
            f"first component, cosine after taking each language's mean away, and debiased linear CKA. {_BAND}",
        )


def draw_similarity(
    measures: Sequence[Measure], folder: Path, *, probe: Probe, model: str, kinds: Sequence[str]
) -> list[Picture]:
    """Draw similarity to the original of every version, and translation minus each control.

    Args:
        measures: of similarity.
        folder: where the pictures go.
        probe: names the quantities.
        model: name in the titles.
        kinds: of versions; each has the same colour in all panels.
    """
    pictures = []
    for view in canvas.views(measures):
        own = select(measures, view)
        last = canvas.last_layer(own)
        with canvas.canvas([], 2, 2, (5.2, 3.2)) as (figure, axes):
            for column, pooling in enumerate(("last", "mean")):
                for row, prefix in enumerate(("similarity", "advantage")):
                    panel, name = axes[row, column], f"{prefix}_{pooling}"
                    for index, kind in enumerate(kinds):
                        series = [m for m in own if m.quantity == name and m.other == kind]
                        if not series:
                            continue
                        canvas.draw_band(panel, series, kind, **line_style(index))
                        sure = [m for m in series if m.p is not None and m.p < 0.05]
                        panel.plot(
                            [m.layer for m in sure],
                            [m.value for m in sure],
                            linestyle="none",
                            marker="o",
                            markersize=3.5,
                            color=PALETTE[index % len(PALETTE)],
                        )
                    panel.set_title(probe.quantity(name).label, fontsize=9)
                    panel.set_ylabel(canvas.unit_label(probe.quantity(name), view))
                    canvas.layer_axis(panel, last)
                    if prefix == "advantage" or view.minus:
                        panel.axhline(0, color="#444444", linewidth=0.8)
            handles, texts = axes[0, 0].get_legend_handles_labels()
            figure.legend(handles, texts, loc="outside lower center", ncols=4, frameon=False)
            figure.suptitle(f"Texts with changed words against the original, {view.title(model)}")
            pictures.append(
                canvas.save(
                    figure,
                    folder / f"similarity{view.suffix}.png",
                    "Above: cosine of a text's representation with that of the same text in which some words were "
                    "translated, or changed in other ways. Below: how much nearer translated words keep it than each "
                    f"control. {_BAND} Dots: different from 0 (Wilcoxon, adjusted p < .05).",
                )
            )
    return pictures


def draw_mexa(measures: Sequence[Measure], folder: Path, *, probe: Probe, model: str) -> list[Picture]:
    """Draw MEXA and retrieval accuracy over the layers, one line a language."""
    pictures = []
    quantities = ("mexa", "retrieval_to", "retrieval_from")
    for view in canvas.views(measures):
        own = select(measures, view)
        languages = list(dict.fromkeys(measure.language for measure in own))
        names = [canvas.language_name(language) for language in languages]
        pivot = canvas.language_name(str(own[0].other))
        last, n = canvas.last_layer(own), own[0].n
        with canvas.canvas([*names, pivot], 1, 3, (4.2, 3.4)) as (figure, axes):
            for panel, name in zip(axes[0], quantities, strict=True):
                for index, language in enumerate(languages):
                    series = [m for m in own if m.quantity == name and m.language == language]
                    canvas.draw_band(panel, series, names[index], **line_style(index))
                if view.minus:
                    panel.axhline(0, color="#444444", linewidth=0.8)
                else:
                    chance = 1 / (2 * n - 1) if name == "mexa" else 1 / n
                    panel.axhline(chance, color="#444444", linewidth=0.8, linestyle=":", label="chance")
                    panel.set_ylim(-0.02, 1.02)
                panel.set_title(probe.quantity(name).label, fontsize=9)
                panel.set_ylabel(canvas.unit_label(probe.quantity(name), view))
                canvas.layer_axis(panel, last)
            handles, texts = axes[0, 0].get_legend_handles_labels()
            figure.legend(handles, texts, loc="outside lower center", ncols=6, frameon=False)
            figure.suptitle(f"Are translations nearest to {pivot}? {n} sentences, {view.title(model)}")
            pictures.append(
                canvas.save(
                    figure,
                    folder / f"mexa{view.suffix}.png",
                    "Share of sentences whose translation is their nearest sentence: in both directions at once "
                    f"(MEXA), and in each. {_BAND} It depends on the number of sentences, here {n}.",
                )
            )
    return pictures
