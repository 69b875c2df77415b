"""What CT and PET make of an anatomy: point spread, breathing, noise.

Both are rendered from one anatomy, on any grid whose axes run along z, y and x of the patient. Sources of the
numbers: docs/phantom.md.
"""

from dataclasses import dataclass
from typing import cast

import numpy as np
from jaxtyping import Float32, Float64
from scipy import fft

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
from dgccl.phantom.render import (
    FWHM_PER_SD,
    Axes,
    blob_box,
    blob_depth,
    grid_axes,
    paint,
    separable,
    texture,
    within,
)
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
    anatomy_rng, ct_rng, pet_rng = rng.spawn(3)
    anatomy = build_anatomy(latent, anatomy_rng)
    scanner = scanner_of(str(latent["site"]))
    ct_axes = grid_axes(ct_grid, center_mm)
    ct = render_ct(anatomy, ct_axes, fwhm_mm=scanner.ct_fwhm_mm)
    if noise:
        ct += ct_noise(ct_rng, ct_grid, fwhm_mm=scanner.ct_fwhm_mm, sd_hu=float(latent["ct_noise_hu"]))
    np.maximum(ct, -1024.0, out=ct)
    pet = render_pet(
        anatomy,
        grid_axes(pet_grid, center_mm),
        fwhm_mm=scanner.pet_fwhm_mm,
        cov=pet_cov(latent, scanner) if noise else 0.0,
        rng=pet_rng,
    )
    return Drawn(
        Volume(ct, ct_grid.affine),
        Volume(pet, pet_grid.affine),
        Volume(lesion_mask(anatomy, ct_axes), ct_grid.affine),
        anatomy,
    )


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


def render_ct(anatomy: Anatomy, axes: Axes, *, fwhm_mm: float) -> Float32[np.ndarray, "z y x"]:
    """Noise-free CT, HU.

    Args:
        anatomy: what to image.
        axes: of the voxels.
        fwhm_mm: Gaussian point spread.
    """
    image = texture(TEXTURE_HU * anatomy.fine_texture, axes, step_mm=FINE_MM)
    image += texture(TEXTURE_HU * anatomy.coarse_texture, axes, step_mm=COARSE_MM)
    image += (LUNG_HU + anatomy.gradient_hu_per_mm * axes[1]).astype(np.float32)[:, None]
    for layer in anatomy.layers:
        paint(image, axes, layer, value=layer.hu, sigma_mm=fwhm_mm / FWHM_PER_SD)
    return image


def render_pet(
    anatomy: Anatomy, axes: Axes, *, fwhm_mm: float, cov: float, rng: np.random.Generator
) -> Float32[np.ndarray, "z y x"]:
    """PET as SUV: activity on a fine grid, breathing and detector blur, counting noise, post-filter, sampling.

    Args:
        anatomy: what to image.
        axes: of the voxels.
        fwhm_mm: total Gaussian point spread of the reconstructed image, breathing apart.
        cov: noise in the final image where the SUV is 1; 0 for none.
        rng: source of the noise.
    """
    shifted = [axis - shift for axis, shift in zip(axes, anatomy.pet_shift_mm[::-1], strict=True)]
    margins = (fwhm_mm + anatomy.breathing_mm / 2, fwhm_mm, fwhm_mm)
    fine = cast(Axes, tuple(_cover(axis, margin) for axis, margin in zip(shifted, margins, strict=True)))
    activity = LUNG_SUV + texture(TEXTURE_SUV * anatomy.coarse_texture, fine, step_mm=COARSE_MM)
    edge = PET_FINE_MM / FWHM_PER_SD
    for layer in anatomy.layers:
        if layer.in_pet:
            paint(activity, fine, layer, value=layer.suv, sigma_mm=edge)
    np.maximum(activity, 0.0, out=activity)
    post = PET_POST_FILTER_FWHM_MM / FWHM_PER_SD
    detector = float(np.sqrt((fwhm_mm / FWHM_PER_SD) ** 2 - post**2 - edge**2))
    blurs = [_gaussian(axis, axis, detector) for axis in fine]
    blurs[0] = _breathing(fine[0], anatomy.breathing_mm) @ blurs[0]
    activity = separable(blurs, activity)
    samplers = [_gaussian(to, axis, post) for to, axis in zip(shifted, fine, strict=True)]
    if cov > 0:
        # White noise that the samplers average down to `cov` where the activity is 1.
        gain = float(np.prod([np.sqrt((s**2).sum(axis=1)).mean() for s in samplers]))
        white = rng.standard_normal(activity.shape, dtype=np.float32)
        white *= np.sqrt(activity)
        activity += np.float32(cov / gain) * white
    return np.maximum(separable(samplers, activity), 0.0)


