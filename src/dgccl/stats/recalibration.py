"""Recalibration: a map from scores to probabilities, fitted on validation cases and frozen.

Every map is to be fitted on validation cases alone: fitted on training cases it learns their overfitting, and fitted on
test cases it makes their calibration look better than it is.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float64
from scipy.optimize import brentq, isotonic_regression
from scipy.special import expit, softmax

from dgccl.errors import StatsError
from dgccl.stats._inputs import (
    Values,
    check_both_classes,
    check_class_labels,
    check_length,
    check_scores,
)
from dgccl.stats._logistic import fit_logistic
from dgccl.stats._probabilities import finite_logits, finite_scores
from dgccl.stats.calibration import check_not_constant

Probabilities = Float64[np.ndarray, "..."]


@dataclass(frozen=True)
class Temperature:
    """Logits divided by one number; the order of the cases of two classes, and every call, stay as they are.

    Attributes:
        temperature: above 1 softens the probabilities.
        n: number of validation cases behind it.
    """

    temperature: float
    n: int
    kind: ClassVar[str] = "temperature"

    def apply(self, logits: Values) -> Probabilities:
        """Probabilities of logits: log odds of class 1, (n,), or one logit a class, (n, C), as in the fit.

        Raises:
            StatsError: `scores_nan`, `scores_infinite`, `scores_not_numbers`.
        """
        finite = finite_logits(logits)
        if finite.ndim == 1:
            return np.asarray(expit(finite / self.temperature))
        return np.asarray(softmax(finite / self.temperature, axis=1))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"kind": self.kind, "temperature": self.temperature, "n": self.n}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Temperature":
        """The map that `to_dict` wrote."""
        return cls(float(values["temperature"]), int(values["n"]))


@dataclass(frozen=True)
class Platt:
    """Logistic regression on the score: expit(intercept + slope * score).

    Attributes:
        slope: above 0 the order of the cases stays as it is; below 0 the scores point the wrong way.
        intercept: log odds at a score of 0.
        n: number of validation cases behind it.
    """

    slope: float
    intercept: float
    n: int
    kind: ClassVar[str] = "platt"

    def apply(self, y_score: Values) -> Probabilities:
        """Probability of class 1 for scores of the kind that was fitted, (n,).

        Raises:
            StatsError: `not_one_dimensional`, `scores_nan`, `scores_infinite`, `scores_not_numbers`.
        """
        return np.asarray(expit(self.intercept + self.slope * finite_scores(y_score)))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"kind": self.kind, "slope": self.slope, "intercept": self.intercept, "n": self.n}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Platt":
        """The map that `to_dict` wrote."""
        return cls(float(values["slope"]), float(values["intercept"]), int(values["n"]))


@dataclass(frozen=True)
class Isotonic:
    """A rising step-like curve; straight between its corners, constant outside the scores that were seen.

    It makes ties, so that the AUC can change, and can give probabilities of exactly 0 and 1.

    Attributes:
        scores: corners, rising.
        probabilities: of class 1 at the corners, not falling.
        n: number of validation cases behind it.
    """

    scores: tuple[float, ...]
    probabilities: tuple[float, ...]
    n: int
    kind: ClassVar[str] = "isotonic"

    def apply(self, y_score: Values) -> Probabilities:
        """Probability of class 1 for scores of the kind that was fitted, (n,).

        Raises:
            StatsError: `not_one_dimensional`, `scores_nan`, `scores_infinite`, `scores_not_numbers`.
        """
        return np.interp(finite_scores(y_score), self.scores, self.probabilities)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "kind": self.kind,
            "scores": list(self.scores),
            "probabilities": list(self.probabilities),
            "n": self.n,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Isotonic":
        """The map that `to_dict` wrote."""
        return cls(tuple(values["scores"]), tuple(values["probabilities"]), int(values["n"]))


Recalibration = Temperature | Platt | Isotonic


def recalibration_from_dict(values: dict[str, Any]) -> Recalibration:
    """Any of the maps of this module from what its `to_dict` wrote.

    Raises:
        StatsError: `recalibration_unknown`.

    Example:
        >>> recalibration_from_dict({"kind": "temperature", "temperature": 2.0, "n": 50})
        Temperature(temperature=2.0, n=50)
    """
    kinds: dict[str, type[Recalibration]] = {one.kind: one for one in (Temperature, Platt, Isotonic)}
    try:
        return kinds[values["kind"]].from_dict(values)
    except (KeyError, TypeError, ValueError) as error:
        raise StatsError(
            "recalibration_unknown",
            f"These are not the values of a recalibration ({', '.join(kinds)}).",
            remedy="Give what `to_dict` of a fitted recalibration returned.",
        ) from error


def fit_temperature(y_true: Values, logits: Values) -> Temperature:
    """The temperature with the smallest log loss on validation cases.

    Of probabilities give the logarithm (a matrix) or the log odds (class 1 alone).

    Args:
        y_true: labels 0 or 1, or class indices, of validation cases, (n,).
        logits: log odds of class 1, (n,), or one logit a class, (n, C).

    Raises:
        StatsError: `one_class` with log odds alone; `labels_not_binary`, `labels_not_classes`, `no_cases`,
            `lengths_differ`, `scores_nan`, `scores_infinite`; `separation` if every case has its highest logit at its
            class, where the best temperature is 0; `no_positive_temperature` if the logits point away from the truth,
            or say nothing; `temperature_out_of_range`.

    Source: Guo, Pleiss, Sun and Weinberger, ICML (2017) 1321-1330.

    Example:
        >>> round(fit_temperature(np.array([0, 1, 1, 0]), np.array([-2.0, 1.0, -1.0, -3.0])).temperature, 3)
        1.068
    """
    finite = finite_logits(logits)
    if finite.ndim == 2:
        labels = check_class_labels(y_true, classes=finite.shape[1])
        matrix = finite
    else:
        labels = check_both_classes(y_true).astype(np.int64)
        matrix = np.column_stack([np.zeros(len(finite)), finite])
    check_length(finite, cases=len(labels), name="logits")
    # In units of the largest logit, so that no difference overflows and the search starts near its end.
    unit = float(np.abs(matrix).max()) or 1.0
    matrix = matrix / unit
    # Logits over that of the truth: the loss is the logarithm of the sum of their exponentials, convex in 1 / T.
    over = matrix - matrix[np.arange(len(labels)), labels][:, None]
    if (over.max(axis=1) <= 0.0).all() and over.min() < 0.0:
        raise StatsError(
            "separation",
            "Every case has its highest logit at its true class: the loss falls without end as the temperature does.",
            remedy="Give more validation cases, or leave the probabilities as they are.",
        )

    def slope(inverse: float) -> float:
        return float(np.mean(np.sum(softmax(inverse * over, axis=1) * over, axis=1)))

    if slope(0.0) >= -1e-12 * float(np.abs(over).max()):
        raise StatsError(
            "no_positive_temperature",
            "The logits point away from the true classes, or are all equal: no temperature above 0 fits best.",
            remedy="Check the order of the columns and the sign of the logits.",
        )

    low, high = 0.0, 1.0
    while slope(high) <= 0.0:
        low, high = high, 2.0 * high
    inverse = float(brentq(slope, low, high, xtol=1e-300, rtol=1e-14, maxiter=2000))
    temperature = unit / inverse
    if not 0.0 < temperature < np.inf:
        raise StatsError(
            "temperature_out_of_range",
            f"The best temperature of logits of up to {unit:.3g} is beyond what a float can hold.",
            remedy="Give logits, or log odds; values of this size are neither.",
        )
    return Temperature(temperature, len(labels))


def fit_platt(y_true: Values, y_score: Values, *, smoothing: bool = False) -> Platt:
    """Logistic regression of the label on the score, without a penalty, on validation cases.

    Args:
        y_true: labels 0 or 1 of validation cases, (n,).
        y_score: finite scores, or log odds, (n,).
        smoothing: replace the labels by Platt's targets (k + 1) / (k + 2) and 1 / (m + 2) for k positive and m negative
            cases, which keeps probabilities away from 0 and 1 and is defined for separated classes too.

    Raises:
        StatsError: `one_class`, `labels_not_binary`, `lengths_differ`, `scores_nan`, `scores_infinite`,
            `constant_probability` if all scores are equal, `separation`.

    Source: Platt, in Advances in Large Margin Classifiers (2000) 61-74.

    Example:
        >>> fit = fit_platt(np.array([0, 1, 0, 1]), np.array([1.0, 2.0, 3.0, 4.0]))
        >>> round(fit.slope, 3), round(fit.intercept, 3)
        (0.908, -2.27)
    """
    labels = check_both_classes(y_true)
    scores = check_scores(y_score, cases=len(labels))
    scores = finite_scores(scores)
    check_not_constant(scores)
    positives, negatives = int(labels.sum()), int((~labels).sum())
    ends = (1.0 / (negatives + 2.0), (positives + 1.0) / (positives + 2.0)) if smoothing else (0.0, 1.0)
    # Centered and scaled, so that large or far scores cost no digits.
    center, scale = float(scores.mean()), float(np.ptp(scores))
    design = np.column_stack([np.ones(len(scores)), (scores - center) / scale])
    intercept, slope = fit_logistic(np.where(labels, ends[1], ends[0]), design).coefficients / (1.0, scale)
    return Platt(float(slope), float(intercept - slope * center), len(labels))


def fit_isotonic(y_true: Values, y_score: Values) -> Isotonic:
    """The rising map from scores to probabilities with the smallest squared error on validation cases.

    Cases with equal scores get one probability. It needs many cases: below some hundreds Platt's has less error.

    Args:
        y_true: labels 0 or 1 of validation cases, (n,).
        y_score: finite scores, (n,).

    Raises:
        StatsError: `one_class`, `labels_not_binary`, `lengths_differ`, `scores_nan`, `scores_infinite`.

    Source: Zadrozny and Elkan, KDD (2002) 694-699.

    Example:
        >>> fit_isotonic(np.array([0, 1, 0, 1]), np.array([1.0, 2.0, 3.0, 4.0])).probabilities
        (0.0, 0.5, 0.5, 1.0)
    """
    labels = check_both_classes(y_true)
    scores = finite_scores(check_scores(y_score, cases=len(labels)))
    distinct, index = np.unique(scores, return_inverse=True)
    counts = np.bincount(index).astype(np.float64)
    means = np.bincount(index, weights=labels) / counts
    fitted = np.clip(isotonic_regression(means, weights=counts).x, 0.0, 1.0)
    # Within a flat stretch only its ends are corners.
    inner = np.append(False, fitted[1:-1] == fitted[:-2]) & np.append(False, fitted[1:-1] == fitted[2:])
    keep = np.append(~inner, True)[: len(distinct)]
    return Isotonic(tuple(distinct[keep].tolist()), tuple(fitted[keep].tolist()), len(labels))
