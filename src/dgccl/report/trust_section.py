"""The part of the report that says how far the probabilities can be believed, and what acting on them is worth."""

from collections.abc import Mapping
from typing import Any

from dgccl.report import probability_figures, text
from dgccl.report.run_files import RunFiles
from dgccl.report.score_tables import HOW_TO_READ_CALIBRATION
from dgccl.report.section import Section
from dgccl.report.sketch import Sketch
from dgccl.report.style import Line
from dgccl.report.tables import Table

LEAD = (
    "Every fold's network is recalibrated by one temperature, fitted on its validation lesions and applied to its test "
    "lesions; what follows is of the probabilities after that, unless said otherwise."
)


NOT_RECALIBRATED = "Published models are not recalibrated: before is the same as after."


def trust_sketches(run: RunFiles, lines: Mapping[str, Line]) -> list[Sketch]:
    """Calibration curves of all models, and their decision curves."""
    models, full = run.judged, run.full_pattern
    after = {
        name: models[name]["calibration"][full]["after"] for name in lines if models[name]["calibration"]
    }
    sketches = []
    if any(found["bins"] for found in after.values()):
        words = ("Probability of class 1", "Share of class 1")
        if len(run.class_names) == 2:
            positive = run.class_names[1]
            words = (f"Probability of {positive}", f"Share of {positive}")
        else:
            words = ("Probability of the called class", "Share of right calls")
        sketches.append(
            probability_figures.calibration(
                after, lines, percent="95%", called=text.model_name, axes_words=words
            )
        )
    if run.results["decision"]:
        sketches.append(probability_figures.decision(run.results["decision"], lines, called=text.model_name))
    return sketches


def trust_section(run: RunFiles, lines: Mapping[str, Line]) -> Section:
    """Calibration, prediction sets and decision curves.

    Args:
        run: the run.
        lines: how each model is drawn, the published ones among them.
    """
    models = run.judged
    notes = []
    if not any(models[name]["calibration"] for name in lines):
        notes.append("These results have no calibration figures: run `dgccl evaluate` again on this run.")
        return Section("trust", "Calibration and decisions", notes=tuple(notes))
    shown = [_calibration(run, lines)]
    if any(models[name]["conformal"] for name in lines):
        shown.append(_conformal(run, lines))
    else:
        notes.append("No prediction sets: no fold has validation lesions to calibrate them on.")
    left_out = [
        name for name in run.comparators if name not in (run.results["decision"] or {"models": ()})["models"]
    ]
    if run.results["decision"] and left_out:
        notes.append(
            f"{text.listing([text.model_name(name) for name in left_out])}: not in the decision curves here, since "
            "they lack values of some lesions; on the lesions that they judge they have curves of their own below."
        )
    if not run.results["decision"]:
        notes.append("No decision curves: they are of two classes, on lesions that every model judges.")
    return Section(
        "trust",
        "Calibration and decisions",
        LEAD,
        notes=tuple(notes),
        sketches=tuple(trust_sketches(run, lines)),
        tables=tuple(shown),
    )


def words_of(run: RunFiles, name: str, pattern: str) -> str:
    """How a model and what it is shown are called at the head of a row; a published one is shown no image."""
    if name in run.comparators:
        return f"{text.model_name(name)}, as published"
    return f"{text.model_name(name)}, {text.pattern_name(pattern, run.modalities)}"


def _rows_of(run: RunFiles, lines: Mapping[str, Line]) -> list[tuple[str, str, str]]:
    """Model, pattern, and how the two are called at the head of a row."""
    return [
        (name, pattern, words_of(run, name, pattern))
        for name in lines
        for pattern in run.judged[name]["calibration"]
    ]


def _calibration(run: RunFiles, lines: Mapping[str, Line]) -> Table:
    rows, swatches = [], []
    for name, pattern, words in _rows_of(run, lines):
        found = run.judged[name]["calibration"][pattern]
        before, after = found["before"], found["after"]
        ece = tuple(text.number(after[key]) for key in ("ece", "ece_plug_in", "ece_by_chance"))
        rows.append(
            (
                words,
                text.number(before["brier"]["estimate"]),
                text.estimate(after["brier"]),
                text.number(before["slope"]["estimate"]),
                text.estimate(after["slope"]),
                text.estimate(after["in_the_large"]),
                f"{ece[0]} ({ece[1]}; {ece[2]})",
            )
        )
        swatches.append(lines[name].color)
    header = (
        "Model, what is shown",
        "Brier, before",
        "Brier score",
        "Slope, before",
        "Slope",
        "In the large, log odds",
        "ECE (as is; by chance alone)",
    )
    what = "of malignancy" if run.class_names[1:] == ["malignant"] else "of class 1"
    if len(run.class_names) > 2:
        what = "of the called class against whether it is right"
    note = f"Probabilities {what}. 95% intervals by patient. {HOW_TO_READ_CALIBRATION}"
    if run.comparators:
        note += f" {NOT_RECALIBRATED}"
    return Table("Can the probabilities be believed?", header, tuple(rows), note, tuple(swatches))


def _conformal(run: RunFiles, lines: Mapping[str, Line]) -> Table:
    rows, swatches, alpha = [], [], 0.0
    for name in lines:
        found: dict[str, Any] | None = run.judged[name]["conformal"]
        if found is None:
            continue
        alpha = found["alpha"]
        for pattern, figures in found["by_pattern"].items():
            words = words_of(run, name, pattern)
            keys = ("coverage", "abstained", "decided_right")
            rows.append((words, *(text.estimate(figures[key]) for key in keys)))
            swatches.append(lines[name].color)
    header = ("Model, what is shown", "Sets that hold the truth", "No decision", "Right, of the decided")
    note = (
        "A prediction set holds every class that the lesion's probabilities cannot rule out; it promises to hold the "
        f"truth in {100 * (1 - alpha):g}% of lesions like the validation lesions. A set of several classes, or of "
        "none, is no decision. Calibrated in each fold on its validation lesions, for each set of "
        "modalities apart; measured on its test lesions. Wilson intervals, which take lesions as independent."
    )
    return Table("Prediction sets", header, tuple(rows), note, tuple(swatches))
