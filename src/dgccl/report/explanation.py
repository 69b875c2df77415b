"""The picture of one explained lesion: maps over its planes, gate weights, shares. Draws what others computed."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure, SubFigure

from dgccl.report import style, text
from dgccl.report.case_outlook import outlook_in_words
from dgccl.report.figure_files import write_figure

AGAINST, TOWARD = "#0072B2", "#D55E00"
MAP_COLORS = LinearSegmentedColormap.from_list("saliency", [AGAINST, "#FFFFFF", TOWARD])
"""Symmetric about white, blue against the class and vermilion toward it: told apart with every color deficiency."""
MAP_QUANTILE = 0.995
PLANE_NAMES = ("axial", "coronal", "sagittal")
OUTLINE_COLOR = "#00B38F"
QUANTITY_UNITS = {"hu": "HU", "suv_bw": "g/mL SUVbw", "sul": "g/mL SUL", "suv_bsa": "cm\u00b2/mL SUVbsa"}
METHOD_WORDS = {"integrated_gradients": "integrated gradients", "occlusion": "occlusion"}
WIDTH_IN, PLANES_IN, COLUMN_IN, BARS_IN = 9.0, 1.75, 0.26, 0.3
CAPTION_CHARACTERS = 150


def write_case_figure(
    folder: Path,
    facts: Mapping[str, Any],
    *,
    images: Mapping[str, Shaped[np.ndarray, "..."]],
    outlines: Mapping[str, Shaped[np.ndarray, "..."]],
    maps: Mapping[str, Shaped[np.ndarray, "..."]],
) -> None:
    """Write `explanation.svg` and `explanation.png` of one lesion.

    Args:
        folder: where to.
        facts: content of its `explanation.json`.
        images: per image modality what the network was shown, 0 to 1, planes (C, H, W) or a cube (1, D, H, W).
        outlines: per image modality where the lesion is, in the same shape; may lack some.
        maps: per modality log odds by pixel, voxel or column.
    """
    caption = textwrap.wrap(case_caption(facts), CAPTION_CHARACTERS)
    tables = [name for name in maps if name not in images]
    columns = [len(facts["modalities"][name]["saliency"]["column_log_odds"]) for name in tables]
    bars_in = 0.75 + BARS_IN * (len(facts["modalities"]) + 2)
    parts_in = [
        0.32,
        *[PLANES_IN] * len(images),
        *[0.6 + COLUMN_IN * count for count in columns],
        bars_in,
        0.12 + 0.16 * len(caption),
    ]

    def draw(figure: Figure) -> None:
        parts = figure.subfigures(len(parts_in), 1, height_ratios=parts_in, squeeze=False)[:, 0]
        parts[0].text(0.01, 0.4, _headline(facts), fontsize=11, fontweight="bold", va="center")
        for part, name in zip(parts[1:], images, strict=False):
            _draw_planes(part, name, facts, images[name], outlines.get(name), maps[name])
        for part, name in zip(parts[1 + len(images) :], tables, strict=False):
            _draw_columns(part, name, facts)
        _draw_bars(parts[-2], facts)
        parts[-1].text(0.01, 0.95, "\n".join(caption), fontsize=8, color=style.MUTED, va="top")

    label = f"{_headline(facts)}. {shares_in_words(facts)} {case_caption(facts)}"
    write_figure(folder, "explanation", draw, width_in=WIDTH_IN, height_in=sum(parts_in), label=label)


def shares_in_words(facts: Mapping[str, Any]) -> str:
    """Gate weights and shares as a sentence."""
    parts = [f"Prior {text.number(facts['prior']['log_odds'], signed=True)} log odds"]
    for name, found in facts["modalities"].items():
        words = text.modality_name(name)
        if not found["present"]:
            parts.append(f"{words} not there")
            continue
        gate = "" if found["gate_weight"] is None else f", gate weight {text.number(found['gate_weight'])}"
        parts.append(f"{words} {text.number(found['shapley_log_odds'], signed=True)}{gate}")
    return f"{'; '.join(parts)}; together {text.number(facts['log_odds'], signed=True)}."


def case_caption(facts: Mapping[str, Any]) -> str:
    """What the picture shows, of which run, model and fold, of which kind of data, and what to hold against it."""
    made, shown = facts["saliency"], [m for m in facts["modalities"].items() if m[1]["present"]]
    alike = [
        f"{text.modality_name(name)} {text.number(found['saliency']['rank_correlation_with_random_network'], digits=2)}"
        for name, found in shown
    ]
    kind = (
        "Digital phantom: says nothing about patients."
        if facts["data_kind"] == "phantom"
        else "Real patient data."
    )
    method = f"Maps: {METHOD_WORDS[made['method']]} from the {made['image_baseline']}"
    if made["patch_mm"] is not None:
        method += f", patch {made['patch_mm']:g} mm"
    if made["completeness_residual"] is not None:
        residual = text.number(made["completeness_residual"], digits=4, signed=True)
        method += f", {made['steps']} steps, completeness residual {residual} log odds"
    poses = facts["prediction_poses"]
    also = "" if poses == 1 else f" (the probability is the mean of {poses} poses)"
    return (
        f"Run {facts['run']}, {text.model_words(facts['model'])}, fold {facts['fold']}, whose network never learned "
        f"from this lesion. {kind} Log odds are those of {facts['explained_class_name']} against the rest; Shapley "
        f"shares are exact and sum from the class prior to the answer. The lesion is explained as it lies{also}. "
        f"{method}; colors end at the {MAP_QUANTILE:.1%} quantile; green: outline. A map compares with its baseline, a "
        "share with the modality being absent, so that the one need not sum to the other. Rank correlation with the "
        f"maps of an untrained network (near 1: the map shows the image, not what was learned): {', '.join(alike)}."
        f"{_outlook(facts)}"
    )


def _outlook(facts: Mapping[str, Any]) -> str:
    """What the missing image would change, where that was asked."""
    if "outlook" not in facts:
        return ""
    return f" {outlook_in_words(facts['outlook'], class_name=facts['outlook_class_name'])}"


def _headline(facts: Mapping[str, Any]) -> str:
    name, probability = facts["explained_class_name"], text.number(facts["probability"])
    return (
        f"{facts['lesion_id']}, {text.model_words(facts['model'])}: p({name}) = {probability}; "
        f"truth: {facts['true_class']} ({facts['data_kind']} data)"
    )


def planes_of(values: Shaped[np.ndarray, "..."]) -> list[Shaped[np.ndarray, "height width"]]:
    """The planes of an input: channels as they are; of a cube (1, D, H, W) the three through its middle."""
    if values.ndim == 3:
        return list(values)
    cube = values[0]
    depth, height, width = (size // 2 for size in cube.shape)
    return [cube[depth], cube[:, height], cube[:, :, width]]


def _draw_planes(
    part: SubFigure,
    name: str,
    facts: Mapping[str, Any],
    image: Shaped[np.ndarray, "..."],
    outline: Shaped[np.ndarray, "..."] | None,
    values: Shaped[np.ndarray, "..."],
) -> None:
    """Each plane as it is and with its map, and the map's scale."""
    shown = facts["modalities"][name]["input"]
    planes, marks = planes_of(image), planes_of(values)
    borders = [None] * len(planes) if outline is None else planes_of(outline)
    limit = float(np.quantile(np.abs(values), MAP_QUANTILE)) or float(np.abs(values).max()) or 1.0
    # Fewer planes leave room at the right, so that all pictures are of one size.
    widths = [1.0] * (2 * len(planes)) + [0.09, 6.001 - 2 * len(planes)]
    *grid, scale_axes, _ = part.subplots(1, len(widths), gridspec_kw={"width_ratios": widths}, squeeze=False)[
        0
    ]
    for axes in part.axes:
        axes.set_axis_off()
    half = shown["field_mm"] / 2
    for index, (plane, mark, border) in enumerate(zip(planes, marks, borders, strict=True)):
        for axes, mapped in zip(grid[2 * index : 2 * index + 2], (False, True), strict=True):
            _draw_plane(axes, plane, mark if mapped else None, border, half=half, limit=limit)
            axes.set_title(PLANE_NAMES[index] + (", map" if mapped else ""), fontsize=8, fontweight="normal")
    unit = QUANTITY_UNITS.get(shown["quantity"], "")
    window = " to ".join(text.number(end, digits=0) for end in shown["window"])
    title = f"{text.modality_name(name)}   {window} {unit}, field {shown['field_mm']:g} mm"
    part.suptitle(title, x=0.01, ha="left", fontsize=9.5, fontweight="bold")
    scale_axes.set_axis_on()
    scale = ScalarMappable(Normalize(-limit, limit), MAP_COLORS)
    bar = part.colorbar(scale, cax=scale_axes, ticks=[-limit, 0, limit])
    end = text.number(limit, digits=_digits(limit))
    bar.ax.set_yticklabels([f"{text.MINUS}{end}", "0", f"+{end}"])
    bar.ax.tick_params(labelsize=7, length=2)
    bar.set_label(f"log odds of\n{facts['explained_class_name']}", fontsize=7)


