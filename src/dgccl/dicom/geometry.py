"""From the positions of slices to a volume's affine, with the tolerances by which a stack is accepted."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from dgccl.errors import GeometryError
from dgccl.types import Affine, PointMm, PointsMm

ORIENTATION_TOLERANCE = 1e-3
"""Largest difference of direction cosines, and of their dot product from 0 (0.06 degrees; highdicom: 1e-3)."""
PIXEL_SPACING_TOLERANCE = 1e-3
"""Largest relative difference of pixel spacing within a series."""
POSITION_TOLERANCE = 0.05
"""Largest distance of a slice from its place on the even grid, as a fraction of the slice spacing.

highdicom accepts 0.01; scanners that write positions with one decimal need 0.05 mm at 1 mm spacing.
"""
SAME_PLANE_MM = 0.01
"""Slices closer than this lie on one plane."""
TILT_NOTICED_DEG = 0.1
TILT_MAX_DEG = 30.0
"""CT gantries tilt by up to 30 degrees; a stack sheared further than that is taken for a mistake."""


class Stack(NamedTuple):
    """How slices stack up: their order, the affine (see `dgccl.volume.Grid`), and the tilt in degrees."""

    order: Int64[np.ndarray, "slices"]
    affine: Affine
    tilt_deg: float


def slice_normal(orientation: Float64[np.ndarray, "6"]) -> PointMm:
    """Unit normal of the planes of an Image Orientation (Patient).

    Raises:
        GeometryError: the direction cosines are not of unit length or not perpendicular.

    Source:
        DICOM PS3.3 section C.7.6.2.1.1.
    """
    row, column = orientation[:3], orientation[3:]
    defects = (abs(row @ row - 1), abs(column @ column - 1), abs(row @ column))
    if max(defects) > 2 * ORIENTATION_TOLERANCE:
        raise GeometryError(
            "invalid_orientation",
            "The direction cosines of the image's rows and columns are not perpendicular unit vectors.",
            remedy="Export the series again from the scanner or the PACS.",
        )
    normal = np.cross(row, column)
    return normal / np.linalg.norm(normal)


def same_plane_pairs(positions_mm: PointsMm, normal: PointMm) -> list[tuple[int, int]]:
    """Pairs of slices that lie on one plane, as indices into the positions."""
    distance = positions_mm @ normal
    order = np.argsort(distance, kind="stable")
    close = np.flatnonzero(np.diff(distance[order]) < SAME_PLANE_MM)
    return [(int(order[k]), int(order[k + 1])) for k in close]


def stack_slices(
    positions_mm: PointsMm,
    orientation: Float64[np.ndarray, "6"],
    *,
    pixel_spacing_mm: tuple[float, float],
) -> Stack:
    """Order slices along their normal and find the affine of the volume they form.

    Slices must lie at even steps on a straight line. The line need not be the normal of the slices: with a
    tilted gantry it is not, and the affine then has a shear.

    Args:
        positions_mm: Image Position (Patient) of each slice, in any order, shape (n, 3).
        orientation: Image Orientation (Patient) of all of them.
        pixel_spacing_mm: distance between rows, distance between columns.

    Raises:
        GeometryError: codes `single_slice`, `duplicate_positions`, `missing_slices`, `uneven_spacing`,
            `positions_not_on_line`, `sheared_positions`, `invalid_orientation`.

    Source:
        DICOM PS3.3 section C.7.6.2.1.1.
    """
    normal = slice_normal(orientation)
    count = len(positions_mm)
    if count < 2:
        raise GeometryError(
            "single_slice",
            "The series holds a single slice; a volume needs at least two.",
            remedy="Export the whole series.",
        )
    order = np.argsort(positions_mm @ normal, kind="stable")
    ordered = positions_mm[order]
    _check_steps(np.diff(ordered @ normal))
    index = np.arange(count) - (count - 1) / 2
    step = index @ ordered / (index @ index)
    origin = ordered.mean(axis=0) + index[0] * step
    spacing = float(np.linalg.norm(step))
    residual = ordered - (origin + np.arange(count)[:, None] * step)
    along = residual @ normal
    _check_residual(np.abs(along).max() / spacing, "uneven_spacing", "evenly spaced")
    across = np.linalg.norm(residual - along[:, None] * normal, axis=1)
    _check_residual(across.max() / spacing, "positions_not_on_line", "on a straight line")
    tilt = math.degrees(math.acos(min(1.0, abs(float(step @ normal)) / spacing)))
    if tilt > TILT_MAX_DEG:
        raise GeometryError(
            "sheared_positions",
            f"The slices step sideways, {tilt:.0f} degrees off their normal; at most {TILT_MAX_DEG:g} is expected.",
            remedy="Check Image Position and Image Orientation, or export an axial reconstruction.",
        )
    affine = np.eye(4)
    affine[:3, 0] = step
    affine[:3, 1] = orientation[3:] * pixel_spacing_mm[0]
    affine[:3, 2] = orientation[:3] * pixel_spacing_mm[1]
    affine[:3, 3] = origin
    return Stack(order.astype(np.int64), affine, tilt)


def _check_steps(steps_mm: Float64[np.ndarray, "steps"]) -> None:
    """Refuse two slices on one plane, and gaps of a whole number of slices."""
    if steps_mm.min() < SAME_PLANE_MM:
        raise GeometryError(
            "duplicate_positions",
            f"{int((steps_mm < SAME_PLANE_MM).sum())} slices lie on the plane of another slice.",
            remedy="Export one acquisition and one reconstruction a series.",
        )
    # The smaller half of the steps: with many gaps the median itself could be a gap.
    usual = float(np.median(np.sort(steps_mm)[: max(1, (len(steps_mm) + 1) // 2)]))
    multiples = steps_mm / usual
    missing = np.round(multiples[multiples > 1.5]) - 1
    whole = np.abs(multiples - np.round(multiples)) <= 2 * POSITION_TOLERANCE * np.maximum(1, multiples)
    if missing.size and whole.all():
        raise GeometryError(
            "missing_slices",
            f"{int(missing.sum())} slices are missing in {missing.size} gaps of a stack spaced {usual:.2f} mm.",
            remedy="Export the whole series again.",
        )


def _check_residual(fraction: float, code: str, expected: str) -> None:
    if fraction > POSITION_TOLERANCE:
        raise GeometryError(
            code,
            f"A slice lies {fraction:.0%} of the slice spacing off its place; slices must be {expected} "
            f"to within {POSITION_TOLERANCE:.0%}.",
            remedy="Export one reconstruction a series, with a constant slice increment.",
        )
