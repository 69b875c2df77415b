"""Logistic regression by maximum likelihood, with an offset and a covariance that can go by patient."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float64, Int64
from scipy.special import expit

from dgccl.errors import StatsError
from dgccl.stats._inputs import check_choice

STEPS = 60
CLOSE = 1e-10
"""A step this small, in standard errors, is the last."""
STILL = 1e-2
"""With separated classes the linear predictor goes on by about 1 a step, however small that is in standard errors."""

Variance = Literal["sandwich", "model"]


@dataclass(frozen=True, eq=False)
class LogisticFit:
    """Coefficients of a logistic regression.

    Attributes:
        coefficients: one a column of the design, (k,).
        covariance: of the coefficients, (k, k).
        method: `model_wald` or `sandwich_wald`, with `clustered_` before it where a patient has several cases.
    """

    coefficients: Float64[np.ndarray, "k"]
    covariance: Float64[np.ndarray, "k k"]
    method: str

    def errors(self, design: Float64[np.ndarray, "m k"]) -> Float64[np.ndarray, "m"]:
        """Standard errors of linear predictors."""
        values, vectors = np.linalg.eigh((self.covariance + self.covariance.T) / 2.0)
        # Rounding can take an eigenvalue of 0 below it.
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        return np.asarray(np.sqrt(np.sum((design @ root) ** 2, axis=1)))


def fit_logistic(
    targets: Float64[np.ndarray, "n"],
    design: Float64[np.ndarray, "n k"],
    *,
    offset: Float64[np.ndarray, "n"] | None = None,
    patients: Int64[np.ndarray, "n"] | None = None,
    variance: Variance = "model",
) -> LogisticFit:
    """Fit P(1) = expit(offset + design @ coefficients) by Newton's method.

    The model's covariance is the inverse information, as R's glm gives it: right if the model is, and cases are
    independent. The sandwich over patients is right without either; it has the factor G / (G - 1) * (n - 1) / (n - k),
    G being the number of patients.

    Args:
        targets: 0 or 1, or a value between, (n,).
        design: columns of full rank, (n, k).
        offset: added to the linear predictor with coefficient 1, (n,).
        patients: index of each case's patient, (n,); None makes each case one.
        variance: `model` or `sandwich`.

    Raises:
        StatsError: `separation` if no finite coefficients have the largest likelihood; `too_few_cases` if there are
            not more patients than coefficients, for the sandwich; `variance_invalid` for the model's where a patient
            has several cases; `option_unknown`.

    Source: Liang and Zeger, Biometrika 73 (1986) 13-22, for the sandwich.
    """
    check_choice(variance, get_args(Variance), name="variance")
    fixed = np.zeros(len(targets)) if offset is None else offset
    coefficients = np.zeros(design.shape[1])
    linear = fixed.copy()
    for _ in range(STEPS):
        step, size = _newton_step(targets, design, linear)
        change = design @ step
        share = _share_of_step(targets, linear, change)
        coefficients, linear = coefficients + share * step, linear + share * change
        if size <= CLOSE and np.abs(change).max() <= STILL:
            break
    else:
        raise _separation()
    bread = np.linalg.inv(_information(design, linear))
    groups = np.arange(len(targets)) if patients is None else patients
    clustered = int(groups.max()) + 1 < len(groups)
    if variance == "sandwich":
        meat = _meat(design * (targets - expit(linear))[:, None], groups)
        return LogisticFit(coefficients, bread @ meat @ bread, "clustered_" * clustered + "sandwich_wald")
    if clustered:
        raise StatsError(
            "variance_invalid",
            "The model's variance takes cases as independent, and some patients have several.",
            remedy="Use the sandwich variance.",
        )
    return LogisticFit(coefficients, bread, "model_wald")


def _newton_step(
    targets: Float64[np.ndarray, "n"], design: Float64[np.ndarray, "n k"], linear: Float64[np.ndarray, "n"]
) -> tuple[Float64[np.ndarray, "k"], float]:
    """The step, and its size in standard errors."""
    information = _information(design, linear)
    # With separated classes the fitted values run to 0 and 1 and the information to 0, until it has no inverse.
    scale = np.sqrt(np.diag(information))
    if not scale.min() > 0.0 or np.linalg.cond(information / np.outer(scale, scale)) > 1e14:
        raise _separation()
    gradient = design.T @ (targets - expit(linear))
    step = np.linalg.solve(information, gradient)
    return step, float(np.sqrt(max(gradient @ step, 0.0)))


def _information(
    design: Float64[np.ndarray, "n k"], linear: Float64[np.ndarray, "n"]
) -> Float64[np.ndarray, "k k"]:
    return design.T @ (design * (expit(linear) * expit(-linear))[:, None])


def _share_of_step(
    targets: Float64[np.ndarray, "n"], linear: Float64[np.ndarray, "n"], change: Float64[np.ndarray, "n"]
) -> float:
    """The largest of 1, 1/2, 1/4, ... of the step that does not lose likelihood: whole steps can overshoot."""
    now, share = _log_likelihood(targets, linear), 1.0
    tolerance = 1e-12 * (1.0 + abs(now))
    while _log_likelihood(targets, linear + share * change) < now - tolerance and share > 1e-20:
        share /= 2.0
    return share


def _log_likelihood(targets: Float64[np.ndarray, "n"], linear: Float64[np.ndarray, "n"]) -> float:
    return float(np.sum(targets * linear - np.logaddexp(0.0, linear)))


def _meat(scores: Float64[np.ndarray, "n k"], patients: Int64[np.ndarray, "n"]) -> Float64[np.ndarray, "k k"]:
    cases, columns = scores.shape
    groups = int(patients.max()) + 1
    if groups <= columns:
        raise StatsError(
            "too_few_cases",
            f"The cases come from {groups} patients; an interval of {columns} coefficients needs {columns + 1}.",
            remedy="Add patients.",
        )
    sums = np.stack([np.bincount(patients, weights=column, minlength=groups) for column in scores.T], axis=1)
    return sums.T @ sums * (groups / (groups - 1) * (cases - 1) / (cases - columns))


def _separation() -> StatsError:
    return StatsError(
        "separation",
        "The probabilities or scores separate the classes, so that no finite coefficients fit best.",
        remedy="Add cases, or report ranking (AUC) and the Brier score instead.",
    )
