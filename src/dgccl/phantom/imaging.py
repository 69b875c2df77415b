"""What CT and PET make of an anatomy: point spread, breathing, noise.

Both are rendered from one anatomy, on any grid whose axes run along z, y and x of the patient. Sources of the
numbers: docs/phantom.md.
"""

from dataclasses import dataclass
from typing import cast

import numpy as np
from jaxtyping import Float32, Float64

from dgccl.phantom.acquisition import Scanner, scanner_of
from dgccl.phantom.anatomy import (
    COARSE_MM,
    FINE_MM,
    LUNG_HU,
    LUNG_SUV,
    TEXTURE_HU,
    TEXTURE_SUV,
    Anatomy,
    Latent,
    build_anatomy,
)
from dgccl.phantom.canvas import FWHM_PER_SD, Axes, Box, grid_axes, whole, within
from dgccl.phantom.noise import ct_noise
from dgccl.phantom.render import blob_box, blob_depth, paint_layers, separable, texture
from dgccl.types import Mask, PointMm
from dgccl.volume import Grid, Volume

F18_HALF_LIFE_S = 6586.2
PET_FINE_MM = 2.5
PET_POST_FILTER_FWHM_MM = 4.0
# Noise of PET in soft tissue of SUV 1 at the reference below; EARL asks for at most 0.15.
PET_REFERENCE_COV = 0.12
PET_REFERENCE = {"activity_mbq": 3.5 * 75.0, "bed_s": 120.0, "uptake_time_min": 60.0, "weight_kg": 75.0}


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

    Anatomy, CT noise and PET noise have generators of their own, so that the same `rng` state gives the same
    anatomy on any grid. Neither the class nor the hidden kind is read: images know only the latents.

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
    anatomy_rng, ct_rng, pet_rng = image_rngs(rng)
    anatomy = build_anatomy(latent, anatomy_rng)
    ct_axes = grid_axes(ct_grid, center_mm)
    scan = Scan(anatomy, latent, center_mm, noise)
    return Drawn(
        scan.ct(ct_grid, ct_rng),
        scan.pet(pet_grid, pet_rng),
        Volume(lesion_mask(anatomy, ct_axes), ct_grid.affine),
        anatomy,
    )


def image_rngs(
    rng: np.random.Generator,
) -> tuple[np.random.Generator, np.random.Generator, np.random.Generator]:
    """Generators of anatomy, CT noise and PET noise."""
    anatomy, ct, pet = rng.spawn(3)
    return anatomy, ct, pet


@dataclass(frozen=True, eq=False)
class Scan:
    """What the scanner of a site sees of an anatomy.

    Args:
        anatomy: what is imaged.
        latent: one row of the law joined with its acquisition.
        center_mm: where the lesion's center lies, LPS mm.
        noise: False leaves the noise out.
    """

    anatomy: Anatomy
    latent: Latent
    center_mm: PointMm
    noise: bool = True

    def ct(self, grid: Grid, rng: np.random.Generator, *, part: Box | None = None) -> Volume:
        """CT on a grid, HU, or on part of it: the voxels that the whole image has there, bit by bit.

        Args:
            grid: axes along z, y, x.
            rng: source of the noise.
            part: index box on the grid; the whole grid if omitted.

        Raises:
            GeometryError: the grid is oblique.
        """
        axes = grid_axes(grid, self.center_mm)
        fwhm_mm = scanner_of(str(self.latent["site"])).ct_fwhm_mm
        image = render_ct(self.anatomy, axes, fwhm_mm=fwhm_mm, part=part)
        if self.noise:
            sd_hu = float(self.latent["ct_noise_hu"])
            image += ct_noise(rng, grid, fwhm_mm=fwhm_mm, sd_hu=sd_hu, part=part)
        return _placed(np.maximum(image, -1024.0, out=image), grid, part)

    def pet(self, grid: Grid, rng: np.random.Generator, *, part: Box | None = None) -> Volume:
        """PET on a grid, SUVbw in g/mL, or on part of it; arguments as for `ct`."""
        scanner = scanner_of(str(self.latent["site"]))
        image = render_pet(
            self.anatomy,
            grid_axes(grid, self.center_mm),
            fwhm_mm=scanner.pet_fwhm_mm,
            cov=pet_cov(self.latent, scanner) if self.noise else 0.0,
            rng=rng,
            part=part,
        )
        return _placed(image, grid, part)


