"""Variance that an AUROC, or a difference of two, will have: three ways to foresee it before there are data.

All assume scores that are normal with one spread in both classes after some monotone transform, except the
exponential formula of Hanley and McNeil.
"""

from functools import lru_cache
from math import asin, cos, exp, pi, sin, sqrt
from typing import Literal, get_args

from scipy.integrate import quad
from scipy.stats import norm

from dgccl.stats._inputs import check_choice

AreaVariance = Literal["obuchowski", "hanley_mcneil", "empirical"]


def area_variance(
    auroc: float, positives: int | float, negatives: int | float, *, variance: AreaVariance = "obuchowski"
) -> float:
    """Variance of one AUROC.

    Args:
        auroc: the true area, in (0, 1).
        positives: positive cases; a fraction while a plan is being solved.
        negatives: negative cases.
        variance: `obuchowski` with the constants rounded as published, and as in power.roc.test of pROC;
            `hanley_mcneil`; or `empirical`, the exact variance of the share of pairs ranked right.

    Raises:
        StatsError: `option_unknown`.

    Source: Obuchowski and McClish, Stat Med 16 (1997) 1529-1542; Hanley and McNeil, Radiology 143 (1982) 29-36;
        empirical: Bamber, J Math Psychol 12 (1975) 387-415.

    Example:
        >>> [round(area_variance(0.8, 50, 100, variance=v), 5) for v in ("obuchowski", "hanley_mcneil", "empirical")]
        [0.00193, 0.0017, 0.00143]
    """
    check_choice(variance, get_args(AreaVariance), name="variance")
    if variance == "obuchowski":
        return _obuchowski(auroc, positives, negatives, scale=0.0099, root=1.414)
    if variance == "hanley_mcneil":
        return _hanley_mcneil(auroc, positives, negatives)
    return _empirical(auroc, auroc, 1.0, 1.0, positives, negatives)


def difference_variance(
    auroc_a: float,
    auroc_b: float,
    positives: int | float,
    negatives: int | float,
    *,
    correlation_positive: float,
    correlation_negative: float,
    variance: AreaVariance = "obuchowski",
) -> tuple[float, float]:
    """Variance of the difference of two AUROCs on the same cases: without a difference, and as expected.

    Obuchowski's variance without a difference takes that of area a for both, as power.roc.test of pROC; the other
    two use the expected one throughout, as DeLong's test does. Obuchowski's does not vanish as the correlations go
    to 1, and may plan twice the cases that are needed. The formula of Hanley and McNeil needs the correlation of the
    areas: it is computed here as that of the empirical areas, which is within 0.02 of their table.

    Args:
        auroc_a: true area of the first score, in (0, 1).
        auroc_b: true area of the second score, in (0, 1).
        positives: positive cases.
        negatives: negative cases.
        correlation_positive: correlation of the two scores among positive cases, in (-1, 1).
        correlation_negative: the same among negative cases.
        variance: as for `area_variance`.

    Raises:
        StatsError: `option_unknown`.

    Source: Obuchowski and McClish, Stat Med 16 (1997) 1529-1542; Hanley and McNeil, Radiology 148 (1983) 839-843.

    Example:
        >>> of = dict(correlation_positive=0.5, correlation_negative=0.5)
        >>> [round(value, 5) for value in difference_variance(0.85, 0.8, 50, 100, **of)]
        [0.00215, 0.00247]
    """
    check_choice(variance, get_args(AreaVariance), name="variance")
    pair = (correlation_positive, correlation_negative, positives, negatives)
    if variance == "obuchowski":
        own = [
            _obuchowski(area, positives, negatives, scale=1.0 / (32.0 * pi), root=sqrt(2.0))
            for area in (auroc_a, auroc_b)
        ]
        shared = _obuchowski_covariance(auroc_a, auroc_b, *pair)
        return 2.0 * own[0] - 2.0 * shared, sum(own) - 2.0 * shared
    exact = [_empirical(area, area, 1.0, 1.0, positives, negatives) for area in (auroc_a, auroc_b)]
    shared = _empirical(auroc_a, auroc_b, *pair)
    if variance == "hanley_mcneil":
        own = [_hanley_mcneil(area, positives, negatives) for area in (auroc_a, auroc_b)]
        shared *= sqrt(own[0] * own[1] / (exact[0] * exact[1]))
    else:
        own = exact
    expected = sum(own) - 2.0 * shared
    return expected, expected


def _obuchowski(
    auroc: float, positives: int | float, negatives: int | float, *, scale: float, root: float
) -> float:
    distance = float(norm.ppf(auroc)) * root
    kappa = negatives / positives
    shape = (5.0 * distance**2 + 8.0) + (distance**2 + 8.0) / kappa
    return scale * exp(-(distance**2) / 2.0) * shape / positives


def _obuchowski_covariance(
    auroc_a: float,
    auroc_b: float,
    correlation_positive: float,
    correlation_negative: float,
    positives: int | float,
    negatives: int | float,
) -> float:
    """The published covariance, whose four terms come to this where both classes have one spread."""
    a, b = (sqrt(2.0) * float(norm.ppf(area)) for area in (auroc_a, auroc_b))
    slope = exp(-(a**2 + b**2) / 4.0) / (4.0 * pi)
    linear = correlation_positive / positives + correlation_negative / negatives
    square = correlation_positive**2 / positives + correlation_negative**2 / negatives
    return slope * (linear + a * b / 8.0 * square)


def _hanley_mcneil(auroc: float, positives: int | float, negatives: int | float) -> float:
    two_positives = auroc / (2.0 - auroc)
    two_negatives = 2.0 * auroc**2 / (1.0 + auroc)
    return (
        auroc * (1.0 - auroc)
        + (positives - 1.0) * (two_positives - auroc**2)
        + (negatives - 1.0) * (two_negatives - auroc**2)
    ) / (positives * negatives)


def _empirical(
    auroc_a: float,
    auroc_b: float,
    correlation_positive: float,
    correlation_negative: float,
    positives: int | float,
    negatives: int | float,
) -> float:
    """Exact covariance of two empirical AUROCs of normal scores; with correlations of 1, the variance of one."""
    # Two pairs of cases that share a positive case: half of what varies in a pair is common to both.
    positive = _win_covariance(auroc_a, auroc_b, correlation_positive / 2.0)
    negative = _win_covariance(auroc_a, auroc_b, correlation_negative / 2.0)
    same = _win_covariance(auroc_a, auroc_b, (correlation_positive + correlation_negative) / 2.0)
    return (same + (negatives - 1.0) * positive + (positives - 1.0) * negative) / (positives * negatives)


@lru_cache(maxsize=256)
def _win_covariance(auroc_a: float, auroc_b: float, correlation: float) -> float:
    """Covariance of two wins with these chances, each by a normal difference of this correlation.

    It is the bivariate normal probability less the product of both chances, as an integral over the correlation
    (Plackett, Biometrika 41 (1954) 351-360), taken over its angle so that the ends are harmless.
    """
    a, b = float(norm.ppf(auroc_a)), float(norm.ppf(auroc_b))

    def density(angle: float) -> float:
        return exp(-(a * a + b * b - 2.0 * a * b * sin(angle)) / (2.0 * cos(angle) ** 2)) / (2.0 * pi)

    return float(quad(density, 0.0, asin(correlation), epsabs=1e-13, epsrel=1e-11)[0])
