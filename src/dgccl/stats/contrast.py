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
from dgccl.stats._no_variance import ROUNDING, check_known_zero
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
            if the sum has no variance and is not known to be 0, as in `delong_paired`.

    Source: the covariance of DeLong et al., Biometrics 44 (1988) 837-845; Obuchowski, Biometrics 53 (1997) 567-578.

    Example:
        >>> y, a, b = np.array([0, 0, 0, 1, 1, 1]), np.array([1, 2, 4, 3, 5, 6]), np.array([2, 1, 5, 4, 3, 6])
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
    positive, negative = (
        np.asarray(sum(weight * one for weight, one in zip(weights, each, strict=True)), dtype=np.float64)
        for each in ([part.positive for part in parts], [part.negative for part in parts])
    )
    variance = clustered_variance(labels, positive, negative, patients)
    half = z = 0.0
    if variance < SMALLEST_VARIANCE:
        alike = max(np.abs(positive).max(), np.abs(negative).max()) <= ROUNDING
        own = [clustered_variance(labels, part.positive, part.negative, patients) for part in parts]
        check_known_zero(value, ranked_alike=bool(alike), variances=own)
        value = 0.0  # but for rounding
    else:
        error = float(np.sqrt(variance))
        half, z = float(norm.isf((1.0 - confidence) / 2.0)) * error, value / error
    name = method_prefix(patients, strata) + "delong_contrast"
    return PairedComparison(
        value, value - half, value + half, z, float(2.0 * norm.sf(abs(z))), name, len(labels), confidence
    )
