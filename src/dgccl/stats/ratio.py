"""Confidence interval of the ratio of two independent proportions."""

import math

from scipy.optimize import brentq
from scipy.stats import norm

from dgccl.errors import StatsError
from dgccl.stats.estimate import Estimate
from dgccl.stats.proportion import wilson_interval


def koopman_interval(
    successes: tuple[int, int], trials: tuple[int, int], *, confidence: float = 0.95
) -> Estimate:
    """The first proportion over the second, with Koopman's score interval.

    The interval has ends where intervals from standard errors have none: with no success of the second proportion
    the ratio and the upper end are infinite and the lower end is finite; with none of the first, the ratio and the
    lower end are 0 and the upper end is positive.

    Args:
        successes: counts of successes of both.
        trials: counts of independent trials of both.
        confidence: nominal coverage.

    Raises:
        StatsError: `no_trials`, `counts_invalid`, `confidence_out_of_range`; `ratio_not_defined` if neither has a
            success.

    Source: Koopman, Biometrics 40 (1984) 513-517; without the factor n / (n - 1) that Miettinen and Nurminen,
        Stat Med 4 (1985) 213-226, put into the variance.

    Example:
        >>> found = koopman_interval((8, 2), (10, 20))
        >>> round(found.estimate, 2), round(found.ci_low, 2), round(found.ci_high, 2)
        (8.0, 2.44, 29.43)
    """
    (a, b), (n, m) = successes, trials
    # Wilson's interval has the same checks of counts and confidence.
    shares = [wilson_interval(x, k, confidence=confidence).estimate for x, k in ((a, n), (b, m))]
    if a == b == 0:
        raise StatsError("ratio_not_defined", f"0 of {n} over 0 of {m}: the ratio is not defined.")
    z = float(norm.isf((1.0 - confidence) / 2.0))
    inverse_high = _lower_end(b, m, a, n, z)
    return Estimate(
        shares[0] / shares[1] if b else math.inf,
        _lower_end(a, n, b, m, z),
        1.0 / inverse_high if inverse_high > 0.0 else math.inf,
        "koopman",
        n + m,
        confidence,
    )


def _lower_end(a: int, n: int, b: int, m: int, z: float) -> float:
    """The ratio below a / n over b / m at which the score statistic is z."""
    if a == 0:
        return 0.0
    if a == n and b == m:
        # Here the variance is 0 at the estimate itself; the equation then is n (1 - ratio) = z^2 ratio.
        return n / (n + z**2)
    missed = (n - a) * (m - b)

    def excess(log_ratio: float) -> float:
        ratio = math.exp(log_ratio)
        # The most likely proportions given the ratio solve a quadratic equation. Where all or nearly all succeed its
        # roots meet; written with the gap between its two parts, neither they nor their complements cancel.
        gap = ratio * (n + b) - (a + m)
        root = math.sqrt(gap**2 + 4.0 * ratio * missed)
        larger = root + abs(gap)
        smaller = 4.0 * ratio * missed / larger if larger > 0.0 else 0.0
        up, down = (larger, smaller) if gap > 0.0 else (smaller, larger)
        scale = ratio * (n + b) + a + m + root
        second, not_second = 2.0 * (a + b) / scale, (up + 2.0 * (m - b)) / scale
        first, not_first = ratio * second, (down + 2.0 * ratio * (n - a)) / scale
        variance = first * not_first / n + ratio**2 * second * not_second / m
        return (a / n - ratio * b / m) ** 2 - z**2 * variance

    high = math.log(a / n / (max(b, 1) / m))
    while b == 0 and excess(high) > 0.0:  # the ratio is infinite; look for a finite one that is too large
        high += 1.0
    low = high - 1.0
    while excess(low) <= 0.0:
        low -= 1.0
    return math.exp(float(brentq(excess, low, high, xtol=1e-14)))
