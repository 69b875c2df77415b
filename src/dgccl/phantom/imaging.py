"""What CT and PET make of an anatomy: point spread, breathing, noise.

Both are rendered from one anatomy on any grid whose axes run along z, y and x of the patient.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64
from scipy import fft, special

from dgccl.errors import GeometryError
from dgccl.phantom.acquisition import Scanner, scanner_of
from dgccl.phantom.anatomy import (
    LUNG_HU,
    LUNG_SUV,
    TEXTURE_HU,
    TEXTURE_MM,
    TEXTURE_NODES,
    Anatomy,
    Blob,
    Latent,
    Layer,
    Tube,
    Wall,
    build_anatomy,
)
from dgccl.types import PointMm
from dgccl.volume import Grid, Volume

FWHM_PER_SD = float(np.sqrt(8 * np.log(2)))
F18_HALF_LIFE_S = 6586.2
PET_FINE_MM = 2.0
PET_POST_FILTER_FWHM_MM = 4.0
# Noise of PET in soft tissue of SUV 1 at the reference below; EARL asks for at most 0.15.
PET_REFERENCE_COV = 0.12
PET_REFERENCE = {"activity_mbq": 3.5 * 75.0, "bed_s": 120.0, "uptake_time_min": 60.0, "weight_kg": 75.0}

Axes = tuple[Float[np.ndarray, "z"], Float[np.ndarray, "y"], Float[np.ndarray, "x"]]


@dataclass(frozen=True, eq=False)
class Drawn:
    """One lesion's images.

    Args:
        ct: HU, float32.
        pet: SUVbw, g/mL, float32.
        lesion: bool on the CT grid; the true outline, spicules left out.
        anatomy: what was imaged.
    """

    ct: Volume
    pet: Volume
    lesion: Volume
    anatomy: Anatomy


def draw(
    latent: Latent,
    rng: np.random.Generator,
    *,
    ct_grid: Grid,
    pet_grid: Grid,
    center_mm: PointMm,
    noise: bool = True,
) -> Drawn:
    """Draw one lesion on given grids.

    The anatomy, the CT noise and the PET noise have generators of their own, so that the same `rng` state gives
    the same anatomy on any grid.

    Args:
        latent: one row of the law joined with its acquisition.
        rng: source of randomness.
        ct_grid: axes along z, y, x.
        pet_grid: axes along z, y, x; need not match `ct_grid`.
        center_mm: where the lesion's center lies, LPS mm.
        noise: False leaves the noise out, for tests.

    Raises:
        GeometryError: a grid is oblique.
    """
    anatomy_rng, ct_rng, pet_rng = rng.spawn(3)
    anatomy = build_anatomy(latent, anatomy_rng)
    scanner = scanner_of(str(latent["site"]))
    ct = render_ct(anatomy, grid_axes(ct_grid, center_mm), fwhm_mm=scanner.ct_fwhm_mm)
    if noise:
        ct += ct_noise(ct_rng, ct_grid, fwhm_mm=scanner.ct_fwhm_mm, sd_hu=float(latent["ct_noise_hu"]))
    cov = pet_cov(latent, scanner) if noise else 0.0
    pet = render_pet(
        anatomy, grid_axes(pet_grid, center_mm), fwhm_mm=scanner.pet_fwhm_mm, cov=cov, rng=pet_rng
    )
    mask = lesion_mask(anatomy, grid_axes(ct_grid, center_mm))
    return Drawn(
        Volume(np.maximum(ct, -1024.0), ct_grid.affine),
        Volume(pet, pet_grid.affine),
        Volume(mask, ct_grid.affine),
        anatomy,
    )


def pet_cov(latent: Latent, scanner: Scanner) -> float:
    """Coefficient of variation of PET in tissue of SUV 1.

    Counts go with activity at scan time and bed time; what attenuation takes goes with the patient's weight, so
    that equal quality needs activity x time proportional to weight squared (Koopman et al. 2016).
    """
    reference = PET_REFERENCE
    decay = np.exp2(
        -(float(latent["uptake_time_min"]) - reference["uptake_time_min"]) * 60.0 / F18_HALF_LIFE_S
    )
    counts = float(latent["activity_mbq"]) * scanner.bed_s * decay / float(latent["weight_kg"]) ** 2
    counts /= reference["activity_mbq"] * reference["bed_s"] / reference["weight_kg"] ** 2
    return float(PET_REFERENCE_COV / np.sqrt(counts))


def render_ct(anatomy: Anatomy, axes: Axes, *, fwhm_mm: float) -> Float32[np.ndarray, "z y x"]:
    """Noise-free CT, HU. Edges are drawn as blurred by the point spread, so that no finer grid is needed.

    Args:
        anatomy: what to image.
        axes: voxel centers along z, y, x relative to the lesion's center, mm.
        fwhm_mm: Gaussian point spread.
    """
    image = TEXTURE_HU * _texture(anatomy, axes)
    image += LUNG_HU + (anatomy.gradient_hu_per_mm * axes[1]).astype(np.float32)[:, None]
    for layer in anatomy.layers:
        _paint(image, axes, layer, value=layer.hu, sigma_mm=fwhm_mm / FWHM_PER_SD)
    return image


def render_pet(
    anatomy: Anatomy, axes: Axes, *, fwhm_mm: float, cov: float, rng: np.random.Generator
) -> Float32[np.ndarray, "z y x"]:
    """PET as SUV: activity on a 2 mm grid, breathing and detector blur, counting noise, post-filter, sampling.

    Args:
        anatomy: what to image.
        axes: voxel centers along z, y, x relative to the lesion's center, mm.
        fwhm_mm: total Gaussian point spread of the reconstructed image.
        cov: noise in the final image where the SUV is 1; 0 for none.
        rng: source of the noise.
    """
    shifted = [axis - shift for axis, shift in zip(axes, anatomy.pet_shift_mm[::-1], strict=True)]
    margin = fwhm_mm + anatomy.breathing_mm / 2
    fine = tuple(_cover(axis, margin) for axis in shifted)
    activity = LUNG_SUV * (1.0 + 0.15 * _texture(anatomy, fine))
    edge = PET_FINE_MM / FWHM_PER_SD
    for layer in anatomy.layers:
        if layer.in_pet:
            _paint(activity, fine, layer, value=layer.suv, sigma_mm=edge)
    np.maximum(activity, 0.0, out=activity)
    post = PET_POST_FILTER_FWHM_MM / FWHM_PER_SD
    detector = np.sqrt((fwhm_mm / FWHM_PER_SD) ** 2 - post**2 - edge**2)
    blurs = [_gaussian(axis, axis, detector) for axis in fine]
    blurs[0] = _breathing(fine[0], anatomy.breathing_mm) @ blurs[0]
    activity = _apply(blurs, activity)
    samplers = [_gaussian(to, axis, post) for to, axis in zip(shifted, fine, strict=True)]
    if cov > 0:
        # White noise that the samplers average down to `cov` where the activity is 1.
        gain = np.prod([np.sqrt((s**2).sum(axis=1)).mean() for s in samplers])
        white = rng.standard_normal(activity.shape, dtype=np.float32)
        activity += np.float32(cov / gain) * np.sqrt(activity) * white
    return np.maximum(_apply(samplers, activity), 0.0)


def lesion_mask(anatomy: Anatomy, axes: Axes) -> Bool[np.ndarray, "z y x"]:
    """True where a voxel's center lies in the lesion."""
    mask = np.zeros(tuple(len(axis) for axis in axes), bool)
    box = _box(axes, anatomy.lesion.center_mm, 1.6 * anatomy.lesion.radius_mm)
    mask[box] = blob_depth(anatomy.lesion, _within(axes, box)) > 0
    return mask


