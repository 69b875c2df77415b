"""Geometry of lesion outlines: from contours and spheres to masks, from masks to sizes."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist

from dgccl.errors import RoiError
from dgccl.types import PointMm, PointsMm
from dgccl.volume import Grid, Volume


@dataclass(frozen=True, eq=False)
class Roi:
    """One outlined region.

    Attributes:
        name: as the outline's author called it.
        mask: boolean volume, cropped to the region's bounding box.
        drawn_on: modality of the image on which it was drawn, None if that is not known or another image.
    """

    name: str
    mask: Volume
    drawn_on: Literal["ct", "pet"] | None

    @property
    def volume_ml(self) -> float:
        """Volume of the region, ml."""
        return float(self.mask.array.sum()) * self.mask.grid.voxel_ml

    @property
    def centroid_mm(self) -> PointMm:
        """Center of mass of the region, LPS mm, shape (3,)."""
        inside = np.argwhere(self.mask.array).mean(axis=0, keepdims=True)
        return self.mask.grid.to_patient(inside)[0]


def rasterize_contours(contours_mm: Sequence[PointsMm], grid: Grid, *, name: str) -> Volume:
    """Mask of the voxels whose center lies within closed planar contours, by the even-odd rule.

    A contour belongs to the slice of the grid that it lies nearest to. Contours on one slice combine by
    exclusive or, so that a contour inside another cuts a hole.

    Args:
        contours_mm: closed polygons, each (n, 3) points in LPS mm, planar and parallel to the grid's slices.
        grid: grid on which the contours were drawn.
        name: name of the region, for messages.

    Returns:
        Boolean volume, cropped to the bounding box of the region.

    Raises:
        RoiError: no contour, a contour that is not parallel to the slices, a region outside the grid, or one
            that holds no voxel center.
    """
    indices = [grid.to_index(contour) for contour in contours_mm if len(contour) >= 3]
    if not indices:
        raise RoiError(
            "empty_outline", f"Region {name!r} has no closed contour.", remedy="Redraw the outline."
        )
    for contour in indices:
        if np.ptp(contour[:, 0]) > 0.5:
            raise RoiError(
                "contour_not_in_slice",
                f"A contour of region {name!r} spans {np.ptp(contour[:, 0]):.1f} slices; it must lie in one.",
                remedy="Export the outline as axial contours of the image it was drawn on, or as SEG.",
            )
    slices = np.array([round(float(contour[:, 0].mean())) for contour in indices])
    size = np.array(grid.shape)
    stacked = np.concatenate(indices)
    outside = ((stacked < -0.5) | (stacked > size - 0.5)).any(axis=1)
    if outside.all():
        raise RoiError(
            "outline_outside_image",
            f"Region {name!r} lies wholly outside its image.",
            remedy="Check that outline and image belong to the same study and frame of reference.",
        )
    if outside.any():
        raise RoiError(
            "outline_crosses_border",
            f"{outside.mean():.0%} of the outline of region {name!r} lies outside its image.",
            remedy="Check that outline and image belong together, or export an image that holds the whole lesion.",
        )
    low = np.maximum(np.floor(stacked.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(stacked.max(axis=0)).astype(int) + 1, size)
    low[0], high[0] = slices.min(), slices.max() + 1
    shape = tuple(int(n) for n in high - low)
    mask = np.zeros(shape, dtype=bool)
    for k, contour in zip(slices, indices, strict=True):
        mask[k - low[0]] ^= _fill_polygon(contour[:, 1:] - low[1:], (shape[1], shape[2]))
    return tighten(mask, grid, start=(int(low[0]), int(low[1]), int(low[2])), name=name)


def _fill_polygon(vertices: Float64[np.ndarray, "n 2"], shape: tuple[int, int]) -> Bool[np.ndarray, "y x"]:
    """Pixels whose center lies within a closed polygon of (row, column) vertices, by the even-odd rule."""
    row, column = vertices[:, 0], vertices[:, 1]
    next_row, next_column = np.roll(row, -1), np.roll(column, -1)
    scan = np.arange(shape[0], dtype=float)[:, None]
    # Half-open in rows, so that a vertex on a scan line counts once.
    crosses = (row <= scan) != (next_row <= scan)
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = column + (scan - row) / (next_row - row) * (next_column - column)
    first = np.ceil(np.where(crosses, crossing, 0.0)).clip(0, shape[1]).astype(int)
    toggles = np.zeros((shape[0], shape[1] + 1), dtype=np.int64)
    rows = np.broadcast_to(np.arange(shape[0])[:, None], crosses.shape)
    np.add.at(toggles, (rows[crosses], first[crosses]), 1)
    return (np.cumsum(toggles[:, :-1], axis=1) % 2).astype(bool)


def sphere_mask(center_mm: PointMm, diameter_mm: float, grid: Grid) -> Volume:
    """Mask of the voxels whose center lies within a sphere, cropped to its bounding box.

    A sphere too small to hold any voxel center marks the voxel that holds its own center.

    Raises:
        RoiError: diameter not positive, or center outside the grid.
    """
    if not diameter_mm > 0:
        raise RoiError("bad_diameter", f"A lesion diameter must be positive, found {diameter_mm:g} mm.")
    center = grid.to_index(np.asarray(center_mm, float)[None])[0]
    size = np.array(grid.shape)
    if ((center < -0.5) | (center > size - 0.5)).any():
        raise RoiError(
            "outline_outside_image",
            "The lesion's center lies outside the image.",
            remedy="Give positions as LPS millimeters (DICOM patient coordinates), not as voxel indices or RAS.",
        )
    reach = diameter_mm / 2 / np.array(grid.spacing_mm) + 1
    low = np.maximum(np.floor(center - reach).astype(int), 0)
    high = np.minimum(np.ceil(center + reach).astype(int) + 1, size)
    index = (
        np.stack(np.meshgrid(*map(np.arange, low, high), indexing="ij"), axis=-1).reshape(-1, 3).astype(float)
    )
    distance = np.linalg.norm(grid.to_patient(index) - center_mm, axis=1)
    mask = (distance <= diameter_mm / 2).reshape(tuple(high - low))
    if not mask.any():
        mask[tuple(np.clip(np.round(center).astype(int) - low, 0, np.array(mask.shape) - 1))] = True
    return tighten(mask, grid, start=(int(low[0]), int(low[1]), int(low[2])), name="sphere")


def tighten(
    mask: Bool[np.ndarray, "z y x"], grid: Grid, *, start: tuple[int, int, int] = (0, 0, 0), name: str
) -> Volume:
    """A mask as a volume cropped to its bounding box.

    Args:
        mask: part of the grid, beginning at index `start` (k, j, i).
        grid: the whole grid.
        start: index of the mask's first voxel on the grid.
        name: name of the region, for messages.

    Raises:
        RoiError: the mask is empty.
    """
    if not mask.any():
        raise RoiError(
            "empty_outline",
            f"Region {name!r} holds no voxel of its image.",
            remedy="Redraw the outline, or give the lesion as a point and a diameter.",
        )
    low, high = [], []
    for axis in range(3):
        used = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        low.append(int(used[0]))
        high.append(int(used[-1]) + 1)
    affine = grid.affine.copy()
    affine[:3, 3] = grid.to_patient(np.array([start], float) + np.array([low], float))[0]
    return Volume(np.ascontiguousarray(mask[tuple(map(slice, low, high))]), affine)


def longest_diameter_mm(mask: Volume) -> float:
    """Longest diameter of a mask within one of its slices, mm (RECIST 1.1: longest diameter in plane).

    The largest distance between voxel centers of a slice, which on digitized discs is without bias to a
    fraction of a pixel; a region of one voxel is as long as its pixel.
    """
    _, spacing_y, spacing_x = mask.grid.spacing_mm
    longest = max(spacing_y, spacing_x)
    for k in np.flatnonzero(mask.array.any(axis=(1, 2))):
        inside = np.argwhere(mask.array[k]).astype(float)
        points = mask.grid.to_patient(np.column_stack([np.full(len(inside), float(k)), inside]))
        longest = max(longest, _largest_distance(inside, points))
    return float(longest)


def _largest_distance(in_plane: Float64[np.ndarray, "n 2"], points_mm: PointsMm) -> float:
    """Largest distance between points of a plane; only corners of their convex hull can be its ends."""
    if len(points_mm) < 2:
        return 0.0
    if len(points_mm) > 50:
        with suppress(QhullError):  # all points on one line
            points_mm = points_mm[ConvexHull(in_plane).vertices]
    return float(pdist(points_mm).max())
