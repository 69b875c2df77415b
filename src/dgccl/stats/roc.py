"""Area under the ROC curve: the value, its DeLong variance, its interval."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.special import expit, logit
from scipy.stats import norm

from dgccl.errors import StatsError
from dgccl.stats._inputs import (
    Values,
    check_both_classes,
    check_choice,
    check_confidence,
    check_groups,
    check_scores,
    check_strata,
)
from dgccl.stats.estimate import Estimate
from dgccl.stats.newcombe import newcombe_interval

DelongMethod = Literal["delong", "logit"]

SMALLEST_VARIANCE = 1e-24
"""A variance below this is rounding: placements are at most 1 and exact to about 1e-16, their squares to 1e-32."""


@dataclass(frozen=True, eq=False)
class Placements:
    """Share of the other class that each case beats, a tie counting one half.

    Attributes:
        positive: for each positive case, the share of negatives below it, shape (positives,).
        negative: for each negative case, the share of positives above it, shape (negatives,).
        auroc: mean of either.
    """

    positive: Float64[np.ndarray, "positives"]
    negative: Float64[np.ndarray, "negatives"]
    auroc: float


def auroc(y_true: Values, y_score: Values) -> float:
    """Area under the ROC curve: the chance that a positive case scores above a negative one, ties one half.

    Args:
        y_true: labels 0 or 1, shape (n,).
        y_score: scores, higher for class 1, shape (n,).

    Raises:
        StatsError: `one_class`, `labels_not_binary`, `lengths_differ`, `scores_nan`.

    Source: Hanley and McNeil, Radiology 143 (1982) 29-36.

    Example:
        >>> auroc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
        0.75
    """
    labels = check_both_classes(y_true)
    return placements(labels, check_scores(y_score, cases=len(labels))).auroc


def placements(labels: Bool[np.ndarray, "n"], scores: Float64[np.ndarray, "n"]) -> Placements:
    """Structural components of the AUROC, in O(n log n).

    Args:
        labels: True for class 1, both classes present, shape (n,).
        scores: scores without NaN, shape (n,).

    Source: DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988) 837-845, V10 and V01; the sorted computation
        after Sun and Xu, IEEE Signal Process Lett 21 (2014) 1389-1393.

    Example:
        >>> parts = placements(np.array([False, False, True, True]), np.array([0.1, 0.4, 0.35, 0.8]))
        >>> parts.positive.tolist(), parts.negative.tolist(), parts.auroc
        ([0.5, 1.0], [1.0, 0.5], 0.75)
    """
    positive, above = _share_below(scores[labels], scores[~labels])
    negative, _ = _share_below(scores[~labels], scores[labels])
    # Integer counts of half wins make the value exact, hence the same under any order of the cases.
    value = above / (2 * int(labels.sum()) * int((~labels).sum()))
    return Placements(positive, 1.0 - negative, value)


def _share_below(
    values: Float64[np.ndarray, "m"], others: Float64[np.ndarray, "k"]
) -> tuple[Float64[np.ndarray, "m"], int]:
    """For each value the share of others below it (ties one half), and the sum of the doubled counts."""
    order = np.argsort(values, kind="stable")
    # Searching in rising order walks through memory once, which is what makes large n fast.
    rising, others = values[order], np.sort(others)
    doubled = np.searchsorted(others, rising, "left") + np.searchsorted(others, rising, "right")
    share = np.empty(len(values))
    share[order] = doubled / (2.0 * len(others))
    return share, int(doubled.sum())


def clustered_variance(
    labels: Bool[np.ndarray, "n"],
    positive: Float64[np.ndarray, "positives"],
    negative: Float64[np.ndarray, "negatives"],
    patient: Int64[np.ndarray, "n"],
) -> float:
    """Variance of the mean of placements (or of differences of placements) over patients.

    With one case a patient this is DeLong's variance.

    Args:
        labels: True for class 1, shape (n,).
        positive: components of the positive cases, in the order of the cases.
        negative: components of the negative cases, in the order of the cases.
        patient: index of each case's patient, shape (n,).

    Raises:
        StatsError: `too_few_cases` if a class comes from fewer than two patients.

    Source: Obuchowski, Biometrics 53 (1997) 567-578, eq. 3 to 6.
    """
    clusters = int(patient.max()) + 1
    groups = (patient[labels], patient[~labels])
    with_class = [int(np.count_nonzero(np.bincount(group, minlength=clusters))) for group in groups]
    if min(with_class) < 2:
        raise StatsError(
            "too_few_cases",
            f"The positive class comes from {with_class[0]} independent cases or patients and the negative from "
            f"{with_class[1]}; an interval needs at least 2 of each.",
            remedy="Add cases of the rarer class; check the column of patients, if there is one.",
        )
    sums = [
        np.bincount(group, weights=component - component.mean(), minlength=clusters) / len(component)
        for group, component in zip(groups, (positive, negative), strict=True)
    ]
    own = sum(k / (k - 1) * float(total @ total) for k, total in zip(with_class, sums, strict=True))
    cross = clusters / (clusters - 1) * float(sums[0] @ sums[1])
    return own + 2.0 * cross


@dataclass(frozen=True, eq=False)
class Residuals:
    """What each case adds to the error of an AUROC.

    Attributes:
        auroc: share of pairs of one stratum that are ranked right.
        positive: residuals of the positive cases, mean 0, shape (positives,).
        negative: residuals of the negative cases, mean 0, shape (negatives,).
    """

    auroc: float
    positive: Float64[np.ndarray, "positives"]
    negative: Float64[np.ndarray, "negatives"]


def in_mixed_strata(labels: Bool[np.ndarray, "n"], strata: Int64[np.ndarray, "n"]) -> Bool[np.ndarray, "n"]:
    """Which cases have a case of the other class in their stratum.

    Raises:
        StatsError: `one_class` if none has.
    """
    positives, negatives = np.bincount(strata, weights=labels), np.bincount(strata, weights=~labels)
    mixed = ((positives > 0) & (negatives > 0))[strata]
    if not mixed.any():
        raise StatsError(
            "one_class", "No stratum holds both classes.", remedy="Leave `stratum` out or widen strata."
        )
    return mixed


def stratified_residuals(
    labels: Bool[np.ndarray, "n"], scores: Float64[np.ndarray, "n"], strata: Int64[np.ndarray, "n"]
) -> Residuals:
    """AUROC over the pairs within strata, with the residuals of its variance.

    Strata weigh by their pairs. Residuals are taken from the common area, so that differences between strata
    count as error. With one stratum they are DeLong's.

    Args:
        labels: True for class 1, shape (n,); every stratum has both classes.
        scores: scores without NaN, shape (n,).
        strata: index of each case's stratum, shape (n,).
    """
    share, weight = np.empty(len(labels)), np.empty(len(labels))
    pairs: list[float] = []
    areas: list[float] = []
    for stratum in np.flatnonzero(np.bincount(strata)):  # np.unique would sort what is numbered already
        own = np.flatnonzero(strata == stratum)
        positive, negative = own[labels[own]], own[~labels[own]]
        parts = placements(labels[own], scores[own])
        share[positive], share[negative] = parts.positive, parts.negative
        # A stratum's weight among the pairs over its weight among the cases of the class
        weight[positive], weight[negative] = len(negative), len(positive)
        pairs.append(float(len(positive) * len(negative)))
        areas.append(parts.auroc)
    value = areas[0] if len(areas) == 1 else float(np.average(areas, weights=pairs))
    residual = (share - value) * weight / sum(pairs)
    return Residuals(value, residual[labels] * int(labels.sum()), residual[~labels] * int((~labels).sum()))


def auroc_delong(
    y_true: Values,
    y_score: Values,
    *,
    confidence: float = 0.95,
    patient: Values | None = None,
    stratum: Values | None = None,
    method: DelongMethod = "delong",
) -> Estimate:
    """AUROC with DeLong's confidence interval.

    Where the variance is zero (a perfect, perfectly wrong or constant score) DeLong's interval would shrink to
    a point, which claims more than any sample can show; Newcombe's score interval is given instead and named.

    Args:
        y_true: labels 0 or 1, shape (n,).
        y_score: scores, higher for class 1, shape (n,).
        confidence: nominal coverage.
        patient: id of each case's patient, shape (n,); repeated ids make the interval go by patient.
        stratum: name of each case's stratum, shape (n,), where scores can only be compared within one, as those
            of the networks of several folds. Cases of a stratum with one class are left out.
        method: `delong` for the symmetric interval, cut at 0 and 1; `logit` for the interval that is symmetric
            on the logit scale and lies inside (0, 1).

    Returns:
        The estimate; its `method` is `delong` or `logit_delong`, with `stratified_` and `clustered_` before it where
        they apply, or `newcombe_score`; its `n` counts the cases that were used.

    Raises:
        StatsError: `one_class`, `too_few_cases`, `labels_not_binary`, `lengths_differ`, `scores_nan`,
            `option_unknown`.

    Source: DeLong et al., Biometrics 44 (1988) 837-845; Obuchowski, Biometrics 53 (1997) 567-578; strata: LeDell,
        Petersen and van der Laan, Electron J Stat 9 (2015) 1583-1607; logit scale:
        Pepe, The Statistical Evaluation of Medical Tests (2003), section 5.2.3.

    Example:
        >>> y, s = np.array([0, 0, 0, 1, 1, 1]), np.array([1, 2, 4, 3, 5, 6])
        >>> found = auroc_delong(y, s, method="logit")
        >>> round(found.estimate, 4), round(found.ci_low, 3), round(found.ci_high, 3), found.method
        (0.8889, 0.261, 0.995, 'logit_delong')
    """
    check_confidence(confidence)
    check_choice(method, get_args(DelongMethod), name="method")
    labels = check_both_classes(y_true)
    scores = check_scores(y_score, cases=len(labels))
    patients, strata = check_groups(patient, cases=len(labels)), check_strata(stratum, cases=len(labels))
    used = in_mixed_strata(labels, strata)
    labels, scores, strata = labels[used], scores[used], strata[used]
    patients = np.unique(patients[used], return_inverse=True)[1] if not used.all() else patients
    parts = stratified_residuals(labels, scores, strata)
    variance = clustered_variance(labels, parts.positive, parts.negative, patients)
    prefix = method_prefix(patients, strata)
    value, z = parts.auroc, float(norm.isf((1.0 - confidence) / 2.0))
    if variance < SMALLEST_VARIANCE:
        # With several cases a patient, the patients are what was sampled.
        counts = [len(np.unique(patients[chosen])) for chosen in (labels, ~labels)]
        low, high = newcombe_interval(value, positives=counts[0], negatives=counts[1], confidence=confidence)
        return Estimate(value, low, high, "newcombe_score", len(labels), confidence)
    name = prefix + ("logit_delong" if method == "logit" else "delong")
    if method == "logit" and 0.0 < value < 1.0:
        half = z * np.sqrt(variance) / (value * (1.0 - value))
        low, high = float(expit(logit(value) - half)), float(expit(logit(value) + half))
    else:
        half = z * np.sqrt(variance)
        low, high = float(max(0.0, value - half)), float(min(1.0, value + half))
    return Estimate(value, low, high, name, len(labels), confidence)


def method_prefix(patients: Int64[np.ndarray, "n"], strata: Int64[np.ndarray, "n"]) -> str:
    """How clusters and strata are told in the name of a method; patients are numbered without a gap."""
    clustered, stratified = int(patients.max()) + 1 < len(patients), int(strata.max()) != int(strata.min())
    return "clustered_" * clustered + "stratified_" * stratified
