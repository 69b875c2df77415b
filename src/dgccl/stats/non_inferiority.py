"""Is a difference at worst smaller than a margin: non-inferiority and equivalence, from an interval."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import t as student

from dgccl.errors import StatsError
from dgccl.stats._inputs import check_confidence
from dgccl.stats.comparison import PairedComparison
from dgccl.stats.estimate import Estimate
from dgccl.stats.folds import FoldComparison
from dgccl.stats.unpaired import UnpairedComparison

Difference = PairedComparison | UnpairedComparison | FoldComparison | Estimate
"""New minus old, higher is better; an `Estimate` must be one of a difference."""


@dataclass(frozen=True)
class NonInferiority:
    """What an interval of a difference says beside a margin.

    Attributes:
        verdict: `superior` if the whole interval lies above 0, else `non_inferior` if it lies above -margin,
            `inferior` if it lies below -margin, else `inconclusive`.
        margin: largest loss that is accepted, positive.
        difference: the difference, new minus old.
        ci_low: lower end of its two-sided interval, that is its lower limit at 1 - alpha.
        ci_high: upper end of its two-sided interval.
        p: one-sided, of a difference at or below -margin.
        alpha: one-sided level of the verdict, half of what the interval leaves out.
        method: of the difference, with `_non_inferiority` behind it.
        n: number of cases (or folds) behind the difference.
    """

    verdict: Literal["superior", "non_inferior", "inconclusive", "inferior"]
    margin: float
    difference: float
    ci_low: float
    ci_high: float
    p: float
    alpha: float
    method: str
    n: int


@dataclass(frozen=True)
class Equivalence:
    """Whether a difference lies within a margin on both sides.

    Attributes:
        verdict: `equivalent` if the whole interval lies between -margin and margin, `different` if it lies beyond
            one of them, else `inconclusive`.
        margin: largest difference that does not matter, positive.
        difference: the difference.
        ci_low: lower end of its interval.
        ci_high: upper end of its interval.
        p: larger one of both one-sided tests.
        alpha: level of either one-sided test.
        method: of the difference, with `_tost` behind it.
        n: number of cases (or folds) behind the difference.
    """

    verdict: Literal["equivalent", "inconclusive", "different"]
    margin: float
    difference: float
    ci_low: float
    ci_high: float
    p: float
    alpha: float
    method: str
    n: int


@dataclass(frozen=True)
class _Interval:
    difference: float
    low: float
    high: float
    df: float
    alpha: float
    method: str
    n: int


def non_inferiority(comparison: Difference, margin: float) -> NonInferiority:
    """Test whether a new model is worse than the old one by less than a margin.

    A two-sided 95 % interval gives the verdict at a one-sided 2.5 %. The margin is to be fixed before looking. An
    interval that is not symmetric has its p from the half that is tested, so that p and verdict agree. One without
    width is refused, but for a paired comparison of scores that rank alike: they do not differ, with a p of 0.

    Args:
        comparison: difference, new minus old, of a figure that is better when higher; for a loss give old minus new.
        margin: largest loss that is accepted, positive, in the units of the difference.

    Raises:
        StatsError: `margin_not_positive`, `interval_invalid`, `confidence_out_of_range`, `interval_without_width`.

    Source: Piaggio et al., JAMA 308 (2012) 2594-2604, for the verdicts.

    Example:
        >>> found = non_inferiority(Estimate(-0.01, -0.04, 0.02, "delong", 200), 0.05)
        >>> found.verdict, round(found.p, 4), round(found.alpha, 3)
        ('non_inferior', 0.0045, 0.025)
    """
    one = _checked(comparison, margin)
    verdict: Literal["superior", "non_inferior", "inconclusive", "inferior"] = "inconclusive"
    if one.low > 0.0:
        verdict = "superior"
    elif one.low > -margin:
        verdict = "non_inferior"
    elif one.high < -margin:
        verdict = "inferior"
    return NonInferiority(
        verdict,
        margin,
        one.difference,
        one.low,
        one.high,
        _p_not_above(one, -margin),
        one.alpha,
        one.method + "_non_inferiority",
        one.n,
    )


def equivalence(comparison: Difference, margin: float) -> Equivalence:
    """Test whether two models differ by less than a margin: two one-sided tests.

    For the usual level of 5 % give a difference with a 90 % interval; a 95 % interval gives 2.5 %.

    Args:
        comparison: difference with its interval.
        margin: largest difference that does not matter, positive.

    Raises:
        StatsError: as `non_inferiority`.

    Source: Schuirmann, J Pharmacokinet Biopharm 15 (1987) 657-680.

    Example:
        >>> found = equivalence(Estimate(-0.01, -0.04, 0.02, "delong", 200), 0.05)
        >>> found.verdict, round(found.p, 4)
        ('equivalent', 0.0045)
    """
    one = _checked(comparison, margin)
    verdict: Literal["equivalent", "inconclusive", "different"] = "inconclusive"
    if -margin < one.low and one.high < margin:
        verdict = "equivalent"
    elif one.high < -margin or margin < one.low:
        verdict = "different"
    mirrored = _Interval(-one.difference, -one.high, -one.low, one.df, one.alpha, one.method, one.n)
    p = max(_p_not_above(one, -margin), _p_not_above(mirrored, -margin))
    return Equivalence(
        verdict, margin, one.difference, one.low, one.high, p, one.alpha, one.method + "_tost", one.n
    )


def _p_not_above(one: _Interval, limit: float) -> float:
    """One-sided p of a difference at or below a limit; below alpha exactly where the lower end is above the limit."""
    half, distance = one.difference - one.low, one.difference - limit
    if half == 0.0:
        return 0.0 if distance > 0.0 else 1.0
    return float(student.sf(student.isf(one.alpha, one.df) * distance / half, one.df))


def _checked(comparison: Difference, margin: float) -> _Interval:
    if not (0.0 < margin < np.inf):
        raise StatsError(
            "margin_not_positive",
            f"The margin must be a positive number, found {margin}.",
            remedy="Give the largest loss that would be accepted, e.g. 0.05.",
        )
    check_confidence(comparison.confidence)
    value = comparison.estimate if isinstance(comparison, Estimate) else comparison.difference
    if not (-np.inf < comparison.ci_low <= value <= comparison.ci_high < np.inf):
        raise StatsError(
            "interval_invalid",
            f"The interval {comparison.ci_low} to {comparison.ci_high} does not hold its difference {value}.",
        )
    # Paired comparisons give 0 to 0 only for scores of one order, which differ by 0 in every sample.
    known = isinstance(comparison, PairedComparison) and value == 0.0
    if comparison.ci_low == comparison.ci_high and not known:
        raise StatsError(
            "interval_without_width",
            f"The interval is the single point {value}, which claims more than any sample can show.",
            remedy="Give a difference with an interval; look for constant or perfect scores behind this one.",
        )
    df = comparison.df if isinstance(comparison, UnpairedComparison | FoldComparison) else np.inf
    n = comparison.n_a + comparison.n_b if isinstance(comparison, UnpairedComparison) else comparison.n
    return _Interval(
        value,
        comparison.ci_low,
        comparison.ci_high,
        df,
        (1.0 - comparison.confidence) / 2.0,
        comparison.method,
        n,
    )
