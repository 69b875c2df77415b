"""AUROC of more than two classes: the mean over classes of each against the rest, with DeLong's variance.

A one-versus-rest AUROC is the mean of a placement value over the cases of its class and over the rest, so all of
them are sums over the same cases and their covariance is that of the cases' contributions. A case counts once in
each AUROC, as a positive in one and as a negative in the others. Which class a case has is taken as chance, as in
the one-versus-rest AUROC of each class.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.special import expit, logit
from scipy.stats import norm

from dgccl.errors import StatsError
from dgccl.stats._inputs import (
    Values,
    check_class_labels,
    check_confidence,
    check_groups,
    check_length,
    check_score_matrix,
    check_strata,
)
from dgccl.stats.comparison import PairedComparison
from dgccl.stats.estimate import Estimate
from dgccl.stats.roc import (
    SMALLEST_VARIANCE,
    in_mixed_strata,
    method_prefix,
    newcombe_interval,
    stratified_residuals,
)


@dataclass(frozen=True, eq=False)
class MacroParts:
    """One-versus-rest AUROCs with what each patient adds to their error.

    Rows of `sums` and `member` are the cases of class 0, the rest of class 0, the cases of class 1, and so on.

    Attributes:
        auroc: of each class against the rest, (C,).
        sums: a patient's residuals, summed over its cases of the group and divided by the group's cases, (2 C, K).
        member: whether a patient has a case of the group, (2 C, K).
        used: cases that have a case of another group in their stratum, for any class, (n,).
    """

    auroc: Float64[np.ndarray, "classes"]
    sums: Float64[np.ndarray, "groups patients"]
    member: Bool[np.ndarray, "groups patients"]
    used: Bool[np.ndarray, "n"]

    @property
    def value(self) -> float:
        """The macro AUROC."""
        return float(self.auroc.mean())


def auroc_macro(y_true: Values, y_score: Values) -> float:
    """Mean over classes of the AUROC of each class against the rest; every class weighs alike.

    Args:
        y_true: class indices 0 to C - 1, every class present, (n,).
        y_score: scores, a column a class, higher for that class, (n, C).

    Raises:
        StatsError: `class_absent`, `labels_not_classes`, `lengths_differ`, `not_two_dimensional`, `scores_nan`.

    Source: Provost and Domingos, Well-trained PETs (2000), with equal weights; scikit-learn's
        `roc_auc_score(multi_class="ovr", average="macro")`.

    Example:
        >>> scores = np.array([[0.8, 0.1, 0.1], [0.2, 0.6, 0.2], [0.3, 0.3, 0.4], [0.5, 0.3, 0.2]])
        >>> auroc_macro(np.array([0, 1, 2, 2]), scores)
        0.9583333333333334
    """
    scores = check_score_matrix(y_score)
    labels = _labels(y_true, scores)
    one = np.zeros(len(labels), dtype=np.int64)
    return macro_parts(labels, scores, patients=one, strata=one).value


def auroc_macro_delong(
    y_true: Values,
    y_score: Values,
    *,
    confidence: float = 0.95,
    patient: Values | None = None,
    stratum: Values | None = None,
    method: Literal["delong", "logit"] = "delong",
) -> Estimate:
    """Macro AUROC with DeLong's confidence interval; for two classes that of `auroc_delong`.

    Where the variance is zero, Newcombe's score interval is given for the counts of the smallest class, which is the
    widest of those of the classes.

    Args:
        y_true: class indices 0 to C - 1, every class present, (n,).
        y_score: scores, a column a class, higher for that class, (n, C).
        confidence: nominal coverage.
        patient: id of each case's patient, (n,); repeated ids make the interval go by patient.
        stratum: name of each case's stratum, (n,), where scores can only be compared within one. A stratum that
            lacks a class is left out of that class's AUROC alone.
        method: `delong` or `logit`, as in `auroc_delong`.

    Returns:
        The estimate; its `method` is `macro_delong` or `macro_logit_delong`, with `stratified_` and `clustered_`
        before it where they apply, or `newcombe_score`; its `n` counts the cases that were used.

    Raises:
        StatsError: `class_absent`, `too_few_cases`, `labels_not_classes`, `lengths_differ`, `not_two_dimensional`,
            `scores_nan`.

    Source: DeLong et al., Biometrics 44 (1988) 837-845; Obuchowski, Biometrics 53 (1997) 567-578.
    """
    check_confidence(confidence)
    scores = check_score_matrix(y_score)
    labels = _labels(y_true, scores)
    patients, strata = check_groups(patient, cases=len(labels)), check_strata(stratum, cases=len(labels))
    parts = macro_parts(labels, scores, patients=patients, strata=strata)
    variance, value, n = macro_variance(parts.sums, parts.member), parts.value, int(parts.used.sum())
    z = float(norm.isf((1.0 - confidence) / 2.0))
    if variance < SMALLEST_VARIANCE:
        counts = parts.member.sum(axis=1).reshape(-1, 2)
        positives, negatives = (int(count) for count in counts[counts.min(axis=1).argmin()])
        low, high = newcombe_interval(value, positives=positives, negatives=negatives, confidence=confidence)
        return Estimate(value, low, high, "newcombe_score", n, confidence)
    prefix = method_prefix(patients[parts.used], strata[parts.used]) + "macro_"
    half = z * np.sqrt(variance)
    if method == "logit" and 0.0 < value < 1.0:
        half = half / (value * (1.0 - value))
        low, high = float(expit(logit(value) - half)), float(expit(logit(value) + half))
    else:
        low, high = float(max(0.0, value - half)), float(min(1.0, value + half))
    name = prefix + ("logit_delong" if method == "logit" else "delong")
    return Estimate(value, low, high, name, n, confidence)


def delong_paired_macro(
    y_true: Values,
    score_a: Values,
    score_b: Values,
    *,
    confidence: float = 0.95,
    patient: Values | None = None,
    stratum: Values | None = None,
) -> PairedComparison:
    """Compare the macro AUROCs of two sets of scores on the same cases; for two classes `delong_paired`.

    Args:
        y_true: class indices 0 to C - 1, every class present, (n,).
        score_a: first scores, a column a class, (n, C).
        score_b: second scores, (n, C).
        confidence: nominal coverage.
        patient: id of each case's patient, (n,); repeated ids make the test go by patient.
        stratum: name of each case's stratum, (n,), where scores can only be compared within one.

    Raises:
        StatsError: as `auroc_macro_delong`; `classes_differ`; `no_variance` if the areas differ while their
            difference has no variance, where no test is defined.

    Source: DeLong et al., Biometrics 44 (1988) 837-845; Obuchowski, Biometrics 53 (1997) 567-578.
    """
    check_confidence(confidence)
    a, b = check_score_matrix(score_a, name="score_a"), check_score_matrix(score_b, name="score_b")
    if a.shape[1] != b.shape[1]:
        raise StatsError(
            "classes_differ",
            f"score_a has {a.shape[1]} classes and score_b {b.shape[1]}; they must be the same.",
        )
    labels = _labels(y_true, a)
    check_length(b, cases=len(labels), name="score_b")
    patients, strata = check_groups(patient, cases=len(labels)), check_strata(stratum, cases=len(labels))
    first, second = (macro_parts(labels, x, patients=patients, strata=strata) for x in (a, b))
    variance = macro_variance(first.sums - second.sums, first.member)
    difference = first.value - second.value
    half = z = 0.0
    if variance >= SMALLEST_VARIANCE:
        error = float(np.sqrt(variance))
        half, z = float(norm.isf((1.0 - confidence) / 2.0)) * error, difference / error
    elif difference != 0.0:
        raise StatsError(
            "no_variance",
            f"The areas differ by {difference:.4f} and the difference has no variance: no test is defined.",
            remedy="Report both areas with their intervals; look for a constant or a perfect score.",
        )
    used = first.used
    name = method_prefix(patients[used], strata[used]) + "macro_paired_delong"
    p = float(2.0 * norm.sf(abs(z)))
    ends = (difference - half, difference + half)
    return PairedComparison(difference, *ends, z, p, name, int(used.sum()), confidence)


def macro_parts(
    labels: Int64[np.ndarray, "n"],
    scores: Float64[np.ndarray, "n classes"],
    *,
    patients: Int64[np.ndarray, "n"],
    strata: Int64[np.ndarray, "n"],
) -> MacroParts:
    """One-versus-rest AUROCs over the pairs within strata, with every patient's part in their errors.

    Args:
        labels: class indices, (n,).
        scores: a column a class, (n, C).
        patients: index of each case's patient, (n,).
        strata: index of each case's stratum, (n,).

    Raises:
        StatsError: `class_absent` if a class has no case that can be compared with one of another class.
    """
    classes, count = scores.shape[1], int(patients.max()) + 1
    areas = np.empty(classes)
    sums, member = np.zeros((2 * classes, count)), np.zeros((2 * classes, count), dtype=bool)
    used = np.zeros(len(labels), dtype=bool)
    for index in range(classes):
        own = labels == index
        try:
            mixed = in_mixed_strata(own, strata)
        except StatsError as error:
            raise StatsError(
                "class_absent",
                f"Class {index} has {int(own.sum())} of {len(own)} cases and none beside a case of another class; "
                "its AUROC is not defined, nor is the mean over classes.",
                remedy="Add cases of the class, or leave `stratum` out.",
            ) from error
        parts = stratified_residuals(own[mixed], scores[mixed, index], strata[mixed])
        areas[index] = parts.auroc
        for row, group, residual in (
            (2 * index, mixed & own, parts.positive),
            (2 * index + 1, mixed & ~own, parts.negative),
        ):
            weights = (residual - residual.mean()) / len(residual)
            sums[row] = np.bincount(patients[group], weights=weights, minlength=count)
            member[row, patients[group]] = True
        used |= mixed
    return MacroParts(areas, sums, member, used)


def macro_variance(
    sums: Float64[np.ndarray, "groups patients"], member: Bool[np.ndarray, "groups patients"]
) -> float:
    """Variance of the mean over classes from what patients add to each group (or from differences of two scores).

    The product of two groups' sums is scaled by k / (k - 1), k being the patients that have a case of either. Of one
    class alone that is Obuchowski's correction, hence DeLong's with one case a patient. The scaling matrix is
    positive definite (a mixture of exp(-t |A union B|)), so that no variance comes out below 0.

    Args:
        sums: (2 C, K), as in `MacroParts`.
        member: (2 C, K).

    Raises:
        StatsError: `too_few_cases` if a class, or the rest of one, comes from fewer than two patients.

    Source: Obuchowski, Biometrics 53 (1997) 567-578, eq. 3 to 6, for the covariance of AUROCs of other groups.
    """
    counts = member.sum(axis=1)
    if counts.min() < 2:
        group = int(counts.argmin())
        name = f"Class {group // 2}" if group % 2 == 0 else f"The rest of class {group // 2}"
        raise StatsError(
            "too_few_cases",
            f"{name} comes from {int(counts[group])} patients; an interval needs at least 2.",
            remedy="Add cases of the rarer class.",
        )
    flags = member.astype(np.float64)
    either = counts[:, None] + counts[None, :] - flags @ flags.T
    products = (sums @ sums.T) * (either / (either - 1.0))
    return float(products.sum()) / (len(sums) // 2) ** 2


def _labels(y_true: Values, scores: Float64[np.ndarray, "n classes"]) -> Int64[np.ndarray, "n"]:
    labels = check_class_labels(y_true, classes=scores.shape[1])
    check_length(scores, cases=len(labels), name="y_score")
    return labels
