"""Noise of CT: correlated as filtered back projection makes it."""

import numpy as np
from jaxtyping import Float32
from scipy import fft

from dgccl.phantom.canvas import FWHM_PER_SD, Box, whole
from dgccl.volume import Grid

SLICES_AT_ONCE = 8


def ct_noise(
    rng: np.random.Generator, grid: Grid, *, fwhm_mm: float, sd_hu: float, part: Box | None = None
) -> Float32[np.ndarray, "z y x"]:
    """Correlated CT noise: ramp times squared transfer function in the slice, overlap between slices.

    Args:
        rng: source of randomness.
        grid: of the image.
        fwhm_mm: Gaussian point spread, which shapes resolution and noise alike.
        sd_hu: standard deviation of a voxel, HU.
        part: index box to return; the whole grid if omitted.

    Source: noise power of filtered back projection, Riederer, Pelc, Chesler, Phys Med Biol 1978;23:446.
    """
    dz, dy, dx = grid.spacing_mm
    _, ny, nx = grid.shape
    frequency = np.hypot(np.fft.fftfreq(ny, dy)[:, None], np.fft.rfftfreq(nx, dx)[None, :])
    sigma = fwhm_mm / FWHM_PER_SD
    power = frequency * np.exp(-((2 * np.pi * sigma * frequency) ** 2))
    # A column of the half spectrum stands for two frequencies, except the first and, if nx is even, the last:
    # of those only the real part survives, so they are drawn twice as strong.
    single = np.zeros(power.shape[1], bool)
    single[[0, -1] if nx % 2 == 0 else [0]] = True
    variance = 2 * (power * np.where(single, 1.0, 2.0)).sum() / (ny * nx) ** 2
    amplitude = np.sqrt(power * np.where(single, 2.0, 1.0) / variance).astype(np.float32)
    side = neighbor_weight(dz, sigma)
    amplitude *= np.float32(sd_hu / np.sqrt(1 + 2 * side**2))
    image = _filtered_slices(rng, amplitude, grid.shape, part or whole(grid.shape))
    first, middle, last = image[:-2], image[1:-1], image[2:]
    correlated = first + last
    correlated *= np.float32(side)
    correlated += middle
    return correlated


def neighbor_weight(slice_spacing_mm: float, sigma_mm: float) -> float:
    """Weight `a` of a moving average (a, 1, a) over white slices that makes neighbors as alike as they overlap.

    Two Gaussian slice profiles a spacing apart overlap by the correlation found here; a moving average has neighbor
    correlation 2a / (1 + 2a^2), at most 0.71.

    Args:
        slice_spacing_mm: distance of the slices, mm.
        sigma_mm: standard deviation of a slice's profile, mm.
    """
    overlap = max(min(float(np.exp(-((slice_spacing_mm / sigma_mm) ** 2) / 4)), 0.707), 1e-6)
    return float((1 - np.sqrt(1 - 2 * overlap**2)) / (2 * overlap))


def _filtered_slices(
    rng: np.random.Generator,
    amplitude: Float32[np.ndarray, "ky kx"],
    shape: tuple[int, int, int],
    part: Box,
) -> Float32[np.ndarray, "slices y x"]:
    """White noise of every slice and two beyond, filtered in the slice; of a part, with one slice beyond each end.

    A few slices at a time stay in the processor's cache. Slices before the part are drawn too: where a generator
    stands after normals cannot be told without drawing them.
    """
    _, ny, nx = shape
    z, y, x = part
    noise = np.empty((z.stop + 2 - z.start, y.stop - y.start, x.stop - x.start), np.float32)
    spectrum = np.empty((SLICES_AT_ONCE, *amplitude.shape, 2), np.float32)
    for low in range(0, z.stop + 2, SLICES_AT_ONCE):
        drawn = spectrum[: min(SLICES_AT_ONCE, z.stop + 2 - low)]
        rng.standard_normal(out=drawn, dtype=np.float32)
        used = drawn[max(0, z.start - low) :].view(np.complex64)[..., 0]
        if not len(used):
            continue
        used *= amplitude
        # The inverse transform of the half spectrum in two steps, rows outside the part left out of the second.
        columns = fft.ifft(used, axis=1, norm="forward", overwrite_x=True)
        rows = fft.irfft(columns[:, y], n=nx, axis=2, norm="forward")
        start = max(0, low - z.start)
        np.multiply(rows[..., x], np.float32(1 / (ny * nx)), out=noise[start : start + len(used)])
    return noise
