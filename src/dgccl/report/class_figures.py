"""Figures of more than two classes: each class against the rest, and which class is called what."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from dgccl.report import figures, style, text
from dgccl.report.sketch import Sketch
from dgccl.report.style import ClassStyle

DASHES: tuple[Any, ...] = ("-", "--", "-.", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
"""Dashes of the classes' curves: with the colors they tell classes apart, also where colors come again."""

COUNTS_IN_CELLS = 12
"""More classes than this leave the cells of the confusion matrix too small for numbers; they are in the table."""


def roc_by_class(name: str, model: Mapping[str, Any], classes: Sequence[ClassStyle]) -> Sketch:
    """One ROC curve a class, the class against the rest, area and interval in the legend."""
    results = model["multiclass"]["by_class"]
    areas = {kind.name: text.estimate(results[kind.name]["auroc"]) for kind in classes}

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], **figures.CHANCE_LINE)
        for index, kind in enumerate(classes):
            curve = results[kind.name]["roc"] or {"fpr": [], "tpr": []}
            axes.plot(
                curve["fpr"], curve["tpr"], color=kind.color, linestyle=DASHES[index % len(DASHES)], linewidth=1.8,
                label=f"{text.capitalized(kind.name)} {areas[kind.name]}",
            )  # fmt: skip
            if curve.get("band") and len(classes) <= figures.BANDED:
                figures.draw_band(axes, curve["band"], color=kind.color)
        figures.finish_roc(figure, axes, len(classes))

    said = "; ".join(f"{kind} {area}" for kind, area in areas.items())
    label = (
        f"ROC curves of {text.model_words(name)}, each class against the rest. AUC with 95% interval: {said}."
    )
    height = figures.roc_height_in(len(classes))
    curves = {kind.name: results[kind.name]["roc"] for kind in classes if results[kind.name]["roc"]}
    banded = len(classes) <= figures.BANDED and any(curve.get("band") for curve in curves.values())
    caption = (
        f"{text.model_name(name)}: each class against the rest, on the test lesions, mean over the folds. Macro AUC, "
        f"the mean of these areas: {text.estimate(model['auroc'])}.{figures.BAND_WORDS if banded else ''}"
    )
    data = figures.roc_data(curves, key="class")
    return Sketch(f"roc-{name}", draw, figures.WIDTH_IN, height, label, caption, data)


def confusion(name: str, model: Mapping[str, Any], classes: Sequence[ClassStyle]) -> Sketch:
    """Lesions by truth and call: the count in each cell, shaded by its share of the true class."""
    counts = np.array(model["multiclass"]["confusion"])
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = [text.capitalized(kind.name) for kind in classes]
    shades = LinearSegmentedColormap.from_list("calls", ["white", style.MODEL_LINES["dgccl"][0]])

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.imshow(share, cmap=shades, vmin=0.0, vmax=1.0)
        for row, column in np.ndindex(counts.shape) if len(names) <= COUNTS_IN_CELLS else ():
            color = "white" if share[row, column] > 0.55 else style.INK
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=color)
        crowded = sum(len(words) + 2 for words in names) > 36
        turned: dict[str, Any] = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if crowded else {}
        axes.set_xticks(range(len(names)), names, **turned)
        axes.set_yticks(range(len(names)), names)
        axes.set(xlabel="Called", ylabel="Truth")
        axes.tick_params(length=0)
        axes.spines[:].set(visible=True, color=style.RULE)

    cells = "; ".join(
        f"{truth} called {call}: {counts[row, column]}"
        for row, truth in enumerate(names)
        for column, call in enumerate(names)
    )
    label = f"Confusion matrix of {text.model_words(name)}. {cells}."
    height = 1.6 + min(3.4, 0.6 * len(names))
    caption = (
        f"{text.model_name(name)}: test lesions by true class (row) and the class of the highest probability (column), "
        "shaded by the share of the row."
    )
    kinds = [kind.name for kind in classes]
    data = pd.DataFrame(
        [
            {"true_class": kinds[row], "called": kinds[column], "lesions": int(counts[row, column])}
            for row, column in np.ndindex(counts.shape)
        ]
    )
    return Sketch(f"confusion-{name}", draw, figures.WIDTH_IN, height, label, caption, data)