def _placed(image: Float32[np.ndarray, "z y x"], grid: Grid, part: Box | None) -> Volume:
    """Part of a grid's image with its place in the patient."""
    affine = grid.affine
    if part is not None:
        affine = affine.copy()
        affine[:3, 3] = grid.to_patient(np.array([[edges.start for edges in part]], float))[0]
    return Volume(image, affine)


def pet_cov(latent: Latent, scanner: Scanner) -> float:
    """Coefficient of variation of PET in tissue of SUV 1.

    Counts go with activity at scan time and bed time; what attenuation takes goes with the patient's weight, so
    that equal quality needs activity x time proportional to weight squared.

    Source: Koopman et al., EJNMMI Physics 2016;3:22.
    """
    reference = PET_REFERENCE
    waited_s = (float(latent["uptake_time_min"]) - reference["uptake_time_min"]) * 60.0
    counts = float(latent["activity_mbq"]) * scanner.bed_s / float(latent["weight_kg"]) ** 2
    counts *= float(np.exp2(-waited_s / F18_HALF_LIFE_S))
    counts /= reference["activity_mbq"] * reference["bed_s"] / reference["weight_kg"] ** 2
    return PET_REFERENCE_COV / counts**0.5


def render_ct(
    anatomy: Anatomy, axes: Axes, *, fwhm_mm: float, part: Box | None = None
) -> Float32[np.ndarray, "z y x"]:
    """Noise-free CT, HU.

    Args:
        anatomy: what to image.
        axes: of the voxels.
        fwhm_mm: Gaussian point spread.
        part: index box to render; the whole grid if omitted.
    """
    part = part or whole(tuple(map(len, axes)))
    near = within(axes, part)
    image = texture(TEXTURE_HU * anatomy.fine_texture, near, step_mm=FINE_MM)
    image += texture(TEXTURE_HU * anatomy.coarse_texture, near, step_mm=COARSE_MM)
    image += (LUNG_HU + anatomy.gradient_hu_per_mm * near[1]).astype(np.float32)[:, None]
    layers = [(layer, layer.hu) for layer in anatomy.layers]
    paint_layers(image, axes, layers, sigma_mm=fwhm_mm / FWHM_PER_SD, part=part)
    return image


def render_pet(
    anatomy: Anatomy,
    axes: Axes,
    *,
    fwhm_mm: float,
    cov: float,
    rng: np.random.Generator,
    part: Box | None = None,
) -> Float32[np.ndarray, "z y x"]:
    """PET as SUV: activity on a fine grid, breathing and detector blur, counting noise, post-filter, sampling.

    Args:
        anatomy: what to image.
        axes: of the voxels.
        fwhm_mm: total Gaussian point spread of the reconstructed image, breathing apart.
        cov: noise in the final image where the SUV is 1; 0 for none.
        rng: source of the noise.
        part: index box to render; the whole grid if omitted.
    """
    shifted = [axis - shift for axis, shift in zip(axes, anatomy.pet_shift_mm[::-1], strict=True)]
    margins = (fwhm_mm + anatomy.breathing_mm / 2, fwhm_mm, fwhm_mm)
    fine = cast(Axes, tuple(_cover(axis, margin) for axis, margin in zip(shifted, margins, strict=True)))
    edge = PET_FINE_MM / FWHM_PER_SD
    post = PET_POST_FILTER_FWHM_MM / FWHM_PER_SD
    detector = float(np.sqrt((fwhm_mm / FWHM_PER_SD) ** 2 - post**2 - edge**2))
    blurs = [_gaussian(axis, axis, detector) for axis in fine]
    blurs[0] = _breathing(fine[0], anatomy.breathing_mm) @ blurs[0]
    samplers = [_gaussian(to, axis, post) for to, axis in zip(shifted, fine, strict=True)]
    # White noise that the samplers average down to `cov` where the activity is 1.
    gain = float(np.prod([np.sqrt((s**2).sum(axis=1)).mean() for s in samplers]))
    samplers, sampled = _read_by(samplers, part or whole(tuple(map(len, axes))))
    blurs, blurred = _read_by(blurs, sampled)
    near = within(fine, blurred)
    activity = LUNG_SUV + texture(TEXTURE_SUV * anatomy.coarse_texture, near, step_mm=COARSE_MM)
    layers = [(layer, layer.suv) for layer in anatomy.layers if layer.in_pet]
    paint_layers(activity, fine, layers, sigma_mm=edge, part=blurred)
    np.maximum(activity, 0.0, out=activity)
    activity = separable(blurs, activity)
    if cov > 0:
        white = rng.standard_normal([len(axis) for axis in fine], dtype=np.float32)[sampled]
        activity += np.float32(cov / gain) * (white * np.sqrt(activity))
    return np.maximum(separable(samplers, activity), 0.0)


