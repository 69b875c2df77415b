"""What survives blur and noise: a tighter bound on any classifier of the phantom's images than its true latents give.

`dgccl.phantom.law.log_likelihood_ratio` grants the latents as they are. Here density and uptake are granted only as
measurements, with the least noise that the images allow (`dgccl.phantom.limits`). AUCs: docs/phantom.md.
"""

from functools import partial

import numpy as np
import pandas as pd
from jaxtyping import Float64
from scipy import stats

from dgccl.errors import ConfigError
from dgccl.phantom.kinds import Kind
from dgccl.phantom.law import (
    LesionLaw,
    View,
    avid_log_density,
    ct_log_density,
    ratio_over_kinds,
    uptake_log_density,
)
from dgccl.phantom.limits import LOG_UPTAKE, density_sd_hu, uptake_information

_BLOCK = 20_000  # lesions at once, for memory
_NODES = 64
_REACH_SD = 6.5


def surviving_log_likelihood_ratio(
    lesions: pd.DataFrame,
    view: View,
    *,
    rng: np.random.Generator,
    law: LesionLaw | None = None,
    noise_scale: float = 1.0,
    lobes_in_pet: bool = False,
) -> Float64[np.ndarray, "n"]:
    """ln p(seen | label 1) / p(seen | label 0) of what a view can show of density and uptake through blur and noise.

    CT shows `density_hu` plus normal noise of `density_sd_hu`. PET shows u(uptake) plus normal noise of standard
    deviation 1, where u is the coordinate in which the Fisher information of PET on the uptake is 1 at every
    uptake. No unbiased estimate of either is less noisy, even if it knows all else. The rest is granted as it is:
    diameter, density type, solid fraction, spiculation and rim to who sees CT; diameter and the share of the lesion
    that takes up FDG to who sees PET; and what is independent of the class (place, shape, background, breathing,
    dose, scanner).

    The ratio is exact for these measurements, so that no score of them has a higher AUC. For images that makes it
    an upper bound, strict but for this: PET's noise goes with its activity, so that measurement and image agree in
    Fisher information and not in every detail; lesions are taken as balls, edges as Gaussian. And PET alone shows
    something of the lobes, whose amplitude goes with spiculation, to who knows their places; `lobes_in_pet` grants
    it all.

    Args:
        lesions: columns of `sample_lesions` and `sample_acquisitions`, as `sample_cohort` has them.
        view: "ct", "pet" or "both".
        rng: source of the measurements' noise; equal states give a lesion equal noise in every view.
        law: the law that the lesions were drawn from.
        noise_scale: factor on the noise; 0: density and uptake are granted too.
        lobes_in_pet: grant spiculation to who sees PET alone.

    Returns:
        One value a lesion, for the measurements drawn.

    Raises:
        ConfigError: `noise_scale` is negative.
    """
    law = law or LesionLaw()
    if noise_scale < 0:
        raise ConfigError(
            "phantom_setting_out_of_range",
            f"noise_scale is {noise_scale:g}, expected a number of at least 0.",
            remedy="Correct the setting.",
        )
    noise = rng.standard_normal((2, len(lesions)))
    ratios = [
        _block_ratio(
            lesions.iloc[low : low + _BLOCK],
            view,
            law,
            noise[:, low : low + _BLOCK],
            noise_scale=noise_scale,
            lobes_in_pet=lobes_in_pet,
        )
        for low in range(0, len(lesions), _BLOCK)
    ]
    return np.concatenate([np.empty(0), *ratios])


def uptake_log_sd(lesions: pd.DataFrame) -> Float64[np.ndarray, "n"]:
    """Cramer-Rao limit of the standard deviation of ln(uptake) from each lesion's PET, all else known.

    Args:
        lesions: columns of `sample_lesions` and `sample_acquisitions`.
    """
    root = np.sqrt(uptake_information(lesions))
    return 1.0 / _row_values(root, np.log(lesions["uptake_suv"].to_numpy())[:, None])[:, 0]


