"""Estimates over explained lesions with intervals that go by patient.

A statistic is a function of weights: 1 for each lesion gives the estimate, and how often a lesion's patient was drawn
gives the value of a bootstrap sample, so that thousands of samples are a few matrix operations.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64

DRAWS, CONFIDENCE, SEED = 2000, 0.95, 2026
MOST_UNDEFINED = 0.05
"""Where more of the draws than this have no value, an interval from the others would be a choice of its own."""
CHUNK = 1_000_000  # weights held at a time

Weights = Float64[np.ndarray, "draw row"]
Statistic = Callable[[Float64[np.ndarray, "draw row"]], Float64[np.ndarray, "draw"]]


@dataclass(frozen=True)
class Measured:
    """A figure with its interval.

    Attributes:
        estimate: None where the lesions leave it undefined.
        ci_low: lower end of the 95 % interval; None where it is undefined.
        ci_high: upper end.
        method: how both came about, or `not_defined`.
        n: lesions behind it.
        n_patients: patients they are from, which the interval goes by.
    """

    estimate: float | None
    ci_low: float | None
    ci_high: float | None
    method: str
    n: int
    n_patients: int


def measure(
    table: pd.DataFrame, statistic: Statistic, *, method: str, draws: int = DRAWS, seed: int = SEED
) -> Measured:
    """A statistic of the rows of a table with a percentile interval of the bootstrap by patient.

    Patients are drawn with replacement, with all their lesions, as many from each fold as it has.

    Args:
        table: with patient_id and, where there are several, fold; without patient_id each row is one.
        statistic: of how often each row counts, (draw, row), one value a draw; NaN where undefined.
        method: what it is called.
        draws: of the bootstrap.
        seed: of the draws.

    Source: Efron 1979; Field and Welsh 2007, J. R. Stat. Soc. B 69:369 (the cluster bootstrap).
    """
    rows = len(table)
    ids = table["patient_id"].to_numpy() if "patient_id" in table else np.arange(rows)
    patients, first, patient = np.unique(ids, return_index=True, return_inverse=True)
    value = float(statistic(np.ones((1, rows)))[0]) if rows else float("nan")
    if not np.isfinite(value):
        return Measured(None, None, None, "not_defined", rows, len(patients))
    strata = fold_of(table)[first]
    rng, found = np.random.default_rng(seed), []
    at_once = max(1, CHUNK // rows)
    for start in range(0, draws, at_once):
        times = np.zeros((min(at_once, draws - start), len(patients)))
        for stratum in np.unique(strata):
            own = np.flatnonzero(strata == stratum)
            times[:, own] = rng.multinomial(len(own), np.full(len(own), 1.0 / len(own)), size=len(times))
        found.append(statistic(times[:, patient]))
    values = np.concatenate(found)
    defined = values[np.isfinite(values)]
    if len(patients) < 2 or len(defined) < (1.0 - MOST_UNDEFINED) * draws:
        return Measured(value, None, None, f"{method}, no interval", rows, len(patients))
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(defined, (tail, 1.0 - tail))
    return Measured(value, float(low), float(high), f"{method}, bootstrap by patient", rows, len(patients))


def fold_of(table: pd.DataFrame) -> Int64[np.ndarray, "row"]:
    """The fold of each row; one for all where the table names none, as of one network's lesions."""
    if "fold" in table:
        return table["fold"].to_numpy(np.int64)
    return np.zeros(len(table), dtype=np.int64)


def mean_of(values: Float64[np.ndarray, "row"]) -> Statistic:
    """The mean of values as a statistic."""

    def mean(weights: Weights) -> Float64[np.ndarray, "draw"]:
        return weights @ values / weights.sum(axis=1)

    return mean


def spearman_of(
    first: Float64[np.ndarray, "row"], second: Float64[np.ndarray, "row"], fold: Int64[np.ndarray, "row"]
) -> Statistic:
    """Spearman's correlation of ranks taken within folds, whose networks have scales of their own, as a statistic.

    Ranks are centered within the fold and divided by its size, so that the difference of two folds' levels cannot
    show as a correlation; with one fold it is Spearman's coefficient. Where all values of a fold tie it adds nothing;
    where those of all folds do it is NaN.

    Args:
        first: (n,).
        second: (n,).
        fold: (n,).
    """

    def spearman(weights: Weights) -> Float64[np.ndarray, "draw"]:
        products = np.zeros((3, len(weights)))
        for own in np.unique(fold):
            chosen = fold == own
            times = weights[:, chosen]
            size = np.maximum(times.sum(axis=1, keepdims=True), 1.0)
            a, b = (
                (weighted_ranks(values[chosen], times) - (size + 1.0) / 2.0) / size
                for values in (first, second)
            )
            products += [(times * pair).sum(axis=1) for pair in (a * b, a * a, b * b)]
        scale = np.sqrt(products[1] * products[2])
        return np.divide(products[0], scale, out=np.full(len(weights), np.nan), where=scale > 0.0)

    return spearman


def weighted_ranks(values: Float64[np.ndarray, "row"], weights: Weights) -> Float64[np.ndarray, "draw row"]:
    """Mean ranks of values in samples in which each counts several times.

    Args:
        values: (n,).
        weights: (draw, n), how often each is in the sample; the rank of one that is not in it means nothing.
    """
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    ties = np.add.reduceat(weights[:, order], starts, axis=1)
    upper = np.cumsum(ties, axis=1)
    return (upper - (ties - 1.0) / 2.0)[:, group]
