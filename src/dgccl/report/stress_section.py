"""The part of the report that says how much worse the images may be: `stress.json`, drawn."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dgccl.report import style, text
from dgccl.report.figures import CHANCE_LINE
from dgccl.report.section import Section
from dgccl.report.sketch import Sketch
from dgccl.report.style import Line
from dgccl.report.tables import Table
from dgccl.robustness.dials import DIALS, MISSING
from dgccl.robustness.images import clock_error_min

TITLE = "Robustness"
PANELS_ACROSS, PANEL_IN = 3, 1.65
WIDTH_IN = 4.6
MODALITY_DASHES = ("-", "--", ":", "-.")


def stress_section(stress: Mapping[str, Any] | None, lines: Mapping[str, Line]) -> Section:
    """Curves and tolerances of every model that was stressed, or the statement that none was.

    Args:
        stress: content of `stress.json`; None without one.
        lines: how each model is drawn.
    """
    if stress is None:
        return Section("robustness", TITLE, notes=("`dgccl stress` was not called on this run.",))
    meta = stress["meta"]
    lead = (
        "Every test lesion was scored again, by the network that never saw it, with its images made worse. Tolerance: "
        f"the smallest amount at which the AUC has fallen by {meta['loss']:g}, between the amounts tried by a straight "
        f"line; in parentheses its 95% interval from {meta['replicates']} bootstrap samples of the patients (seed "
        f"{meta['seed']})."
    )
    notes = [warning for warning in stress["warnings"] if "digital phantom" not in warning]
    notes += [f"{_title(name)}: {reason}" for name, reason in stress["not_applicable"].items()]
    tables, sketches = [], []
    for name, results in stress["models"].items():
        tables.append(tolerance_table(name, results, loss=meta["loss"]))
        notes += [f"{result['title']}: {note}" for result in results for note in result["notes"]]
        sketches.append(curves(name, results, lines[name], loss=meta["loss"]))
        sketches.append(calibration_curves(name, results, lines[name]))
        if any(step["gate_weights"] for result in results for step in result["steps"]):
            sketches.append(gate_curves(name, results))
    tables.append(_dials(next(iter(stress["models"].values()))))
    return Section(
        "robustness",
        TITLE,
        lead,
        notes=tuple(dict.fromkeys(notes)),
        sketches=tuple(sketches),
        tables=tuple(tables),
    )


def _title(name: str) -> str:
    """What a dial is called."""
    if name.startswith(MISSING):
        return f"{text.modality_name(name.removeprefix(MISSING))} missing"
    return next(dial.title for dial in DIALS if dial.name == name)


def tolerance_table(model: str, results: Sequence[Mapping[str, Any]], *, loss: float) -> Table:
    """One row a dial and direction: the tolerance, what is sure, and the AUC at the largest amount."""
    rows = []
    for result in results:
        for found in result["tolerances"]:
            last = next(step for step in result["steps"] if step["amount"] == found["largest"])
            signed = len(result["tolerances"]) > 1
            way = (", upward" if found["direction"] == "up" else ", downward") if signed else ""
            rows.append(
                (
                    f"{result['title']}{way}",
                    tolerance_words(found, result["unit"]) + _clock(result["dial"], found["amount"]),
                    _amount(found["sure_until"], result["unit"], none="not even the first amount"),
                    _amount(found["largest"], result["unit"]),
                    text.estimate(last["auroc"]),
                    text.estimate(last["change"]),
                    "not defined" if last["calls_changed"] is None else f"{100 * last['calls_changed']:.0f}%",
                )
            )
        if not result["tolerances"]:
            rows.append((result["title"], "not defined", *["not defined"] * 5))
    header = (
        "What gets worse",
        "Tolerance",
        "Sure until",
        "Largest tried",
        "AUC there",
        "Change of AUC there",
        "Calls changed there",
    )
    note = (
        "Sure until: the largest amount up to which the lower end of the change of AUC (paired DeLong) stays above "
        f"{text.number(-loss, digits=2)}. Each dial is turned alone. Calls: at each fold's threshold, chosen on its "
        "validation lesions."
    )
    return Table(f"Tolerances of {text.model_words(model)}", header, tuple(rows), note)


def tolerance_words(found: Mapping[str, Any], unit: str) -> str:
    """A tolerance with its interval: `4.5 mm (0.72 to more than 15)`."""
    largest = f"{'less' if found['direction'] == 'down' else 'more'} than {text.compact(found['largest'])}"
    own, low, high = (
        largest if found[key] is None else text.compact(found[key]) for key in ("amount", "ci_low", "ci_high")
    )
    words = f"{own} {unit}".rstrip()
    return words if low == high else f"{words} ({low} to {high})"


def _clock(dial: str, amount: float | None) -> str:
    """An error of SUV as an error of the clocks."""
    if dial != "suv_error" or amount is None:
        return ""
    return f"; clocks off by {text.compact(clock_error_min(amount))} min"


def _amount(value: float | None, unit: str, *, none: str = "not defined") -> str:
    return none if value is None else f"{text.compact(value)} {unit}".rstrip()


def _dials(results: Sequence[Mapping[str, Any]]) -> Table:
    rows = tuple((result["title"], result["meaning"]) for result in results)
    return Table("What each dial does", ("Dial", "Amount"), rows, folded=True, words=True)


def _panels(
    figure: Figure, results: Sequence[Mapping[str, Any]]
) -> list[tuple[Axes, Mapping[str, Any], list[float]]]:
    """One small plot a dial, sharing the vertical axis."""
    down = -(-len(results) // PANELS_ACROSS)
    grid = figure.subplots(down, PANELS_ACROSS, sharey=True, squeeze=False).ravel()
    for axes in grid[len(results) :]:
        axes.set_axis_off()
    panels = []
    for axes, result in zip(grid, results, strict=False):
        axes.set_title(result["title"], fontsize=7.5)
        axes.set_xlabel(result["unit"], fontsize=7)
        axes.tick_params(labelsize=7)
        axes.grid(color=style.RULE, linewidth=0.6)
        panels.append((axes, result, [step["amount"] for step in result["steps"]]))
    return panels


def _height_in(results: Sequence[Mapping[str, Any]]) -> float:
    return 0.3 + PANEL_IN * -(-len(results) // PANELS_ACROSS)


def _banded_curves(
    figure: Figure, results: Sequence[Mapping[str, Any]], line: Line, *, key: str, words: str, at: float
) -> list[Axes]:
    """One figure of every step against the amount, with its band and a line at what it is with nothing wrong."""
    drawn_on = []
    for place, (axes, result, amounts) in enumerate(_panels(figure, results)):
        steps = [step[key] for step in result["steps"]]
        known = [(x, found) for x, found in zip(amounts, steps, strict=True) if found["estimate"] is not None]
        banded = [(x, found) for x, found in known if found["ci_low"] is not None]
        axes.axhline(at, **CHANCE_LINE)
        axes.fill_between(
            [x for x, _ in banded], [found["ci_low"] for _, found in banded],
            [found["ci_high"] for _, found in banded], color=line.color, alpha=0.16, linewidth=0,
        )  # fmt: skip
        axes.plot(
            [x for x, _ in known], [found["estimate"] for _, found in known], color=line.color, linewidth=1.6,
            marker=line.marker, markersize=3,
        )  # fmt: skip
        if place % PANELS_ACROSS == 0:
            axes.set_ylabel(words, fontsize=7.5)
        drawn_on.append(axes)
    return drawn_on


def curves(model: str, results: Sequence[Mapping[str, Any]], line: Line, *, loss: float) -> Sketch:
    """Change of the AUC against the amount of every dial, with its band; the tolerated loss as a line."""

    def draw(figure: Figure) -> None:
        for axes in _banded_curves(figure, results, line, key="change", words="Change of AUC", at=0.0):
            axes.axhline(-loss, color=style.INK, linewidth=0.8, linestyle=(0, (4, 2)))

    said = "; ".join(
        f"{result['title']}: {', '.join(tolerance_words(t, result['unit']) for t in result['tolerances'])}"
        for result in results
    )
    return Sketch(
        f"stress-{model}",
        draw,
        WIDTH_IN,
        _height_in(results),
        f"Change of the AUC of {text.model_words(model)} as images get worse. Tolerances: {said}.",
        f"Change of the AUC of {text.model_words(model)}, with 95% bands (paired DeLong, by patient). Dashed: the loss "
        f"of {loss:g} that is no longer tolerated.",
        _data(results, "change"),
    )


def calibration_curves(model: str, results: Sequence[Mapping[str, Any]], line: Line) -> Sketch:
    """Calibration slope against the amount of every dial."""

    def draw(figure: Figure) -> None:
        _banded_curves(figure, results, line, key="slope", words="Calibration slope", at=1.0)

    return Sketch(
        f"stress-calibration-{model}",
        draw,
        WIDTH_IN,
        _height_in(results),
        f"Calibration slope of {text.model_words(model)} as images get worse.",
        f"Calibration slope of {text.model_words(model)} after the folds' own temperatures, with 95% bands. 1 is "
        "calibrated; below, the probabilities are too sure.",
        _data(results, "slope"),
    )


def gate_curves(model: str, results: Sequence[Mapping[str, Any]]) -> Sketch:
    """Median gate weight of every modality against the amount of every dial."""
    names = list(dict.fromkeys(m for r in results for step in r["steps"] for m in step["gate_weights"]))

    def draw(figure: Figure) -> None:
        panels = _panels(figure, results)
        for place, (axes, result, amounts) in enumerate(panels):
            for index, name in enumerate(names):
                known = [
                    (x, step["gate_weights"][name])
                    for x, step in zip(amounts, result["steps"], strict=True)
                    if name in step["gate_weights"]
                ]
                axes.plot(
                    [x for x, _ in known], [w for _, w in known], linewidth=1.5,
                    color=style.MODALITY_COLORS[index % len(style.MODALITY_COLORS)],
                    linestyle=MODALITY_DASHES[index % len(MODALITY_DASHES)], label=text.modality_name(name),
                )  # fmt: skip
            axes.set_ylim(-0.02, 1.02)
            if place % PANELS_ACROSS == 0:
                axes.set_ylabel("Median weight", fontsize=7.5)
        figure.legend(
            *panels[0][0].get_legend_handles_labels(),
            loc="outside lower center",
            ncols=len(names),
            fontsize=8,
        )

    rows = [
        {"dial": r["dial"], "unit": r["unit"], "amount": step["amount"], **step["gate_weights"]}
        for r in results
        for step in r["steps"]
    ]
    return Sketch(
        f"stress-gate-{model}",
        draw,
        WIDTH_IN,
        _height_in(results) + 0.2,
        f"Median gate weights of {text.model_words(model)} as images get worse.",
        f"Median gate weights of {text.model_words(model)}, of the lesions of which a modality is shown. A gate that "
        "weighs by reliability turns away from what gets worse.",
        pd.DataFrame(rows),
    )


def _data(results: Sequence[Mapping[str, Any]], figure: str) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"dial": r["dial"], "unit": r["unit"], "amount": step["amount"], **step[figure]}
            for r in results
            for step in r["steps"]
        ]
    )