def ct_noise(
    rng: np.random.Generator, grid: Grid, *, fwhm_mm: float, sd_hu: float
) -> Float32[np.ndarray, "z y x"]:
    """Correlated CT noise: ramp times squared transfer function in the slice, overlap between slices.

    Source: noise power of filtered back projection, e.g. Riederer, Pelc, Chesler, Phys Med Biol 1978;23:446.
    """
    dz, dy, dx = grid.spacing_mm
    nz, ny, nx = grid.shape
    white = rng.standard_normal((nz + 1, ny, nx), dtype=np.float32)
    frequency = np.hypot(np.fft.fftfreq(ny, dy)[:, None], np.fft.rfftfreq(nx, dx)[None, :])
    sigma = fwhm_mm / FWHM_PER_SD
    power = frequency * np.exp(-((2 * np.pi * sigma * frequency) ** 2))
    # A real image's half spectrum stands for both halves, except its first and (even size) last column.
    weight = np.full(power.shape[1], 2.0)
    weight[0] = 1.0
    if nx % 2 == 0:
        weight[-1] = 1.0
    amplitude = np.sqrt(power / ((power * weight).sum() / (ny * nx)))
    noise = fft.irfft2(fft.rfft2(white) * amplitude.astype(np.float32), s=(ny, nx))
    overlap = np.exp(-((dz / sigma) ** 2) / 4)  # correlation of two Gaussian slice profiles dz apart
    mix = (1 - np.sqrt(1 - min(2 * overlap, 0.99) ** 2)) / max(2 * overlap, 1e-6)
    correlated = noise[1:] + np.float32(mix) * noise[:-1]
    return correlated * np.float32(sd_hu / np.sqrt(1 + mix**2))


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


