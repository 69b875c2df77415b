"""Confidence intervals of a proportion."""

import math
from collections.abc import Callable
from typing import Literal, get_args

from scipy.stats import beta, norm

from dgccl.errors import StatsError
from dgccl.stats._inputs import check_choice, check_confidence
from dgccl.stats.estimate import Estimate

ProportionMethod = Literal["wilson", "clopper_pearson"]


def wilson_interval(successes: int, trials: int, *, confidence: float = 0.95) -> Estimate:
    """A proportion with Wilson's score interval.

    Args:
        successes: count of successes.
        trials: count of independent trials.
        confidence: nominal coverage.

    Raises:
        StatsError: `no_trials`, `counts_invalid`, `confidence_out_of_range`.

    Source: Wilson, J Am Stat Assoc 22 (1927) 209-212.

    Example:
        >>> round(wilson_interval(9, 10).ci_low, 4)
        0.5958
    """
    _check_counts(successes, trials, confidence)
    z = float(norm.isf((1.0 - confidence) / 2.0))
    share = successes / trials
    center = (share + z**2 / (2 * trials)) / (1.0 + z**2 / trials)
    half = z / (1.0 + z**2 / trials) * math.sqrt(share * (1.0 - share) / trials + z**2 / (4.0 * trials**2))
    # At the ends the algebra gives exactly 0 and 1; the rounding does not.
    low = 0.0 if successes == 0 else center - half
    high = 1.0 if successes == trials else center + half
    return Estimate(share, low, high, "wilson", trials, confidence)


def clopper_pearson_interval(successes: int, trials: int, *, confidence: float = 0.95) -> Estimate:
    """A proportion with the exact (conservative) interval.

    Args:
        successes: count of successes.
        trials: count of independent trials.
        confidence: smallest coverage.

    Raises:
        StatsError: `no_trials`, `counts_invalid`, `confidence_out_of_range`.

    Source: Clopper and Pearson, Biometrika 26 (1934) 404-413.

    Example:
        >>> found = clopper_pearson_interval(9, 10)
        >>> round(found.ci_low, 4), round(found.ci_high, 4)
        (0.555, 0.9975)
    """
    _check_counts(successes, trials, confidence)
    tail = (1.0 - confidence) / 2.0
    low = 0.0 if successes == 0 else float(beta.ppf(tail, successes, trials - successes + 1))
    high = 1.0 if successes == trials else float(beta.isf(tail, successes + 1, trials - successes))
    return Estimate(successes / trials, low, high, "clopper_pearson", trials, confidence)


def proportion_interval(method: ProportionMethod) -> Callable[..., Estimate]:
    """The function behind the name of an interval.

    Raises:
        StatsError: `option_unknown`.
    """
    check_choice(method, get_args(ProportionMethod), name="method")
    return wilson_interval if method == "wilson" else clopper_pearson_interval


def _check_counts(successes: int, trials: int, confidence: float) -> None:
    check_confidence(confidence)
    if trials == 0:
        raise StatsError("no_trials", "A proportion of no trials is not defined.")
    if not 0 <= successes <= trials:
        raise StatsError("counts_invalid", f"{successes} successes of {trials} trials are not possible.")
