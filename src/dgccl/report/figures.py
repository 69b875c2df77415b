"""Figures of how well the models do: each draws numbers that others computed."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from dgccl.report import style, text
from dgccl.report.sketch import Sketch
from dgccl.report.style import Line

WIDTH_IN = 4.6
LEGEND_INSIDE = 2
"""More curves than this have their legend below the plot, where it hides none of them."""
BANDED = 3
"""With more curves than this their bands hide each other and are left out of the figure; the data hold them."""
CHANCE_LINE: dict[str, Any] = {"color": style.MUTED, "linewidth": 0.8, "linestyle": (0, (2, 2))}


def roc(models: Mapping[str, Any], lines: Mapping[str, Line]) -> Sketch:
    """ROC curves of all models, area and interval in the legend."""

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], **CHANCE_LINE)
        for name, line in lines.items():
            curve = models[name]["roc"] or {"fpr": [], "tpr": []}
            auroc = models[name]["auroc"]
            legend = f"{text.model_name(name)} {text.estimate(auroc)}"
            axes.plot(
                curve["fpr"], curve["tpr"], color=line.color, linestyle=line.dash, linewidth=1.8, label=legend
            )
            if curve.get("band") and len(lines) <= BANDED:
                draw_band(axes, curve["band"], color=line.color)
        finish_roc(figure, axes, len(lines))

    areas = "; ".join(f"{text.model_name(n)} {text.estimate(models[n]['auroc'])}" for n in lines)
    label = f"ROC curves. Area under the curve with 95% interval: {areas}."
    curves = {name: models[name]["roc"] for name in lines if models[name]["roc"]}
    banded = len(lines) <= BANDED and any(curve.get("band") for curve in curves.values())
    bands = BAND_WORDS if banded else ""
    caption = f"ROC curves of the test lesions, mean over the folds.{bands} Dotted: no discrimination."
    return Sketch(
        "roc", draw, WIDTH_IN, roc_height_in(len(lines)), label, caption, roc_data(curves, key="model")
    )


BAND_WORDS = " Bands: 95% interval of the sensitivity at each specificity by itself (bootstrap within folds)."


def draw_band(axes: Axes, band: Mapping[str, Any], *, color: str) -> None:
    """The interval of the sensitivity at each specificity."""
    axes.fill_between(band["fpr"], band["low"], band["high"], color=color, alpha=0.13, linewidth=0)


def roc_data(curves: Mapping[str, Mapping[str, Any]], *, key: str) -> pd.DataFrame:
    """Corners of curves (`part` curve), and their bands at even steps of specificity (`part` band)."""
    parts: list[pd.DataFrame] = [
        pd.DataFrame({key: [], "part": [], "fpr": [], "tpr": [], "low": [], "high": []})
    ]
    for name, curve in curves.items():
        parts.append(pd.DataFrame({key: name, "part": "curve", "fpr": curve["fpr"], "tpr": curve["tpr"]}))
        if curve.get("band"):
            ends = {end: curve["band"][end] for end in ("fpr", "low", "high")}
            parts.append(pd.DataFrame({key: name, "part": "band", **ends}))
    return pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)


def stacked(parts: Mapping[Any, Mapping[str, Any]], *, key: str) -> pd.DataFrame:
    """Tables of several things one below the other, the thing's name in the first column; empty for none."""
    tables = [pd.DataFrame({key: name, **columns}) for name, columns in parts.items()]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame({key: []})


