"""Figures of what goes on inside the models: gate, embeddings, training. Each draws numbers that others computed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dgccl.report import style, text
from dgccl.report.figures import CHANCE_LINE, WIDTH_IN, stacked
from dgccl.report.sketch import Sketch
from dgccl.report.style import ClassStyle, Line

LABELS_ACROSS = 52
"""Characters of tick labels that fit side by side below a figure of `WIDTH_IN`."""


def gate_weights(
    name: str,
    rows: pd.DataFrame,
    gate: Mapping[str, Any],
    *,
    modalities: Sequence[str],
    classes: Sequence[ClassStyle],
) -> Sketch:
    """Gate weights by class: box from the stored quartiles, one mark a lesion."""
    step = len(classes) + 0.6

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        ticks = []
        for group, modality in enumerate(modalities):
            for index, kind in enumerate(classes):
                x = group * step + index
                values = rows.loc[rows["y_true"] == index, f"gate_{modality}"].to_numpy(float)
                _box(axes, x, gate["by_class"][kind.name][modality], values, kind=kind)
                ticks.append((x, kind.name))
            axes.text(
                group * step + (len(classes) - 1) / 2, 1.03, f"{text.modality_name(modality)} weight", ha="center",
                fontweight="bold", transform=axes.get_xaxis_transform(),
            )  # fmt: skip
        crowded = sum(len(kind) + 2 for _, kind in ticks) > LABELS_ACROSS
        turned: dict[str, Any] = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if crowded else {}
        axes.set_xticks([x for x, _ in ticks], [kind for _, kind in ticks], **turned)
        axes.tick_params(axis="x", length=0)
        axes.set(ylabel="Gate weight", ylim=(-0.02, 1.02), xlim=(-0.7, ticks[-1][0] + 0.7))
        axes.grid(axis="y", color=style.RULE, linewidth=0.6)

    medians = "; ".join(
        f"{kind.name}, {text.modality_name(m)}: median {text.number(gate['by_class'][kind.name][m]['median'])}"
        for kind in classes
        for m in modalities
    )
    test = text.gate_test(gate)
    label = f"Gate weights of {text.model_words(name)} by class. {medians}. {test}."
    caption = (
        f"Gate weights of {text.model_words(name)} on the test lesions, by true class: quartiles and every lesion. "
        f"Between the classes: {test}."
    )
    data = rows[["lesion_id", "fold", *(f"gate_{m}" for m in modalities)]].assign(
        true_class=rows["y_true"].map({index: kind.name for index, kind in enumerate(classes)})
    )
    return Sketch(f"gate-{name}", draw, WIDTH_IN, 3.5, label, caption, data)


def _box(
    axes: Axes, x: float, box: Mapping[str, float | None], values: np.ndarray, *, kind: ClassStyle
) -> None:
    """A box of quartiles with the single values beside each other inside it."""
    color = kind.color
    spread = np.random.default_rng(len(values)).uniform(-0.28, 0.28, len(values))
    axes.plot(
        x + spread, values, linestyle="none", marker=kind.marker, markersize=3.2, color=color, alpha=0.45,
        markeredgewidth=0,
    )  # fmt: skip
    q1, median, q3 = box["q1"], box["median"], box["q3"]
    if q1 is None or median is None or q3 is None:
        return
    axes.fill_between([x - 0.36, x + 0.36], q1, q3, facecolor=color, alpha=0.16, edgecolor="none")
    axes.plot(
        [x - 0.36, x + 0.36, x + 0.36, x - 0.36, x - 0.36], [q1, q1, q3, q3, q1], color=color, linewidth=1.1
    )
    axes.plot([x - 0.36, x + 0.36], [median, median], color=color, linewidth=2.4, solid_capstyle="butt")


def training(name: str, history: pd.DataFrame, line: Line, *, area: str = "AUC") -> Sketch:
    """Loss and validation AUC (or what `area` calls it) over the epochs, one thin line a fold."""
    words = text.capitalized(area)

    def draw(figure: Figure) -> None:
        loss, auroc = figure.subplots(2, 1, sharex=True)
        for fold, part in history.groupby("fold", sort=True):
            first = fold == history["fold"].min()
            loss.plot(
                part["epoch"], part["train_loss"], color=style.MUTED, linewidth=0.9, alpha=0.8,
                label="training" if first else None,
            )  # fmt: skip
            loss.plot(
                part["epoch"], part["validation_loss"], color=line.color, linewidth=1.3, alpha=0.8,
                label="validation" if first else None,
            )  # fmt: skip
            auroc.plot(part["epoch"], part["validation_auroc"], color=line.color, linewidth=1.3, alpha=0.8)
        loss.set_title(f"{text.model_name(name)}: loss")
        loss.set_ylabel("Loss")
        loss.legend(loc="upper right", ncols=2, labelcolor="linecolor", handlelength=1.4)
        loss.margins(y=0.18)
        auroc.set_title(f"{text.model_name(name)}: {area} on validation")
        auroc.set(xlabel="Epoch", ylabel=words, ylim=(min(0.4, auroc.get_ylim()[0]), 1.02))
        auroc.axhline(0.5, **CHANCE_LINE)
        auroc.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        for axes in (loss, auroc):
            axes.grid(color=style.RULE, linewidth=0.6)

    folds = history["fold"].nunique()
    label = (
        f"Training and validation loss, and validation {area}, of {text.model_name(name)} over the epochs."
    )
    caption = f"{text.model_name(name)}: one line for each of the {text.count(folds, 'fold')}."
    return Sketch(f"training-{name}", draw, WIDTH_IN, 4.2, label, caption, history)


COSINE_ROWS = {
    "paired": "same lesion, trained",
    "mismatched": "different lesions, trained",
    "paired_untrained": "same lesion, before training",
}


def cosine(
    cosines: Mapping[str, Mapping[str, Any]], lines: Mapping[str, Line], *, modalities: Sequence[str]
) -> Sketch:
    """Cosine similarity of the embeddings of the first two modalities: mean and standard deviation."""
    pair = text.listing([text.modality_name(modality) for modality in modalities[:2]])
    rows = [(name, key) for name in cosines for key in COSINE_ROWS if cosines[name].get(key)]

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for y, (name, key) in enumerate(rows):
            entry, color = cosines[name][key], lines[name].color
            mean, sd = entry["mean"], entry["sd"]
            axes.text(1.015, y, text.number(mean), transform=axes.get_yaxis_transform(), va="center")
            if text.is_missing(mean):
                continue
            if not text.is_missing(sd):
                axes.plot([mean - sd, mean + sd], [y, y], color=color, linewidth=1.6)
            face = color if key == "paired" else "white"
            axes.plot(
                mean, y, marker=lines[name].marker, markersize=6, markerfacecolor=face, color=color, zorder=3
            )
        many = len(cosines) > 1
        names = [f"{text.model_name(n)}, {COSINE_ROWS[k]}" if many else COSINE_ROWS[k] for n, k in rows]
        axes.set_yticks(range(len(rows)), names)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set(xlabel=f"Cosine similarity, {pair} (mean ± s.d.)", ylim=(len(rows) - 0.4, -0.6))
        axes.set_xlim(min(-0.05, axes.get_xlim()[0]), 1.0)
        axes.axvline(0.0, **CHANCE_LINE)
        axes.grid(axis="x", color=style.RULE, linewidth=0.6)

    words = "; ".join(
        f"{text.model_name(n)}, {COSINE_ROWS[k]}: {text.spread(cosines[n][k])}" for n, k in rows
    )
    label = f"Cosine similarity of {pair} embeddings. {words}."
    caption = (
        f"Agreement of the {pair} embeddings of the test lesions, mean ± standard deviation. Cosine {words}."
    )
    data = pd.DataFrame([{"model": n, "pairs": COSINE_ROWS[key], **cosines[n][key]} for n, key in rows])
    return Sketch("cosine", draw, WIDTH_IN, 0.8 + 0.34 * len(rows), label, caption, data)


PAIRS_OF = {"between": "different classes", "within": "one class"}


def class_distances(
    distances: Mapping[str, Sequence[Mapping[str, Any]]], lines: Mapping[str, Line]
) -> Sketch:
    """Cosine distance between lesions of different classes and of one, before the fusion (by modality) and after it."""
    rows = [
        (name, _kind_words(entry["kind"]), pairs, entry[pairs])
        for name, entries in distances.items()
        for entry in entries
        for pairs in PAIRS_OF
        if entry[pairs]
    ]

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        many = len(distances) > 1
        ticks = []
        for y, (name, kind, pairs, found) in enumerate(rows):
            color = lines[name].color
            if not text.is_missing(found["sd"]):
                low, high = found["mean"] - found["sd"], found["mean"] + found["sd"]
                axes.plot([low, high], [y, y], color=color, linewidth=1.6)
            face = color if pairs == "between" else "white"
            axes.plot(
                found["mean"], y, marker=lines[name].marker, markersize=6, markerfacecolor=face, color=color,
                zorder=3,
            )  # fmt: skip
            axes.text(1.015, y, text.number(found["mean"]), transform=axes.get_yaxis_transform(), va="center")
            ticks.append(
                f"{text.model_name(name)}, {kind}, {PAIRS_OF[pairs]}"
                if many
                else f"{kind}, {PAIRS_OF[pairs]}"
            )
        axes.set_yticks(range(len(rows)), ticks)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set(xlabel="Cosine distance of pairs of lesions (mean ± s.d.)", ylim=(len(rows) - 0.4, -0.6))
        axes.set_xlim(min(0.0, axes.get_xlim()[0]), max(1.0, axes.get_xlim()[1]))
        axes.grid(axis="x", color=style.RULE, linewidth=0.6)

    said = "; ".join(
        f"{text.model_name(name)}, {kind}, {PAIRS_OF[pairs]}: {text.spread(found)}"
        for name, kind, pairs, found in rows
    )
    caption = (
        "Cosine distance (1 − cosine) of pairs of test lesions of one fold and different patients: embeddings of each "
        "modality before the fusion, and fused. Filled: pairs of different classes; open: of one class. A fusion that "
        "separates the classes raises the first above the second."
    )
    data = pd.DataFrame(
        [
            {"model": n, "embeddings": kind, "pairs": PAIRS_OF[pairs], **found}
            for n, kind, pairs, found in rows
        ]
    )
    label = f"Cosine distance between the classes before and after fusion. {said}."
    return Sketch("class-distance", draw, WIDTH_IN, 0.8 + 0.34 * len(rows), label, caption, data)


def _kind_words(kind: str) -> str:
    return "fused" if kind == "fused" else f"{text.modality_name(kind)} before"


def embedding_map(
    name: str, layouts: Mapping[int, tuple[np.ndarray, np.ndarray]], classes: Sequence[ClassStyle]
) -> Sketch:
    """One small map a fold, colored by class.

    Args:
        name: the model.
        layouts: for each fold the positions, shape (n, 2), and `y_true`, shape (n,).
        classes: in the order of the labels.
    """
    columns = min(len(layouts), 3)
    across = min(3, len(classes), max(1, LABELS_ACROSS // (max(len(kind.name) for kind in classes) + 6)))
    height = 1.6 * -(-len(layouts) // columns) + 0.15 + 0.2 * -(-len(classes) // across)

    def draw(figure: Figure) -> None:
        grid = figure.subplots(-(-len(layouts) // columns), columns, squeeze=False).ravel()
        for axes, (fold, (layout, y_true)) in zip(grid, sorted(layouts.items()), strict=False):
            for index, kind in enumerate(classes):
                chosen = y_true == index
                axes.plot(
                    layout[chosen, 0], layout[chosen, 1], linestyle="none", marker=kind.marker,
                    markersize=4.5, color=kind.color, alpha=0.75, markeredgewidth=0, label=kind.name,
                )  # fmt: skip
            axes.set(xticks=[], yticks=[], xlim=(-1.12, 1.12), ylim=(-1.12, 1.12), title=f"Fold {fold}")
            axes.set_aspect("equal")
            axes.spines[:].set(visible=True, color=style.RULE)
        for axes in grid[len(layouts) :]:
            axes.set_axis_off()
        handles, names = grid[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=across)

    label = f"t-SNE maps of the fused embeddings of {text.model_words(name)}, one for each fold, by class."
    caption = (
        f"t-SNE of the fused embeddings of {text.model_words(name)}, test lesions, cosine distance. Each fold has a "
        "network of its own, so each has a map of its own; axes have no unit and distances between groups no meaning."
    )
    data = stacked(
        {
            fold: {"across": place[:, 0], "up": place[:, 1], "true_class": [classes[c].name for c in y_true]}
            for fold, (place, y_true) in sorted(layouts.items())
        },
        key="fold",
    )
    return Sketch(f"map-{name}", draw, WIDTH_IN, height, label, caption, data)
