"""Comparisons: two scores on the same cases, two samples."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import kruskal, ks_2samp, norm

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
from dgccl.stats._no_variance import check_known_zero
from dgccl.stats.roc import (
    SMALLEST_VARIANCE,
    clustered_variance,
    in_mixed_strata,
    method_prefix,
    stratified_residuals,
)

EXACT_KS_SIZE = 1000
"""Larger samples take too long, and their exact sum overflows for most sizes."""


@dataclass(frozen=True)
class PairedComparison:
    """Difference of two AUROCs on the same cases.

    Attributes:
        difference: AUROC of a minus AUROC of b.
        ci_low: lower end of the interval of the difference.
        ci_high: upper end of the interval of the difference; without a width, 0 to 0, only for scores that rank every
            pair of cases alike, some of them wrongly.
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


@dataclass(frozen=True)
class GroupTest:
    """A test statistic over several samples with its p value and the size of each sample."""

    statistic: float
    p: float
    method: str
    n: tuple[int, ...]


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

    Scores that rank every pair of cases alike, and some pairs wrongly, differ by 0, from 0 to 0, with p = 1.

    Args:
        y_true: labels 0 or 1, shape (n,).
        score_a: first score, higher for class 1, shape (n,).
        score_b: second score, shape (n,).
        confidence: nominal coverage.
        patient: id of each case's patient, shape (n,); repeated ids make the test go by patient.
        stratum: name of each case's stratum, shape (n,), where scores can only be compared within one.

    Raises:
        StatsError: `one_class`, `too_few_cases`, `labels_not_binary`, `lengths_differ`, `scores_nan`;
            `no_variance` if the difference has no variance and is not known to be 0 (both scores perfect or
            constant), where no test is defined.

    Source: DeLong et al., Biometrics 44 (1988) 837-845; Obuchowski, Biometrics 53 (1997) 567-578.

    Example:
        >>> y, a, b = np.array([0, 0, 0, 1, 1, 1]), np.array([1, 2, 4, 3, 5, 6]), np.array([2, 1, 5, 4, 3, 6])
        >>> found = delong_paired(y, a, b)
        >>> round(found.difference, 3), round(found.ci_low, 3), round(found.ci_high, 3), round(found.p, 3)
        (0.111, -0.197, 0.419, 0.48)
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
        alike = np.array_equal(a.positive, b.positive) and np.array_equal(a.negative, b.negative)
        own = [clustered_variance(labels, one.positive, one.negative, patients) for one in (a, b)]
        check_known_zero(difference, ranked_alike=alike, variances=own)
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

    Example:
        >>> found = kolmogorov_smirnov(np.array([0.1, 0.2, 0.3, 0.6]), np.array([0.4, 0.5, 0.7, 0.8]))
        >>> found.statistic, round(found.p, 4), found.method
        (0.75, 0.2286, 'kolmogorov_smirnov_exact')
    """
    first, second = check_sample(a, name="a"), check_sample(b, name="b")
    result, name = None, "kolmogorov_smirnov_exact"
    if max(len(first), len(second)) <= EXACT_KS_SIZE:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            try:
                result = ks_2samp(first, second, method="exact")
            except RuntimeWarning:  # the exact sum fails, as for samples that interleave
                result = None
    if result is None:
        result, name = ks_2samp(first, second, method="asymp"), "kolmogorov_smirnov_asymptotic"
    return TestResult(float(result.statistic), float(result.pvalue), name, len(first), len(second))


def kruskal_wallis(samples: Sequence[Values]) -> GroupTest:
    """Kruskal-Wallis test whether any of several samples tends to larger values than another, corrected for ties.

    It sees shifts between the samples, not differences of spread alone. Samples that all hold one and the same
    value have a statistic of 0 and p = 1.

    Args:
        samples: two samples or more, (n,) each.

    Raises:
        StatsError: `too_few_samples`, `no_cases`, `scores_nan`, `scores_not_numbers`, `not_one_dimensional`.

    Source: Kruskal and Wallis, J Am Stat Assoc 47 (1952) 583-621; the chi-squared approximation of scipy.stats.kruskal.

    Example:
        >>> samples = [np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0]), np.array([7.0, 8.0, 9.0])]
        >>> found = kruskal_wallis(samples)
        >>> round(found.statistic, 2), round(found.p, 4)
        (7.2, 0.0273)
    """
    if len(samples) < 2:
        raise StatsError("too_few_samples", f"The test compares two samples or more; found {len(samples)}.")
    checked = [check_sample(values, name=f"sample {index}") for index, values in enumerate(samples)]
    sizes = tuple(len(values) for values in checked)
    pooled = np.concatenate(checked)
    if (pooled == pooled[0]).all():
        return GroupTest(0.0, 1.0, "kruskal_wallis", sizes)
    result = kruskal(*checked)
    return GroupTest(float(result.statistic), float(result.pvalue), "kruskal_wallis", sizes)