def _block_ratio(
    lesions: pd.DataFrame,
    view: View,
    law: LesionLaw,
    noise: Float64[np.ndarray, "2 n"],
    *,
    noise_scale: float,
    lobes_in_pet: bool,
) -> Float64[np.ndarray, "n"]:
    sd_hu = noise_scale * density_sd_hu(lesions)
    measured = lesions.assign(density_hu=lesions["density_hu"] + sd_hu * noise[0])

    def log_own(kind: Kind) -> Float64[np.ndarray, "n"]:
        if view != "pet":
            return ct_log_density(measured, kind, density_sd_hu=sd_hu)
        shown = np.zeros(len(lesions))
        if not law.conditional_independence:
            shown += avid_log_density(lesions, kind)
        if lobes_in_pet:
            shown += stats.beta.logpdf(lesions["spiculation"].to_numpy(), *kind.spiculation_beta)
        return shown

    if view == "ct":
        return ratio_over_kinds(lesions, law, log_own=log_own, log_uptake=None)
    if noise_scale == 0:
        exact = partial(uptake_log_density, lesions)
        return ratio_over_kinds(lesions, law, log_own=log_own, log_uptake=exact)
    uptakes, kernel = _uptake_likelihood(lesions, law, noise[1], noise_scale)

    def log_uptake(kind: Kind) -> Float64[np.ndarray, "n"]:
        prior = stats.norm.pdf(uptakes, np.log(kind.uptake_median_suv), kind.uptake_log_sd)
        return np.log(np.maximum((kernel * prior).sum(axis=1), np.finfo(float).tiny))

    return ratio_over_kinds(lesions, law, log_own=log_own, log_uptake=log_uptake)


def _uptake_likelihood(
    lesions: pd.DataFrame, law: LesionLaw, noise: Float64[np.ndarray, "n"], noise_scale: float
) -> tuple[Float64[np.ndarray, "n nodes"], Float64[np.ndarray, "n nodes"]]:
    """ln(SUV) over which to integrate, and how likely the uptake measured is at each, up to a factor a lesion.

    The nodes cover where neither measurement nor law rules the uptake out. Both fall to nothing at the ends, where
    the trapezoidal rule converges faster than any power of the spacing.
    """
    root = np.sqrt(uptake_information(lesions)) / noise_scale
    step = LOG_UPTAKE[1] - LOG_UPTAKE[0]
    scale = np.zeros_like(root)
    np.cumsum((root[:, 1:] + root[:, :-1]) / 2 * step, axis=1, out=scale[:, 1:])
    truth = np.log(lesions["uptake_suv"].to_numpy())
    seen = _row_values(scale, truth[:, None])[:, 0] + noise
    medians = np.log([kind.uptake_median_suv for kind in law.kinds])
    sds = np.array([kind.uptake_log_sd for kind in law.kinds])
    low = np.maximum(_row_places(scale, seen - _REACH_SD), (medians - _REACH_SD * sds).min())
    high = np.minimum(_row_places(scale, seen + _REACH_SD), (medians + _REACH_SD * sds).max())
    nodes = low[:, None] + np.maximum(high - low, step / 100)[:, None] * np.linspace(0.0, 1.0, _NODES)
    return nodes, np.exp(-((seen[:, None] - _row_values(scale, nodes)) ** 2) / 2)


def _row_values(
    rows: Float64[np.ndarray, "n uptakes"], at: Float64[np.ndarray, "n m"]
) -> Float64[np.ndarray, "n m"]:
    """Each row, known at `LOG_UPTAKE`, at other ln(SUV), by linear interpolation."""
    place = (at - LOG_UPTAKE[0]) / (LOG_UPTAKE[1] - LOG_UPTAKE[0])
    low = np.clip(np.floor(place).astype(np.int64), 0, rows.shape[1] - 2)
    share = np.clip(place - low, 0.0, 1.0)
    left, right = np.take_along_axis(rows, low, axis=1), np.take_along_axis(rows, low + 1, axis=1)
    return left + share * (right - left)


def _row_places(
    rows: Float64[np.ndarray, "n uptakes"], values: Float64[np.ndarray, "n"]
) -> Float64[np.ndarray, "n"]:
    """The ln(SUV) at which each row, which rises, has a value; the nearest end if it has it nowhere."""
    low = np.clip((rows <= values[:, None]).sum(axis=1) - 1, 0, rows.shape[1] - 2)[:, None]
    left, right = np.take_along_axis(rows, low, axis=1), np.take_along_axis(rows, low + 1, axis=1)
    share = np.clip((values[:, None] - left) / (right - left), 0.0, 1.0)
    return (LOG_UPTAKE[low] + share * (LOG_UPTAKE[1] - LOG_UPTAKE[0]))[:, 0]
