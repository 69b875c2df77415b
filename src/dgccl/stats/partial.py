"""The area under a part of the ROC curve."""

import numpy as np

from dgccl.errors import StatsError
from dgccl.stats._inputs import Values
from dgccl.stats.curve import roc_curve

ROUNDING = 1e-12
"""An area this close to that of chance is that of chance."""


def partial_auroc(
    y_true: Values,
    y_score: Values,
    *,
    specificity: tuple[float, float] | None = None,
    sensitivity: tuple[float, float] | None = None,
    standardized: bool = False,
) -> float:
    """Area under the ROC curve between two specificities, or right of it between two sensitivities.

    As it is, the area goes up to the width of the range. Standardized, it is 1 for a perfect score and 0.5 for one
    without skill, whatever the range; below 0.5 that scale is not defined. For its interval: `partial_auroc_bootstrap`.

    Args:
        y_true: labels 0 or 1, shape (n,).
        y_score: scores, higher for class 1, shape (n,).
        specificity: lower and upper end of a range of specificity, e.g. (0.9, 1.0).
        sensitivity: lower and upper end of a range of sensitivity; give one range, not both.
        standardized: put the area on McClish's scale.

    Raises:
        StatsError: `one_class`, `labels_not_binary`, `lengths_differ`, `scores_nan`; `range_invalid` unless one range
            is given and 0 <= low < high <= 1; `area_below_chance` if a standardized area would be below 0.5.

    Source: McClish, Med Decis Making 9 (1989) 190-195; sensitivity: Jiang, Metz and Nishikawa, Radiology 201 (1996)
        745-750; as `auc(partial.auc=, partial.auc.focus=, partial.auc.correct=)` of pROC, Robin et al., BMC
        Bioinformatics 12 (2011) 77.

    Example:
        >>> y, score = np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])
        >>> partial_auroc(y, score, specificity=(0.5, 1.0)), partial_auroc(y, score, sensitivity=(0.5, 1.0))
        (0.25, 0.25)
    """
    curve = roc_curve(y_true, y_score)
    ranges = [given for given in (specificity, sensitivity) if given is not None]
    if len(ranges) != 1:
        raise StatsError("range_invalid", "Give a range of specificity or one of sensitivity, and not both.")
    low, high = ranges[0]
    if not 0.0 <= low < high <= 1.0:
        raise StatsError(
            "range_invalid",
            f"A range goes from a lower to an upper end within 0 and 1, found ({low}, {high}).",
            remedy="Use (0.9, 1.0) for the part above 90 %.",
        )
    # Both parts are integrals over a rising x: of sensitivity over specificity, or the other way round.
    x, y = (1.0 - curve.fpr)[::-1], curve.tpr[::-1]
    if sensitivity is not None:
        x, y = curve.tpr, 1.0 - curve.fpr
    rise = np.diff(x)
    start, stop = np.maximum(x[:-1], low), np.minimum(x[1:], high)
    inside = (rise > 0.0) & (stop > start)
    start, stop, rise = start[inside], stop[inside], rise[inside]
    share = ((start + stop) / 2.0 - x[:-1][inside]) / rise
    middle = y[:-1][inside] + share * np.diff(y)[inside]
    area = float((stop - start) @ middle)
    if not standardized:
        return area
    width = high - low
    chance = width * (1.0 - (low + high) / 2.0)
    if area < chance - ROUNDING:
        raise StatsError(
            "area_below_chance",
            f"The area {area:.6g} is below {chance:.6g}, that of a score without skill; "
            "the standardized area is not defined.",
            remedy="Leave it unstandardized, or turn the score's sign if low scores mean class 1.",
        )
    return (1.0 + max(area - chance, 0.0) / (width - chance)) / 2.0
