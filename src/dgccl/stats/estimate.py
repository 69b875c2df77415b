"""A number with its uncertainty, as every function of this package gives it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A figure with its confidence interval.

    Attributes:
        estimate: the figure.
        ci_low: lower end of the interval.
        ci_high: upper end of the interval.
        method: how the interval was computed, e.g. `delong`, `logit_delong`, `clustered_delong`, `wilson`.
        n: number of cases behind it.
        confidence: nominal coverage of the interval.
    """

    estimate: float
    ci_low: float
    ci_high: float
    method: str
    n: int
    confidence: float = 0.95
