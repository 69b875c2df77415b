"""From a curve of AUROCs to the amount at which too much is lost."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from dgccl.robustness.results import Tolerance


def crossing(
    amounts: Float64[np.ndarray, "k"], change: Float64[np.ndarray, "*replicate k"], *, loss: float
) -> Float64[np.ndarray, "*replicate"]:
    """The first amount, linear between those tried, at which the change is -loss or less; NaN where there is none.

    Args:
        amounts: distances from 0, growing, the first of them 0, (k,).
        change: AUROC less that at 0, the first of them 0, (..., k).
        loss: above 0.
    """
    below = change <= -loss
    first = below.argmax(axis=-1)
    found = below.any(axis=-1)
    before = np.maximum(first - 1, 0)
    at, earlier = (np.take_along_axis(change, index[..., None], axis=-1)[..., 0] for index in (first, before))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(found, (earlier + loss) / (earlier - at), 0.0)
    where = amounts[before] + share * (amounts[first] - amounts[before])
    return np.asarray(np.where(found, where, np.nan))


def tolerance(
    amounts: Sequence[float],
    change: Float64[np.ndarray, "k"],
    lower: Float64[np.ndarray, "k"],
    samples: Float64[np.ndarray, "replicate k"],
    *,
    direction: str,
    loss: float,
    confidence: float,
) -> Tolerance:
    """The tolerance in one direction, with its percentile interval.

    Args:
        amounts: away from 0 in this direction, 0 first, (k,); of either sign.
        change: AUROC less that at 0, (k,).
        lower: lower end of the interval of each change, (k,).
        samples: changes of the bootstrap samples, (replicate, k).
        direction: `up` or `down`.
        loss: of AUROC that is too much.
        confidence: of the interval.
    """
    sign = -1.0 if direction == "down" else 1.0
    distances = np.abs(np.asarray(amounts, dtype=np.float64))
    own = float(crossing(distances, change, loss=loss))
    drawn = crossing(distances, samples, loss=loss)
    reached = float(np.isfinite(drawn).mean())
    ends = np.where(np.isfinite(drawn), drawn, np.inf)
    tail = (1.0 - confidence) / 2.0
    low, high = (float(np.quantile(ends, level, method="inverted_cdf")) for level in (tail, 1.0 - tail))
    sure = np.logical_and.accumulate(lower > -loss)
    safe = float(distances[sure][-1]) if sure.any() and distances[sure][-1] > 0 else None
    if not np.isfinite(own):
        first = sign * low if np.isfinite(low) else None
        return Tolerance(direction, None, first, None, reached, float(amounts[-1]), _signed(safe, sign))
    return Tolerance(
        direction,
        sign * own,
        sign * low,
        sign * high if np.isfinite(high) else None,
        reached,
        float(amounts[-1]),
        _signed(safe, sign),
    )


def _signed(value: float | None, sign: float) -> float | None:
    return None if value is None else sign * value
