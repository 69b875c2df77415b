"""A volume is an array with its place in the patient; resampling moves it onto another grid."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Shaped
from scipy import ndimage

from dgccl.errors import GeometryError
from dgccl.types import Affine, Array3d, PointMm, PointsMm


@dataclass(frozen=True, eq=False)
class Grid:
    """Where voxels lie: a shape (z, y, x) and an affine from (k, j, i, 1) to (x, y, z, 1) in LPS mm."""

    shape: tuple[int, int, int]
    affine: Affine

    def __post_init__(self) -> None:
        if abs(np.linalg.det(self.affine[:3, :3])) < 1e-9:
            raise GeometryError(
                "singular_affine",
                "The affine of the grid is singular: at least two of its axes coincide.",
                remedy="Check pixel spacing, orientation and slice positions.",
            )

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighboring voxel centers along (z, y, x), mm."""
        z, y, x = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(z), float(y), float(x)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel, ml."""
        return float(abs(np.linalg.det(self.affine[:3, :3])) / 1000.0)

    def to_patient(self, indices: Float64[np.ndarray, "n 3"]) -> PointsMm:
        """Positions (x, y, z) in LPS mm of (fractional) array indices (k, j, i), shape (n, 3)."""
        return indices @ self.affine[:3, :3].T + self.affine[:3, 3]

    def to_index(self, points_mm: PointsMm) -> Float64[np.ndarray, "n 3"]:
        """Fractional array indices (k, j, i) of positions (x, y, z) in LPS mm, shape (n, 3)."""
        inverse = np.linalg.inv(self.affine)
        return points_mm @ inverse[:3, :3].T + inverse[:3, 3]


@dataclass(frozen=True, eq=False)
class Volume:
    """An image or mask (z, y, x) with its affine (see `Grid`)."""

    array: Array3d
    affine: Affine

    @property
    def grid(self) -> Grid:
        """The grid on which the array lies."""
        z, y, x = self.array.shape
        return Grid((z, y, x), self.affine)

    def crop(self, start: tuple[int, int, int], stop: tuple[int, int, int]) -> "Volume":
        """The part from index `start` up to but excluding `stop`, both (k, j, i) inside the array."""
        for low, high, size in zip(start, stop, self.array.shape, strict=True):
            if not 0 <= low < high <= size:
                raise GeometryError(
                    "crop_outside_volume",
                    f"Cannot crop {start} to {stop} from an array of shape {self.array.shape}.",
                )
        affine = self.affine.copy()
        affine[:3, 3] = self.grid.to_patient(np.array([start], float))[0]
        return Volume(self.array[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))], affine)


def box_grid(center_mm: PointMm, *, box_mm: float, spacing_mm: float) -> Grid:
    """Cubic grid around a point whose axes (z, y, x) run along +z, +y, +x of the patient.

    The outer voxel faces, not the voxel centers, lie at `center_mm` +- `box_mm` / 2, so that grids of
    different spacing cover the same physical box.

    Args:
        center_mm: center of the box, LPS mm, shape (3,).
        box_mm: edge length, mm; a whole multiple of `spacing_mm`.
        spacing_mm: voxel size, mm.

    Raises:
        GeometryError: the edge is not a whole multiple of the spacing.
    """
    count = round(box_mm / spacing_mm)
    if count < 1 or abs(count * spacing_mm - box_mm) > 1e-6 * box_mm:
        raise GeometryError(
            "box_not_multiple_of_spacing",
            f"A box of {box_mm:g} mm is no whole number of voxels of {spacing_mm:g} mm.",
            remedy="Choose a box that is a whole multiple of both the CT and the PET spacing.",
        )
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = spacing_mm
    affine[:3, 3] = center_mm - (count - 1) / 2 * spacing_mm
    affine[3, 3] = 1.0
    return Grid((count, count, count), affine)


def resample(volume: Volume, grid: Grid, *, fill: float) -> Volume:
    """Linear interpolation of a volume onto a grid, averaging where the grid is coarser than the volume.

    Where the grid is coarser, the interpolant is averaged over its voxel, so that fine detail does not alias.
    Points outside the outer voxel faces of the volume get `fill`.

    Args:
        volume: source, any numeric type.
        grid: target.
        fill: value outside the source.

    Returns:
        float32 volume on `grid`.
    """
    to_source = np.linalg.inv(volume.affine) @ grid.affine
    matrix = to_source[:3, :3]
    axis_of = np.abs(matrix).argmax(axis=1)
    off_axis = np.abs(matrix).copy()
    off_axis[np.arange(3), axis_of] = 0.0
    aligned = len(set(axis_of.tolist())) == 3 and off_axis.max() * max(grid.shape) < 1e-3
    values = (
        _resample_aligned(volume.array, grid.shape, to_source, axis_of.tolist(), fill)
        if aligned
        else _resample_oblique(volume.array, grid.shape, to_source, fill)
    )
    return Volume(values, grid.affine)


def _axis_weights(
    count: int, size: int, *, step: float, offset: float
) -> tuple[slice, Float64[np.ndarray, "count window"], Shaped[np.ndarray, "count"]]:
    """Interpolation weights along one axis: (source window, weights over it, which targets lie inside)."""
    position = step * np.arange(count) + offset
    inside = (position >= -0.5) & (position <= size - 0.5)
    # Averaging the linear interpolant over this width gives a kernel about as wide as the target's voxel,
    # none where the target is finer, and still reproduces a linear field exactly.
    width = float(np.sqrt(max(0.0, step**2 - 1.0)))
    low = int(np.clip(np.floor(position.min() - width / 2) - 1, 0, size - 1))
    high = int(np.clip(np.ceil(position.max() + width / 2) + 2, low + 1, size))
    clamped = np.clip(position, 0, size - 1)  # the outer half voxel repeats the border value
    distance = clamped[:, None] - np.arange(low, high)
    if width < 1e-3:
        weights = np.maximum(0.0, 1.0 - np.abs(distance))
    else:
        weights = _hat_integral(distance + width / 2) - _hat_integral(distance - width / 2)
    return slice(low, high), weights / weights.sum(axis=1, keepdims=True), inside


def _hat_integral(x: Float64[np.ndarray, "count window"]) -> Float64[np.ndarray, "count window"]:
    """Integral from minus infinity to x of the hat function max(0, 1 - |x|)."""
    x = np.clip(x, -1.0, 1.0)
    return np.where(x < 0, (1 + x) ** 2 / 2, 1 - (1 - x) ** 2 / 2)


def _resample_aligned(
    array: Array3d, shape: tuple[int, int, int], to_source: Affine, axis_of: list[int], fill: float
) -> Shaped[np.ndarray, "k j i"]:
    """Separable resampling: source axis a follows target axis axis_of[a]."""
    windows, weights, inside = zip(
        *(
            _axis_weights(
                shape[axis_of[a]], array.shape[a], step=to_source[a, axis_of[a]], offset=to_source[a, 3]
            )
            for a in range(3)
        ),
        strict=True,
    )
    values = array[windows].astype(np.float32)
    # The axis that shrinks most goes first, since what follows then handles fewer voxels.
    for a in sorted(range(3), key=lambda a: weights[a].shape[0] / weights[a].shape[1]):
        values = np.moveaxis(np.tensordot(weights[a].astype(np.float32), values, axes=(1, a)), 0, a)
    for a in range(3):
        values[(slice(None),) * a + (~inside[a],)] = fill
    return np.ascontiguousarray(values.transpose(np.argsort(axis_of)))


def _resample_oblique(
    array: Array3d, shape: tuple[int, int, int], to_source: Affine, fill: float
) -> Shaped[np.ndarray, "k j i"]:
    """General affine resampling with a Gaussian before it where the target is coarser."""
    values = array.astype(np.float32)
    step = np.linalg.norm(to_source[:3, :3], axis=1)
    # The variance of the average over a width w, w^2 / 12, as in the aligned case.
    sigma = np.sqrt(np.maximum(0.0, step**2 - 1.0) / 12.0)
    if sigma.max() > 0:
        values = ndimage.gaussian_filter(values, sigma, mode="nearest")
    index = np.stack(np.meshgrid(*(np.arange(n, dtype=float) for n in shape), indexing="ij"), axis=0)
    source = np.tensordot(to_source[:3, :3], index, axes=(1, 0)) + to_source[:3, 3, None, None, None]
    size = np.array(array.shape)[:, None, None, None]
    outside = ((source < -0.5) | (source > size - 0.5)).any(axis=0)
    sampled = ndimage.map_coordinates(values, source, order=1, mode="nearest")
    sampled[outside] = fill
    return sampled.astype(np.float32)