def lesion_mask(anatomy: Anatomy, axes: Axes) -> Mask:
    """True where a voxel's center lies in the lesion."""
    mask = np.zeros((len(axes[0]), len(axes[1]), len(axes[2])), bool)
    box = blob_box(axes, anatomy.lesion, reach_mm=0.0)
    mask[box] = blob_depth(anatomy.lesion, within(axes, box)) > 0
    return mask


def ct_noise(
    rng: np.random.Generator, grid: Grid, *, fwhm_mm: float, sd_hu: float
) -> Float32[np.ndarray, "z y x"]:
    """Correlated CT noise: ramp times squared transfer function in the slice, overlap between slices.

    Args:
        rng: source of randomness.
        grid: of the image.
        fwhm_mm: Gaussian point spread, which shapes resolution and noise alike.
        sd_hu: standard deviation of a voxel, HU.

    Source: noise power of filtered back projection, Riederer, Pelc, Chesler, Phys Med Biol 1978;23:446.
    """
    dz, dy, dx = grid.spacing_mm
    nz, ny, nx = grid.shape
    frequency = np.hypot(np.fft.fftfreq(ny, dy)[:, None], np.fft.rfftfreq(nx, dx)[None, :])
    sigma = fwhm_mm / FWHM_PER_SD
    power = frequency * np.exp(-((2 * np.pi * sigma * frequency) ** 2))
    # A column of the half spectrum stands for two frequencies, except the first and, if nx is even, the last:
    # of those only the real part survives, so they are drawn twice as strong.
    single = np.zeros(power.shape[1], bool)
    single[[0, -1] if nx % 2 == 0 else [0]] = True
    variance = 2 * (power * np.where(single, 1.0, 2.0)).sum() / (ny * nx) ** 2
    amplitude = np.sqrt(power * np.where(single, 2.0, 1.0) / variance).astype(np.float32)
    # Two Gaussian slice profiles dz apart overlap by this correlation; a moving average (a, 1, a) over slices has
    # neighbor correlation 2a / (1 + 2a^2), at most 0.71.
    overlap = max(min(float(np.exp(-((dz / sigma) ** 2) / 4)), 0.707), 1e-6)
    side = (1 - np.sqrt(1 - 2 * overlap**2)) / (2 * overlap)
    amplitude *= np.float32(sd_hu / np.sqrt(1 + 2 * side**2))
    spectrum = rng.standard_normal((nz + 2, ny, nx // 2 + 1, 2), dtype=np.float32).view(np.complex64)[..., 0]
    spectrum *= amplitude
    noise = fft.irfft2(spectrum, s=(ny, nx), overwrite_x=True)
    correlated = noise[:-2] + noise[2:]
    correlated *= np.float32(side)
    correlated += noise[1:-1]
    return correlated


def _gaussian(
    to: Float64[np.ndarray, "to"], axis: Float64[np.ndarray, "source"], sigma_mm: float
) -> Float64[np.ndarray, "to source"]:
    """Normalized Gaussian weights that blur `axis` and sample at `to`."""
    weights = np.exp(-(((to[:, None] - axis[None, :]) / sigma_mm) ** 2) / 2)
    weights[weights < 1e-5] = 0.0  # beyond 4.8 standard deviations, to keep the map banded
    return weights / weights.sum(axis=1, keepdims=True)


def _breathing(axis: Float64[np.ndarray, "n"], amplitude_mm: float) -> Float64[np.ndarray, "n n"]:
    """Time average over a breath along z: displacement A cos^4, centered on its mean.

    Source: Lujan, Larsen, Balter, Ten Haken, Med Phys 1999;26:715.
    """
    displacement = amplitude_mm * np.cos(np.pi * (np.arange(32) + 0.5) / 32) ** 4
    displacement -= displacement.mean()
    position = (axis[:, None] - displacement[None, :] - axis[0]) / (axis[1] - axis[0])
    distance = np.abs(position[:, :, None] - np.arange(len(axis)))
    weights = np.maximum(0.0, 1.0 - distance).sum(axis=1)
    return weights / weights.sum(axis=1, keepdims=True)


def _cover(axis: Float64[np.ndarray, "n"], margin_mm: float) -> Float64[np.ndarray, "m"]:
    """A fine axis that covers another with a margin."""
    low, high = min(axis[0], axis[-1]) - margin_mm, max(axis[0], axis[-1]) + margin_mm
    return low + PET_FINE_MM * np.arange(int(np.ceil((high - low) / PET_FINE_MM)) + 1)
