"""What every statistic of probabilities shares: their checks, their bins, the variance of a mean."""

from typing import Literal, get_args

import numpy as np
from jaxtyping import Float64, Int64
from scipy.stats import norm
from scipy.stats import t as student

from dgccl.errors import StatsError
from dgccl.stats._inputs import (
    Values,
    check_choice,
    check_class_labels,
    check_labels,
    check_length,
    check_score_matrix,
    check_scores,
    check_whole,
)

BinStrategy = Literal["quantile", "uniform"]

SUM_TOLERANCE = 1e-4
"""How far the probabilities of one case may be from adding up to 1: written to five digits they can miss it."""


def check_probabilities(
    y_probability: Values, *, cases: int, name: str = "y_probability"
) -> Float64[np.ndarray, "n"]:
    """Probabilities as float64, one a case.

    Raises:
        StatsError: `not_one_dimensional`, `scores_not_numbers`, `lengths_differ`, `scores_nan`,
            `probability_out_of_range`.
    """
    probability = check_scores(y_probability, cases=cases, name=name)
    _check_range(probability, name=name)
    return probability


def check_probability_matrix(
    y_probability: Values, *, name: str = "y_probability"
) -> Float64[np.ndarray, "n classes"]:
    """Probabilities as float64, one column a class; those of a case add up to 1.

    Raises:
        StatsError: `not_two_dimensional`, `scores_not_numbers`, `scores_nan`, `probability_out_of_range`,
            `probabilities_not_normalized`.
    """
    probability = check_score_matrix(y_probability, name=name)
    _check_range(probability, name=name)
    off = np.abs(probability.sum(axis=1) - 1.0) > SUM_TOLERANCE
    if off.any():
        raise StatsError(
            "probabilities_not_normalized",
            f"The probabilities of {int(off.sum())} of the {len(off)} cases of {name} do not add up to 1.",
            remedy="Give one probability a class and case, after the softmax.",
        )
    return probability


def _check_range(probability: Float64[np.ndarray, "..."], *, name: str) -> None:
    outside = int(np.count_nonzero((probability < 0.0) | (probability > 1.0)))
    if outside:
        raise StatsError(
            "probability_out_of_range",
            f"{outside} values of {name} are outside [0, 1].",
            remedy="Turn logits into probabilities first (expit, or softmax over the classes).",
        )


def mean_variance(values: Float64[np.ndarray, "n"], patients: Int64[np.ndarray, "n"]) -> float:
    """Variance of a mean over cases when patients were sampled; with one case a patient that of a plain mean.

    Args:
        values: one a case, (n,).
        patients: index of each case's patient, (n,).

    Raises:
        StatsError: `too_few_cases` if there are fewer than two patients.
    """
    groups = int(patients.max()) + 1
    if groups < 2:
        raise StatsError(
            "too_few_cases",
            "The cases come from 1 patient; an interval needs at least 2.",
            remedy="Add patients.",
        )
    sums = np.bincount(patients, weights=values - values.mean(), minlength=groups) / len(values)
    return groups / (groups - 1) * float(sums @ sums)


def forecasts(
    y_true: Values, y_probability: Values
) -> tuple[Float64[np.ndarray, "n columns"], Float64[np.ndarray, "n columns"], Int64[np.ndarray, "n"] | None]:
    """Probabilities and outcomes as columns (one if only class 1 is given), and the class indices of a matrix."""
    if np.ndim(y_probability) != 2:
        labels = check_labels(y_true)
        probability = check_probabilities(y_probability, cases=len(labels))
        return probability[:, None], labels.astype(np.float64)[:, None], None
    matrix = check_probability_matrix(y_probability)
    classes = check_class_labels(y_true, classes=matrix.shape[1])
    check_length(matrix, cases=len(classes), name="y_probability")
    return matrix, (classes[:, None] == np.arange(matrix.shape[1])).astype(np.float64), classes


def bin_index(
    probability: Float64[np.ndarray, "n"], *, bins: int, strategy: BinStrategy
) -> Int64[np.ndarray, "n"]:
    """Bin of each probability, from 0; equal probabilities share a bin, a value on an edge is in the lower one.

    Args:
        probability: in [0, 1], (n,).
        bins: how many; fewer come out where quantiles coincide, and some can be empty.
        strategy: `quantile` for bins of about equal counts, `uniform` for bins of equal width.

    Raises:
        StatsError: `bins_invalid`, `option_unknown`.
    """
    check_choice(strategy, get_args(BinStrategy), name="strategy")
    check_whole(bins, least=1, name="bins")
    edges = np.linspace(0.0, 1.0, bins + 1)
    if strategy == "quantile":
        edges = np.quantile(probability, edges)
    return np.searchsorted(edges[1:-1], probability).astype(np.int64)


def cluster_prefix(patients: Int64[np.ndarray, "n"]) -> str:
    """How patients with several cases are told in the name of a method."""
    return "clustered_" * (int(patients.max()) + 1 < len(patients))


def t_quantile(confidence: float, patients: int) -> float:
    """Upper quantile of Student's t for an interval from so many patients."""
    return float(student.isf((1.0 - confidence) / 2.0, patients - 1))


def wilson_bound(value: float, patients: int, confidence: float) -> tuple[float, float]:
    """Wilson's interval of any mean in [0, 1]: its variance is at most that of a proportion."""
    z2 = float(norm.isf((1.0 - confidence) / 2.0)) ** 2
    center = (value + z2 / (2.0 * patients)) / (1.0 + z2 / patients)
    half = np.sqrt(z2 * value * (1.0 - value) / patients + z2**2 / (4.0 * patients**2)) / (
        1.0 + z2 / patients
    )
    low = 0.0 if value == 0.0 else float(center - half)
    high = 1.0 if value == 1.0 else float(center + half)
    return low, high


def finite_logits(logits: Values) -> Float64[np.ndarray, "..."]:
    """Logits, one column or several, all finite.

    Raises:
        StatsError: as `check_scores` or `check_score_matrix`; `scores_infinite`.
    """
    if np.ndim(logits) != 2:
        return finite_scores(logits, name="logits")
    matrix = check_score_matrix(logits, name="logits")
    finite_scores(matrix.ravel(), name="logits")
    return matrix


def finite_scores(y_score: Values, *, name: str = "y_score") -> Float64[np.ndarray, "n"]:
    """Scores or logits, one a case, all finite.

    Raises:
        StatsError: as `check_scores`; `scores_infinite`.
    """
    scores = check_scores(y_score, cases=len(np.atleast_1d(y_score)), name=name)
    if np.isinf(scores).any():
        raise StatsError(
            "scores_infinite",
            f"A recalibration needs finite values; infinite ones were found in {name}.",
            remedy="Clip probabilities before taking their log odds.",
        )
    return scores
