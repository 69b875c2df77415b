"""Corrections for several tests."""

import numpy as np
from jaxtyping import Float64

from dgccl.errors import StatsError
from dgccl.stats._inputs import Values, check_scores


def holm(p_values: Values) -> Float64[np.ndarray, "n"]:
    """Holm's step-down adjusted p values, in the order given.

    Args:
        p_values: p values, 0 to 1, shape (n,); n may be 0.

    Raises:
        StatsError: `scores_nan`, `p_out_of_range`.

    Source: Holm, Scand J Stat 6 (1979) 65-70.

    Example:
        >>> holm(np.array([0.01, 0.04, 0.03])).tolist()
        [0.03, 0.06, 0.06]
    """
    p = check_scores(p_values, cases=len(p_values), name="p_values")
    if ((p < 0.0) | (p > 1.0)).any():
        raise StatsError("p_out_of_range", "p values must lie between 0 and 1; others were found.")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return adjusted
