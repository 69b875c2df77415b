"""Score interval of an area under the ROC curve from its counts, which has a width where no variance is seen."""

from scipy.optimize import brentq
from scipy.stats import norm

from dgccl.stats._inputs import check_confidence


def newcombe_interval(
    value: float, *, positives: int, negatives: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Score interval of an AUROC from the counts alone; at 1 and 0 it still has width.

    The ends are the areas whose own standard error (exponential model, counts averaged) just reaches the value.

    Args:
        value: AUROC, 0 to 1.
        positives: number of positive cases.
        negatives: number of negative cases.
        confidence: nominal coverage.

    Raises:
        StatsError: `confidence_out_of_range`.

    Source: Newcombe, Stat Med 25 (2006) 559-573, method 5.

    Example:
        >>> [round(end, 3) for end in newcombe_interval(0.9, positives=20, negatives=30)]
        [0.764, 0.959]
    """
    check_confidence(confidence)
    z = float(norm.isf((1.0 - confidence) / 2.0))
    averaged = (positives + negatives) / 2.0 - 1.0

    def spread(area: float) -> float:
        shape = 1.0 + averaged * ((1.0 - area) / (2.0 - area) + area / (1.0 + area))
        return z**2 * shape / (positives * negatives)

    def excess(area: float) -> float:
        return (area - value) ** 2 - spread(area) * area * (1.0 - area)

    if value in (0.0, 1.0):
        # The value itself solves the equation; divided by its distance, only the other end is left.
        far = float(brentq(lambda area: 1.0 - area - spread(area) * area, 0.0, 1.0, xtol=1e-14))
        return (far, 1.0) if value == 1.0 else (0.0, 1.0 - far)
    low = float(brentq(excess, 0.0, value, xtol=1e-14))
    high = float(brentq(excess, value, 1.0, xtol=1e-14))
    return low, high
