"""What can go wrong with the images of a lesion, as functions on its stored box; an amount of 0 changes no bit.

Each takes the arrays of one lesion, a physical amount, the edge of the box and a generator, and gives new arrays; what
a lesion lacks stays lacking. Outside of the stored box nothing is known: where an image is moved, its border is
repeated.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Float, Float32, Float64, Int16
from scipy import ndimage

from dgccl.dicom.suv import F18_HALF_LIFE_S
from dgccl.lesion import LesionArrays

FWHM_PER_SD = float(2.0 * np.sqrt(2.0 * np.log(2.0)))
SHARPENING_FWHM_MM = 2.0
"""Width of what an unsharp mask takes away; a sharper kernel lifts structures of about this size."""
CT_NOISE_FWHM_MM = 1.5
"""Correlation of the added CT noise; about the resolution of a standard body kernel."""
PET_NOISE_FWHM_MM = 6.0
"""Correlation of the added PET noise; about the resolution of a clinical reconstruction."""
PET_NOISE_AT_FULL_COUNTS = 0.10
"""Coefficient of variation of PET at full counts. EARL asks for at most 0.15 in the background of a phantom (EANM
guideline 2.0, Boellaard et al. 2015)."""

Ct = Int16[np.ndarray, "z y x"]
Suv = Float32[np.ndarray, "z y x"]


def direction(rng: np.random.Generator) -> Float64[np.ndarray, "3"]:
    """A random direction, (z, y, x), of length 1."""
    vector = rng.standard_normal(3)
    return np.asarray(vector / np.linalg.norm(vector))


def move_pet(arrays: LesionArrays, amount: float, box_mm: float, rng: np.random.Generator) -> LesionArrays:
    """PET lies off CT by `amount` mm in a random direction (breathing, motion between the scans)."""
    way = direction(rng)
    if arrays.suv_bw is None or amount == 0:
        return arrays
    return replace(arrays, suv_bw=_moved(arrays.suv_bw, way * amount, box_mm).astype(np.float32))


def move_box(arrays: LesionArrays, amount: float, box_mm: float, rng: np.random.Generator) -> LesionArrays:
    """The outline's center is off by `amount` mm in a random direction: all images move in the box together."""
    way = direction(rng) * amount
    if amount == 0:
        return arrays
    ct = None if arrays.ct_hu is None else _as_hu(_moved(arrays.ct_hu, way, box_mm))
    pet = None if arrays.suv_bw is None else _moved(arrays.suv_bw, way, box_mm).astype(np.float32)
    others = {name: _moved(image, way, box_mm).astype(np.float32) for name, image in arrays.others.items()}
    return replace(arrays, ct_hu=ct, suv_bw=pet, others=others)


def scale_suv(arrays: LesionArrays, amount: float, box_mm: float, rng: np.random.Generator) -> LesionArrays:
    """Every SUV is off by `amount` percent: dose, weight or clocks were wrong. SUL and SUVbsa are off alike."""
    if arrays.suv_bw is None or amount == 0:
        return arrays
    return replace(arrays, suv_bw=arrays.suv_bw * np.float32(1.0 + amount / 100.0))


def clock_error_min(percent: float) -> float:
    """By how much the injection is written down too early for SUV to be too high by `percent`, minutes.

    Decay is corrected over the time between injection and scan, so that SUV is off by exp(ln 2 t / T); negative where
    the injection is written down too late.
    """
    return float(np.log(1.0 + percent / 100.0) / np.log(2.0) * F18_HALF_LIFE_S / 60.0)


def add_ct_noise(
    arrays: LesionArrays, amount: float, box_mm: float, rng: np.random.Generator
) -> LesionArrays:
    """Noise of standard deviation `amount` HU on top of what is there, correlated over `CT_NOISE_FWHM_MM`."""
    if arrays.ct_hu is None or amount == 0:
        return arrays
    spacing_mm = box_mm / arrays.ct_hu.shape[0]
    noise = correlated_noise(rng, arrays.ct_hu.shape, fwhm_mm=CT_NOISE_FWHM_MM, spacing_mm=spacing_mm)
    return replace(arrays, ct_hu=_as_hu(arrays.ct_hu + amount * noise))


def smooth_ct(arrays: LesionArrays, amount: float, box_mm: float, rng: np.random.Generator) -> LesionArrays:
    """A softer kernel: CT blurred within the slices by a Gaussian of `amount` mm full width at half maximum."""
    if arrays.ct_hu is None or amount == 0:
        return arrays
    return replace(arrays, ct_hu=_as_hu(_blurred_slices(arrays.ct_hu, amount, box_mm)))


def sharpen_ct(arrays: LesionArrays, amount: float, box_mm: float, rng: np.random.Generator) -> LesionArrays:
    """A sharper kernel: `amount` times what a blur of `SHARPENING_FWHM_MM` within the slices takes away is added."""
    if arrays.ct_hu is None or amount == 0:
        return arrays
    smooth = _blurred_slices(arrays.ct_hu, SHARPENING_FWHM_MM, box_mm)
    return replace(arrays, ct_hu=_as_hu(arrays.ct_hu + amount * (arrays.ct_hu - smooth)))


