"""Figures of all explained lesions of a run: draws what `cohort.json` and the table of explanations hold."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dgccl.report import style, text
from dgccl.report.figure_files import write_figure

GATE_COLOR, SHARE_COLOR = "#0072B2", "#D55E00"
QUANTITY_WORDS = {"gate": "gate weight", "absolute_share": "share of the answer, |\u03c6| / \u03a3|\u03c6|"}
BY_WORDS = {"class": "By class", "diameter": "By diameter, tertiles", "solid_fraction": "By solid fraction"}
PANEL_IN, ROW_IN, CAPTION_CHARACTERS = 3.5, 0.32, 62
DASHED: dict[str, Any] = {"color": style.MUTED, "linewidth": 0.8, "linestyle": (0, (2, 2))}


def write_cohort_figures(folder: Path, summary: Mapping[str, Any], table: pd.DataFrame) -> None:
    """Write `gate_meaning` (of a model with a gate) and `groups`, each as SVG and PNG.

    Args:
        folder: where to; a `gate_meaning` of another model that lies there is removed.
        summary: content of `cohort.json`.
        table: the explained lesions.
    """
    for suffix in ("svg", "png"):
        (folder / f"gate_meaning.{suffix}").unlink(missing_ok=True)
    shown = shown_modalities(summary["modalities"])
    if summary["gate_meaning"] is not None:
        _write_meaning(folder, summary, table, shown)
    _write_groups(folder, summary, shown)


def shown_modalities(modalities: Sequence[str]) -> list[str]:
    """What a figure shows: of two modalities the last, whose weight and share leave the rest to the first."""
    return list(modalities[-1:] if len(modalities) == 2 else modalities)


def _write_meaning(
    folder: Path, summary: Mapping[str, Any], table: pd.DataFrame, shown: Sequence[str]
) -> None:
    """One lesion a mark: gate weight against the share of the answer."""
    names, found = summary["modalities"], summary["gate_meaning"]["by_modality"]
    sizes = table[[f"shapley_{name}" for name in names]].abs()
    whole = table.loc[sizes.notna().all(axis=1) & (sizes.sum(axis=1) > 0)]
    parts = sizes.loc[whole.index].div(sizes.loc[whole.index].sum(axis=1), axis=0)
    width_in = max(PANEL_IN * len(shown) + 0.5, 4.6)
    caption = _wrapped(_caption(summary) + " " + _meaning_words(summary, shown), width_in)

    def draw(figure: Figure) -> None:
        top, below = figure.subfigures(
            2, 1, height_ratios=(PANEL_IN + 0.6, _caption_in(caption)), squeeze=False
        )[:, 0]
        for axes, name in zip(top.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
            for label, mark in enumerate(style.class_styles(summary["class_names"])):
                own = whole["y_true"] == label
                axes.plot(
                    whole.loc[own, f"gate_{name}"], parts.loc[own, f"shapley_{name}"], linestyle="none",
                    color=mark.color, marker=mark.marker, markersize=4.5, alpha=0.7, markeredgewidth=0, label=mark.name,
                )  # fmt: skip
            axes.axhline(1.0 / len(names), **DASHED)
            axes.axvline(1.0 / len(names), **DASHED)
            words = text.modality_name(name)
            axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=f"Gate weight of {words}")
            axes.set(ylabel=f"Share of the answer, {words}")
            axes.set_title(f"{words}: \u03c1 = {text.estimate(found[name]['spearman'], digits=2)}")
            axes.grid(color=style.RULE, linewidth=0.6)
            axes.set_box_aspect(1)
        handles, labels = axes.get_legend_handles_labels()
        top.legend(handles, labels, loc="outside lower center", ncols=len(labels), handletextpad=0.2)
        _write_caption(below, caption)

    write_figure(
        folder,
        "gate_meaning",
        draw,
        width_in=width_in,
        height_in=PANEL_IN + 0.6 + _caption_in(caption),
        label="Gate weight against the share of the answer. " + " ".join(caption),
    )


def _meaning_words(summary: Mapping[str, Any], shown: Sequence[str]) -> str:
    """Correlation and agreement of the modalities that are shown."""
    parts = []
    for name in shown:
        found = summary["gate_meaning"]["by_modality"][name]
        parts.append(
            f"{text.modality_name(name)}: Spearman within folds {text.estimate(found['spearman'], digits=2)}, over all "
            f"{text.estimate(found['spearman_pooled'], digits=2)}; weight and share on one side of the dashed lines in "
            f"{text.estimate(found['agreement'], digits=2)} of the lesions, by chance "
            f"{text.number(found['agreement_by_chance'], digits=2)}."
        )
    return f"{' '.join(parts)} n = {summary['gate_meaning']['n']} lesions with every modality."


def _write_groups(folder: Path, summary: Mapping[str, Any], shown: Sequence[str]) -> None:
    """Mean gate weight and mean share by group, with intervals."""
    entries = [item for item in summary["groups"] if item["modality"] in shown]
    quantities = [name for name in QUANTITY_WORDS if any(item["quantity"] == name for item in entries)]
    panels = [by for by in BY_WORDS if any(item["by"] == by for item in entries)]
    rows = {by: list(dict.fromkeys(e["group"] for e in entries if e["by"] == by)) for by in panels}
    heights = [0.5 + ROW_IN * len(rows[by]) for by in panels]
    width_in = PANEL_IN * len(shown) + 1.6
    solid = f" Solid fraction: {summary['solid_fraction_from']}." if "solid_fraction" in panels else ""
    caption = _wrapped(
        f"{_caption(summary)} Means with 95% intervals (bootstrap by patient) of the lesions with every "
        f"modality; dashed: equal parts.{solid}",
        width_in,
    )

    def draw(figure: Figure) -> None:
        top, below = figure.subfigures(
            2, 1, height_ratios=(sum(heights) + 0.8, _caption_in(caption)), squeeze=False
        )[:, 0]
        grid = top.subplots(
            len(panels), len(shown), squeeze=False, sharex=True, gridspec_kw={"height_ratios": heights}
        )
        for line, by in zip(grid, panels, strict=True):
            for axes, name in zip(line, shown, strict=True):
                own = [e for e in entries if e["by"] == by and e["modality"] == name]
                _group_rows(axes, own, rows[by], quantities)
                axes.axvline(1.0 / len(summary["modalities"]), **DASHED)
                axes.set_title(f"{BY_WORDS[by]}: {text.modality_name(name)}")
        for axes in grid[-1]:
            axes.set(xlim=(0.0, 1.0), xlabel="Weight or share")
        handles, labels = grid[0][0].get_legend_handles_labels()
        top.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        _write_caption(below, caption)

    write_figure(
        folder,
        "groups",
        draw,
        width_in=width_in,
        height_in=sum(heights) + 0.8 + _caption_in(caption),
        label=f"Gate weight and share of the answer by group. {_group_words(entries)} {' '.join(caption)}",
    )


def _group_rows(
    axes: Axes, entries: Sequence[Mapping[str, Any]], groups: Sequence[str], quantities: Sequence[str]
) -> None:
    """One row a group: filled the gate weight, open the share; at the right how many lesions."""
    count = dict.fromkeys(groups, 0)
    for entry in entries:
        if entry["quantity"] not in quantities:
            continue
        mean, gate = entry["mean"], entry["quantity"] == "gate"
        count[entry["group"]] = mean["n"]
        if mean["estimate"] is None:
            continue
        shift = (-0.16 if gate else 0.16) if len(quantities) > 1 else 0.0
        y, color = groups.index(entry["group"]) + shift, GATE_COLOR if gate else SHARE_COLOR
        if mean["ci_low"] is not None:
            axes.plot([mean["ci_low"], mean["ci_high"]], [y, y], color=color, linewidth=1.5)
        words = QUANTITY_WORDS[entry["quantity"]] if groups.index(entry["group"]) == 0 else None
        face = color if gate else "white"
        axes.plot(
            mean["estimate"], y, marker="o" if gate else "D", markersize=5.5, markerfacecolor=face, color=color,
            linestyle="none", label=words, zorder=3,
        )  # fmt: skip
    for y, group in enumerate(groups):
        axes.text(
            1.02, y, f"n = {count[group]}", transform=axes.get_yaxis_transform(), va="center", fontsize=8
        )
    axes.set_yticks(np.arange(len(groups)), groups)
    axes.set_ylim(len(groups) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=style.RULE, linewidth=0.6)


def _group_words(entries: Sequence[Mapping[str, Any]]) -> str:
    return " ".join(
        f"{BY_WORDS[e['by']]}, {e['group']}, {text.modality_name(e['modality'])} {QUANTITY_WORDS[e['quantity']]}: "
        f"{text.estimate(e['mean'], digits=2)}, n = {e['mean']['n']}."
        for e in entries
        if e["quantity"] in QUANTITY_WORDS
    )


def _caption(summary: Mapping[str, Any]) -> str:
    kind = "Digital phantom: says nothing about patients." if summary["data_kind"] == "phantom" else ""
    return (
        f"Run {summary['run']}, {text.model_words(summary['model'])}, {summary['n_lesions']} test lesions of "
        f"{summary['n_patients']} patients, each by the network of its fold, {summary['data_kind']} data. {kind}"
    ).strip()


def _wrapped(words: str, width_in: float) -> list[str]:
    return textwrap.wrap(words, int(CAPTION_CHARACTERS * width_in / 4.0))


def _caption_in(lines: Sequence[str]) -> float:
    return 0.12 + 0.16 * len(lines)


def _write_caption(part: Any, lines: Sequence[str]) -> None:
    part.text(0.01, 0.95, "\n".join(lines), fontsize=8, color=style.MUTED, va="top")
