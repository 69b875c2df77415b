"""Figures of several scores on the same cases, as `dgccl compare` draws them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dgccl.report import style, text
from dgccl.report.figures import CHANCE_LINE, WIDTH_IN, finish_roc, roc_height_in
from dgccl.report.sketch import Sketch
from dgccl.report.style import Line

ROW_IN = 0.3
LONG_PAIR = 26
"""Two names with more characters than this together stand on two lines."""


def roc(
    curves: Mapping[str, Mapping[str, Sequence[float]]],
    areas: Mapping[str, Mapping[str, Any]],
    lines: Mapping[str, Line],
    *,
    percent: str,
    called: Callable[[str], str] = str,
) -> Sketch:
    """ROC curves, area and interval in the legend.

    Args:
        curves: `fpr` and `tpr` of each score.
        areas: AUC of each score with its interval.
        lines: how each score is drawn.
        percent: nominal coverage, in words.
        called: what a score is called.
    """

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], **CHANCE_LINE)
        for name, line in lines.items():
            axes.plot(
                curves[name]["fpr"], curves[name]["tpr"], color=line.color, linestyle=line.dash, linewidth=1.8,
                label=f"{called(name)} {text.estimate(areas[name])}",
            )  # fmt: skip
        finish_roc(figure, axes, len(lines), percent=percent)

    said = "; ".join(f"{name} {text.estimate(areas[name])}" for name in lines)
    points = [pd.DataFrame({"score": name, **curves[name]}) for name in lines]
    return Sketch(
        "roc",
        draw,
        WIDTH_IN,
        roc_height_in(len(lines)),
        f"ROC curves. Area under the curve with {percent} interval: {said}.",
        "ROC curves of all cases. Dotted: no discrimination.",
        pd.concat(points, ignore_index=True),
    )


def differences(
    tests: Sequence[Mapping[str, Any]], *, percent: str, called: Callable[[str], str] = str
) -> Sketch:
    """Every paired difference in AUC with its interval.

    Args:
        tests: comparisons, with a, b, difference, ci_low, ci_high and p_holm.
        percent: nominal coverage, in words.
        called: what a score is called.
    """
    names = [_pair(called(test["a"]), called(test["b"])) for test in tests]

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for y, test in enumerate(tests):
            _row(axes, y, test["difference"], test["ci_low"], test["ci_high"], color=style.INK, marker="o")
            axes.text(
                1.02, y, text.relation(test["p_holm"]), transform=axes.get_yaxis_transform(), va="center"
            )
        axes.axvline(0.0, **CHANCE_LINE)
        _finish_rows(axes, names, f"Difference in AUC ({percent} interval)")

    said = "; ".join(
        f"{name}: {text.number(test['difference'], signed=True)} ({text.interval(test)}), "
        f"{text.relation(test['p_holm'])} after Holm"
        for name, test in zip(names, tests, strict=True)
    )
    return Sketch(
        "differences",
        draw,
        WIDTH_IN,
        0.75 + ROW_IN * sum(1 + name.count("\n") for name in names),
        f"Differences in AUC. {said}.",
        "Paired differences on the same cases; right of the dotted line the first score is better. p after Holm's "
        "correction.",
        pd.DataFrame(tests),
    )


def _pair(a: str, b: str) -> str:
    """The first less the second, on two lines where one would leave no room for the figure."""
    return f"{a}{chr(10) if len(a) + len(b) > LONG_PAIR else ' '}{text.MINUS} {b}"


def sites(
    rows: Sequence[Mapping[str, Any]],
    lines: Mapping[str, Line],
    *,
    percent: str,
    called: Callable[[str], str] = str,
) -> Sketch:
    """AUC of every score at every site that has cases of both classes.

    Args:
        rows: sites, with site, n, n_positive and auroc by score.
        lines: how each score is drawn.
        percent: nominal coverage, in words.
        called: what a score is called.
    """
    shown = [row for row in rows if any(row["auroc"].values())]
    step = min(0.24, 0.7 / len(lines))

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for y, row in enumerate(shown):
            for offset, (name, line) in enumerate(lines.items()):
                area = row["auroc"][name]
                place = y + step * (offset - (len(lines) - 1) / 2)
                _row(
                    axes, place, area["estimate"], area["ci_low"], area["ci_high"], color=line.color,
                    marker=line.marker, label=called(name) if y == 0 else None,
                )  # fmt: skip
            axes.text(
                1.02,
                y,
                f"{row['n_positive']} of {row['n']}",
                transform=axes.get_yaxis_transform(),
                va="center",
            )
        axes.axvline(0.5, **CHANCE_LINE)
        _finish_rows(
            axes, list(text.shortened([row["site"] for row in shown]).values()), f"AUC ({percent} interval)"
        )
        axes.set_xlim(max(-0.01, min(0.45, axes.get_xlim()[0])), 1.01)
        figure.legend(loc="outside lower left", ncols=min(3, len(lines)), handletextpad=0.3)

    said = "; ".join(
        f"{row['site']}, {name}: {text.estimate(row['auroc'][name])}" for row in shown for name in lines
    )
    data = [
        {"site": row["site"], "n": row["n"], "n_positive": row["n_positive"], "score": name, **(area or {})}
        for row in rows
        for name, area in row["auroc"].items()
    ]
    legend = 0.3 + 0.2 * -(-len(lines) // 3)
    return Sketch(
        "sites",
        draw,
        WIDTH_IN,
        0.75 + legend + max(ROW_IN, 0.16 * len(lines) + 0.1) * len(shown),
        f"AUC by site. {said}.",
        "AUC of the cases of each site; at the right its cases of class 1 of all. Sites that lack a class have none.",
        pd.DataFrame(data),
    )


def _row(
    axes: Axes,
    y: int | float,
    value: float,
    low: float,
    high: float,
    *,
    color: str,
    marker: str,
    label: str | None = None,
) -> None:
    axes.plot([low, high], [y, y], color=color, linewidth=1.6, solid_capstyle="butt")
    axes.plot(
        value, y, marker=marker, markersize=5.5, color=color, linestyle="none", label=label, clip_on=False
    )


def _finish_rows(axes: Axes, names: Sequence[str], words: str) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(words)
    axes.grid(axis="x", color=style.RULE, linewidth=0.6)
