"""What a reader would draw around a lesion on CT."""

from dataclasses import replace

import contourpy
import numpy as np

from dgccl.phantom.anatomy import Anatomy, Blob
from dgccl.phantom.render import blob_depth, grid_axes
from dgccl.types import Mask, PointMm, PointsMm
from dgccl.volume import Grid

# Chosen so that two readers' outlines differ by about a voxel: LIDC readers' diameters of one nodule scatter so.
READER_MM = 0.4


def reader_outline(anatomy: Anatomy, rng: np.random.Generator) -> Blob:
    """The lesion's outline as one reader draws it: a little off in place, size and detail."""
    lesion = anatomy.lesion
    return replace(
        lesion,
        center_mm=lesion.center_mm + rng.normal(0.0, READER_MM, 3),
        radius_mm=max(lesion.radius_mm + rng.normal(0.0, READER_MM), 0.8 * lesion.radius_mm),
        phases=lesion.phases + rng.normal(0.0, 0.3, len(lesion.phases)),
    )


def outline_mask(outline: Blob, grid: Grid, center_mm: PointMm) -> Mask:
    """True where a voxel's center lies inside the outline."""
    return blob_depth(outline, grid_axes(grid, center_mm)) > 0


def outline_contours(outline: Blob, grid: Grid, center_mm: PointMm) -> list[PointsMm]:
    """Closed polygons in the slices of a grid.

    Args:
        outline: relative to `center_mm`.
        grid: CT grid.
        center_mm: lesion's center, LPS mm.

    Returns:
        Contours (n, 3), LPS mm, from the lowest slice up; the last point is not the first again.
    """
    z, y, x = grid_axes(grid, center_mm)
    reach = outline.bound_mm
    depth_axes = (z[np.abs(z - outline.center_mm[2]) <= reach], y, x)
    depth = blob_depth(outline, depth_axes)
    contours = []
    for height, plane in zip(depth_axes[0], depth, strict=True):
        for line in contourpy.contour_generator(x, y, plane).lines(0.0):
            points = np.asarray(line, float)[:-1:2]  # a point a pixel or so, as drawing tools store
            if len(points) >= 3:
                contours.append(np.column_stack([points, np.full(len(points), height)]) + center_mm)
    return contours
