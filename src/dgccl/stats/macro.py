"""AUROC of more than two classes: the mean over classes of each against the rest, with DeLong's variance."""

from typing import get_args

import numpy as np
from jaxtyping import Float64, Int64
from scipy.special import expit, logit
from scipy.stats import norm

from dgccl.errors import StatsError
from dgccl.stats._inputs import (
    Values,
    check_choice,
    check_class_labels,
    check_confidence,
    check_groups,
    check_length,
    check_score_matrix,
    check_strata,
)
from dgccl.stats._no_variance import check_known_zero
from dgccl.stats.comparison import PairedComparison
from dgccl.stats.estimate import Estimate
from dgccl.stats.macro_parts import macro_parts, macro_variance, ranked_alike
from dgccl.stats.newcombe import newcombe_interval
from dgccl.stats.roc import (
    SMALLEST_VARIANCE,
    DelongMethod,
    method_prefix,
)


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
    method: DelongMethod = "delong",
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
            `scores_nan`, `option_unknown`.

    Source: DeLong et al., Biometrics 44 (1988) 837-845; Obuchowski, Biometrics 53 (1997) 567-578.

    Example:
        >>> y = np.array([0, 0, 1, 1, 2, 2])
        >>> scores = np.array([[7, 2, 1], [5, 3, 2], [4, 5, 1], [3, 6, 1], [2, 2, 6], [5, 1, 4]]) / 10
        >>> found = auroc_macro_delong(y, scores, method="logit")
        >>> round(found.estimate, 4), round(found.ci_low, 3), round(found.ci_high, 3), found.method
        (0.9792, 0.735, 0.999, 'macro_logit_delong')
    """
    check_confidence(confidence)
    check_choice(method, get_args(DelongMethod), name="method")
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
        StatsError: as `auroc_macro_delong`; `classes_differ`; `no_variance` as `delong_paired`.

    Source: DeLong et al., Biometrics 44 (1988) 837-845; Obuchowski, Biometrics 53 (1997) 567-578.

    Example:
        >>> y = np.array([0, 0, 1, 1, 2, 2])
        >>> a = np.array([[7, 2, 1], [5, 3, 2], [4, 5, 1], [3, 6, 1], [2, 2, 6], [5, 1, 4]]) / 10
        >>> b = np.array([[5, 4, 1], [6, 1, 3], [5, 3, 2], [2, 7, 1], [3, 2, 5], [4, 3, 3]]) / 10
        >>> found = delong_paired_macro(y, a, b)
        >>> round(found.difference, 4), round(found.ci_low, 3), round(found.ci_high, 3)
        (0.0833, -0.12, 0.286)
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
    else:
        own = [macro_variance(one.sums, one.member) for one in (first, second)]
        alike = ranked_alike(labels, a, b, strata=strata)
        check_known_zero(difference, ranked_alike=alike, variances=own)
        difference = 0.0  # but for rounding
    used = first.used
    name = method_prefix(patients[used], strata[used]) + "macro_paired_delong"
    p = float(2.0 * norm.sf(abs(z)))
    ends = (difference - half, difference + half)
    return PairedComparison(difference, *ends, z, p, name, int(used.sum()), confidence)


def _labels(y_true: Values, scores: Float64[np.ndarray, "n classes"]) -> Int64[np.ndarray, "n"]:
    labels = check_class_labels(y_true, classes=scores.shape[1])
    check_length(scores, cases=len(labels), name="y_score")
    return labels
