"""Comparison of AUROCs measured on two independent cohorts, such as those of two hospitals."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from dgccl.errors import StatsError
from dgccl.stats._inputs import Values, check_both_classes, check_confidence, check_groups, check_scores
from dgccl.stats.newcombe import newcombe_interval
from dgccl.stats.roc import SMALLEST_VARIANCE, clustered_variance, placements


@dataclass(frozen=True)
class UnpairedComparison:
    """Difference of two AUROCs of independent cohorts.

    Attributes:
        difference: AUROC of cohort a minus AUROC of cohort b.
        ci_low: lower end of the interval of the difference.
        ci_high: upper end of the interval of the difference.
        t: difference over its standard error.
        df: degrees of freedom of t.
        p: two-sided.
        method: `unpaired_delong`, or `clustered_unpaired_delong` where patients repeat; `newcombe_hybrid` where
            neither area has a variance.
        n_a: number of cases in cohort a.
        n_b: number of cases in cohort b.
        confidence: nominal coverage of the interval.
    """

    difference: float
    ci_low: float
    ci_high: float
    t: float
    df: float
    p: float
    method: str
    n_a: int
    n_b: int
    confidence: float = 0.95


@dataclass(frozen=True)
class _Cohort:
    auroc: float
    variance: float
    cases: int
    patients: int
    with_class: tuple[int, int]
    """Patients with a positive case, patients with a negative one."""


def delong_unpaired(
    y_true_a: Values,
    score_a: Values,
    y_true_b: Values,
    score_b: Values,
    *,
    patient_a: Values | None = None,
    patient_b: Values | None = None,
    confidence: float = 0.95,
) -> UnpairedComparison:
    """Compare the AUROCs of two cohorts that have no patient in common.

    The variances of both cohorts add up, and the difference has a t distribution with the degrees of freedom of
    Welch and Satterthwaite, as in pROC. A cohort without variance (a perfect score) adds none; if neither has any and
    the areas are equal, the interval is built from Newcombe's intervals of both areas and p is 1.

    Args:
        y_true_a: labels 0 or 1 of cohort a, shape (n_a,).
        score_a: scores of cohort a, higher for class 1, shape (n_a,).
        y_true_b: labels of cohort b, shape (n_b,).
        score_b: scores of cohort b, shape (n_b,).
        patient_a: id of each case's patient in cohort a, shape (n_a,); repeated ids make the variance go by patient.
        patient_b: the same in cohort b, shape (n_b,).
        confidence: nominal coverage.

    Raises:
        StatsError: `one_class`, `too_few_cases`, `labels_not_binary`, `lengths_differ`, `scores_nan`,
            `patient_missing`; `patients_shared` if an id stands in both cohorts; `no_variance` if the areas differ
            while neither has a variance.

    Source: DeLong et al., Biometrics 44 (1988) 837-845; Obuchowski, Biometrics 53 (1997) 567-578; degrees of freedom:
        Welch, Biometrika 34 (1947) 28-35, with cases (or patients) less one a cohort, as roc.test of pROC; without
        variance: square-and-add, Newcombe, Stat Med 17 (1998) 873-890, of the intervals of Stat Med 25 (2006) 559-573.

    Example:
        >>> y, a, b = np.array([0, 0, 0, 1, 1, 1]), np.arange(6.0), np.array([0.0, 1, 4, 2, 3, 5])
        >>> found = delong_unpaired(y, a, y, b)
        >>> round(found.difference, 3), round(found.df, 1), round(found.p, 3)
        (0.222, 5.0, 0.412)
    """
    check_confidence(confidence)
    a = _cohort(y_true_a, score_a, patient_a, name="score_a")
    b = _cohort(y_true_b, score_b, patient_b, name="score_b")
    if patient_a is not None and patient_b is not None:
        _check_independent(patient_a, patient_b)
    difference, variance = a.auroc - b.auroc, a.variance + b.variance
    if variance < SMALLEST_VARIANCE:
        return _without_variance(a, b, confidence)
    error = float(np.sqrt(variance))
    t = difference / error
    df = variance**2 / (a.variance**2 / (a.patients - 1) + b.variance**2 / (b.patients - 1))
    half = float(student.isf((1.0 - confidence) / 2.0, df)) * error
    clustered = a.patients < a.cases or b.patients < b.cases
    return UnpairedComparison(
        difference,
        difference - half,
        difference + half,
        t,
        df,
        float(2.0 * student.sf(abs(t), df)),
        "clustered_" * clustered + "unpaired_delong",
        a.cases,
        b.cases,
        confidence,
    )


def _cohort(y_true: Values, y_score: Values, patient: Values | None, *, name: str) -> _Cohort:
    labels = check_both_classes(y_true)
    parts = placements(labels, check_scores(y_score, cases=len(labels), name=name))
    groups = check_groups(patient, cases=len(labels))
    variance = clustered_variance(labels, parts.positive, parts.negative, groups)
    with_class = (len(np.unique(groups[labels])), len(np.unique(groups[~labels])))
    return _Cohort(parts.auroc, variance, len(labels), int(groups.max()) + 1, with_class)


def _check_independent(patient_a: Values, patient_b: Values) -> None:
    a, b = np.asarray(patient_a), np.asarray(patient_b)
    if (
        a.dtype.kind not in "buif" or b.dtype.kind not in "buif"
    ):  # numbers compare as such, all else by its name
        a, b = a.astype(str), b.astype(str)
    shared = len(np.intersect1d(a, b))
    if shared:
        raise StatsError(
            "patients_shared",
            f"{shared} patient ids stand in both cohorts; the test takes the cohorts as independent.",
            remedy="Leave them out of one cohort; if two hospitals number alike, name the hospital in the id.",
        )


def _without_variance(a: _Cohort, b: _Cohort, confidence: float) -> UnpairedComparison:
    """Equal areas that both have no variance: a difference of 0 that is still not sure."""
    difference = a.auroc - b.auroc
    if difference != 0.0:
        raise StatsError(
            "no_variance",
            f"The areas differ by {difference:.4f} and neither has a variance: no test is defined.",
            remedy="Report both areas with their intervals; look for a constant or a perfect score.",
        )
    (low_a, high_a), (low_b, high_b) = (
        newcombe_interval(
            one.auroc, positives=one.with_class[0], negatives=one.with_class[1], confidence=confidence
        )
        for one in (a, b)
    )
    below = float(np.hypot(a.auroc - low_a, high_b - b.auroc))
    above = float(np.hypot(high_a - a.auroc, b.auroc - low_b))
    df = float(a.patients + b.patients - 2)
    return UnpairedComparison(
        0.0, -below, above, 0.0, df, 1.0, "newcombe_hybrid", a.cases, b.cases, confidence
    )
