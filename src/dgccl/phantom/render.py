"""Paints the layers of an anatomy onto a grid, edges as blurred by a Gaussian point spread.

Coverage is computed from distances in closed form, so that no grid finer than the image is needed, and only in
the box of voxels that a layer reaches.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64
from scipy import sparse

from dgccl.phantom.anatomy import Blob, Layer, Tube, Wall
from dgccl.phantom.canvas import (
    EDGE_SD,
    REACH_SD,
    Axes,
    Box,
    blend,
    boxes_between,
    broadcast,
    common_box,
    edge,
    shifted,
    within,
)
from dgccl.phantom.tubes import tube_coverage, tube_pieces

_MIN_COVERAGE = 1e-3
_ROUNDING_MM = 1e-3


def paint_layers(
    image: Float32[np.ndarray, "z y x"],
    axes: Axes,
    layers: Sequence[tuple[Layer, float]],
    *,
    sigma_mm: float,
    part: Box,
) -> None:
    """Blend layers into part of an image, one over the other, in place.

    Where a layer ends is decided on the whole grid, so that a part has the very values that the whole has there.

    Args:
        image: the part, changed.
        axes: of the whole grid.
        layers: each with its value, HU or SUV, in painting order.
        sigma_mm: standard deviation of the point spread that blurs edges.
        part: index box of `image` on the grid, starts and stops stated.
    """
    z, y, x = (axis.astype(np.float32) for axis in within(axes, part))
    tubes = [layer.shape for layer, _ in layers if isinstance(layer.shape, Tube)]
    pieces = iter(tube_pieces(tubes, axes, sigma_mm=sigma_mm, part=part))
    for layer, value in layers:
        shape = layer.shape
        if isinstance(shape, Tube):
            for piece in next(pieces):
                coverage = tube_coverage(piece, within((z, y, x), piece.box), sigma_mm)
                blend(image[piece.box], coverage, value, layer.opacity)
        elif isinstance(shape, Wall):
            _paint_wall(image, axes, shape, value=value, sigma_mm=sigma_mm, part=part)
        else:
            _paint_blob(image, axes, layer, shape, value=value, sigma_mm=sigma_mm, part=part)


def blob_box(axes: Axes, blob: Blob, *, reach_mm: float) -> Box:
    """Index box that holds a blob and all that lies within reach of it."""
    reach = blob.bound_mm + reach_mm
    center = blob.center_mm[None]
    z, y, x = (slice(*edges) for edges in boxes_between(axes, center, center, reach)[0].tolist())
    return z, y, x


def blob_depth(blob: Blob, axes: Axes) -> Float32[np.ndarray, "z y x"]:
    """Depth below a blob's surface along its radius, mm; negative outside.

    Args:
        blob: the shape.
        axes: of the voxels.
    """
    z, y, x = broadcast(axes)
    cx, cy, cz = blob.center_mm.astype(np.float32)
    dx, dy, dz = x - cx, y - cy, z - cz
    radius = np.sqrt(dx**2 + dy**2 + dz**2)
    radius += np.float32(1e-3)
    # |shape d|^2 as a quadratic form needs one pass less a term than the product itself.
    q = (blob.shape.T @ blob.shape).astype(np.float32)
    stretched = q[0, 0] * dx**2 + q[1, 1] * dy**2 + 2 * q[0, 1] * dx * dy + q[2, 2] * dz**2
    stretched += (2 * dz) * (q[0, 2] * dx + q[1, 2] * dy)
    np.sqrt(stretched, out=stretched)
    stretched += np.float32(1e-3)
    inverse = 1 / radius
    ripple = np.zeros(radius.shape, np.float32)
    for wave, phase in zip(blob.waves.astype(np.float32), blob.phases.astype(np.float32), strict=True):
        angle = (wave[0] * dx + wave[1] * dy) + wave[2] * dz
        angle *= inverse
        angle += phase
        ripple += np.cos(angle, out=angle)
    ripple *= np.float32(blob.amplitude)
    ripple += 1
    ripple *= np.float32(blob.radius_mm) / stretched
    ripple -= 1
    ripple *= radius
    return ripple


def texture(
    lattice: Float[np.ndarray, "k j i"], axes: Axes, *, step_mm: float
) -> Float32[np.ndarray, "z y x"]:
    """A random field on a grid by linear interpolation of a lattice, which repeats beyond its edge."""
    maps = []
    for axis, nodes in zip(axes, lattice.shape, strict=True):
        position = axis / step_mm + nodes / 2
        low = np.floor(position).astype(np.int64)
        weights = np.stack([1.0 - (position - low), position - low], axis=1)
        columns = np.stack([low % nodes, (low + 1) % nodes], axis=1)
        maps.append(_sparse(weights.ravel(), columns.ravel(), np.full(len(axis), 2), nodes))
    return _map_axes(maps, lattice.astype(np.float32))


def separable(
    matrices: Sequence[Float64[np.ndarray, "_ _"]], values: Float32[np.ndarray, "_ _ _"]
) -> Float32[np.ndarray, "_ _ _"]:
    """A banded linear map along each of z, y, x.

    Args:
        matrices: of z, y, x.
        values: what is mapped.
    """
    maps = []
    for matrix in matrices:
        used = matrix != 0.0
        maps.append(_sparse(matrix[used], used.nonzero()[1], used.sum(axis=1), matrix.shape[1]))
    return _map_axes(maps, values)


def _sparse(
    weights: Float64[np.ndarray, "used"],
    columns: Int64[np.ndarray, "used"],
    counts: Int64[np.ndarray, "rows"],
    width: int,
) -> sparse.csr_array:
    """A sparse matrix from the entries of its rows, one row after the other."""
    ends = np.concatenate([[0], np.cumsum(counts)])
    return sparse.csr_array((weights.astype(np.float32), columns, ends), shape=(len(counts), width))


def _map_axes(
    maps: Sequence[sparse.csr_array], values: Float32[np.ndarray, "_ _ _"]
) -> Float32[np.ndarray, "_ _ _"]:
    """A linear map along each of z, y, x.

    Sparse products add in a fixed order; dense ones depend on the number of BLAS threads in the last bit, and
    equal seeds must give equal files.
    """
    for matrix in maps:  # each round maps the first axis and moves it to the end
        rest = values.shape[1:]
        mapped = matrix @ values.reshape(values.shape[0], -1)
        values = np.ascontiguousarray(mapped.T).reshape(*rest, matrix.shape[0])
    return values


def _paint_blob(
    image: Float32[np.ndarray, "z y x"],
    axes: Axes,
    layer: Layer,
    blob: Blob,
    *,
    value: float,
    sigma_mm: float,
    part: Box,
) -> None:
    box = blob_box(axes, blob, reach_mm=REACH_SD * sigma_mm + 4.0 * layer.halo_mm)
    target = image[shifted(box, part)]
    if not target.size:
        return
    depth = blob_depth(blob, within(axes, common_box(box, part)))
    if layer.halo_mm > 0:
        coverage = np.exp(np.minimum(depth, 0.0) / np.float32(layer.halo_mm))
    else:
        coverage = _ball_edge(depth, blob.radius_mm, sigma_mm)
    blend(target, coverage, value, layer.opacity)


def _paint_wall(
    image: Float32[np.ndarray, "z y x"], axes: Axes, wall: Wall, *, value: float, sigma_mm: float, part: Box
) -> None:
    """The wall runs along z: one axial plane of coverage serves every slice."""
    if not _wall_reaches(wall, within(axes, part), sigma_mm):
        return
    _, y, x = broadcast(axes)
    center = (wall.distance_mm - wall.curvature_mm) * wall.normal
    depth = np.hypot(x[0] - center[0], y[0] - center[1]) - abs(wall.curvature_mm)
    coverage = edge((np.sign(wall.curvature_mm) * depth).astype(np.float32), sigma_mm)
    rows = np.flatnonzero(coverage.max(axis=1) > _MIN_COVERAGE)
    columns = np.flatnonzero(coverage.max(axis=0) > _MIN_COVERAGE)
    if rows.size and columns.size:
        box = (part[0], slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        blend(image[shifted(box, part)], coverage[common_box(box, part)[1:]], value, 1.0)


def _wall_reaches(wall: Wall, axes: Axes, sigma_mm: float) -> bool:
    """Whether a wall covers any of a grid: its deepest point decides."""
    center = (wall.distance_mm - wall.curvature_mm) * wall.normal
    y, x = (np.sort(axis[[0, -1]]) - c for axis, c in zip(axes[1:], center[::-1], strict=True))
    if wall.curvature_mm > 0:  # the farthest corner
        depth = np.hypot(np.abs(x).max(), np.abs(y).max()) - wall.curvature_mm
    else:  # the nearest point
        depth = -wall.curvature_mm - np.hypot(np.clip(0.0, *x), np.clip(0.0, *y))
    return bool(depth > -EDGE_SD * sigma_mm / 2 - _ROUNDING_MM)


def _ball_edge(depth: np.ndarray, radius_mm: float, sigma_mm: float) -> np.ndarray:
    """The blurred edge of a ball: drawn in by s^2 / r, so that r'^3 + 3 r' s^2 = r^3 and blur keeps the mass.

    A ball smaller than the point spread keeps its mass by losing contrast.
    """
    drawn_in = min(sigma_mm**2 / radius_mm, radius_mm)
    inner = radius_mm - drawn_in
    # 0.8 s^3 is the mass of the edge profile alone, 3 int t^2 Phi(-t) dt, where nothing is left inside.
    mass = max(inner**3 + 3 * inner * sigma_mm**2, 0.8 * sigma_mm**3)
    return edge(depth - np.float32(drawn_in), sigma_mm) * np.float32(min(1.0, radius_mm**3 / mass))
