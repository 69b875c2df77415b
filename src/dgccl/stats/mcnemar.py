"""Calls of two models on the same cases: McNemar's exact test, its mid-p, and the difference of proportions."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from scipy.optimize import brentq
from scipy.stats import binom, norm

from dgccl.errors import StatsError
from dgccl.stats._inputs import Values, check_confidence, check_labels, check_scores
from dgccl.stats.estimate import Estimate


@dataclass(frozen=True)
class McNemarTest:
    """McNemar's test of the cases on which two models disagree.

    Attributes:
        b: cases that only the first model gets right.
        c: cases that only the second model gets right.
        p: exact, two-sided; never above its level under equality, and often well below.
        mid_p: counts the splits that are as likely as the observed one by half; close to its level.
        method: `mcnemar_exact`.
    """

    b: int
    c: int
    p: float
    mid_p: float
    method: str = "mcnemar_exact"


@dataclass(frozen=True)
class CallComparison:
    """Calls of two models on the same cases, by which of them is right.

    Attributes:
        both: cases that both get right.
        only_a: cases that only a gets right.
        only_b: cases that only b gets right.
        neither: cases that both get wrong.
        difference: accuracy of a minus accuracy of b, with Tango's interval.
        test: McNemar's test of only_a against only_b.
    """

    both: int
    only_a: int
    only_b: int
    neither: int
    difference: Estimate
    test: McNemarTest


def mcnemar_exact(b: int, c: int) -> McNemarTest:
    """McNemar's test from the counts of the two kinds of disagreement.

    Without any disagreement both p values are 1.

    Args:
        b: cases that only the first model gets right.
        c: cases that only the second model gets right.

    Raises:
        StatsError: `counts_invalid`.

    Source: McNemar, Psychometrika 12 (1947) 153-157; exact and mid-p: Fagerland, Lydersen and Laake, BMC Med Res
        Methodol 13 (2013) 91.

    Example:
        >>> found = mcnemar_exact(32, 28)
        >>> round(found.p, 3), round(found.mid_p, 3)
        (0.699, 0.609)
    """
    if b < 0 or c < 0:
        raise StatsError("counts_invalid", f"Counts cannot be negative, found {b} and {c}.")
    if b + c == 0:
        return McNemarTest(b, c, 1.0, 1.0)
    smaller = min(b, c)
    as_seen = float(binom.pmf(smaller, b + c, 0.5))
    if b == c:
        # Twice the tail would count the middle twice: it is the only split as likely as itself.
        return McNemarTest(b, c, 1.0, 1.0 - 0.5 * as_seen)
    p = 2.0 * float(binom.cdf(smaller, b + c, 0.5))
    return McNemarTest(b, c, min(p, 1.0), p - as_seen)


def mcnemar_calls(
    y_true: Values, call_a: Values, call_b: Values, *, confidence: float = 0.95
) -> CallComparison:
    """Compare how often the calls of two models on the same cases are right.

    To compare sensitivities give the positive cases alone, for specificities the negative ones. Cases are taken as
    independent; with several cases a patient the p values are too small and the interval too narrow.

    Args:
        y_true: labels 0 or 1, shape (n,); one class is enough.
        call_a: calls 0 or 1 of the first model, shape (n,).
        call_b: calls of the second model, shape (n,).
        confidence: nominal coverage of the interval of the difference.

    Raises:
        StatsError: `no_cases`, `labels_not_binary`, `lengths_differ`, `scores_nan`, `calls_not_binary`.

    Source: as `mcnemar_exact` and `paired_proportion_difference`.

    Example:
        >>> y, a, b = np.array([1, 1, 1, 0, 0]), np.array([1, 1, 1, 0, 1]), np.array([1, 0, 0, 0, 0])
        >>> found = mcnemar_calls(y, a, b)
        >>> found.both, found.only_a, found.only_b, found.neither, round(found.difference.estimate, 3)
        (2, 2, 1, 0, 0.2)
    """
    labels = check_labels(y_true)
    right_a = _check_calls(call_a, cases=len(labels), name="call_a") == labels
    right_b = _check_calls(call_b, cases=len(labels), name="call_b") == labels
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    both, neither = int((right_a & right_b).sum()), int((~right_a & ~right_b).sum())
    difference = paired_proportion_difference(only_a, only_b, len(labels), confidence=confidence)
    return CallComparison(both, only_a, only_b, neither, difference, mcnemar_exact(only_a, only_b))


def paired_proportion_difference(b: int, c: int, n: int, *, confidence: float = 0.95) -> Estimate:
    """Difference of two proportions of the same cases, (b - c) / n, with Tango's score interval.

    The ends are the differences that the score test just does not reject; at b = c = 0 the interval still has width.

    Args:
        b: cases that only the first counts.
        c: cases that only the second counts.
        n: all cases, agreements included.
        confidence: nominal coverage.

    Returns:
        The estimate; its `method` is `tango_score`.

    Raises:
        StatsError: `no_trials`, `counts_invalid`, `confidence_out_of_range`.

    Source: Tango, Stat Med 17 (1998) 891-908.

    Example:
        >>> found = paired_proportion_difference(1, 7, 21)
        >>> round(found.ci_low, 3), round(found.ci_high, 3)
        (-0.517, -0.026)
    """
    check_confidence(confidence)
    if n == 0:
        raise StatsError("no_trials", "A proportion of no cases is not defined.")
    if min(b, c) < 0 or b + c > n:
        raise StatsError("counts_invalid", f"{b} and {c} disagreements of {n} cases are not possible.")
    low = _tango_low(b, c, n, confidence=confidence)
    high = -_tango_low(c, b, n, confidence=confidence)  # the other end is the mirror image
    return Estimate((b - c) / n, low, high, "tango_score", n, confidence)


def _tango_low(b: int, c: int, n: int, *, confidence: float) -> float:
    z = float(norm.isf((1.0 - confidence) / 2.0))

    def excess(delta: float) -> float:
        """How far the score statistic at a difference lies above z, times its standard error."""
        # The likeliest share of c under that difference solves 2 n q^2 + linear q - c delta (1 - delta) = 0.
        linear = (2 * n - b + c) * delta - b - c
        root = np.sqrt(max(linear**2 + 8 * n * c * delta * (1.0 - delta), 0.0))
        share = (root - linear) / (4 * n)
        spread = n * (2.0 * share + delta * (1.0 - delta))
        return b - c - n * delta - z * float(np.sqrt(max(spread, 0.0)))

    if c == n:
        return -1.0
    # Where all cases are alike the difference itself solves the equation too; the end is the other solution.
    if b == n:
        return (n - z**2) / (n + z**2)
    if b == c == 0:
        return -(z**2) / (n + z**2)
    return float(brentq(excess, -1.0, (b - c) / n, xtol=1e-14))


def _check_calls(calls: Values, *, cases: int, name: str) -> Bool[np.ndarray, "n"]:
    values = check_scores(calls, cases=cases, name=name)
    if not np.isin(values, (0.0, 1.0)).all():
        raise StatsError(
            "calls_not_binary",
            f"{name} must hold only 0 and 1; other values were found.",
            remedy="Turn scores into calls first: score >= threshold.",
        )
    return values == 1.0
