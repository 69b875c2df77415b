"""Comparisons: two scores on the same cases, two samples."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import ks_2samp, norm

from dgccl.errors import StatsError
from dgccl.stats._inputs import (
    Values,
    check_both_classes,
    check_confidence,
    check_groups,
    check_sample,
    check_scores,
    check_strata,
)
from dgccl.stats.roc import (
    SMALLEST_VARIANCE,
    clustered_variance,
    in_mixed_strata,
    method_prefix,
    stratified_residuals,
)


@dataclass(frozen=True)
class PairedComparison:
    """Difference of two AUROCs on the same cases.

    Attributes:
        difference: AUROC of a minus AUROC of b.
        ci_low: lower end of the interval of the difference.
        ci_high: upper end of the interval of the difference.
        z: difference over its standard error.
        p: two-sided.
        method: `paired_delong`, with `stratified_` and `clustered_` before it where they apply.
        n: number of cases used.
        confidence: nominal coverage of the interval.
    """

    difference: float
    ci_low: float
    ci_high: float
    z: float
    p: float
    method: str
    n: int
    confidence: float = 0.95


@dataclass(frozen=True)
class TestResult:
    """A test statistic with its two-sided p value and the size of both samples."""

    __test__ = False  # the name is the statistician's; pytest must not collect it

    statistic: float
    p: float
    method: str
    n_a: int
    n_b: int


def delong_paired(
    y_true: Values,
    score_a: Values,
    score_b: Values,
    *,
    confidence: float = 0.95,
    patient: Values | None = None,
    stratum: Values | None = None,
) -> PairedComparison:
    """Compare the AUROCs of two scores on the same cases.

    Scores that rank every pair of cases alike differ by 0 with p = 1.

    Args:
        y_true: labels 0 or 1, shape (n,).
        score_a: first score, higher for class 1, shape (n,).
        score_b: second score, shape (n,).
        confidence: nominal coverage.
        patient: id of each case's patient, shape (n,); repeated ids make the test go by patient.
        stratum: name of each case's stratum, shape (n,), where scores can only be compared within one.

    Raises:
        StatsError: `one_class`, `too_few_cases`, `labels_not_binary`, `lengths_differ`, `scores_nan`;
            `no_variance` if the areas differ while their difference has no variance (one score perfect, the
            other constant), where no test is defined.

    Source: DeLong et al., Biometrics 44 (1988) 837-845; Obuchowski, Biometrics 53 (1997) 567-578.
    """
    check_confidence(confidence)
    labels = check_both_classes(y_true)
    scores = [
        check_scores(score, cases=len(labels), name=f"score_{x}")
        for x, score in zip("ab", (score_a, score_b), strict=True)
    ]
    patients, strata = check_groups(patient, cases=len(labels)), check_strata(stratum, cases=len(labels))
    used = in_mixed_strata(labels, strata)
    labels, strata = labels[used], strata[used]
    patients = np.unique(patients[used], return_inverse=True)[1] if not used.all() else patients
    a, b = (stratified_residuals(labels, score[used], strata) for score in scores)
    variance = clustered_variance(labels, a.positive - b.positive, a.negative - b.negative, patients)
    difference = a.auroc - b.auroc
    if variance < SMALLEST_VARIANCE:
        if difference != 0.0:
            raise StatsError(
                "no_variance",
                f"The areas differ by {difference:.4f} and the difference has no variance: no test is defined.",
                remedy="Report both areas with their intervals; look for a constant or a perfect score.",
            )
        half = z = 0.0
    else:
        error = float(np.sqrt(variance))
        half, z = float(norm.isf((1.0 - confidence) / 2.0)) * error, difference / error
    name = method_prefix(patients, strata) + "paired_delong"
    return PairedComparison(
        difference,
        difference - half,
        difference + half,
        z,
        float(2.0 * norm.sf(abs(z))),
        name,
        len(labels),
        confidence,
    )


def kolmogorov_smirnov(a: Values, b: Values) -> TestResult:
    """Two-sample Kolmogorov-Smirnov test, exact where that is feasible.

    Args:
        a: first sample, shape (n_a,).
        b: second sample, shape (n_b,).

    Raises:
        StatsError: `no_cases`, `scores_nan`, `scores_not_numbers`, `not_one_dimensional`.

    Source: Hodges, Ark Mat 3 (1958) 469-486, as computed by scipy.stats.ks_2samp.
    """
    first, second = check_sample(a, name="a"), check_sample(b, name="b")
    exact = max(len(first), len(second)) <= 1000  # beyond that the exact path overflows for some sizes
    result = ks_2samp(first, second, method="exact" if exact else "asymp")
    name = f"kolmogorov_smirnov_{'exact' if exact else 'asymptotic'}"
    return TestResult(float(result.statistic), float(result.pvalue), name, len(first), len(second))
