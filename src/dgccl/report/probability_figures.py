"""Figures of scores that are probabilities: calibration and decision curves."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from dgccl.report import style, text
from dgccl.report.figures import BANDED, CHANCE_LINE, LEGEND_INSIDE, WIDTH_IN, roc_height_in
from dgccl.report.sketch import Sketch
from dgccl.report.style import Line


def calibration(
    scores: Mapping[str, Mapping[str, Any]],
    lines: Mapping[str, Line],
    *,
    percent: str,
    called: Callable[[str], str] = str,
    axes_words: tuple[str, str] = ("Probability of class 1", "Share of class 1"),
) -> Sketch:
    """Observed share of class 1 against probability: smooth curves with bands, bins with their intervals.

    Args:
        scores: of each score `bins` and `smooth` (each with probability, observed, ci_low, ci_high, or None) and its
            `slope` (an estimate, or None).
        lines: how each score is drawn.
        percent: nominal coverage, in words.
        called: what a score is called.
        axes_words: what is across and what is up.
    """

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], **CHANCE_LINE)
        for name, found in scores.items():
            line, smooth, bins = lines[name], found["smooth"], found["bins"]
            if smooth:
                axes.plot(
                    smooth["probability"],
                    smooth["observed"],
                    color=line.color,
                    linestyle=line.dash,
                    linewidth=1.8,
                )
                if len(scores) <= BANDED:
                    axes.fill_between(
                        smooth["probability"], smooth["ci_low"], smooth["ci_high"], color=line.color, alpha=0.13,
                        linewidth=0,
                    )  # fmt: skip
            if not bins:
                continue
            errors = [
                [value - low for value, low in zip(bins["observed"], bins["ci_low"], strict=True)],
                [high - value for value, high in zip(bins["observed"], bins["ci_high"], strict=True)],
            ]
            axes.errorbar(
                bins["probability"], bins["observed"], yerr=errors, linestyle="none", marker=line.marker,
                markersize=4.5, color=line.color, elinewidth=0.9, label=called(name),
                clip_on=False,
            )  # fmt: skip
        across, up = axes_words
        axes.set(xlabel=across, ylabel=up, xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
        axes.set_aspect("equal")
        axes.grid(color=style.RULE, linewidth=0.6)
        if len(scores) <= LEGEND_INSIDE:
            axes.legend(loc="upper left")
        else:
            figure.legend(loc="outside lower left")

    said = "; ".join(
        f"{called(name)}: slope {text.estimate(found['slope'])}" for name, found in scores.items()
    )
    return Sketch(
        "calibration",
        draw,
        WIDTH_IN,
        roc_height_in(len(scores)),
        f"Calibration. {said}.",
        f"{axes_words[1]} against probability. Lines: smooth (spline) with {percent} bands; marks: tenths of the cases "
        "with Wilson intervals. Dotted: perfect.",
        pd.concat([_calibration_data(name, found) for name, found in scores.items()], ignore_index=True),
    )


def _calibration_data(name: str, found: Mapping[str, Any]) -> pd.DataFrame:
    columns = ("probability", "observed", "ci_low", "ci_high")
    parts = {"bin": found["bins"], "smooth": found["smooth"]}
    empty = pd.DataFrame(columns=["score", "kind", *columns])
    tables = [
        pd.DataFrame({"score": name, "kind": kind, **{column: part[column] for column in columns}})
        for kind, part in parts.items()
        if part
    ]
    return pd.concat(tables, ignore_index=True) if tables else empty


def decision(
    curve: Mapping[str, Any],
    lines: Mapping[str, Line],
    *,
    called: Callable[[str], str] = str,
    name: str = "decision",
    share_of_cases: float | None = None,
) -> Sketch:
    """Net benefit of acting on each score, beside acting on everyone and on no one.

    Args:
        curve: `thresholds`, `prevalence`, and net benefits (estimate, ci_low, ci_high) of the `models` and of
            `treat_all`.
        lines: how each score is drawn.
        called: what a score is called.
        name: of the figure.
        share_of_cases: share of class 1 of the cases, where `prevalence` is not that but an assumed one.
    """
    thresholds, models = curve["thresholds"], curve["models"]
    everyone = curve["treat_all"]["estimate"]

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.plot(thresholds, everyone, color=style.MUTED, linewidth=1.0, label="act on everyone")
        axes.axhline(0.0, **CHANCE_LINE)
        for model, net in models.items():
            line = lines[model]
            axes.plot(
                thresholds, net["estimate"], color=line.color, linestyle=line.dash, linewidth=1.8,
                label=called(model),
            )  # fmt: skip
            if len(models) <= BANDED:
                axes.fill_between(
                    thresholds, net["ci_low"], net["ci_high"], color=line.color, alpha=0.13, linewidth=0
                )
        top = max(max(net["estimate"]) for net in models.values())
        top = max(top, curve["prevalence"])
        axes.set(
            xlabel="Probability at which one would act",
            ylabel="Net benefit",
            xlim=(0, 1),
            ylim=(-0.25 * top, 1.1 * top),
        )
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        axes.grid(color=style.RULE, linewidth=0.6)
        if len(models) <= LEGEND_INSIDE:
            axes.legend(loc="upper right")
        else:
            figure.legend(loc="outside lower left")

    said = "; ".join(f"{called(model)}: {_at(thresholds, net, 0.2)}" for model, net in models.items())
    return Sketch(
        name,
        draw,
        WIDTH_IN,
        roc_height_in(len(models)) - 0.6,
        f"Decision curves. Net benefit at a threshold of 20%: {said}.",
        f"{_share(curve['prevalence'], share_of_cases)}; dotted: act on no one. It counts only if the probabilities "
        "are calibrated.",
        _decision_data(curve),
    )


def _share(prevalence: float, of_cases: float | None) -> str:
    """What share of class 1 the net benefit holds for, and where that comes from."""
    if of_cases is None:
        return f"Net benefit at a share of class 1 of {text.number(prevalence)}, of the cases"
    return (
        f"Net benefit at an assumed share of class 1 of {text.number(prevalence)}; of these cases it is "
        f"{text.number(of_cases)}"
    )


def _at(thresholds: Sequence[float], net: Mapping[str, Any], threshold: float) -> str:
    place = min(range(len(thresholds)), key=lambda index: abs(thresholds[index] - threshold))
    return text.estimate({key: net[key][place] for key in ("estimate", "ci_low", "ci_high")})


def _decision_data(curve: Mapping[str, Any]) -> pd.DataFrame:
    parts = {**curve["models"], "act on everyone": curve["treat_all"]}
    return pd.concat(
        [
            pd.DataFrame({"score": name, "threshold": curve["thresholds"], **net})
            for name, net in parts.items()
        ],
        ignore_index=True,
    )


def precision_recall(
    curves: Mapping[str, Mapping[str, Any]], lines: Mapping[str, Line], *, positive: str
) -> Sketch:
    """Precision against recall of every model, average precision and interval in the legend.

    Args:
        curves: of each model `recall`, `precision`, `baseline` and `auprc`.
        lines: how each model is drawn.
        positive: name of the class that is looked for.
    """
    areas = {
        name: f"{text.model_name(name)} {text.estimate(found['auprc'])}" for name, found in curves.items()
    }
    baselines = sorted({found["baseline"] for found in curves.values()})

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for baseline in baselines:
            axes.axhline(baseline, **CHANCE_LINE)
        for name, found in curves.items():
            line = lines[name]
            axes.plot(
                found["recall"], found["precision"], color=line.color, linestyle=line.dash, linewidth=1.5,
                label=areas[name],
            )  # fmt: skip
        axes.set(
            xlabel=f"Sensitivity for {positive} (recall)", ylabel="Positive predictive value (precision)",
            xlim=(-0.01, 1.01), ylim=(-0.01, 1.01),
        )  # fmt: skip
        axes.set_aspect("equal")
        axes.grid(color=style.RULE, linewidth=0.6)
        words: dict[str, Any] = {
            "title": "Average precision (95% interval)", "alignment": "left", "handlelength": 2.6, "fontsize": 8.5,
        }  # fmt: skip
        figure.legend(loc="outside lower left", **words)  # a poor score goes through every corner

    shares = text.listing([text.number(baseline) for baseline in baselines])
    caption = (
        "Precision against recall of the recalibrated probabilities of all folds. Intervals: bootstrap by patient "
        f"within folds. Dotted: the share of {positive} lesions, which a score without skill has; areas of cohorts of "
        "other shares do not compare."
    )
    data = pd.concat(
        [
            pd.DataFrame({"model": name, "recall": found["recall"], "precision": found["precision"]})
            for name, found in curves.items()
        ],
        ignore_index=True,
    )
    said = "; ".join(areas.values())
    label = f"Precision-recall curves. Average precision with 95% interval: {said}. Without skill: {shares}."
    height = WIDTH_IN + 0.1 + 0.19 * len(curves)
    return Sketch("precision-recall", draw, WIDTH_IN, height, label, caption, data)
