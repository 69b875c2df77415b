"""Plans of resampling: which cases are drawn together, out of which pool, and in which order they stand.

A unit is what is drawn: a case, or all cases of a patient. A pool holds the units that may replace each other.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from dgccl.errors import StatsError
from dgccl.stats._inputs import Values, check_groups, check_whole, plain_array

CELLS = 2**14
"""Numbers handled at once: blocks that stay in the cache are twice as fast as large ones, and bound the memory."""


@dataclass(frozen=True, eq=False)
class ResamplingPlan:
    """How the cases of a sample are drawn.

    The order depends on the values of the cases and on the ids of their patients, not on the order in which they
    were given, so neither does anything that is drawn by a seed.

    Attributes:
        order: order of the cases in which each unit is one run and each pool is one run of units, shape (n,).
        unit: unit of each case in that order, rising from 0, shape (n,).
        start: place of the first case of each unit in that order, shape (units,).
        size: number of cases of each unit, shape (units,).
        pool_start: first unit of each unit's pool, shape (units,).
        pool_size: number of units in each unit's pool, shape (units,).
    """

    order: Int64[np.ndarray, "n"]
    unit: Int64[np.ndarray, "n"]
    start: Int64[np.ndarray, "units"]
    size: Int64[np.ndarray, "units"]
    pool_start: Int64[np.ndarray, "units"]
    pool_size: Int64[np.ndarray, "units"]

    @property
    def clustered(self) -> bool:
        """Whether some unit has several cases."""
        return len(self.unit) > len(self.size)


def check_arrays(arrays: Sequence[Values]) -> list[Values]:
    """Arrays of equal length with one row a case, of a type that can be sorted.

    Raises:
        StatsError: `no_cases`, `lengths_differ`, `arrays_not_plain`, `values_masked`.
    """
    checked = [plain_array(values, name=f"array {index}") for index, values in enumerate(arrays)]
    if not checked or any(values.ndim == 0 or not len(values) for values in checked):
        raise StatsError("no_cases", "There are no cases.", remedy="Give arrays with one row a case.")
    cases = len(checked[0])
    for index, values in enumerate(checked):
        if len(values) != cases:
            raise StatsError("lengths_differ", f"Array {index} has {len(values)} values for {cases} cases.")
        if values.dtype.kind not in "buifUSmM":
            raise StatsError(
                "arrays_not_plain",
                f"Array {index} has dtype {values.dtype}; numbers, dates or texts of one type are expected.",
                remedy="Convert it, e.g. with .astype(float) or .astype(str).",
            )
    return checked


def check_draws(*, replicates: int, seed: int, confidence: float | None = None) -> None:
    """Refuse a negative seed, and fewer replicates than the ends of an interval need.

    Args:
        replicates: number of replicates.
        seed: seed of the draws, 0 or more.
        confidence: nominal coverage of an interval between quantiles of the replicates; None for a test.

    Raises:
        StatsError: `seed_invalid`, `replicates_invalid`, `too_few_replicates`.
    """
    check_whole(seed, least=0, name="seed")
    check_whole(replicates, least=0, name="replicates")
    # The end of an interval is an order statistic; below this number it would lie outside of all of them.
    needed = 1 if confidence is None else math.ceil(2.0 / (1.0 - confidence) - 1.0 - 1e-9)
    if replicates < needed:
        raise StatsError(
            "too_few_replicates",
            f"{replicates} replicates were asked for; at least {needed} are needed.",
            remedy="Use 2,000 or more.",
        )


def plan_resampling(
    arrays: Sequence[Values], *, patient: Values | None, pool: Int64[np.ndarray, "n"]
) -> ResamplingPlan:
    """Put the cases in the order of what is drawn.

    Patients with one case each are the same as no patients, to the last draw.

    Args:
        arrays: what is known of the cases, checked, one row a case.
        patient: id of each case's patient, shape (n,).
        pool: index of each case's pool, shape (n,).

    Raises:
        StatsError: `lengths_differ`, `patient_missing`, `mixed_clusters` if a patient is in several pools.
    """
    cases = len(arrays[0])
    keys = [column for values in arrays for column in values.reshape(cases, -1).T]
    by_value = np.lexsort(keys[::-1])
    groups = check_groups(patient, cases=cases)
    units = int(groups.max()) + 1
    if units == cases:
        groups[by_value] = np.arange(cases)
    pool_of = np.zeros(units, dtype=np.int64)
    pool_of[groups] = pool
    mixed = int(np.unique(groups[pool_of[groups] != pool]).size)
    if mixed:
        raise StatsError(
            "mixed_clusters",
            f"{mixed} patients have cases of several classes, groups or strata and cannot be drawn within one.",
            remedy="Draw patients over all classes and strata, or leave `patient` out and say so.",
        )
    by_pool = np.argsort(pool_of, kind="stable")
    place = np.empty(units, dtype=np.int64)
    place[by_pool] = np.arange(units)
    unit = place[groups]
    order = by_value[np.argsort(unit[by_value], kind="stable")]
    size = np.bincount(unit, minlength=units)
    pools, index = np.unique(pool_of[by_pool], return_inverse=True)
    pool_size = np.bincount(index, minlength=len(pools))
    pool_start = np.cumsum(pool_size) - pool_size
    return ResamplingPlan(
        order, unit[order], np.cumsum(size) - size, size, pool_start[index], pool_size[index]
    )


def draw_units(
    plan: ResamplingPlan, *, replicates: int, rng: np.random.Generator
) -> Iterator[Int64[np.ndarray, "rows units"]]:
    """Units drawn with replacement, each out of its pool: blocks of replicates, one a row.

    The draws do not depend on the size of the blocks.
    """
    units = len(plan.size)
    rows = max(1, CELLS // len(plan.unit))
    # One limit for all units takes the same numbers from the generator, four times as fast.
    limit = plan.pool_size if plan.pool_start.any() else units
    for first in range(0, replicates, rows):
        drawn = rng.integers(0, limit, size=(min(rows, replicates - first), units))
        yield drawn + plan.pool_start if plan.pool_start.any() else drawn


def unit_counts(drawn: Int64[np.ndarray, "rows units"]) -> Int64[np.ndarray, "rows units"]:
    """How often each unit was drawn in each replicate."""
    rows, units = drawn.shape
    cells = (drawn + units * np.arange(rows)[:, None]).ravel()
    return np.bincount(cells, minlength=rows * units).reshape(rows, units)


def drawn_cases(plan: ResamplingPlan, drawn: Int64[np.ndarray, "units"]) -> Int64[np.ndarray, "k"]:
    """Places, in the plan's order, of the cases of the units that were drawn."""
    if not plan.clustered:
        return drawn
    size = plan.size[drawn]
    end = np.cumsum(size)
    return np.repeat(plan.start[drawn] - (end - size), size) + np.arange(end[-1])
