"""Tubes on a grid: cut into short pieces, each painted only in the box of voxels that it reaches.

A lesion has about 200 tubes and a picture shows few of them, so which pieces are in it is found for all at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from dgccl.phantom.anatomy import Tube
from dgccl.phantom.canvas import REACH_SD, Axes, Box, boxes_between, broadcast, edge

_PIECE_MM = 16.0  # a shorter diagonal tube fills more of its box
_SMALL_BOX = 8000  # voxels; below this the calls cost more than the voxels


@dataclass(frozen=True, eq=False)
class Piece:
    """A straight piece of a tube.

    Args:
        start_mm: (x, y, z), mm.
        along_mm: from its start to its end, mm.
        start_radius_mm: radius at its start, mm.
        taper_mm: what the radius gains to the end, mm.
        thickest_mm: the larger of the radii at its ends, mm.
        box: the voxels that it reaches, on the part of the grid that is painted.
    """

    start_mm: Float32[np.ndarray, "3"]
    along_mm: Float32[np.ndarray, "3"]
    start_radius_mm: float
    taper_mm: float
    thickest_mm: float
    box: Box


def tube_pieces(tubes: Sequence[Tube], axes: Axes, *, sigma_mm: float, part: Box) -> list[list[Piece]]:
    """The pieces of each tube that reach into part of a grid.

    How a tube is cut depends on the whole grid, not on the part.

    Args:
        tubes: shapes, mm.
        axes: of the whole grid.
        sigma_mm: standard deviation of the point spread.
        part: index box on the grid.

    Returns:
        One list a tube, in order.
    """
    found: list[list[Piece]] = [[] for _ in tubes]
    if not tubes:
        return found
    start = np.array([tube.start_mm for tube in tubes])
    end = np.array([tube.end_mm for tube in tubes])
    along = end - start
    radii = np.array([(tube.start_radius_mm, tube.end_radius_mm) for tube in tubes])
    reach = radii.max(axis=1) + REACH_SD * sigma_mm
    boxes = boxes_between(axes, start, end, reach)
    counts = _piece_counts(along, boxes, axes)
    counts[~_meets(boxes, part)] = 0
    owner = np.repeat(np.arange(len(tubes)), counts)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    step = 1.0 / counts[owner]
    low = number * step
    high = np.where(number + 1 == counts[owner], 1.0, (number + 1) * step)
    first = start[owner] + low[:, None] * along[owner]
    last = start[owner] + high[:, None] * along[owner]
    taper = radii[owner, 1] - radii[owner, 0]
    first_radius, last_radius = radii[owner, 0] + low * taper, radii[owner, 0] + high * taper
    boxes = boxes_between(axes, first, last, reach[owner])
    first32, along32 = first.astype(np.float32), (last - first).astype(np.float32)
    offset = np.array([edges.start for edges in part])
    size = np.array([edges.stop for edges in part]) - offset
    boxes = np.clip(boxes - offset[:, None], 0, size[:, None])
    for i in np.flatnonzero((boxes[..., 0] < boxes[..., 1]).all(axis=1)).tolist():
        z, y, x = (slice(*edges) for edges in boxes[i].tolist())
        ends = float(first_radius[i]), float(last_radius[i])
        piece = Piece(first32[i], along32[i], ends[0], ends[1] - ends[0], max(ends), (z, y, x))
        found[owner[i]].append(piece)
    return found


def tube_coverage(piece: Piece, axes: Axes, sigma_mm: float) -> Float32[np.ndarray, "z y x"]:
    """How much of each voxel a tube covers, as the point spread blurs it.

    Args:
        piece: of the tube.
        axes: of the voxels, float32.
        sigma_mm: standard deviation of the point spread.
    """
    z, y, x = broadcast(axes)
    ax, ay, az = piece.along_mm
    sx, sy, sz = piece.start_mm
    dx, dy, dz = x - sx, y - sy, z - sz
    t = (dx * ax + dy * ay) + dz * az
    t /= piece.along_mm @ piece.along_mm
    np.maximum(t, np.float32(0.0), out=t)
    np.minimum(t, np.float32(1.0), out=t)
    square = dx - t * ax
    square *= square
    for d, a in ((dy, ay), (dz, az)):
        off = d - t * a
        off *= off
        square += off
    t *= np.float32(piece.taper_mm)
    t += np.float32(piece.start_radius_mm)
    if piece.thickest_mm > 1.5 * sigma_mm:
        # Blur draws a cylinder's edge in by half of what it does to a ball's.
        t -= np.float32(sigma_mm**2 / 2) / t
        t -= np.sqrt(square, out=square)
        return edge(t, sigma_mm)
    # A tube thinner than the point spread: its axis keeps 1 - exp(-r^2 / 2 s^2) of its contrast.
    spread = 2 * np.float32(sigma_mm) ** 2
    t *= t
    square /= spread + t / 2
    t /= -spread
    np.expm1(t, out=t)
    np.negative(square, out=square)
    t *= np.exp(square, out=square)
    return np.negative(t, out=t)


def _piece_counts(
    along: Float64[np.ndarray, "n 3"], boxes: Int64[np.ndarray, "n 3 2"], axes: Axes
) -> Int64[np.ndarray, "n"]:
    """Into how many pieces each tube is cut; none if no voxel is in its box."""
    shape = np.array([len(axis) for axis in axes])
    extent = np.maximum(np.minimum(boxes[..., 1], shape) - boxes[..., 0], 0)
    voxels = extent.prod(axis=1)
    length = np.sqrt((along**2).sum(axis=1))
    many = np.maximum(np.rint(length / _PIECE_MM), 1.0).astype(np.int64)
    return np.where(voxels < _SMALL_BOX, 1, many) * (voxels > 0)


def _meets(boxes: Int64[np.ndarray, "n 3 2"], part: Box) -> Bool[np.ndarray, "n"]:
    """Which boxes share voxels with a part of the grid, or nearly so."""
    start = np.array([edges.start for edges in part])
    stop = np.array([edges.stop for edges in part])
    return np.all((boxes[..., 0] <= stop) & (boxes[..., 1] >= start), axis=1)
