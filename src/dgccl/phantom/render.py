"""Paints the layers of an anatomy onto a grid, edges as blurred by a Gaussian point spread.

Coverage is computed from distances in closed form, so that no grid finer than the image is needed, and only in
the box of voxels that a layer reaches.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Float32, Float64
from scipy import sparse

from dgccl.errors import GeometryError
from dgccl.phantom.anatomy import Blob, Layer, Tube, Wall
from dgccl.types import PointMm
from dgccl.volume import Grid

Axes = tuple[Float[np.ndarray, "_"], Float[np.ndarray, "_"], Float[np.ndarray, "_"]]
"""Voxel centers along z, y, x relative to the lesion's center, mm."""

FWHM_PER_SD = float(np.sqrt(8 * np.log(2)))
Box = tuple[slice, slice, slice]
_PIECE_MM = 16.0  # a shorter diagonal tube fills more of its box
_EDGE_SD = float(np.sqrt(20.0))  # width of a smoothstep whose derivative has a standard deviation of 1
_SMALL_BOX = 8000  # voxels; below this the calls cost more than the voxels
_MIN_COVERAGE = 1e-3


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


def paint(
    image: Float32[np.ndarray, "z y x"], axes: Axes, layer: Layer, *, value: float, sigma_mm: float
) -> None:
    """Blend a layer into an image, in place.

    Args:
        image: changed.
        axes: of the image.
        layer: shape and opacity.
        value: HU or SUV of the layer.
        sigma_mm: standard deviation of the point spread that blurs its edges.
    """
    shape = layer.shape
    if isinstance(shape, Tube):
        _paint_tube(image, axes, shape, value=value, sigma_mm=sigma_mm, opacity=layer.opacity)
        return
    if isinstance(shape, Wall):
        _paint_wall(image, axes, shape, value=value, sigma_mm=sigma_mm)
        return
    box = blob_box(axes, shape, reach_mm=2.3 * sigma_mm + 4.0 * layer.halo_mm)
    part = image[box]
    if part.size:
        depth = blob_depth(shape, within(axes, box))
        if layer.halo_mm > 0:
            coverage = np.exp(np.minimum(depth, 0.0) / np.float32(layer.halo_mm))
        else:
            coverage = _ball_edge(depth, shape.radius_mm, sigma_mm)
        _blend(part, coverage, value, layer.opacity)


def within(axes: Axes, box: Box) -> Axes:
    """The axes of a box of voxels."""
    return axes[0][box[0]], axes[1][box[1]], axes[2][box[2]]


def blob_box(axes: Axes, blob: Blob, *, reach_mm: float) -> Box:
    """Index box that holds a blob and all that lies within reach of it."""
    reach = blob.bound_mm + reach_mm
    return _box_between(axes, blob.center_mm, blob.center_mm, reach)


def blob_depth(blob: Blob, axes: Axes) -> Float32[np.ndarray, "z y x"]:
    """Depth below a blob's surface along its radius, mm; negative outside.

    Args:
        blob: the shape.
        axes: of the voxels.
    """
    z, y, x = _broadcast(axes)
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
    weights = []
    for axis, nodes in zip(axes, lattice.shape, strict=True):
        position = axis / step_mm + nodes / 2
        low = np.floor(position).astype(int)
        matrix = np.zeros((len(axis), nodes))
        rows = np.arange(len(axis))
        matrix[rows, low % nodes] = 1.0 - (position - low)
        matrix[rows, (low + 1) % nodes] = position - low
        weights.append(matrix)
    return separable(weights, lattice.astype(np.float32))


def separable(
    matrices: Sequence[Float64[np.ndarray, "_ _"]], values: Float32[np.ndarray, "_ _ _"]
) -> Float32[np.ndarray, "_ _ _"]:
    """A banded linear map along each of z, y, x.

    Sparse products add in a fixed order; dense ones depend on the number of BLAS threads in the last bit, and
    equal seeds must give equal files.
    """
    for matrix in matrices:  # each round maps the first axis and moves it to the end
        rest = values.shape[1:]
        mapped = sparse.csr_array(matrix.astype(np.float32)) @ values.reshape(values.shape[0], -1)
        values = np.ascontiguousarray(mapped.T).reshape(*rest, matrix.shape[0])
    return values


def _paint_tube(
    image: Float32[np.ndarray, "z y x"],
    axes: Axes,
    tube: Tube,
    *,
    value: float,
    sigma_mm: float,
    opacity: float,
) -> None:
    reach = max(tube.start_radius_mm, tube.end_radius_mm) + 2.3 * sigma_mm
    box = _box_between(axes, tube.start_mm, tube.end_mm, reach)
    size = image[box].size
    if size == 0:
        return
    along = tube.end_mm - tube.start_mm
    taper = tube.end_radius_mm - tube.start_radius_mm
    pieces = 1 if size < _SMALL_BOX else max(1, round(float(np.linalg.norm(along)) / _PIECE_MM))
    for low, high in pairwise(np.linspace(0.0, 1.0, pieces + 1).tolist()):
        piece = Tube(
            tube.start_mm + low * along,
            tube.start_mm + high * along,
            tube.start_radius_mm + low * taper,
            tube.start_radius_mm + high * taper,
        )
        box = _box_between(axes, piece.start_mm, piece.end_mm, reach)
        part = image[box]
        if part.size:
            _blend(part, _tube_coverage(piece, within(axes, box), sigma_mm), value, opacity)


