"""Calibration in two numbers and one test: in the large, intercept and slope, Spiegelhalter's z."""

from dataclasses import dataclass
from typing import get_args

import numpy as np
from jaxtyping import Float64
from scipy.special import logit
from scipy.stats import norm

from dgccl.errors import StatsError
from dgccl.stats._inputs import (
    Values,
    check_both_classes,
    check_choice,
    check_confidence,
    check_groups,
    check_labels,
)
from dgccl.stats._logistic import LogisticFit, Variance, fit_logistic
from dgccl.stats._probabilities import check_probabilities
from dgccl.stats.estimate import Estimate


@dataclass(frozen=True)
class LogisticCalibration:
    """Logistic recalibration of probabilities; all three have the values 0, 0 and 1 if calibration is perfect.

    Attributes:
        in_the_large: log odds to add to every case so that the mean probability is the share of class 1; below 0 the
            probabilities are too high.
        intercept: intercept of the logistic regression of the label on the log odds, beside the slope.
        slope: slope of that regression; below 1 the probabilities are too extreme, as after overfitting.
    """

    in_the_large: Estimate
    intercept: Estimate
    slope: Estimate


@dataclass(frozen=True)
class CalibrationTest:
    """A test of perfect calibration.

    Attributes:
        z: standard normal if every probability is right.
        p: two-sided.
        method: name of the test.
        n: number of cases.
    """

    z: float
    p: float
    method: str
    n: int


def calibration_slope_intercept(
    y_true: Values,
    y_probability: Values,
    *,
    confidence: float = 0.95,
    patient: Values | None = None,
    clip: float | None = None,
    variance: Variance = "sandwich",
) -> LogisticCalibration:
    """Calibration in the large, and the intercept and slope of logistic recalibration, with Wald intervals.

    The sandwich variance is the default, since the model's own is wrong whenever calibration is: that of
    `in_the_large` takes the slope to be 1, and held the truth in 92 to 93 % at a slope of 0.7, whatever n.

    Args:
        y_true: labels 0 or 1, (n,).
        y_probability: probability of class 1, inside (0, 1) or clipped, (n,).
        confidence: nominal coverage.
        patient: id of each case's patient, (n,); repeated ids make the variance go by patient.
        clip: move probabilities into [clip, 1 - clip] first; None leaves them as they are.
        variance: `sandwich`, or `model` for the inverse information, which is what R's glm gives.

    Raises:
        StatsError: `one_class`, `labels_not_binary`, `lengths_differ`, `scores_nan`, `probability_out_of_range`;
            `probability_zero_or_one` where log odds are infinite and `clip` is None; `clip_out_of_range`;
            `constant_probability` if all cases have one probability, which has no slope; `separation` if the
            probabilities separate the classes; `too_few_cases` if there are fewer than three patients;
            `variance_invalid` for the model's variance where a patient has several cases; `option_unknown`.

    Source: Cox, Biometrika 45 (1958) 562-565; Van Calster et al., J Clin Epidemiol 74 (2016) 167-176; the
        sandwich, Liang and Zeger, Biometrika 73 (1986) 13-22.

    Example:
        >>> y, p = np.array([0, 0, 1, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.6, 0.8, 0.9])
        >>> round(calibration_slope_intercept(y, p).slope.estimate, 3)
        1.11
    """
    check_confidence(confidence)
    check_choice(variance, get_args(Variance), name="variance")
    labels = check_both_classes(y_true)
    odds = log_odds(check_probabilities(y_probability, cases=len(labels)), clip=clip)
    patients = check_groups(patient, cases=len(labels))
    check_not_constant(odds)
    targets, ones = labels.astype(np.float64), np.ones((len(labels), 1))
    large = fit_logistic(targets, ones, offset=odds, patients=patients, variance=variance)
    both = fit_logistic(targets, np.column_stack([ones, odds]), patients=patients, variance=variance)
    return LogisticCalibration(
        _wald(large, 0, len(labels), confidence),
        _wald(both, 0, len(labels), confidence),
        _wald(both, 1, len(labels), confidence),
    )


def spiegelhalter_test(y_true: Values, y_probability: Values) -> CalibrationTest:
    """Test whether the Brier score is what it would be if every probability were right.

    It takes cases as independent; with several cases a patient its p is too small. It sees only what moves the
    Brier score: errors that cancel there go unseen.

    Args:
        y_true: labels 0 or 1, (n,).
        y_probability: probability of class 1, (n,).

    Raises:
        StatsError: `labels_not_binary`, `no_cases`, `lengths_differ`, `scores_nan`, `probability_out_of_range`;
            `no_variance` if all probabilities are 0, 1/2 or 1, where the score does not vary.

    Source: Spiegelhalter, Stat Med 5 (1986) 421-433.

    Example:
        >>> round(spiegelhalter_test(np.array([0, 1, 1]), np.array([0.2, 0.7, 0.9])).z, 3)
        -0.83
    """
    labels = check_labels(y_true)
    probability = check_probabilities(y_probability, cases=len(labels))
    weight = 1.0 - 2.0 * probability
    variance = float(np.sum(weight**2 * probability * (1.0 - probability)))
    if variance == 0.0:
        raise StatsError(
            "no_variance",
            "All probabilities are 0, 1/2 or 1: the Brier score has no variance under them, and no test is defined.",
            remedy="Look for probabilities that were rounded or turned into calls.",
        )
    z = float(np.sum((labels - probability) * weight)) / float(np.sqrt(variance))
    return CalibrationTest(z, float(2.0 * norm.sf(abs(z))), "spiegelhalter", len(labels))


def log_odds(probability: Float64[np.ndarray, "n"], *, clip: float | None = None) -> Float64[np.ndarray, "n"]:
    """Log odds of probabilities, which must be inside (0, 1) or be moved there.

    Args:
        probability: in [0, 1], (n,).
        clip: move probabilities into [clip, 1 - clip] first; None leaves them as they are.

    Raises:
        StatsError: `probability_zero_or_one`, `clip_out_of_range`.
    """
    if clip is not None:
        if not 0.0 < clip < 0.5:
            raise StatsError("clip_out_of_range", f"`clip` must lie between 0 and 0.5, found {clip}.")
        probability = np.clip(probability, clip, 1.0 - clip)
    ends = int(np.count_nonzero((probability == 0.0) | (probability == 1.0)))
    if ends:
        raise StatsError(
            "probability_zero_or_one",
            f"{ends} of the {len(probability)} probabilities are 0 or 1, where the log odds are infinite.",
            remedy="Give `clip`, e.g. 1e-6, and say so; or compute the probabilities in float64.",
        )
    return np.asarray(logit(probability), dtype=np.float64)


def check_not_constant(values: Float64[np.ndarray, "n"]) -> None:
    """Refuse values that are all the same, which no slope can be fitted to.

    Raises:
        StatsError: `constant_probability`.
    """
    if (values == values[0]).all():
        raise StatsError(
            "constant_probability",
            f"All {len(values)} cases have the same value; a slope needs two different ones.",
            remedy="Compare the prevalence with that value instead.",
        )


def _wald(fit: LogisticFit, index: int, cases: int, confidence: float) -> Estimate:
    value = float(fit.coefficients[index])
    half = float(norm.isf((1.0 - confidence) / 2.0)) * float(np.sqrt(fit.covariance[index, index]))
    return Estimate(value, value - half, value + half, fit.method, cases, confidence)
