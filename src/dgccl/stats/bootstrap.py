"""Bootstrap intervals of any statistic of the cases, percentile and BCa, also of patients and within classes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float64, Int64
from scipy.special import ndtr, ndtri

from dgccl.errors import StatsError
from dgccl.stats._inputs import Values, check_choice, check_confidence, check_groups, check_strata
from dgccl.stats.estimate import Estimate
from dgccl.stats.resample import (
    ResamplingPlan,
    check_arrays,
    check_draws,
    draw_units,
    drawn_cases,
    plan_resampling,
)

LARGEST_FAILED_SHARE = 0.01
"""With more undefined replicates than this, leaving them out would shift an end of the interval noticeably."""

BootstrapMethod = Literal["percentile", "bca"]


@dataclass(frozen=True, kw_only=True)
class BootstrapEstimate(Estimate):
    """A figure with its bootstrap interval.

    Its `method` is `percentile_bootstrap` or `bca_bootstrap`; before it stand, where they apply, `clustered_` (whole
    patients were drawn), `stratified_` (within strata), `within_class_` (within classes) and `paired_` (a difference
    on the same draws).

    Attributes:
        replicates: number of samples that were drawn.
        failed: how many of them left the statistic undefined, e.g. with cases of one class only; they are left out.
        seed: seed of the draws.
    """

    replicates: int
    failed: int
    seed: int


def bootstrap_interval(
    statistic: Callable[..., float],
    arrays: Sequence[Values],
    *,
    seed: int,
    confidence: float = 0.95,
    patient: Values | None = None,
    stratum: Values | None = None,
    by_class: bool = False,
    method: BootstrapMethod = "percentile",
    replicates: int = 2000,
) -> BootstrapEstimate:
    """Bootstrap interval of any statistic of the cases.

    Cases are drawn with replacement; with `patient`, patients are, each with all its cases. A replicate on which the
    statistic raises a StatsError is left out and counted; above 1 % of them the interval is refused. BCa calls the
    statistic once more for each case or patient; for AUROCs `auroc_bootstrap` is much faster.

    Args:
        statistic: takes the arrays, resampled, and gives one finite number.
        arrays: the data of the cases, each of shape (n,) or (n, ...).
        seed: seed of the draws, 0 or more. The interval does not depend on the order of the cases.
        confidence: nominal coverage.
        patient: id of each case's patient, shape (n,).
        stratum: name of each case's stratum, shape (n,); every stratum keeps its number of cases (or patients).
        by_class: draw within the classes that the first array holds, so that each keeps its number.
        method: `percentile`, or `bca`, which corrects for bias and skewness.
        replicates: number of samples that are drawn.

    Raises:
        StatsError: `no_cases`, `lengths_differ`, `arrays_not_plain`, `patient_missing`, `stratum_missing`,
            `confidence_out_of_range`, `option_unknown`, `seed_invalid`, `replicates_invalid`, `too_few_replicates`;
            `too_few_cases` if there is only one to draw; `mixed_clusters` if a patient is in several strata, or
            classes where `by_class`; `statistic_not_finite`; `too_many_failed_replicates`; `no_variance` if all
            replicates are equal; `bca_undefined`, see `bca_ends`; and whatever the statistic raises on the cases as
            they are.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), sections 13.3 and 14.3; whole clusters and
        strata: Davison and Hinkley, Bootstrap Methods and their Application (1997), sections 3.8 and 3.2.

    Example:
        >>> hours = np.array([3.0, 5.0, 7.0, 18.0, 43.0, 85.0, 91.0, 98.0, 100.0, 130.0, 230.0, 487.0])
        >>> found = bootstrap_interval(np.mean, [hours], method="bca", seed=1)
        >>> round(found.estimate, 1), round(found.ci_low), round(found.ci_high)
        (108.1, 55, 222)
    """
    check_confidence(confidence)
    check_choice(method, get_args(BootstrapMethod), name="method")
    check_draws(replicates=replicates, seed=seed, confidence=confidence)
    checked = check_arrays(arrays)
    strata = check_strata(stratum, cases=len(checked[0]))
    plan = plan_resampling(checked, patient=patient, pool=pools(checked[0] if by_class else None, strata))
    check_units(plan)
    ordered = [values[plan.order] for values in checked]
    value = finite(statistic(*ordered))
    found = [
        _or_none(statistic, [values[drawn_cases(plan, row)] for values in ordered])
        for block in draw_units(plan, replicates=replicates, rng=np.random.default_rng(seed))
        for row in block
    ]
    defined = np.array([one for one in found if one is not None])
    failed = check_failed(len(found) - len(defined), replicates=replicates)
    if method == "bca":
        low, high = bca_ends(defined, value, _influence(statistic, ordered, plan), confidence=confidence)
    else:
        low, high = percentile_ends(defined, confidence=confidence)
    name = bootstrap_name(plan, strata=int(strata.max()) > 0, by_class=by_class, method=method)
    return BootstrapEstimate(
        value, low, high, name, len(plan.order), confidence, replicates=replicates, failed=failed, seed=seed
    )


def percentile_ends(replicates: Float64[np.ndarray, "k"], *, confidence: float) -> tuple[float, float]:
    """Quantiles of the replicates, interpolated between neighboring ones.

    Raises:
        StatsError: `no_variance` if all replicates are equal: a point would claim more than any sample can show.

    Source: Efron and Tibshirani (1993), section 13.3.
    """
    _check_spread(replicates)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(replicates, [tail, 1.0 - tail])
    return float(low), float(high)


def bca_ends(
    replicates: Float64[np.ndarray, "k"],
    value: float,
    influence: Float64[np.ndarray, "units"],
    *,
    confidence: float,
) -> tuple[float, float]:
    """Quantiles of the replicates at levels corrected for bias and for skewness.

    Args:
        replicates: the statistic on each sample drawn.
        value: the statistic on the cases as they are; replicates equal to it count one half as below it.
        influence: what each unit adds to the statistic, from the jackknife, see `jackknife_influence`.
        confidence: nominal coverage.

    Raises:
        StatsError: `no_variance` if all replicates are equal; `bca_undefined` if the value lies outside of the
            replicates, if no unit has influence, or if the correction leaves the levels between 0 and 1;
            `too_few_replicates` if a corrected level lies beyond the outermost replicate.

    Source: Efron, J Am Stat Assoc 82 (1987) 171-185; Efron and Tibshirani (1993), eq. 14.9, 14.10, 14.14, 14.15.
    """
    _check_spread(replicates)
    below = (np.mean(replicates < value) + np.mean(replicates <= value)) / 2.0
    if below in (0.0, 1.0):
        raise _bca_undefined(f"The value {value:.6g} lies outside of all replicates")
    squares = float(influence @ influence)
    if squares <= 0.0:
        raise _bca_undefined("Leaving out any one unit changes nothing")
    acceleration = float(np.sum(influence**3)) / (6.0 * squares**1.5)
    bias = float(ndtri(below))
    shifted = bias + ndtri([(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0])
    scale = 1.0 - acceleration * shifted
    if scale.min() <= 0.0:
        raise _bca_undefined(f"The acceleration {acceleration:.3f} is too large")
    levels = ndtr(bias + shifted / scale)
    needed = math.ceil(1.0 / max(float(min(levels.min(), (1.0 - levels).min())), 1e-300)) - 1
    if len(replicates) < needed:
        raise StatsError(
            "too_few_replicates",
            f"The corrected interval reaches beyond the outermost of {len(replicates)} replicates.",
            remedy=f"Use at least {needed} replicates, or method percentile.",
        )
    low, high = np.quantile(replicates, levels)
    return float(low), float(high)


def jackknife_influence(
    left_out: Float64[np.ndarray, "units"], plan: ResamplingPlan
) -> Float64[np.ndarray, "units"]:
    """Influence of each unit, from the statistic without it; units that are alone in their pool have none.

    Args:
        left_out: the statistic without each unit; any number for a unit that is alone in its pool.
        plan: the plan of resampling.

    Source: Efron and Tibshirani (1993), eq. 14.15, with the sums over several samples as in scipy.stats.bootstrap.
    """
    index = np.unique(plan.pool_start, return_inverse=True)[1]
    mean = np.bincount(index, weights=left_out)[index] / plan.pool_size
    return np.where(plan.pool_size > 1, mean - left_out, 0.0) * (1.0 - 1.0 / plan.pool_size)


def pools(classes: Values | None, strata: Int64[np.ndarray, "n"]) -> Int64[np.ndarray, "n"]:
    """Index of the pool out of which each case is drawn: its stratum, its class, or both."""
    if classes is None:
        return strata
    labels = check_groups(classes, cases=len(strata), name="y_true")
    return np.unique(strata * (int(labels.max()) + 1) + labels, return_inverse=True)[1].astype(np.int64)


def check_units(plan: ResamplingPlan) -> None:
    """Refuse to draw one single case or patient again and again.

    Raises:
        StatsError: `too_few_cases`.
    """
    if int(plan.pool_size.max()) < 2:
        raise StatsError(
            "too_few_cases",
            "There is only one case or patient to draw (from each stratum); a bootstrap needs at least 2.",
            remedy="Add cases or patients, or draw from wider strata.",
        )


def check_failed(failed: int, *, replicates: int) -> int:
    """Refuse an interval that leaves out too many replicates.

    Raises:
        StatsError: `too_many_failed_replicates`.
    """
    if failed > LARGEST_FAILED_SHARE * replicates:
        raise StatsError(
            "too_many_failed_replicates",
            f"The statistic is not defined on {failed} of {replicates} replicates; "
            f"at most {LARGEST_FAILED_SHARE:.0%} may be left out.",
            remedy="Draw within classes (by_class=True), or use an analytic interval.",
        )
    return failed


def finite(value: float) -> float:
    """What a statistic gave, as a float.

    Raises:
        StatsError: `statistic_not_finite`.
    """
    number = float(value)
    if not np.isfinite(number):
        raise StatsError(
            "statistic_not_finite",
            f"The statistic gave {number}; a finite number is expected.",
            remedy="Let it raise a StatsError where it is not defined.",
        )
    return number


def bootstrap_name(
    plan: ResamplingPlan, *, strata: bool, by_class: bool, method: str, paired: bool = False
) -> str:
    """Name of the method as an estimate carries it."""
    prefix = "clustered_" * plan.clustered + "stratified_" * strata + "within_class_" * by_class
    return prefix + "paired_" * paired + method + "_bootstrap"


def _influence(
    statistic: Callable[..., float], ordered: Sequence[Values], plan: ResamplingPlan
) -> Float64[np.ndarray, "units"]:
    left_out = np.zeros(len(plan.size))
    for unit in np.flatnonzero(plan.pool_size > 1):
        gone = np.arange(plan.start[unit], plan.start[unit] + plan.size[unit])
        one = _or_none(statistic, [np.delete(values, gone, axis=0) for values in ordered])
        if one is None:
            raise _bca_undefined("Without one of its units the statistic is not defined")
        left_out[unit] = one
    return jackknife_influence(left_out, plan)


def _bca_undefined(reason: str) -> StatsError:
    return StatsError("bca_undefined", f"{reason}: BCa is not defined.", remedy="Use method percentile.")


def _or_none(statistic: Callable[..., float], arrays: Sequence[Values]) -> float | None:
    try:
        value = statistic(*arrays)
    except StatsError:
        return None
    return finite(value)


def _check_spread(replicates: Float64[np.ndarray, "k"]) -> None:
    # Equal numbers may differ in their last digits where they were summed in another order.
    if float(np.ptp(replicates)) <= 1e-12 * float(np.abs(replicates).max()):
        raise StatsError(
            "no_variance",
            f"All replicates are {replicates[0]:.6g}: the bootstrap shows no uncertainty.",
            remedy="Report the value with an analytic interval.",
        )