def _texture(anatomy: Anatomy, axes: Axes) -> Float32[np.ndarray, "z y x"]:
    """Lung texture on a grid by linear interpolation of its lattice, which repeats beyond its edge."""
    weights = []
    for axis in axes:
        position = axis / TEXTURE_MM + TEXTURE_NODES / 2
        low = np.floor(position).astype(int)
        matrix = np.zeros((len(axis), TEXTURE_NODES), np.float32)
        rows = np.arange(len(axis))
        matrix[rows, low % TEXTURE_NODES] = 1.0 - (position - low)
        matrix[rows, (low + 1) % TEXTURE_NODES] = position - low
        weights.append(matrix)
    return _apply(weights, anatomy.texture)


def _apply(matrices: list[np.ndarray], values: Float32[np.ndarray, "z y x"]) -> Float32[np.ndarray, "k j i"]:
    """Separable linear map along z, y, x, smallest result first."""
    z, y, x = (np.ascontiguousarray(m, np.float32) for m in matrices)
    values = (z @ values.reshape(values.shape[0], -1)).reshape(z.shape[0], *values.shape[1:])
    return np.matmul(y, values) @ x.T


def _gaussian(to: np.ndarray, axis: np.ndarray, sigma_mm: float) -> Float64[np.ndarray, "to from"]:
    """Normalized Gaussian weights that blur `axis` and sample at `to`."""
    weights = np.exp(-(((to[:, None] - axis[None, :]) / sigma_mm) ** 2) / 2)
    return weights / weights.sum(axis=1, keepdims=True)


def _breathing(axis: np.ndarray, amplitude_mm: float) -> Float64[np.ndarray, "to from"]:
    """Time average over a breath along z: displacement A cos^4, centered on its mean.

    Source: Lujan, Larsen, Balter, Ten Haken, Med Phys 1999;26:715.
    """
    displacement = amplitude_mm * np.cos(np.pi * (np.arange(32) + 0.5) / 32) ** 4
    displacement -= displacement.mean()
    step = axis[1] - axis[0]
    position = (axis[:, None] - displacement[None, :] - axis[0]) / step
    weights = np.zeros((len(axis), len(axis)))
    for column in range(32):
        weights += np.maximum(0.0, 1.0 - np.abs(position[:, column, None] - np.arange(len(axis))))
    return weights / weights.sum(axis=1, keepdims=True)


def _cover(axis: np.ndarray, margin_mm: float) -> Float64[np.ndarray, "n"]:
    """A 2 mm axis that covers another with a margin."""
    low, high = min(axis[0], axis[-1]) - margin_mm, max(axis[0], axis[-1]) + margin_mm
    return low + PET_FINE_MM * np.arange(int(np.ceil((high - low) / PET_FINE_MM)) + 1)


def _paint(
    image: Float32[np.ndarray, "z y x"], axes: Axes, layer: Layer, *, value: float, sigma_mm: float
) -> None:
    """Blend a layer into an image, in place."""
    shape = layer.shape
    if isinstance(shape, Wall):
        box: tuple[slice, ...] | None = (slice(None),) * 3
    elif isinstance(shape, Tube):
        reach = max(shape.start_radius_mm, shape.end_radius_mm) + 2.5 * sigma_mm
        box = _box_between(axes, shape.start_mm, shape.end_mm, reach)
    else:
        box = _box(axes, shape.center_mm, 1.6 * shape.radius_mm + 2.5 * sigma_mm + 4.0 * layer.halo_mm)
    part = image[box]
    if part.size == 0:
        return
    axes = _within(axes, box)
    sub = _sub(axes)
    if isinstance(shape, Wall):
        coverage = _wall_coverage(shape, sub, sigma_mm)
    elif isinstance(shape, Tube):
        coverage = _tube_coverage(shape, sub, sigma_mm)
    else:
        coverage = _blob_coverage(shape, axes, sigma_mm, layer.halo_mm)
    part += np.float32(layer.opacity) * coverage * (np.float32(value) - part)