def lesion_mask(anatomy: Anatomy, axes: Axes) -> Mask:
    """True where a voxel's center lies in the lesion."""
    mask = np.zeros((len(axes[0]), len(axes[1]), len(axes[2])), bool)
    box = blob_box(axes, anatomy.lesion, reach_mm=0.0)
    mask[box] = blob_depth(anatomy.lesion, within(axes, box)) > 0
    return mask


def _gaussian(
    to: Float64[np.ndarray, "to"], axis: Float64[np.ndarray, "source"], sigma_mm: float
) -> Float64[np.ndarray, "to source"]:
    """Normalized Gaussian weights that blur `axis` and sample at `to`."""
    weights = np.exp(-(((to[:, None] - axis[None, :]) / sigma_mm) ** 2) / 2)
    weights[weights < 1e-5] = 0.0  # beyond 4.8 standard deviations, to keep the map banded
    return weights / weights.sum(axis=1, keepdims=True)


def breath_mm(amplitude_mm: float) -> Float64[np.ndarray, "moments"]:
    """Displacement along z at even moments of a breath, A cos^4, centered on its mean, mm.

    Args:
        amplitude_mm: peak to peak, mm.

    Source: Lujan, Larsen, Balter, Ten Haken, Med Phys 1999;26:715.
    """
    displacement = amplitude_mm * np.cos(np.pi * (np.arange(32) + 0.5) / 32) ** 4
    return displacement - displacement.mean()


def _breathing(axis: Float64[np.ndarray, "n"], amplitude_mm: float) -> Float64[np.ndarray, "n n"]:
    """Time average over a breath along z."""
    displacement = breath_mm(amplitude_mm)
    position = (axis[:, None] - displacement[None, :] - axis[0]) / (axis[1] - axis[0])
    # Linear interpolation between the two neighbors of each position.
    nodes = np.floor(position).astype(np.int64)[..., None] + np.arange(2)
    shares = 1.0 - np.abs(position[..., None] - nodes)
    rows = np.broadcast_to(np.arange(len(axis))[:, None, None], nodes.shape)
    on_axis = (nodes >= 0) & (nodes < len(axis))
    weights = np.zeros((len(axis), len(axis)))
    np.add.at(weights, (rows[on_axis], nodes[on_axis]), shares[on_axis])
    return weights / weights.sum(axis=1, keepdims=True)


def _cover(axis: Float64[np.ndarray, "n"], margin_mm: float) -> Float64[np.ndarray, "m"]:
    """A fine axis that covers another with a margin."""
    low, high = min(axis[0], axis[-1]) - margin_mm, max(axis[0], axis[-1]) + margin_mm
    return low + PET_FINE_MM * np.arange(int(np.ceil((high - low) / PET_FINE_MM)) + 1)


def _read_by(
    matrices: list[Float64[np.ndarray, "_ _"]], rows: Box
) -> tuple[list[Float64[np.ndarray, "_ _"]], Box]:
    """Rows of a banded map along each axis, without the columns that they do not read, and the columns left."""
    columns = []
    for matrix, chosen in zip(matrices, rows, strict=True):
        used = np.flatnonzero(matrix[chosen].any(axis=0))
        columns.append(slice(int(used[0]), int(used[-1]) + 1))
    z, y, x = columns
    parts = [m[row, column] for m, row, column in zip(matrices, rows, columns, strict=True)]
    return parts, (z, y, x)
