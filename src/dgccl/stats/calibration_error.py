"""Expected calibration error over bins, with its bias beside it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from scipy.stats import norm

from dgccl.errors import StatsError
from dgccl.stats._inputs import Values, check_labels, check_whole
from dgccl.stats._probabilities import BinStrategy, bin_index, check_probabilities

CHUNK = 2_000_000
"""Random numbers drawn at a time: 16 MB."""


@dataclass(frozen=True)
class CalibrationError:
    """Expected calibration error: the mean over cases of |share of class 1 - mean probability| of the case's bin.

    Attributes:
        plug_in: the usual figure, biased upwards.
        debiased: `plug_in` less its estimated bias; the remaining bias is smaller but upwards still where calibration
            is good.
        if_calibrated: mean of `plug_in` over simulated labels for which every probability is right: what chance alone
            gives with these probabilities and bins.
        p: share of the simulations with at least this `plug_in`, the observed one counted in.
        squared: plug-in of the mean squared distance, biased upwards.
        squared_debiased: without that bias; chance can put it below 0, and its mean over cohorts is right.
        bins: number of bins with cases.
        n: number of cases.
    """

    plug_in: float
    debiased: float
    if_calibrated: float
    p: float
    squared: float
    squared_debiased: float
    bins: int
    n: int


def expected_calibration_error(
    y_true: Values,
    y_probability: Values,
    *,
    seed: int,
    bins: int = 10,
    strategy: BinStrategy = "quantile",
    draws: int = 1000,
) -> CalibrationError:
    """Expected calibration error of class 1, as it is and with its bias taken off.

    The plug-in error is biased upwards, the more the fewer cases a bin has, since a distance has no sign: perfect
    probabilities have an error above 0 too. A model is not badly calibrated because of the plug-in alone; read it
    beside `if_calibrated` and p. No interval is given: near 0, which is where it matters, none is known to cover.
    Differences within a bin that cancel are not seen; they hide more the wider the bins.

    For the error of the called class of several, give the highest probability, and whether the call was right.

    Args:
        y_true: labels 0 or 1, (n,).
        y_probability: probability of class 1, (n,).
        seed: of the simulation behind `if_calibrated` and p, 0 or more.
        bins: number of bins; equal probabilities stay together, so that fewer can come out.
        strategy: `quantile` for bins of about equal counts, `uniform` for bins of equal width.
        draws: number of simulations.

    Raises:
        StatsError: `labels_not_binary`, `no_cases`, `lengths_differ`, `scores_nan`, `probability_out_of_range`,
            `bins_invalid`, `draws_invalid`, `seed_invalid`, `option_unknown`; `too_few_cases` if a bin has a single
            case, whose variance is unknown.

    Source: Naeini, Cooper and Hauskrecht, AAAI (2015) 2901-2907, for the error; Kumar, Liang and Ma, NeurIPS (2019),
        for taking the bias off (squared: the variance of each bin; absolute: the mean of a normal distance); Bröcker
        and Smith, Weather Forecast 22 (2007) 651-661, for simulating labels from the probabilities.

    Example:
        >>> y, p = np.array([0, 0, 1, 0, 1, 1]), np.array([0.2, 0.2, 0.2, 0.8, 0.8, 0.8])
        >>> round(expected_calibration_error(y, p, seed=1, bins=2).plug_in, 4)
        0.1333
    """
    labels = check_labels(y_true)
    probability = check_probabilities(y_probability, cases=len(labels))
    check_whole(draws, least=1, name="draws")
    check_whole(seed, least=0, name="seed")
    # Sorted, so that the simulation does not depend on the order of the cases.
    order = np.lexsort((labels, probability))
    labels, probability = labels[order], probability[order]
    index = np.unique(bin_index(probability, bins=bins, strategy=strategy), return_inverse=True)[1]
    starts = np.flatnonzero(np.append(True, np.diff(index) > 0))
    counts = np.diff(np.append(starts, len(labels))).astype(np.float64)
    if counts.min() < 2:
        raise StatsError(
            "too_few_cases",
            "A bin has a single case, so that its variance is unknown.",
            remedy="Use fewer bins, or bins of equal counts.",
        )
    residual = labels - probability
    distance = np.add.reduceat(residual, starts) / counts
    spread = np.add.reduceat((residual - distance[index]) ** 2, starts)
    variance, weights = spread / (counts - 1.0) / counts, counts / len(labels)
    plug_in = float(weights @ np.abs(distance))
    chance = _simulated(probability, starts, draws, seed)
    return CalibrationError(
        plug_in,
        plug_in - float(weights @ _normal_bias(distance, variance)),
        float(chance.mean()),
        float((1 + np.count_nonzero(chance >= plug_in - 1e-12)) / (1 + draws)),
        float(weights @ distance**2),
        float(weights @ (distance**2 - variance)),
        len(counts),
        len(labels),
    )


def _normal_bias(
    distance: Float64[np.ndarray, "bins"], variance: Float64[np.ndarray, "bins"]
) -> Float64[np.ndarray, "bins"]:
    """By how much the mean of |distance + normal error| exceeds |distance|."""
    error, absolute = np.sqrt(variance), np.abs(distance)
    sizes = absolute / np.where(error > 0.0, error, 1.0)
    bias = 2.0 * (error * norm.pdf(sizes) - absolute * norm.sf(sizes))
    return np.where(error > 0.0, bias, 0.0)


def _simulated(
    probability: Float64[np.ndarray, "n"], starts: Int64[np.ndarray, "bins"], draws: int, seed: int
) -> Float64[np.ndarray, "draws"]:
    """Plug-in errors of labels drawn from the probabilities, which are sorted."""
    rng = np.random.default_rng(seed)
    expected = np.add.reduceat(probability, starts)
    step = max(1, CHUNK // len(probability))
    found = []
    for first in range(0, draws, step):
        drawn = rng.random((min(step, draws - first), len(probability))) < probability
        positives = np.add.reduceat(drawn, starts, axis=1, dtype=np.int64)
        found.append(np.abs(positives - expected).sum(axis=1) / len(probability))
    return np.concatenate(found)
