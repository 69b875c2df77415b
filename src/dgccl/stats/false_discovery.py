"""Corrections of several tests that bound the share of false rejections, not the chance of any."""

import numpy as np
from jaxtyping import Float64

from dgccl.errors import StatsError
from dgccl.stats._inputs import Values, check_scores


def benjamini_hochberg(p_values: Values) -> Float64[np.ndarray, "n"]:
    """Adjusted p values of Benjamini and Hochberg, in the order given.

    Rejecting those at or below q keeps the expected share of false ones among the rejected at q, for tests that are
    independent or positively dependent.

    Args:
        p_values: p values, 0 to 1, shape (n,); n may be 0.

    Raises:
        StatsError: `scores_nan`, `p_out_of_range`.

    Source: Benjamini and Hochberg, J R Stat Soc B 57 (1995) 289-300.

    Example:
        >>> benjamini_hochberg(np.array([0.01, 0.04, 0.03, 0.5])).round(4).tolist()
        [0.04, 0.0533, 0.0533, 0.5]
    """
    return _step_up(p_values, harmonic=False)


def benjamini_yekutieli(p_values: Values) -> Float64[np.ndarray, "n"]:
    """Adjusted p values of Benjamini and Yekutieli, in the order given; they hold under any dependence of the tests.

    Args:
        p_values: p values, 0 to 1, shape (n,); n may be 0.

    Raises:
        StatsError: `scores_nan`, `p_out_of_range`.

    Source: Benjamini and Yekutieli, Ann Stat 29 (2001) 1165-1188.

    Example:
        >>> benjamini_yekutieli(np.array([0.01, 0.04, 0.03, 0.5])).round(4).tolist()
        [0.0833, 0.1111, 0.1111, 1.0]
    """
    return _step_up(p_values, harmonic=True)


def _step_up(p_values: Values, *, harmonic: bool) -> Float64[np.ndarray, "n"]:
    p = check_scores(p_values, cases=len(p_values), name="p_values")
    if ((p < 0.0) | (p > 1.0)).any():
        raise StatsError("p_out_of_range", "p values must lie between 0 and 1; others were found.")
    ranks = np.arange(1, len(p) + 1)
    weight = float((1.0 / ranks).sum()) if harmonic else 1.0
    order = np.argsort(p, kind="stable")
    scaled = p[order] * (len(p) * weight / ranks)
    adjusted = np.empty(len(p))
    # A larger p value never has the smaller adjusted one: the least from here on counts.
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return adjusted