def _box_between(axes: Axes, a: np.ndarray, b: np.ndarray, reach_mm: float) -> tuple[slice, slice, slice]:
    """Index box of the voxels within reach of the box spanned by two points (x, y, z)."""
    low, high = np.minimum(a, b)[::-1] - reach_mm, np.maximum(a, b)[::-1] + reach_mm
    box = []
    for axis, bottom, top in zip(axes, low, high, strict=True):
        step = axis[1] - axis[0]
        ends = sorted(((bottom - axis[0]) / step, (top - axis[0]) / step))
        box.append(slice(max(0, int(np.ceil(ends[0]))), max(0, int(np.floor(ends[1])) + 1)))
    return box[0], box[1], box[2]


def _box(axes: Axes, center: np.ndarray, reach_mm: float) -> tuple[slice, slice, slice]:
    return _box_between(axes, center, center, reach_mm)


def _within(axes: Axes, box: tuple[slice, ...]) -> Axes:
    z, y, x = (axis[part] for axis, part in zip(axes, box, strict=True))
    return z, y, x


def _sub(axes: Axes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coordinates shaped to broadcast over (z, y, x)."""
    z, y, x = (axis.astype(np.float32) for axis in axes)
    return z[:, None, None], y[None, :, None], x[None, None, :]


def _edge(depth: np.ndarray, sigma_mm: float) -> np.ndarray:
    """A blurred step: the share of a Gaussian point spread that lies inside a flat face at `depth`."""
    return special.ndtr(depth / np.float32(sigma_mm))


def blob_depth(blob: Blob, axes: Axes) -> Float32[np.ndarray, "z y x"]:
    """Depth below a blob's surface along its radius, mm; negative outside.

    Args:
        blob: the shape.
        axes: voxel centers along z, y, x relative to the lesion's center, mm.
    """
    z, y, x = _sub(axes)
    cx, cy, cz = blob.center_mm.astype(np.float32)
    dx, dy, dz = x - cx, y - cy, z - cz
    radius = np.sqrt(dx**2 + dy**2 + dz**2) + np.float32(1e-3)
    rows = blob.shape.astype(np.float32)
    stretched = np.sqrt(sum((r[0] * dx + r[1] * dy + r[2] * dz) ** 2 for r in rows)) + np.float32(1e-3)
    ripple = np.zeros(radius.shape, np.float32)
    for wave, phase in zip(blob.waves.astype(np.float32), blob.phases, strict=True):
        ripple += np.cos((wave[0] * dx + wave[1] * dy + wave[2] * dz) / radius + np.float32(phase))
    surface = radius / stretched * np.float32(blob.radius_mm) * (1 + np.float32(blob.amplitude) * ripple)
    return surface - radius


def _blob_coverage(blob: Blob, axes: Axes, sigma_mm: float, halo_mm: float) -> Float32[np.ndarray, "z y x"]:
    depth = blob_depth(blob, axes)
    if halo_mm > 0:
        return np.exp(np.minimum(depth, 0.0) / np.float32(halo_mm))
    return _edge(depth, sigma_mm)


def _tube_coverage(tube: Tube, sub: tuple[np.ndarray, ...], sigma_mm: float) -> Float32[np.ndarray, "z y x"]:
    z, y, x = sub
    along = (tube.end_mm - tube.start_mm).astype(np.float32)
    sx, sy, sz = tube.start_mm.astype(np.float32)
    dx, dy, dz = x - sx, y - sy, z - sz
    t = np.clip((dx * along[0] + dy * along[1] + dz * along[2]) / (along @ along), 0.0, 1.0)
    square = (dx - t * along[0]) ** 2 + (dy - t * along[1]) ** 2 + (dz - t * along[2]) ** 2
    radius = np.float32(tube.start_radius_mm) + t * np.float32(tube.end_radius_mm - tube.start_radius_mm)
    if max(tube.start_radius_mm, tube.end_radius_mm) > 1.5 * sigma_mm:
        return _edge(radius - np.sqrt(square), sigma_mm)
    # A tube thinner than the point spread: its axis keeps 1 - exp(-r^2 / 2 s^2) of its contrast.
    spread = 2 * np.float32(sigma_mm) ** 2
    return -np.expm1(-(radius**2) / spread) * np.exp(-square / (spread + radius**2 / 2))


def _wall_coverage(wall: Wall, sub: tuple[np.ndarray, ...], sigma_mm: float) -> Float32[np.ndarray, "1 y x"]:
    _, y, x = sub
    center = (wall.distance_mm - wall.curvature_mm) * wall.normal
    depth = np.sqrt((x - center[0]) ** 2 + (y - center[1]) ** 2) - abs(wall.curvature_mm)
    return _edge((np.sign(wall.curvature_mm) * depth).astype(np.float32), sigma_mm)
