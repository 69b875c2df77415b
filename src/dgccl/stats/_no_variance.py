"""Differences of areas without variance: known to be 0, or not defined."""

from collections.abc import Sequence

from dgccl.errors import StatsError
from dgccl.stats.roc import SMALLEST_VARIANCE

ROUNDING = 1e-12
"""A sum of areas this small is 0."""


def check_known_zero(difference: float, *, ranked_alike: bool, variances: Sequence[float]) -> None:
    """Let a difference without variance pass only where it is 0 whichever cases had been drawn.

    Scores that rank every pair of cases alike differ by 0 in every sample. Two perfect scores in different orders also
    have equal areas here, but other cases could tell them apart, so that an interval from 0 to 0 would claim too much.
    Where neither area has a variance that is so even of one order: nothing was seen to vary.

    Args:
        difference: of the areas, or their weighted sum.
        ranked_alike: whether the scores rank every pair of a positive and a negative case alike.
        variances: of each area by itself.

    Raises:
        StatsError: `no_variance`.
    """
    zero, vary = abs(difference) <= ROUNDING, min(variances) >= SMALLEST_VARIANCE
    if zero and ranked_alike and vary:
        return
    reason = f"The areas differ by {difference:.4f} and the difference has no variance"
    if zero and not vary:
        reason = "The areas are equal and have no variance (perfect, perfectly wrong or constant scores)"
    elif zero:
        reason = "The areas are equal though the scores rank some pairs otherwise, and the difference has no variance"
    raise StatsError(
        "no_variance",
        f"{reason}: no test is defined.",
        remedy="Report both areas with their intervals; look for a constant or a perfect score.",
    )
