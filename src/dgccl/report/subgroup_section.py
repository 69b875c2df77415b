"""A forest plot: the first model in groups of the test lesions."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from dgccl.report import style, text
from dgccl.report.figures import CHANCE_LINE, WIDTH_IN, figure_row, interval_row
from dgccl.report.run_files import RunFiles
from dgccl.report.section import Section
from dgccl.report.sketch import Sketch
from dgccl.report.style import Line
from dgccl.report.tables import Table

COLUMN_NAMES = {
    "sex": "Sex", "age_years": "Age, years", "diameter_mm": "Diameter, mm", "site": "Site",
    "manufacturer": "Manufacturer", "scanner": "Scanner",
}  # fmt: skip


def subgroup_section(run: RunFiles, lines: Mapping[str, Line]) -> Section:
    """AUC by group of lesions, with intervals; what is too small is counted and not looked at."""
    found = run.results["subgroups"]
    if not found:
        note = "These results hold no groups of lesions. `dgccl evaluate` makes them where the cohort can be read."
        return Section("subgroups", "Groups of lesions", notes=(note,))
    name, area = found["model"], text.area_name(len(run.class_names))
    if not found["groups"]:
        note = "The cohort records nothing that would divide the test lesions into groups."
        return Section("subgroups", "Groups of lesions", notes=(note,))
    lead = (
        f"{text.model_name(name)} in groups of the test lesions, each as if it were all of them. Looked at, not "
        "tested: with so many groups some lie apart by chance, and a wide interval says that the group is small."
    )
    rows = tuple(
        (
            f"{COLUMN_NAMES[group['column']]}: {group['name']}",
            str(group["n"]),
            *(str(group["n_by_class"][kind]) for kind in run.class_names),
            _area_words(group, found["of_class"]),
        )
        for group in found["groups"]
    )
    classes = tuple(f"{text.capitalized(kind)}, n" for kind in run.class_names)
    header = ("Group", "Lesions, n", *classes, f"{text.capitalized(area)} (95% interval)")
    note = f"Within folds, by patient. A group with fewer than {found['of_class']} lesions of a class is not looked at."
    table = Table(f"{text.capitalized(area)} by group", header, rows, note)
    whole = run.results["models"][name]["auroc"]
    looked_at = any(not text.is_missing(group["auroc"]["estimate"]) for group in found["groups"])
    sketches = (forest(found, whole, lines[name], area=area),) if looked_at else ()
    return Section("subgroups", "Groups of lesions", lead, sketches=sketches, tables=(table,))


def _area_words(group: Mapping[str, Any], of_class: int) -> str:
    if group["auroc"]["method"] == "too_few":
        return f"fewer than {of_class} of a class"
    return text.estimate(group["auroc"])


def forest(found: Mapping[str, Any], whole: Mapping[str, Any], line: Line, *, area: str) -> Sketch:
    """One row a group: its area with the interval, beside that of all lesions.

    Args:
        found: `subgroups` of the results.
        whole: the area of all lesions.
        line: how the model is drawn.
        area: what the area is called.
    """
    groups = [group for group in found["groups"] if not text.is_missing(group["auroc"]["estimate"])]
    shown = text.shortened([group["name"] for group in groups])
    height = 0.9 + 0.26 * (len(groups) + 1 + len({group["column"] for group in groups}))

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        ticks, y = [(0.0, f"All lesions ({whole['n']})", True)], 0.0
        interval_row(axes, y, whole, line=line)
        column = ""
        for group in groups:
            if group["column"] != column:
                column, y = group["column"], y + 1.0
                ticks.append((y, COLUMN_NAMES[column], True))
            y += 1.0
            ticks.append((y, f"{shown[group['name']]} ({group['n']})", False))
            interval_row(axes, y, group["auroc"], line=line)
        axes.axvline(0.5, **CHANCE_LINE)
        if not text.is_missing(whole["estimate"]):
            axes.axvline(whole["estimate"], color=line.color, linewidth=0.8, alpha=0.5)
        axes.set_yticks([at for at, _, _ in ticks], [words for _, words, _ in ticks])
        for label, (_, _, bold) in zip(axes.get_yticklabels(), ticks, strict=True):
            label.set(fontweight="bold" if bold else "normal")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set(xlabel=f"{text.capitalized(area)} (95% interval)", ylim=(y + 0.6, -0.6))
        axes.set_xlim(min(0.4, axes.get_xlim()[0]), 1.0)
        axes.grid(axis="x", color=style.RULE, linewidth=0.6)

    said = "; ".join(
        f"{COLUMN_NAMES[group['column']]} {group['name']}: {text.estimate(group['auroc'])}"
        for group in groups
    )
    data = pd.DataFrame(
        [{"column": "", "group": "all", **figure_row(whole)}]
        + [{"column": g["column"], "group": g["name"], **figure_row(g["auroc"])} for g in found["groups"]]
    )
    return Sketch(
        "subgroups",
        draw,
        WIDTH_IN,
        height,
        f"{text.capitalized(area)} by group of lesions with 95% interval. {said}.",
        f"{text.capitalized(area)} of {text.model_words(found['model'])} by group (lesions in brackets). Line: all "
        "lesions. Dotted: no discrimination.",
        data,
    )
