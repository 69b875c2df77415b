"""The least noise with which the phantom's images can show a lesion's density and uptake.

It is that of an observer who knows all the rest: place, shape, size and composition of the lesion, background,
breathing, point spread and dose. A ball of the lesion's volume stands for its shape, and a concentric ball for its
core: among shapes of one volume it has the strongest blurred signal (Riesz's rearrangement inequality), breathing
apart, which blurs along z alone.

Sources: Fisher information of normal data: Kay, Fundamentals of Statistical Signal Processing I, 1993, 3.9; matched
filter in correlated noise: Barrett and Myers, Foundations of Image Science, 2004, 13.2.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from jaxtyping import Float64
from scipy import special

from dgccl.phantom.acquisition import SCANNERS, Scanner
from dgccl.phantom.anatomy import LUNG_SUV
from dgccl.phantom.canvas import FWHM_PER_SD
from dgccl.phantom.imaging import PET_FINE_MM, PET_POST_FILTER_FWHM_MM, breath_mm, pet_cov
from dgccl.phantom.noise import neighbor_weight

# Glass of a part-solid lesion takes up most where it is densest, -400 HU, half of what its tissue share would.
GLASS_UPTAKE = 0.3
LOG_UPTAKE = np.linspace(np.log(0.02), np.log(400.0), 61)
"""ln(SUV) at which the information on uptake is tabulated."""
_BREATHING_MM = np.array([0.0, 2.0, 4.0, 7.0, 10.0, 15.0, 24.0])
_RADII_MM = np.geomspace(1.0, 25.0, 12)
_CORES = np.geomspace(0.1, 1.0, 7)  # a smaller core counts as this one, which shows more


@dataclass(frozen=True, eq=False)
class UptakeInformation:
    """Fisher information on ln(uptake) in one PET image, at each of `LOG_UPTAKE`.

    Args:
        mean: that in the mean image where the coefficient of variation is 1.
        spread: that in the noise, whose variance goes with activity.
    """

    mean: Float64[np.ndarray, "*lesions uptakes"]
    spread: Float64[np.ndarray, "*lesions uptakes"]


def density_sd_hu(lesions: pd.DataFrame) -> Float64[np.ndarray, "n"]:
    """Standard deviation of the best unbiased estimate of each lesion's density from CT, HU.

    CT is linear in the density and its noise is normal, so this is the matched filter's. Frequencies up to the corner
    of the pixels' Nyquist square count. The noise has its continuous spectrum, as in a box cut from a large image; the
    phantom's own noise repeats after 90 mm and has no mean over a whole slice.

    Args:
        lesions: columns of `sample_lesions` and `sample_acquisitions`.
    """
    radius = _core_radius_mm(lesions)
    gain = np.empty(len(lesions))
    for scanner in SCANNERS:
        rows = (lesions["site"] == scanner.site).to_numpy()
        gain[rows] = np.interp(np.log(radius[rows]), *_density_gains(scanner))
    return lesions["ct_noise_hu"].to_numpy() / np.exp(gain / 2)


def uptake_information(lesions: pd.DataFrame) -> Float64[np.ndarray, "n uptakes"]:
    """Fisher information on ln(uptake) that each lesion's PET holds, were its uptake one of `LOG_UPTAKE`.

    That of the image before its last filter and its sampling, after which less is left.

    Args:
        lesions: columns of `sample_lesions` and `sample_acquisitions`; the uptake itself is not read.
    """
    found = np.empty((len(lesions), len(LOG_UPTAKE)))
    axes = (_BREATHING_MM, np.log(_RADII_MM), np.log(_CORES))
    for scanner in SCANNERS:
        rows = np.flatnonzero(lesions["site"] == scanner.site)
        part = lesions.iloc[rows]
        points = (
            part["breathing_mm"].to_numpy(),
            np.log(part["diameter_mm"].to_numpy() / 2),
            np.log(np.maximum(part["avid_fraction"].to_numpy(), _CORES[0])),
        )
        table = _uptake_table(scanner)
        names = ["activity_mbq", "uptake_time_min", "weight_kg"]
        doses = (dict(zip(names, row, strict=True)) for row in part[names].to_numpy().tolist())
        cov = np.array([pet_cov(dose, scanner) for dose in doses])
        found[rows] = np.exp(_interpolated(table.mean, axes, points)) / cov.reshape(-1, 1) ** 2
        found[rows] += np.exp(_interpolated(table.spread, axes, points))
    return found


def _core_radius_mm(lesions: pd.DataFrame) -> Float64[np.ndarray, "n"]:
    """Radius of the part whose density `density_hu` is: the solid one, or all of a lesion of glass."""
    share = lesions["solid_fraction"].to_numpy()
    return lesions["diameter_mm"].to_numpy() / 2 * np.where(share > 0, np.maximum(share, 1e-3), 1.0)


@cache
def _density_gains(scanner: Scanner) -> tuple[Float64[np.ndarray, "radii"], Float64[np.ndarray, "radii"]]:
    """ln(radius in mm) and ln(noise variance of a voxel / variance of the density's estimate).

    Signal and noise share the point spread in the slice, where it cancels; across, the signal alone has it.
    """
    dz, dxy = scanner.ct_spacing_mm
    sigma = scanner.ct_fwhm_mm / FWHM_PER_SD
    width = (2 * np.pi * sigma) ** 2
    in_plane = (np.arange(500) + 0.5) / 500 * np.sqrt(2.0) / (2 * dxy)
    across = (np.arange(250) + 0.5) / 250 / (2 * dz)
    side = neighbor_weight(dz, sigma)
    overlap = dz * (1 + 2 * side * np.cos(2 * np.pi * across * dz)) ** 2 / (1 + 2 * side**2)
    # Noise power is sd^2 f exp(-width f^2) / norm in the slice.
    norm = np.pi**1.5 / (2 * width**1.5)
    cell = (in_plane[1] - in_plane[0]) * 2 * (across[1] - across[0])
    weight = 2 * np.pi * norm * np.exp(-width * across**2) / overlap * cell
    radii = np.geomspace(0.01, 25.0, 40)
    frequency = np.hypot(in_plane[:, None], across[None, :])
    gains = [float((_ball_transform(frequency, radius) ** 2 @ weight).sum()) for radius in radii]
    return np.log(radii), np.log(gains)


def _ball_transform(frequency: Float64[np.ndarray, "_ _"], radius_mm: float) -> Float64[np.ndarray, "_ _"]:
    """Fourier transform of a ball, mm3, at a frequency in 1/mm."""
    phase = 2 * np.pi * frequency * radius_mm
    return 4 * np.pi * radius_mm**3 * special.spherical_jn(1, phase) / phase


@cache
def _uptake_table(scanner: Scanner) -> UptakeInformation:
    """Logarithms of the information over breathing, radius, core and uptake."""
    post = PET_POST_FILTER_FWHM_MM / FWHM_PER_SD
    before = float(np.sqrt((scanner.pet_fwhm_mm / FWHM_PER_SD) ** 2 - post**2))
    # White noise that the last filter averages down to 1 has this variance in a volume of 1 mm3.
    white = (2 * np.sqrt(np.pi) * post) ** 3
    shape = (len(_BREATHING_MM), len(_RADII_MM), len(_CORES), len(LOG_UPTAKE))
    mean, spread = np.empty(shape), np.empty(shape)
    for i, breathing in enumerate(_BREATHING_MM.tolist()):
        for j, radius in enumerate(_RADII_MM.tolist()):
            cores, volume = _blurred_balls(radius, breathing, before)
            for k, core in enumerate(cores):
                signal, activity = _activity(cores[-1], core)
                mean[i, j, k] = (signal**2 / activity) @ volume / white
                spread[i, j, k] = (signal / activity) ** 2 @ volume / (2 * PET_FINE_MM**3)
    return UptakeInformation(np.log(mean), np.log(spread))


def _blurred_balls(
    radius_mm: float, breathing_mm: float, sigma_mm: float
) -> tuple[Float64[np.ndarray, "cores voxels"], Float64[np.ndarray, "voxels"]]:
    """Coverage by concentric balls of `_CORES` times a radius, blurred, in rings of the volumes returned, mm3."""
    displacement = breath_mm(breathing_mm)
    far = radius_mm + 4.5 * sigma_mm
    out = (np.arange(22) + 0.5) / 22 * far
    low, high = displacement.min() - far, displacement.max() + far
    up = low + (np.arange(36) + 0.5) / 36 * (high - low)
    distance = np.hypot(out[:, None, None], up[None, :, None] - displacement)
    r = np.linspace(1e-6, 1.5 * distance.max(), 2000)
    scale = np.sqrt(2.0) * sigma_mm
    balls = []
    for core in (_CORES * radius_mm).tolist():
        inside = (special.erf((core - r) / scale) + special.erf((core + r) / scale)) / 2
        bells = np.exp(-(((core - r) / scale) ** 2)) - np.exp(-(((core + r) / scale) ** 2))
        profile = inside - sigma_mm / (np.sqrt(2 * np.pi) * r) * bells
        balls.append(np.interp(distance, r, profile).mean(axis=2).ravel())
    rings = np.repeat(2 * np.pi * out * (out[1] - out[0]) * (up[1] - up[0]), len(up))
    seen = balls[-1] > 1e-4
    return np.maximum([ball[seen] for ball in balls], 0.0), rings[seen]


def _activity(
    whole: Float64[np.ndarray, "voxels"], core: Float64[np.ndarray, "voxels"]
) -> tuple[Float64[np.ndarray, "uptakes voxels"], Float64[np.ndarray, "uptakes voxels"]]:
    """Derivative of the activity by ln(uptake), and the activity, for every uptake."""
    uptake = np.exp(LOG_UPTAKE)[:, None]
    glass = np.maximum(LUNG_SUV, GLASS_UPTAKE * uptake)
    slope = np.where(glass > LUNG_SUV, GLASS_UPTAKE, 0.0)
    activity = LUNG_SUV + (glass - LUNG_SUV) * whole + (uptake - glass) * core
    return uptake * (slope * whole + (1.0 - slope) * core), activity


def _interpolated(
    table: Float64[np.ndarray, "*axes uptakes"],
    axes: tuple[Float64[np.ndarray, "_"], ...],
    points: tuple[Float64[np.ndarray, "n"], ...],
) -> Float64[np.ndarray, "n uptakes"]:
    """Rows of a table by linear interpolation along all its axes but the last; the edge's beyond the edge."""
    corners: list[tuple[tuple[np.ndarray, ...], np.ndarray]] = [((), np.ones(len(points[0])))]
    for axis, point in zip(axes, points, strict=True):
        low = np.clip(np.searchsorted(axis, point) - 1, 0, len(axis) - 2)
        share = np.clip((point - axis[low]) / (axis[low + 1] - axis[low]), 0.0, 1.0)
        corners = [
            ((*index, node), weight * part)
            for index, weight in corners
            for node, part in ((low, 1.0 - share), (low + 1, share))
        ]
    return sum(weight[:, None] * table[index] for index, weight in corners)
