"""The lesion gallery: which lesions are shown, and their CT, PET and fused pictures."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Shaped
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dgccl.cohort import Cohort, LesionArrays
from dgccl.config import score_columns
from dgccl.report import text
from dgccl.report.style import ClassStyle, render_png
from dgccl.types import Mask

LUNG_WINDOW_HU = (-1350.0, 150.0)
SOFT_TISSUE_WINDOW_HU = (-160.0, 240.0)
AIR_FILLED_HU = -300.0
"""A box whose median lies below is lung for the choice of the window; soft tissue and fat lie far above."""

SMALLEST_SUV_SCALE = 5.0
"""Upper end of the PET scale, g/mL, at least: a cold lesion must not look hot."""

OUTLINE_COLOR = "#56B4E9"
PICTURE_PX = 240


@dataclass(frozen=True)
class Picture:
    """One picture as a data URI, or, without one, the statement `alt` that there is none.

    Attributes:
        scale: the window in words.
        bar: CSS class of the color bar that runs from 0 to `bar_top`; empty where there is none.
    """

    uri: str
    title: str
    alt: str
    scale: str = ""
    bar: str = ""
    bar_top: str = ""


@dataclass(frozen=True)
class Case:
    """One lesion of the gallery with its pictures and facts; `css` is the style of its true class."""

    lesion_id: str
    css: str
    facts: tuple[tuple[str, str], ...]
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Group:
    """A kind of case: its title, and its lesions or the statement that there is none."""

    title: str
    cases: tuple[Case, ...]
    empty: str


def build_gallery(
    cohort: Cohort,
    rows: pd.DataFrame,
    thresholds: Sequence[float | None],
    *,
    modalities: Sequence[str],
    classes: Sequence[ClassStyle],
    windows: Mapping[str, tuple[float, float]] | None = None,
    per_group: int = 3,
) -> list[Group]:
    """The surest correct lesions and the worst mistakes of every class.

    Args:
        cohort: gives arrays and measures.
        rows: test predictions of one model, every modality present.
        thresholds: of two classes the threshold of each fold, chosen on validation; lesions of a fold without one are
            no call. Of more, nothing: a lesion is called the class of its highest probability.
        modalities: names of the modalities, for the gate weights.
        classes: in the order of the labels.
        windows: values shown black and white of each image beside CT and PET, in the unit of `dgccl.intensity`.
        per_group: lesions in each group.
    """
    binary = len(classes) == 2
    rows = _called(rows, thresholds, columns=score_columns(len(classes)))
    groups = []
    for right in (True, False):
        for label in (1, 0) if binary else range(len(classes)):
            kind = classes[label]
            otherwise = classes[1 - label].name if binary else "otherwise"
            title = (
                f"Surest correct: {kind.name}"
                if right
                else f"Worst mistakes: {kind.name}, called {otherwise}"
            )
            chosen = rows.loc[(rows["y_true"] == label) & ((rows["called"] == label) == right)]
            chosen = chosen.sort_values(["own", "lesion_id"], ascending=[not right, True]).head(per_group)
            cases = tuple(
                _case(cohort, row, modalities, classes, windows or {}) for row in chosen.to_dict("records")
            )
            empty = "" if cases else "There is no lesion of this kind in the test predictions."
            groups.append(Group(title, cases, empty))
    return groups


def _called(
    rows: pd.DataFrame, thresholds: Sequence[float | None], *, columns: Sequence[str]
) -> pd.DataFrame:
    """Rows with the class that each lesion is called, and `own`, which ranks lesions by the score of their truth."""
    truth = rows["y_true"].to_numpy(int)
    if len(columns) > 1:
        scores = rows[list(columns)].to_numpy(float)
        return rows.assign(called=scores.argmax(axis=1), own=scores[np.arange(len(rows)), truth])
    score = rows[columns[0]].to_numpy(float)
    threshold = np.asarray(thresholds, dtype=float)[rows["fold"].to_numpy(int)]
    found = rows.assign(called=(score >= threshold).astype(int), own=np.where(truth == 1, score, -score))
    return found.loc[np.isfinite(threshold)]


def _case(
    cohort: Cohort,
    row: Mapping[Hashable, Any],
    modalities: Sequence[str],
    classes: Sequence[ClassStyle],
    windows: Mapping[str, tuple[float, float]],
) -> Case:
    lesion = cohort.lesions.set_index("lesion_id").loc[row["lesion_id"]]
    gates = [
        f"{text.modality_name(name)} {text.number(row[f'gate_{name}'], digits=2)}"
        for name in modalities
        if not text.is_missing(row.get(f"gate_{name}"))
    ]
    truth = classes[row["y_true"]]
    score = text.number(row["y_score"] if len(classes) == 2 else row["own"])
    called = () if len(classes) == 2 else (("Called", classes[row["called"]].name),)
    facts = (
        ("Score" if len(classes) == 2 else "Score of truth", score),
        ("Truth", truth.name),
        *called,
        ("Gate", ", ".join(gates) or "no gate"),
        ("Diameter", _with_unit(lesion["diameter_mm"], "mm")),
        ("SUVmax", _with_unit(lesion["suv_max"], "g/mL")),
        ("Fold", str(row["fold"])),
    )
    pictures: tuple[Picture, ...] = ()
    if not cohort.is_table:
        arrays, place = (
            cohort.arrays(row["lesion_id"]),
            {"box_mm": float(lesion["box_mm"]), "name": row["lesion_id"]},
        )
        pictures = (*draw_pictures(arrays, **place), *draw_others(arrays, windows, **place))
    return Case(row["lesion_id"], truth.css, facts, pictures)


def _with_unit(value: float, unit: str) -> str:
    return "not recorded" if text.is_missing(value) else f"{text.number(value, digits=1)} {unit}"


def central_index(mask: Mask | None, size: int) -> int:
    """Axial slice with the largest part of the mask, nearest the middle if several; without a mask the middle."""
    if mask is None or not mask.any():
        return size // 2
    area = mask.sum(axis=(1, 2))
    best = np.flatnonzero(area == area.max())
    return int(best[np.abs(best - (size - 1) / 2).argmin()])


def draw_pictures(arrays: LesionArrays, *, box_mm: float, name: str) -> tuple[Picture, Picture, Picture]:
    """Axial CT, PET and fused picture of one lesion at one height.

    Args:
        arrays: CT and PET on grids that cover one box.
        box_mm: edge of the box, mm.
        name: the lesion, for the text alternative.
    """
    ct, pet = arrays.ct_hu, arrays.suv_bw
    height, half = _height(arrays), box_mm / 2
    extent = (-half, half, half, -half)
    window = LUNG_WINDOW_HU
    if ct is not None and float(np.median(ct)) > AIR_FILLED_HU:
        window = SOFT_TISSUE_WINDOW_HU
    ct_plane = _plane(ct, height)
    pet_plane = _plane(pet, height)
    top = SMALLEST_SUV_SCALE
    if pet_plane is not None:
        top = max(top, float(np.ceil(pet_plane.max())))
    outline = _plane(arrays.mask_ct, height) if ct is not None else _plane(arrays.mask_pet, height)

    def draw(figure: Figure, *, with_ct: bool, with_pet: bool) -> None:
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_axis_off()
        if with_ct and ct_plane is not None:
            axes.imshow(
                ct_plane, cmap="gray", vmin=window[0], vmax=window[1], extent=extent, interpolation="bilinear"
            )
        if with_pet and pet_plane is not None:
            alpha = np.clip(1.6 * pet_plane / top - 0.1, 0.0, 0.8) if with_ct else None
            axes.imshow(
                pet_plane, cmap="inferno" if with_ct else "gray_r", vmin=0.0, vmax=top, extent=extent, alpha=alpha,
                interpolation="bilinear",
            )  # fmt: skip
        if outline is not None and not (with_ct and with_pet):
            _outline(axes, outline, half)
        axes.set(xlim=extent[:2], ylim=extent[2:])

    hu = f"{text.number(window[0], digits=0)} to {text.number(window[1], digits=0)} HU"
    suv = f"SUVbw 0 to {top:.0f} g/mL"
    absent = [words for plane, words in ((ct_plane, "CT"), (pet_plane, "PET")) if plane is None]

    def picture(title: str, shows: tuple[str, ...], scale: str, bar: str) -> Picture:
        lacking = [words for words in shows if words in absent]
        if lacking:
            return Picture("", title, f"{text.listing(lacking)} not available")
        uri = render_png(
            lambda f: draw(f, with_ct="CT" in shows, with_pet="PET" in shows), size_px=PICTURE_PX
        )
        words = f"Axial {title} of lesion {name}, {scale}"
        return Picture(uri, title, words, scale, bar, f"{top:.0f}" if bar else "")

    return (
        picture("CT", ("CT",), hu, ""),
        picture("PET", ("PET",), suv, "gray"),
        picture("Fused", ("CT", "PET"), suv, "heat"),
    )


def draw_others(
    arrays: LesionArrays, windows: Mapping[str, tuple[float, float]], *, box_mm: float, name: str
) -> list[Picture]:
    """Axial picture of each image beside CT and PET at the height of theirs, with the outline.

    Args:
        arrays: images on grids that cover one box.
        windows: values shown black and white, by the image's name; only these images are drawn.
        box_mm: edge of the box, mm.
        name: the lesion, for the text alternative.
    """
    height, half = _height(arrays), box_mm / 2
    outline = _plane(arrays.mask_ct if arrays.mask_ct is not None else arrays.mask_pet, height)
    extent = (-half, half, half, -half)
    pictures = []
    for image, (low, high) in windows.items():
        title, plane = text.modality_name(image), _plane(arrays.others.get(image), height)
        if plane is None:
            pictures.append(Picture("", title, f"{title} not available"))
            continue

        def draw(figure: Figure, *, plane: np.ndarray = plane, low: float = low, high: float = high) -> None:
            axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
            axes.set_axis_off()
            axes.imshow(plane, cmap="gray", vmin=low, vmax=high, extent=extent, interpolation="bilinear")
            if outline is not None:
                _outline(axes, outline, half)
            axes.set(xlim=extent[:2], ylim=extent[2:])

        scale = f"{text.number(low, digits=1)} to {text.number(high, digits=1)}"
        words = f"Axial {title} of lesion {name}, robust z-score {scale}"
        pictures.append(Picture(render_png(draw, size_px=PICTURE_PX), title, words, scale))
    return pictures


def _height(arrays: LesionArrays) -> float:
    """Where the outline is largest, as a share of the box, so that it names a slice of every grid."""
    first, mask = arrays.ct_hu, arrays.mask_ct
    if first is None:
        first, mask = arrays.suv_bw, arrays.mask_pet
    size = 1 if first is None else len(first)
    return (central_index(mask, size) + 0.5) / size


def _plane(array: Shaped[np.ndarray, "z y x"] | None, height: float) -> Shaped[np.ndarray, "y x"] | None:
    """The axial plane at a height given as a share of the box."""
    return None if array is None else array[min(int(height * len(array)), len(array) - 1)]


def _outline(axes: Axes, mask: Shaped[np.ndarray, "y x"], half_mm: float) -> None:
    """The contour of a mask in mm, also where it leaves the box."""
    if not mask.any():
        return
    step = 2 * half_mm / mask.shape[1]
    centers = -half_mm + step * (np.arange(mask.shape[1] + 2) - 0.5)
    axes.contour(
        centers, centers, np.pad(mask, 1).astype(float), levels=[0.5], colors=OUTLINE_COLOR, linewidths=0.5
    )