def figure_row(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Estimate, interval, method and n of a figure, as columns of a table."""
    return {name: entry[name] for name in ("estimate", "ci_low", "ci_high", "method", "n")}


def roc_height_in(curves: int) -> float:
    """Height of a figure of ROC curves, with room for a legend below the plot where there are many, inches."""
    return WIDTH_IN if curves <= LEGEND_INSIDE else WIDTH_IN + 0.25 + 0.19 * curves


def finish_roc(figure: Figure, axes: Axes, curves: int, *, percent: str = "95%") -> None:
    """Axes, grid and legend of a plot of ROC curves; `percent` is the nominal coverage of the areas' intervals."""
    axes.set(xlabel="1 − specificity", ylabel="Sensitivity", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.set_aspect("equal")
    axes.grid(color=style.RULE, linewidth=0.6)
    words: dict[str, Any] = {
        "title": f"AUC ({percent} interval)",
        "alignment": "left",
        "handlelength": 2.6,
        "fontsize": 8.5,
    }
    if curves <= LEGEND_INSIDE:
        axes.legend(loc="lower right", **words)
    else:
        figure.legend(loc="outside lower left", **words)


def missing_modality(
    models: Mapping[str, Any], lines: Mapping[str, Line], *, modalities: Sequence[str], area: str = "AUC"
) -> Sketch:
    """AUC (or what `area` calls it) with every modality and with each one missing, with intervals."""
    rows: list[tuple[str, str, Mapping[str, Any]]] = []
    for name in lines:
        rows.append((name, text.pattern_name("+".join(modalities), modalities), models[name]["auroc"]))
        for pattern, entry in models[name]["patterns"].items():
            rows.append((name, text.pattern_name(pattern, modalities), entry["auroc"]))

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        y, ticks, previous = 0.0, [], ""
        for name, pattern, entry in rows:
            if name != previous:
                y -= 1.0
                ticks.append((y, text.model_name(name), lines[name].color))
                previous = name
            y -= 0.9
            ticks.append((y, pattern, ""))
            interval_row(axes, y, entry, line=lines[name], filled=pattern.find("missing") < 0)
        axes.axvline(0.5, **CHANCE_LINE)
        axes.set_yticks([tick for tick, _, _ in ticks], [words for _, words, _ in ticks])
        for label, (_, _, color) in zip(axes.get_yticklabels(), ticks, strict=True):
            if color:
                label.set(color=color, fontweight="bold")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set(xlabel=f"{text.capitalized(area)} (95% interval)", ylim=(y - 0.6, -0.4))
        axes.set_xlim(min(0.45, axes.get_xlim()[0]), 1.0)
        axes.grid(axis="x", color=style.RULE, linewidth=0.6)

    words = "; ".join(
        f"{text.model_name(n)}, {pattern}: {text.estimate(entry)}" for n, pattern, entry in rows
    )
    label = f"{text.capitalized(area)} by available modality with 95% interval. {words}."
    height = 0.75 + 0.27 * (len(rows) + len(lines))
    caption = (
        "The same trained models, scored on the same test lesions with a modality withheld (open marks)."
    )
    data = pd.DataFrame([{"model": n, "shown": pattern, **figure_row(entry)} for n, pattern, entry in rows])
    return Sketch("missing", draw, WIDTH_IN, height, label, caption, data)


def interval_row(axes: Axes, y: float, entry: Mapping[str, Any], *, line: Line, filled: bool = True) -> None:
    """One estimate with its interval at height y, the number written at the right edge."""
    color = line.color
    words = text.number(entry["estimate"])
    axes.text(1.03, y, words, transform=axes.get_yaxis_transform(), va="center")
    if text.is_missing(entry["estimate"]):
        return
    if not text.is_missing(entry["ci_low"]):
        axes.plot(
            [entry["ci_low"], entry["ci_high"]],
            [y, y],
            color=color,
            linewidth=1.6,
            solid_capstyle="butt",
            clip_on=False,
        )
    face = color if filled else "white"
    axes.plot(
        entry["estimate"],
        y,
        marker=line.marker,
        markersize=6,
        markerfacecolor=face,
        color=color,
        zorder=3,
        clip_on=False,
    )


def fold_auroc(models: Mapping[str, Any], lines: Mapping[str, Line], *, area: str = "AUC") -> Sketch:
    """AUC (or what `area` calls it) of every fold, one mark a fold and model; folds that lack a class have none."""
    lacking = "one class,\nno AUC" if area == "AUC" else f"class lacking,\nno {area}"
    columns = 3 if len(lines) <= 3 else 2

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for offset, (name, line) in enumerate(lines.items()):
            values = models[name]["auroc_by_fold"]
            known = [(fold, value) for fold, value in enumerate(values) if not text.is_missing(value)]
            shift = min(0.12, 0.8 / len(lines)) * (offset - (len(lines) - 1) / 2)
            axes.plot(
                [fold + shift for fold, _ in known], [value for _, value in known], marker=line.marker, markersize=6,
                linestyle="none", color=line.color, label=text.model_name(name),
            )  # fmt: skip
        axes.axhline(0.5, **CHANCE_LINE)
        axes.xaxis.set_major_locator(MultipleLocator(1))
        folds = max(len(models[name]["auroc_by_fold"]) for name in lines)
        for fold in range(folds):
            if all(text.is_missing(models[name]["auroc_by_fold"][fold]) for name in lines):
                axes.text(fold, 0.52, lacking, ha="center", va="bottom", color=style.MUTED, fontsize=8)
        axes.set(xlabel="Fold", ylabel=text.capitalized(area), xlim=(-0.5, folds - 0.5))
        axes.set_ylim(min(0.4, axes.get_ylim()[0]), 1.02)
        axes.grid(axis="y", color=style.RULE, linewidth=0.6)
        figure.legend(loc="outside upper left", ncols=columns, handletextpad=0.1, labelcolor="linecolor")

    label = f"{text.capitalized(area)} of each fold's test lesions, by model. The numbers are in the table by fold."
    height = 2.7 + 0.2 * -(-len(lines) // columns)
    caption = f"{text.capitalized(area)} of each test fold. The spread shows how much one small test set can mislead."
    values = {name: models[name]["auroc_by_fold"] for name in lines}
    data = stacked({n: {"fold": range(len(v)), "auroc": v} for n, v in values.items()}, key="model")
    return Sketch("folds", draw, WIDTH_IN, height, label, caption, data)