def _digits(limit: float) -> int:
    """Decimals that show two figures of a number."""
    return int(np.clip(1 - np.floor(np.log10(limit)), 1, 6))


def _draw_plane(
    axes: Axes,
    plane: Shaped[np.ndarray, "height width"],
    mark: Shaped[np.ndarray, "height width"] | None,
    border: Shaped[np.ndarray, "height width"] | None,
    *,
    half: float,
    limit: float,
) -> None:
    extent = (-half, half, half, -half)
    axes.imshow(plane, cmap="gray", vmin=0.0, vmax=1.0, extent=extent, interpolation="nearest")
    if mark is not None:
        strength = np.clip(np.abs(mark) / limit, 0.0, 1.0)
        axes.imshow(
            mark, cmap=MAP_COLORS, vmin=-limit, vmax=limit, extent=extent, alpha=0.9 * strength,
            interpolation="nearest",
        )  # fmt: skip
    if border is not None and border.any() and not border.all():
        step = 2 * half / border.shape[1]
        centers = -half + step * (np.arange(border.shape[1] + 2) - 0.5)
        axes.contour(
            centers,
            centers,
            np.pad(border, 1).astype(float),
            levels=[0.5],
            colors=OUTLINE_COLOR,
            linewidths=0.7,
        )
    axes.set(xlim=extent[:2], ylim=extent[2:])


