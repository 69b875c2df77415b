"""The way of the patients into the figures, as STARD draws it: found, refused and why, taken, tested."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dgccl.cohort import Cohort, image_flag
from dgccl.report import style, text
from dgccl.report.run_files import RunFiles
from dgccl.report.sketch import Sketch

WIDTH_IN = 4.6
LINE_IN, BOX_MARGIN_IN, GAP_IN = 0.155, 0.16, 0.22
MOST_REASONS = 6
"""More reasons than this are told together."""
CHARACTERS = {"main": 40, "side": 32}


@dataclass(frozen=True)
class Stop:
    """One box of the diagram, and what leaves before the next one.

    Attributes:
        title: first line.
        lines: below it.
        leaves: title and lines of the box at the side; empty if nobody leaves here.
    """

    title: str
    lines: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()


def flow(run: RunFiles, cohort: Cohort) -> Sketch:
    """The diagram, from the decisions of ingestion, the lesion table and the folds.

    Args:
        run: gives the folds and who was tested.
        cohort: gives the decisions and the lesions.
    """
    stops, counts = _stops(run, cohort)
    heights = [_height_in(_wrapped(stop, "main")) for stop in stops]
    sides = [_height_in(_side(stop)) if stop.leaves else 0.0 for stop in stops]
    gaps = [max(GAP_IN, side + GAP_IN) for side in sides]
    total = sum(heights) + sum(gaps[:-1]) + 0.1

    def draw(figure: Figure) -> None:
        figure.set_layout_engine("none")  # places are in inches here
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set(xlim=(0, WIDTH_IN), ylim=(total, 0))
        axes.set_axis_off()
        top = 0.05
        for index, (stop, height, gap) in enumerate(zip(stops, heights, gaps, strict=True)):
            _box(axes, 0.05, top, 2.45, height, _wrapped(stop, "main"))
            bottom = top + height
            if index < len(stops) - 1:
                _arrow(axes, (1.27, bottom), (1.27, bottom + gap))
            if stop.leaves:
                _box(axes, 2.65, bottom + GAP_IN / 2, 1.9, sides[index], _side(stop))
                middle = bottom + GAP_IN / 2 + sides[index] / 2
                _arrow(axes, (1.27, middle), (2.65, middle))
            top = bottom + gap

    said = "; ".join(f"{row['step']}, {row['what']}: {row['n']}" for row in counts)
    caption = "From what was found to what was tested. A patient can be refused for one reason only."
    if cohort.is_table:
        caption = "From the table to what was tested. Nothing was ingested: nobody was refused here."
    return Sketch(
        "flow", draw, WIDTH_IN, total, f"Flow of the cohort. {said}.", caption, pd.DataFrame(counts)
    )


def _stops(run: RunFiles, cohort: Cohort) -> tuple[list[Stop], list[dict[str, str | int]]]:
    """The boxes, and the numbers in them."""
    lesions = cohort.lesions
    counts: list[dict[str, str | int]] = []
    refused = cohort.qc.loc[cohort.qc["status"] == "refused"]
    taken = int(lesions["patient_id"].nunique())
    lost = sorted(set(refused["study_code"]) - set(lesions["patient_id"]))
    # A code that stands twice is the reason that was found first.
    reasons = (
        refused.drop_duplicates("study_code").loc[lambda t: t["study_code"].isin(lost), "code"].value_counts()
    )
    found = taken + len(lost)
    counts.append({"step": "found", "what": "patients", "n": found})
    counts += [{"step": "refused", "what": str(code), "n": int(n)} for code, n in reasons.items()]
    leaves: tuple[str, ...] = ()
    if lost:
        shown = reasons.sort_values(ascending=False, kind="stable")
        lines = [f"{code.replace('_', ' ')}: {n}" for code, n in shown.iloc[:MOST_REASONS].items()]
        rest = int(shown.iloc[MOST_REASONS:].sum())
        lines += [f"other reasons: {rest}"] if rest else []
        leaves = (f"Refused: {text.count(len(lost), 'patient')}", *lines)
    where = "in the table" if cohort.is_table else "with images or a row in the label table"
    first = Stop(f"Found: {text.count(found, 'patient')}", (where,), leaves)
    by_class = [
        f"{name}: {int((lesions['label'] == label).sum())}" for label, name in enumerate(run.class_names)
    ]
    counts.append({"step": "taken", "what": "patients", "n": taken})
    counts.append({"step": "taken", "what": "lesions", "n": len(lesions)})
    second = Stop(
        f"Taken: {text.count(len(lesions), 'lesion')} of {text.count(taken, 'patient')}",
        (*by_class, *_by_image(cohort, counts)),
    )
    return [first, second, *_tested(run, lesions, counts)], counts


def _by_image(cohort: Cohort, counts: list[dict[str, str | int]]) -> list[str]:
    """How many lesions have which images; nothing to say of a table."""
    if cohort.is_table:
        return []
    names = ["ct", "pet", *cohort.other_images]
    flags = cohort.lesions[[image_flag(name) for name in names]].to_numpy(bool)
    patterns, n_of = np.unique(flags, axis=0, return_counts=True)
    said = []
    for pattern, n in sorted(zip(patterns.tolist(), n_of.tolist(), strict=True), key=lambda pair: -pair[1]):
        present = [text.modality_name(name) for name, has in zip(names, pattern, strict=True) if has]
        words = f"with {' + '.join(present)}" if present else "without images"
        counts.append({"step": "taken", "what": words, "n": n})
        said.append(f"{words}: {n}")
    return said


def _tested(run: RunFiles, lesions: pd.DataFrame, counts: list[dict[str, str | int]]) -> list[Stop]:
    """Who was tested, in which fold, and whom the first model cannot judge."""
    test = run.predictions.loc[run.predictions["split"] == "test", ["lesion_id", "fold"]].drop_duplicates()
    judged = int(run.test_rows(run.models[0])["lesion_id"].nunique())
    by_fold = [
        f"fold {fold}: {text.count(int(n), 'lesion')}"
        for fold, n in test.groupby("fold")["lesion_id"].nunique().items()
    ]
    counts.append({"step": "tested", "what": "lesions", "n": int(test["lesion_id"].nunique())})
    counts.append({"step": "tested", "what": f"judged by {run.models[0]}", "n": judged})
    unjudged = len(lesions) - judged
    lines = ("each once, by a network that saw neither it nor its patient", *by_fold)
    said = f"Tested by {text.model_words(run.models[0])}: {text.count(judged, 'lesion')}"
    if unjudged:
        lines = (*lines, f"not judged, since they lack what it reads: {unjudged}")
    return [Stop(said, lines)]


def _wrapped(stop: Stop, kind: str) -> list[str]:
    return _wrap((stop.title, *stop.lines), CHARACTERS[kind])


def _side(stop: Stop) -> list[str]:
    return _wrap(stop.leaves, CHARACTERS["side"])


def _wrap(lines: Sequence[str], characters: int) -> list[str]:
    return [part for line in lines for part in textwrap.wrap(line, characters, subsequent_indent="  ")]


def _height_in(lines: Sequence[str]) -> float:
    return LINE_IN * len(lines) + BOX_MARGIN_IN


def _box(axes: Axes, left: float, top: float, width: float, height: float, lines: Sequence[str]) -> None:
    axes.fill_between(
        [left, left + width], top, top + height, facecolor="#f6f7f9", edgecolor=style.MUTED, linewidth=0.8
    )
    for index, line in enumerate(lines):
        axes.text(
            left + 0.09, top + BOX_MARGIN_IN / 2 + LINE_IN * (index + 0.5), line, va="center", fontsize=7.5,
            fontweight="bold" if index == 0 else "normal",
        )  # fmt: skip


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate(
        "", xy=end, xytext=start, arrowprops={"arrowstyle": "->", "color": style.MUTED, "linewidth": 0.9}
    )