def _tube_coverage(tube: Tube, axes: Axes, sigma_mm: float) -> Float32[np.ndarray, "z y x"]:
    z, y, x = _broadcast(axes)
    along = (tube.end_mm - tube.start_mm).astype(np.float32)
    sx, sy, sz = tube.start_mm.astype(np.float32)
    dx, dy, dz = x - sx, y - sy, z - sz
    t = ((dx * along[0] + dy * along[1]) + dz * along[2]) / (along @ along)
    np.clip(t, 0.0, 1.0, out=t)
    square = (dx - t * along[0]) ** 2
    square += (dy - t * along[1]) ** 2
    square += (dz - t * along[2]) ** 2
    t *= np.float32(tube.end_radius_mm - tube.start_radius_mm)
    t += np.float32(tube.start_radius_mm)
    if max(tube.start_radius_mm, tube.end_radius_mm) > 1.5 * sigma_mm:
        t -= (
            np.float32(sigma_mm**2 / 2) / t
        )  # blur draws a cylinder's edge in by half of what it does to a ball's
        t -= np.sqrt(square)
        return _edge(t, sigma_mm)
    # A tube thinner than the point spread: its axis keeps 1 - exp(-r^2 / 2 s^2) of its contrast.
    spread = 2 * np.float32(sigma_mm) ** 2
    return -np.expm1(-(t**2) / spread) * np.exp(-square / (spread + t**2 / 2))


def _paint_wall(
    image: Float32[np.ndarray, "z y x"], axes: Axes, wall: Wall, *, value: float, sigma_mm: float
) -> None:
    """The wall runs along z: one axial plane of coverage serves every slice."""
    _, y, x = _broadcast(axes)
    center = (wall.distance_mm - wall.curvature_mm) * wall.normal
    depth = np.hypot(x[0] - center[0], y[0] - center[1]) - abs(wall.curvature_mm)
    coverage = _edge((np.sign(wall.curvature_mm) * depth).astype(np.float32), sigma_mm)
    rows = np.flatnonzero(coverage.max(axis=1) > _MIN_COVERAGE)
    columns = np.flatnonzero(coverage.max(axis=0) > _MIN_COVERAGE)
    if rows.size and columns.size:
        box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        _blend(image[(slice(None), *box)], coverage[box], value, 1.0)


def _blend(part: np.ndarray, coverage: np.ndarray, value: float, opacity: float) -> None:
    """part + opacity * coverage * (value - part), in place."""
    if opacity != 1.0:
        coverage = coverage * np.float32(opacity)
    change = np.float32(value) - part
    change *= coverage
    part += change


def _edge(depth: np.ndarray, sigma_mm: float) -> np.ndarray:
    """A blurred step: the share of the point spread that lies inside a flat face at `depth`.

    A smoothstep of equal variance stands for the Gaussian's integral; they differ by at most 0.012.
    """
    t = depth / np.float32(_EDGE_SD * sigma_mm)
    t += np.float32(0.5)
    np.clip(t, 0.0, 1.0, out=t)
    return t * t * (np.float32(3.0) - 2 * t)


def _ball_edge(depth: np.ndarray, radius_mm: float, sigma_mm: float) -> np.ndarray:
    """The blurred edge of a ball: drawn in by s^2 / r, so that r'^3 + 3 r' s^2 = r^3 and blur keeps the mass.

    A ball smaller than the point spread keeps its mass by losing contrast.
    """
    drawn_in = min(sigma_mm**2 / radius_mm, radius_mm)
    inner = radius_mm - drawn_in
    # 0.8 s^3 is the mass of the edge profile alone, 3 int t^2 Phi(-t) dt, where nothing is left inside.
    mass = max(inner**3 + 3 * inner * sigma_mm**2, 0.8 * sigma_mm**3)
    return _edge(depth - np.float32(drawn_in), sigma_mm) * np.float32(min(1.0, radius_mm**3 / mass))


def _broadcast(axes: Axes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coordinates shaped to broadcast over (z, y, x)."""
    z, y, x = (axis.astype(np.float32) for axis in axes)
    return z[:, None, None], y[None, :, None], x[None, None, :]


def _box_between(axes: Axes, a: np.ndarray, b: np.ndarray, reach_mm: float) -> Box:
    """Index box of the voxels within reach of the box spanned by two points (x, y, z)."""
    box = []
    for axis, p, q in zip(axes, a.tolist()[::-1], b.tolist()[::-1], strict=True):
        first = float(axis[0])
        step = float(axis[1]) - first
        low, high = (min(p, q) - reach_mm - first) / step, (max(p, q) + reach_mm - first) / step
        if step < 0:
            low, high = high, low
        box.append(slice(max(0, int(np.ceil(low))), max(0, int(np.floor(high)) + 1)))
    return box[0], box[1], box[2]
