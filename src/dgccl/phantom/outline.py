"""What a reader would draw around a lesion on CT."""

from dataclasses import replace

import contourpy
import numpy as np

from dgccl.phantom.anatomy import Anatomy, Blob
from dgccl.phantom.canvas import grid_axes, within
from dgccl.phantom.render import blob_box, blob_depth
from dgccl.types import Mask, PointMm, PointsMm
from dgccl.volume import Grid

# Chosen so that two readers' outlines differ by about a voxel: LIDC readers' diameters of one nodule scatter so.
READER_MM = 0.4
REACH_MM = 0.1  # beyond a blob's bound, for rounding


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
    axes = grid_axes(grid, center_mm)
    mask = np.zeros(grid.shape, bool)
    box = blob_box(axes, outline, reach_mm=REACH_MM)
    mask[box] = blob_depth(outline, within(axes, box)) > 0
    return mask


def outline_contours(outline: Blob, grid: Grid, center_mm: PointMm) -> list[PointsMm]:
    """Closed polygons in the slices of a grid.

    Args:
        outline: relative to `center_mm`.
        grid: CT grid.
        center_mm: lesion's center, LPS mm.

    Returns:
        Contours (n, 3), LPS mm, from the lowest slice up; the last point is not the first again.
    """
    axes = grid_axes(grid, center_mm)
    box = blob_box(axes, outline, reach_mm=max(grid.spacing_mm) + REACH_MM)  # contours close outside it
    z, y, x = within(axes, box)
    columns, rows = np.meshgrid(x, y)
    contours = []
    for height, plane in zip(z, blob_depth(outline, (z, y, x)).astype(float), strict=True):
        if plane.max() <= 0:
            continue
        # Made directly, since `contour_generator` spends most of its time on masked arrays.
        generator = contourpy.SerialContourGenerator(
            columns,
            rows,
            plane,
            None,  # type: ignore[arg-type]  # no mask; the stub does not know that it may be absent
            line_type=contourpy.LineType.Separate,
            fill_type=contourpy.FillType.OuterCode,
            corner_mask=True,
            quad_as_tri=False,
            z_interp=contourpy.ZInterp.Linear,
        )
        for line in generator.lines(0.0):
            points = np.asarray(line, float)[:-1:2]  # a point a pixel or so, as drawing tools store
            if len(points) >= 3:
                contours.append(np.column_stack([points, np.full(len(points), height)]) + center_mm)
    return contours