def _draw_columns(part: SubFigure, name: str, facts: Mapping[str, Any]) -> None:
    """One bar a column of a table."""
    columns = facts["modalities"][name]["saliency"]["column_log_odds"]
    axes = part.subplots()
    _signed_bars(axes, list(columns), list(columns.values()))
    axes.set_title(text.modality_name(name))
    axes.set_xlabel("Log odds of each column")


def _draw_bars(part: SubFigure, facts: Mapping[str, Any]) -> None:
    """Gate weights, and the way from the prior to the answer by the shares."""
    gate, way = part.subplots(1, 2, gridspec_kw={"width_ratios": [1, 1.6]})
    names = [text.modality_name(name) for name in facts["modalities"]]
    found = list(facts["modalities"].values())
    gate.set_title("Gate weights")
    weights = [item["gate_weight"] for item in found]
    if all(weight is None for weight in weights):
        gate.set_axis_off()
        gate.text(0.0, 0.8, f"{text.model_name(facts['model'])} has no gate.", color=style.MUTED)
    else:
        for y, weight in enumerate(weights):
            if weight is not None:
                gate.barh(y, weight, height=0.6, color=style.MUTED)
            words = "not there" if weight is None else text.number(weight, digits=2)
            _beside(gate, y, words)
        gate.axvline(
            1.0 / sum(item["present"] for item in found),
            color=style.INK,
            linewidth=0.8,
            linestyle=(0, (2, 2)),
        )
        gate.set_yticks(range(len(names)), names)
        gate.set(xlim=(0.0, 1.0), ylim=(len(names) - 0.4, -0.6), xlabel="Weight; dashed: equal")
        gate.set_xticks([0.0, 0.5, 1.0])
        gate.tick_params(axis="y", length=0)
    way.set_title(f"Shapley shares: from the prior to {facts['explained_class_name']}")
    _waterfall(way, names, found, prior=facts["prior"]["log_odds"], whole=facts["log_odds"])


def _waterfall(
    axes: Axes, names: Sequence[str], found: Sequence[Mapping[str, Any]], *, prior: float, whole: float
) -> None:
    """Prior, each share from where the last one ended, and the sum."""
    steps = [("prior", 0.0, prior, style.MUTED)]
    end = prior
    for name, item in zip(names, found, strict=True):
        share = item["shapley_log_odds"] or 0.0
        steps.append((name, end, share, TOWARD if share > 0 else AGAINST))
        end += share
    steps.append(("answer", 0.0, whole, style.INK))
    reach = [value for _, start, size, _ in steps for value in (start, start + size)] + [0.0]
    span = max(max(reach) - min(reach), 0.1)
    absent = {name for name, item in zip(names, found, strict=True) if not item["present"]}
    for y, (name, start, size, color) in enumerate(steps):
        axes.barh(y, size, left=start, height=0.6, color=color)
        words = "not there" if name in absent else text.number(size, signed=True)
        _beside(axes, y, words)
    axes.axvline(0.0, color=style.INK, linewidth=0.8)
    axes.set_yticks(range(len(steps)), [name for name, *_ in steps])
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel="Log odds", ylim=(len(steps) - 0.4, -0.6))
    axes.set_xlim(min(reach) - 0.04 * span, max(reach) + 0.04 * span)


def _signed_bars(axes: Axes, names: Sequence[str], values: Sequence[float]) -> None:
    limit = max(*map(abs, values), 1e-6)
    for y, value in enumerate(values):
        axes.barh(y, value, height=0.6, color=TOWARD if value > 0 else AGAINST)
        _beside(axes, y, text.number(value, signed=True))
    axes.axvline(0.0, color=style.INK, linewidth=0.8)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.set(xlim=(-1.1 * limit, 1.1 * limit), ylim=(len(names) - 0.4, -0.6))


def _beside(axes: Axes, y: int, words: str) -> None:
    """A bar's number at the right edge of the axes, where no bar or line can run through it."""
    axes.text(1.02, y, words, transform=axes.get_yaxis_transform(), va="center", fontsize=8)
