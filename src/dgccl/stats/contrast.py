"""Weighted sums of several AUROCs on the same cases: a drop, or one drop beside another."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64
from scipy.stats import norm

from dgccl.errors import StatsError
from dgccl.stats._inputs import (
    Values,
    check_both_classes,
    check_confidence,
    check_groups,
    check_scores,
    check_strata,
)
from dgccl.stats.comparison import PairedComparison
from dgccl.stats.roc import (
    SMALLEST_VARIANCE,
    clustered_variance,
    in_mixed_strata,
    method_prefix,
    stratified_residuals,
)


def delong_contrast(
    y_true: Values,
    scores: Sequence[Values] | Float64[np.ndarray, "score n"],
    weights: Sequence[int | float],
    *,
    confidence: float = 0.95,
    patient: Values | None = None,
    stratum: Values | None = None,
) -> PairedComparison:
    """A weighted sum of the AUROCs of several scores on the same cases, with its interval and its test against 0.

    With the weights (1, -1) this is the paired test of DeLong; with (1, -1, -1, 1) it compares two differences.

    Args:
        y_true: labels 0 or 1, shape (n,).
        scores: k scores, higher for class 1, each of shape (n,).
        weights: one a score.
        confidence: nominal coverage.
        patient: id of each case's patient, shape (n,); repeated ids make the test go by patient.
        stratum: name of each case's stratum, shape (n,), where scores can only be compared within one.

    Raises:
        StatsError: `one_class`, `too_few_cases`, `labels_not_binary`, `lengths_differ`, `scores_nan`; `no_variance`
            if the sum is not 0 and has no variance.

    Source: the covariance of DeLong et al., Biometrics 44 (1988) 837-845; Obuchowski, Biometrics 53 (1997) 567-578.

    Example:
        >>> y, a, b = [0, 0, 0, 1, 1, 1], [1, 2, 4, 3, 5, 6], [2, 1, 5, 4, 3, 6]
        >>> round(delong_contrast(y, [a, b], [1.0, -1.0]).difference, 3)
        0.111
    """
    check_confidence(confidence)
    labels = check_both_classes(y_true)
    if len(scores) != len(weights):
        raise StatsError(
            "lengths_differ", f"{len(scores)} scores were given {len(weights)} weights; expected one each."
        )
    checked = [check_scores(score, cases=len(labels), name=f"scores[{i}]") for i, score in enumerate(scores)]
    patients, strata = check_groups(patient, cases=len(labels)), check_strata(stratum, cases=len(labels))
    used = in_mixed_strata(labels, strata)
    labels, strata = labels[used], strata[used]
    patients = np.unique(patients[used], return_inverse=True)[1] if not used.all() else patients
    parts = [stratified_residuals(labels, score[used], strata) for score in checked]
    value = float(sum(weight * part.auroc for weight, part in zip(weights, parts, strict=True)))
    positive = sum(weight * part.positive for weight, part in zip(weights, parts, strict=True))
    negative = sum(weight * part.negative for weight, part in zip(weights, parts, strict=True))
    variance = clustered_variance(labels, np.asarray(positive), np.asarray(negative), patients)
    if variance < SMALLEST_VARIANCE and abs(value) > 1e-12:
        raise StatsError(
            "no_variance",
            f"The sum of the areas is {value:.4f} and has no variance: no test is defined.",
            remedy="Report the areas with their intervals; look for a constant or a perfect score.",
        )
    error = float(np.sqrt(max(variance, 0.0)))
    half = float(norm.isf((1.0 - confidence) / 2.0)) * error
    z = value / error if error > 0 else 0.0
    name = method_prefix(patients, strata) + "delong_contrast"
    return PairedComparison(
        value, value - half, value + half, z, float(2.0 * norm.sf(abs(z))), name, len(labels), confidence
    )