def thicken_slices(
    arrays: LesionArrays, amount: float, box_mm: float, rng: np.random.Generator
) -> LesionArrays:
    """CT slices of `amount` mm, as far apart as they are thick, the first at random, interpolated as in ingestion.

    Each new slice is the mean of what it covers. Slices thinner than those that were acquired cannot be made.
    """
    phase = rng.uniform()
    if arrays.ct_hu is None or amount == 0:
        return arrays
    count = arrays.ct_hu.shape[0]
    z_mm = (np.arange(count) + 0.5) * box_mm / count
    centers_mm = np.arange((phase - 1.0) * amount, box_mm + amount, amount)
    edges_mm = np.arange(count + 1) * box_mm / count
    # Overlap of every new slice with every stored one; beyond the box the border slice goes on.
    reach = np.concatenate([[-np.inf], edges_mm[1:-1], [np.inf]])
    low = np.maximum(centers_mm[:, None] - amount / 2, reach[None, :-1])
    high = np.minimum(centers_mm[:, None] + amount / 2, reach[None, 1:])
    slabs = np.tensordot((high - low).clip(0) / amount, arrays.ct_hu.astype(np.float64), axes=1)
    place = ((z_mm - centers_mm[0]) / amount).clip(0, len(centers_mm) - 1.000001)
    below = np.floor(place).astype(int)
    share = (place - below)[:, None, None]
    return replace(arrays, ct_hu=_as_hu((1.0 - share) * slabs[below] + share * slabs[below + 1]))


def blur_pet(arrays: LesionArrays, amount: float, box_mm: float, rng: np.random.Generator) -> LesionArrays:
    """PET of a poorer resolution: blurred by a Gaussian of `amount` mm full width at half maximum, in quadrature."""
    if arrays.suv_bw is None or amount == 0:
        return arrays
    sd = amount / FWHM_PER_SD / (box_mm / arrays.suv_bw.shape[0])
    return replace(arrays, suv_bw=ndimage.gaussian_filter(arrays.suv_bw, sd, mode="nearest"))


def lose_counts(arrays: LesionArrays, amount: float, box_mm: float, rng: np.random.Generator) -> LesionArrays:
    """PET of `amount` percent fewer counts (less activity, shorter beds), at the same resolution.

    The relative variance of a reconstruction goes with 1 / counts. What the loss adds is drawn: noise in proportion to
    the local uptake, `PET_NOISE_AT_FULL_COUNTS` of it with all counts, correlated over `PET_NOISE_FWHM_MM`.
    """
    if arrays.suv_bw is None or amount == 0:
        return arrays
    spacing_mm = box_mm / arrays.suv_bw.shape[0]
    noise = correlated_noise(rng, arrays.suv_bw.shape, fwhm_mm=PET_NOISE_FWHM_MM, spacing_mm=spacing_mm)
    left = 1.0 - amount / 100.0
    sd = PET_NOISE_AT_FULL_COUNTS * np.sqrt(1.0 / left - 1.0)
    local = ndimage.gaussian_filter(
        arrays.suv_bw, PET_NOISE_FWHM_MM / FWHM_PER_SD / spacing_mm, mode="nearest"
    )
    noisy = arrays.suv_bw + np.float32(sd) * local * noise
    return replace(arrays, suv_bw=noisy.clip(0.0).astype(np.float32))


def other_scanner(
    arrays: LesionArrays, amount: float, box_mm: float, rng: np.random.Generator
) -> LesionArrays:
    """A stated other scanner, reached by `amount` of 1: see `OTHER_SCANNER`."""
    for change, full in OTHER_SCANNER:
        arrays = change(arrays, amount * full, box_mm, rng)
    return arrays


OTHER_SCANNER = (
    (smooth_ct, 1.5),
    (thicken_slices, 3.0),
    (add_ct_noise, 25.0),
    (blur_pet, 5.0),
    (scale_suv, -10.0),
)
"""What the other scanner does at an amount of 1: a softer kernel, 3 mm slices, 25 HU of noise, PET blurred by 5 mm more
(7 mm instead of 5 mm, say) and calibrated 10 % lower, the usual limit of cross-calibration."""


def correlated_noise(
    rng: np.random.Generator, shape: tuple[int, ...], *, fwhm_mm: float, spacing_mm: float
) -> Float32[np.ndarray, "z y x"]:
    """Gaussian noise of standard deviation 1, correlated as white noise blurred by a Gaussian is.

    Args:
        rng: source of randomness.
        shape: (z, y, x).
        fwhm_mm: full width at half maximum of the blur.
        spacing_mm: voxel size.
    """
    sd = fwhm_mm / FWHM_PER_SD / spacing_mm
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), sd, mode="wrap")
    kernel = ndimage.gaussian_filter(_impulse(shape), sd, mode="wrap")
    return np.asarray(noise / np.sqrt((kernel**2).sum()), dtype=np.float32)


def _impulse(shape: tuple[int, ...]) -> Float64[np.ndarray, "z y x"]:
    impulse = np.zeros(shape)
    impulse[tuple(size // 2 for size in shape)] = 1.0
    return impulse


def _moved(
    image: Int16[np.ndarray, "z y x"] | Float32[np.ndarray, "z y x"],
    way_mm: Float64[np.ndarray, "3"],
    box_mm: float,
) -> Float[np.ndarray, "z y x"]:
    """An image shifted by a way in mm, trilinear."""
    voxels = way_mm / (box_mm / np.array(image.shape))
    return np.asarray(ndimage.shift(image.astype(np.float64), voxels, order=1, mode="nearest"))


def _blurred_slices(image: Ct, fwhm_mm: float, box_mm: float) -> Float64[np.ndarray, "z y x"]:
    sd = fwhm_mm / FWHM_PER_SD / (box_mm / image.shape[1])
    return np.asarray(ndimage.gaussian_filter(image.astype(np.float64), (0.0, sd, sd), mode="nearest"))


def _as_hu(values: Float[np.ndarray, "z y x"]) -> Ct:
    return np.round(values).clip(-32768, 32767).astype(np.int16)
