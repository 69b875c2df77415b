"""The grid that is painted on: its axes, index boxes of parts of it, and how a layer blends into it."""

import numpy as np
from jaxtyping import Float, Int64

from dgccl.errors import GeometryError
from dgccl.types import PointMm
from dgccl.volume import Grid

Axes = tuple[Float[np.ndarray, "_"], Float[np.ndarray, "_"], Float[np.ndarray, "_"]]
"""Voxel centers along z, y, x relative to the lesion's center, mm."""

Box = tuple[slice, slice, slice]
"""Index box along z, y, x; every slice states its start and stop."""

FWHM_PER_SD = float(np.sqrt(8 * np.log(2)))
EDGE_SD = float(np.sqrt(20.0))
"""Width of a smoothstep whose derivative has a standard deviation of 1."""
REACH_SD = 2.3
"""Standard deviations of the point spread beyond which an edge is taken to have ended."""


def grid_axes(grid: Grid, center_mm: PointMm) -> Axes:
    """Voxel centers along z, y, x relative to a point, mm.

    Args:
        grid: axes along z, y, x of the patient.
        center_mm: the point, LPS mm.

    Raises:
        GeometryError: the grid is oblique.
    """
    permuted = grid.affine[:3, :3][::-1]
    if np.abs(permuted - np.diag(np.diag(permuted))).max() > 1e-6:
        raise GeometryError(
            "oblique_phantom_grid",
            "The phantom is drawn on grids whose axes run along z, y and x of the patient; this one is oblique.",
            remedy="Draw on an aligned grid and resample.",
        )
    origin = (grid.affine[:3, 3] - center_mm)[::-1]
    z, y, x = (o + s * np.arange(n) for o, s, n in zip(origin, np.diag(permuted), grid.shape, strict=True))
    return z, y, x


def whole(shape: tuple[int, ...]) -> Box:
    """The index box of a whole grid of a shape (z, y, x)."""
    z, y, x = (slice(0, n) for n in shape)
    return z, y, x


def within(axes: Axes, box: Box) -> Axes:
    """The axes of a box of voxels."""
    return axes[0][box[0]], axes[1][box[1]], axes[2][box[2]]


def common_box(a: Box, b: Box) -> Box:
    """What two index boxes share; of no extent along an axis on which they are apart."""
    z, y, x = (
        slice(low := max(p.start, q.start), max(low, min(p.stop, q.stop))) for p, q in zip(a, b, strict=True)
    )
    return z, y, x


def shifted(box: Box, part: Box) -> Box:
    """An index box on the grid as one on a part of it."""
    z, y, x = (
        slice(shared.start - own.start, shared.stop - own.start)
        for shared, own in zip(common_box(box, part), part, strict=True)
    )
    return z, y, x


def boxes_between(
    axes: Axes,
    a_mm: Float[np.ndarray, "n 3"],
    b_mm: Float[np.ndarray, "n 3"],
    reach_mm: Float[np.ndarray, "n"] | float,
) -> Int64[np.ndarray, "n 3 2"]:
    """Index boxes (start, stop along z, y, x) of the voxels within reach of boxes spanned by pairs of points.

    Args:
        axes: of the grid; stops may lie beyond its end.
        a_mm: one corner of each, (x, y, z), mm.
        b_mm: the other corner.
        reach_mm: how far around.
    """
    boxes = np.empty((len(a_mm), 3, 2), np.int64)
    for k, axis in enumerate(axes):
        p, q = a_mm[:, 2 - k], b_mm[:, 2 - k]
        first = float(axis[0])
        step = float(axis[1]) - first
        low = (np.minimum(p, q) - reach_mm - first) / step
        high = (np.maximum(p, q) + reach_mm - first) / step
        if step < 0:
            low, high = high, low
        boxes[:, k, 0] = np.maximum(np.ceil(low), 0.0)
        boxes[:, k, 1] = np.maximum(np.floor(high) + 1.0, 0.0)
    return boxes


def blend(part: np.ndarray, coverage: np.ndarray, value: float, opacity: float) -> None:
    """part + opacity * coverage * (value - part), in place."""
    if opacity != 1.0:
        coverage = coverage * np.float32(opacity)
    change = np.float32(value) - part
    change *= coverage
    part += change


def edge(depth: np.ndarray, sigma_mm: float) -> np.ndarray:
    """A blurred step: the share of the point spread that lies inside a flat face at `depth`.

    A smoothstep of equal variance stands for the Gaussian's integral; they differ by at most 0.012.
    """
    t = depth / np.float32(EDGE_SD * sigma_mm)
    t += np.float32(0.5)
    np.maximum(t, np.float32(0.0), out=t)
    np.minimum(t, np.float32(1.0), out=t)
    return t * t * (np.float32(3.0) - 2 * t)


def broadcast(axes: Axes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coordinates shaped to broadcast over (z, y, x)."""
    z, y, x = (axis.astype(np.float32, copy=False) for axis in axes)
    return z[:, None, None], y[None, :, None], x[None, None, :]
