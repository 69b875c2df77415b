"""Calibration curves: shares of class 1 in bins, and a smooth curve with the distances that are read off it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from scipy.special import expit, logit
from scipy.stats import norm

from dgccl.errors import StatsError
from dgccl.stats._inputs import Values, check_both_classes, check_confidence, check_groups, check_labels
from dgccl.stats._logistic import LogisticFit, Variance, fit_logistic
from dgccl.stats._probabilities import BinStrategy, bin_index, check_probabilities
from dgccl.stats.calibration import log_odds
from dgccl.stats.proportion import wilson_interval

QUANTILES = {
    3: (0.1, 0.5, 0.9),
    4: (0.05, 0.35, 0.65, 0.95),
    5: (0.05, 0.275, 0.5, 0.725, 0.95),
}
"""Where the knots of a spline lie, as shares of the cases (Harrell, Regression Modeling Strategies)."""


@dataclass(frozen=True, eq=False)
class CalibrationCurve:
    """Observed against predicted, by bin; bins without cases are left out.

    Attributes:
        probability: mean probability of each bin, rising, (k,).
        observed: share of class 1 in each bin, (k,).
        ci_low: lower end of the band, (k,).
        ci_high: upper end of the band, (k,).
        n: number of cases of each bin, (k,).
        method: how the band was computed.
        confidence: nominal coverage of each bin's interval alone.
    """

    probability: Float64[np.ndarray, "k"]
    observed: Float64[np.ndarray, "k"]
    ci_low: Float64[np.ndarray, "k"]
    ci_high: Float64[np.ndarray, "k"]
    n: Int64[np.ndarray, "k"]
    method: str
    confidence: float = 0.95


@dataclass(frozen=True, eq=False)
class SmoothCalibration:
    """Observed against predicted, as a smooth curve.

    Attributes:
        probability: where the curve is given, rising, (k,).
        observed: estimated chance of class 1 there, (k,).
        ci_low: lower end of the band, (k,).
        ci_high: upper end of the band, (k,).
        method: how the band was computed.
        n: number of cases.
        confidence: nominal coverage at each point alone, if the spline can follow the true curve.
    """

    probability: Float64[np.ndarray, "k"]
    observed: Float64[np.ndarray, "k"]
    ci_low: Float64[np.ndarray, "k"]
    ci_high: Float64[np.ndarray, "k"]
    method: str
    n: int
    confidence: float = 0.95


@dataclass(frozen=True)
class CalibrationDistances:
    """Distances between the probabilities and the smooth calibration curve, over the cases.

    Attributes:
        mean: mean absolute distance (ICI).
        median: median absolute distance (E50).
        percentile_90: 90th percentile of the absolute distance (E90).
        n: number of cases.
    """

    mean: float
    median: float
    percentile_90: float
    n: int


@dataclass(frozen=True, eq=False)
class _Spline:
    """Knots, and the matrix that makes the columns orthogonal over the cases."""

    knots: Float64[np.ndarray, "knots"]
    turn: Float64[np.ndarray, "k k"]

    def rows(self, values: Float64[np.ndarray, "n"]) -> Float64[np.ndarray, "n k"]:
        return _columns(values, self.knots) @ self.turn


def calibration_curve(
    y_true: Values,
    y_probability: Values,
    *,
    bins: int = 10,
    strategy: BinStrategy = "quantile",
    confidence: float = 0.95,
) -> CalibrationCurve:
    """Share of class 1 against mean probability in bins, with Wilson's interval for each bin.

    The intervals take cases as independent; with several cases a patient they are too narrow.

    Args:
        y_true: labels 0 or 1, (n,).
        y_probability: probability of class 1, (n,).
        bins: number of bins; equal probabilities stay together, so that fewer can come out.
        strategy: `quantile` for bins of about equal counts, `uniform` for bins of equal width.
        confidence: nominal coverage.

    Raises:
        StatsError: `labels_not_binary`, `no_cases`, `lengths_differ`, `scores_nan`, `probability_out_of_range`,
            `bins_invalid`, `option_unknown`.

    Example:
        >>> curve = calibration_curve(np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.6, 0.8]), bins=2)
        >>> curve.observed.tolist(), curve.n.tolist()
        ([0.0, 1.0], [2, 2])
    """
    check_confidence(confidence)
    labels = check_labels(y_true)
    probability = check_probabilities(y_probability, cases=len(labels))
    index = np.unique(bin_index(probability, bins=bins, strategy=strategy), return_inverse=True)[1]
    counts, positives = np.bincount(index), np.bincount(index[labels], minlength=int(index.max()) + 1)
    found = [
        wilson_interval(int(k), int(n), confidence=confidence) for k, n in zip(positives, counts, strict=True)
    ]
    return CalibrationCurve(
        np.bincount(index, weights=probability) / counts,
        np.array([one.estimate for one in found]),
        np.array([one.ci_low for one in found]),
        np.array([one.ci_high for one in found]),
        counts.astype(np.int64),
        "wilson",
        confidence,
    )


def smooth_calibration(
    y_true: Values,
    y_probability: Values,
    *,
    knots: int = 5,
    points: int = 101,
    grid: Values | None = None,
    confidence: float = 0.95,
    patient: Values | None = None,
    clip: float | None = None,
    variance: Variance = "sandwich",
) -> SmoothCalibration:
    """Chance of class 1 against probability: a logistic regression on a restricted cubic spline of the log odds.

    The curve is a straight line of the log odds outside the outer knots. The band is the Wald interval of the linear
    predictor, put through the logistic function.

    Args:
        y_true: labels 0 or 1, (n,).
        y_probability: probability of class 1, inside (0, 1) or clipped, (n,).
        knots: 3, 4 or 5, at fixed quantiles of the log odds. Fewer give a narrower band around a curve that may not be
            able to follow the truth, and then does not cover it.
        points: number of points of the curve, evenly spaced from the lowest to the highest probability.
        grid: where to give the curve instead, rising, inside (0, 1), (k,).
        confidence: nominal coverage at each point.
        patient: id of each case's patient, (n,); repeated ids make the variance go by patient.
        clip: move probabilities into [clip, 1 - clip] first; None leaves them as they are.
        variance: `sandwich`, or `model` for the inverse information, which is what R's glm gives.

    Raises:
        StatsError: as `calibration_slope_intercept`; `knots_invalid`, `points_invalid`; `too_few_values` if there
            are too few different probabilities for the knots. `separation` can go away with fewer knots.

    Source: Austin and Steyerberg, Stat Med 38 (2019) 4051-4065; the basis, Harrell, Regression Modeling Strategies.

    Example:
        >>> y, p = np.array([0, 0, 1, 0, 1, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 0.9])
        >>> smooth_calibration(y, p, knots=3, points=3).observed.round(3).tolist()
        [0.088, 0.529, 0.96]
    """
    check_confidence(confidence)
    if points < 2:
        raise StatsError("points_invalid", f"A curve needs 2 points or more, found {points}.")
    probability, fit, spline = _fit(y_true, y_probability, knots, patient, clip, variance)
    if grid is None:
        at = np.linspace(float(probability.min()), float(probability.max()), points)
    else:
        at = check_probabilities(grid, cases=len(np.atleast_1d(grid)), name="grid")
    design = spline.rows(log_odds(at, clip=clip))
    linear = design @ fit.coefficients
    half = float(norm.isf((1.0 - confidence) / 2.0)) * fit.errors(design)
    middle, low, high = (np.asarray(expit(values)) for values in (linear, linear - half, linear + half))
    name = f"{fit.method}_spline_{knots}"
    return SmoothCalibration(at, middle, low, high, name, len(probability), confidence)


def calibration_distances(
    y_true: Values, y_probability: Values, *, knots: int = 5, clip: float | None = None
) -> CalibrationDistances:
    """Mean, median and 90th percentile distance between probabilities and the smooth curve (ICI, E50, E90).

    All are biased upwards: the fitted curve wanders around the true one, and distances have no sign. They fall with
    n even for perfect probabilities, so compare only values of about equal n.

    Args:
        y_true: labels 0 or 1, (n,).
        y_probability: probability of class 1, inside (0, 1) or clipped, (n,).
        knots: 3, 4 or 5, as in `smooth_calibration`.
        clip: move probabilities into [clip, 1 - clip] first; None leaves them as they are.

    Raises:
        StatsError: as `smooth_calibration`.

    Source: Austin and Steyerberg, Stat Med 38 (2019) 4051-4065.

    Example:
        >>> y, p = np.array([0, 0, 1, 0, 1, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 0.9])
        >>> found = calibration_distances(y, p, knots=3)
        >>> round(found.mean, 3), round(found.median, 3), round(found.percentile_90, 3)
        (0.034, 0.022, 0.067)
    """
    probability, fit, spline = _fit(y_true, y_probability, knots, None, clip, "model")
    fitted = expit(spline.rows(logit(probability)) @ fit.coefficients)
    distance = np.abs(fitted - probability)
    middle, high = np.quantile(distance, (0.5, 0.9))
    return CalibrationDistances(float(distance.mean()), float(middle), float(high), len(distance))


def _fit(
    y_true: Values,
    y_probability: Values,
    knots: int,
    patient: Values | None,
    clip: float | None,
    variance: Variance,
) -> tuple[Float64[np.ndarray, "n"], LogisticFit, _Spline]:
    """The (clipped) probabilities, the logistic regression on their spline, and that spline."""
    labels = check_both_classes(y_true)
    probability = check_probabilities(y_probability, cases=len(labels))
    odds = log_odds(probability, clip=clip)
    patients = check_groups(patient, cases=len(labels))
    if knots not in QUANTILES:
        raise StatsError("knots_invalid", f"The spline has 3, 4 or 5 knots, found {knots}.")
    places = np.quantile(odds, QUANTILES[knots])
    if (np.diff(places) <= 0).any() or len(odds) < knots:
        raise _too_few_values(knots)
    # Columns of a spline are nearly collinear; made orthogonal, they cost no digits.
    scale = np.linalg.qr(_columns(odds, places), mode="r") / np.sqrt(len(odds))
    if np.linalg.cond(scale) > 1e12:
        raise _too_few_values(knots)
    spline = _Spline(places, np.linalg.inv(scale))
    fit = fit_logistic(labels.astype(np.float64), spline.rows(odds), patients=patients, variance=variance)
    return probability if clip is None else np.clip(probability, clip, 1.0 - clip), fit, spline


def _columns(
    values: Float64[np.ndarray, "n"], knots: Float64[np.ndarray, "knots"]
) -> Float64[np.ndarray, "n k"]:
    """Columns 1, x and one a knot but two: cubic between the knots, straight outside of them."""
    scaled, knots = (values - knots[0]) / (knots[-1] - knots[0]), (knots - knots[0]) / (knots[-1] - knots[0])
    cubes = np.maximum(scaled[:, None] - knots, 0.0) ** 3
    last, before = cubes[:, -1:], cubes[:, -2:-1]
    gap = 1.0 - knots[-2]
    bends = cubes[:, :-2] - before * (1.0 - knots[:-2]) / gap + last * (knots[-2] - knots[:-2]) / gap
    return np.column_stack([np.ones(len(values)), scaled, bends])


def _too_few_values(knots: int) -> StatsError:
    return StatsError(
        "too_few_values",
        f"There are too few different probabilities to fit a spline of {knots} knots.",
        remedy="Use fewer knots, or `calibration_curve` with bins.",
    )
