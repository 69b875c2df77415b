"""From the variance that cases give to the cases that a plan needs, and to the power that given cases have."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, exp, inf, log, sqrt

from scipy.optimize import brentq
from scipy.stats import norm

from dgccl.errors import StatsError

Spread = Callable[[int | float, int | float], tuple[float, float]]
"""Variance of the estimate with so many positive and negative cases: at the null, and as expected."""


@dataclass(frozen=True)
class SampleSize:
    """Number of cases that a plan needs.

    Attributes:
        positives: positive cases, rounded up, at least 2.
        negatives: negative cases, rounded up, at least 2.
        positives_unrounded: positive cases that meet the plan exactly.
        method: how the variance is foreseen.
    """

    positives: int
    negatives: int
    positives_unrounded: float
    method: str


def apart(expected: float, null: float, margin: float | None = None) -> float:
    """Distance between what is expected and what is to be ruled out."""
    if margin is not None and not 0.0 < margin < inf:
        raise StatsError("margin_not_positive", f"The margin must be a positive number, found {margin}.")
    distance = abs(expected - null) if margin is None else expected - null + margin
    if distance <= 1e-12:
        raise StatsError(
            "no_difference",
            f"With {expected} expected there is nothing to find against {null}"
            + (f" less a margin of {margin}." if margin is not None else "."),
            remedy="Expect a larger area, or accept a larger margin.",
        )
    return distance


def tail_of(alpha: float, *, one_sided: bool) -> float:
    check_inside(alpha, 0.0, 1.0, name="alpha")
    return alpha if one_sided else alpha / 2.0


def solve_cases(
    spread: Spread, delta: float, ratio: float, power: float, tail: float, *, method: str
) -> SampleSize:
    check_inside(ratio, 0.0, inf, name="ratio")
    check_inside(power, tail, 1.0, name="power")
    z_tail, z_power = float(norm.isf(tail)), float(norm.ppf(power))

    def excess(log_positives: float) -> float:
        positives = exp(log_positives)
        null, expected = _roots(spread(positives, ratio * positives))
        return delta - z_tail * null - z_power * expected

    low, high = log(1e-6), 0.0
    if excess(low) > 0.0:
        raise StatsError(
            "power_out_of_range", f"A power of {power} needs no cases: it is close to the level."
        )
    while excess(high) < 0.0:
        high += 1.0
    positives = exp(float(brentq(excess, low, high, xtol=1e-13)))
    # Rounding of the solver must not ask for one case more.
    whole = [max(2, ceil(count * (1.0 - 1e-9))) for count in (positives, ratio * positives)]
    return SampleSize(whole[0], whole[1], positives, method)


def power_with(spread: Spread, delta: float, positives: int, negatives: int, tail: float) -> float:
    if min(positives, negatives) < 2:
        raise StatsError(
            "too_few_cases",
            f"A test needs at least 2 cases of each class, found {positives} and {negatives}.",
            remedy="Add cases of the rarer class.",
        )
    null, expected = _roots(spread(positives, negatives))
    return float(norm.cdf((delta - float(norm.isf(tail)) * null) / expected))


def _roots(variances: tuple[float, float]) -> tuple[float, float]:
    if min(variances) <= 0.0:
        raise StatsError(
            "no_variance",
            "The formula gives the difference no positive variance at these areas and correlations.",
            remedy='Use variance="empirical", or give the larger area second.',
        )
    return sqrt(variances[0]), sqrt(variances[1])


def check_inside(value: float, low: float, high: float, *, name: str) -> None:
    if not low < value < high:
        raise StatsError(f"{name}_out_of_range", f"{name} must lie between {low} and {high}, found {value}.")
