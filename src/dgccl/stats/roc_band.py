"""Pointwise bootstrap band of a mean ROC curve, fast: sorted once, only the weights change by draw."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from dgccl.errors import StatsError
from dgccl.stats._inputs import (
    Values,
    check_both_classes,
    check_confidence,
    check_groups,
    check_scores,
    check_strata,
)
from dgccl.stats.bootstrap import bootstrap_name, check_failed, check_units, pools
from dgccl.stats.resample import check_draws, draw_units, plan_resampling, unit_counts
from dgccl.stats.roc import in_mixed_strata

ROUNDING = 1e-9
"""A share of the negative cases that is a whole number of them but for rounding is that number."""


@dataclass(frozen=True, eq=False)
class RocBand:
    """Interval of the sensitivity at each of a row of specificities.

    Each point has the nominal coverage by itself; the whole curve leaves the band more often.

    Attributes:
        fpr: 1 - specificity, evenly from 0 to 1, shape (k,).
        tpr: sensitivity there, the higher end where the curve rises straight up, shape (k,).
        low: lower ends, shape (k,).
        high: upper ends, shape (k,).
        method: how the cases were drawn.
        n: cases.
        confidence: nominal coverage of a point.
        replicates: number of samples that were drawn.
        failed: of them, how many had no stratum with both classes.
        seed: of the draws.
    """

    fpr: Float64[np.ndarray, "k"]
    tpr: Float64[np.ndarray, "k"]
    low: Float64[np.ndarray, "k"]
    high: Float64[np.ndarray, "k"]
    method: str
    n: int
    confidence: float
    replicates: int
    failed: int
    seed: int


@dataclass(frozen=True, eq=False)
class _Ranked:
    """Cases of one stratum by falling score.

    Attributes:
        unit: of each case.
        labels: of each case.
        last: place of the last case of each distinct score.
    """

    unit: Int64[np.ndarray, "n"]
    labels: Bool[np.ndarray, "n"]
    last: Int64[np.ndarray, "scores"]


def average_roc_band(
    y_true: Values,
    y_score: Values,
    *,
    seed: int,
    points: int = 101,
    confidence: float = 0.95,
    patient: Values | None = None,
    stratum: Values | None = None,
    by_class: bool = False,
    replicates: int = 2000,
) -> RocBand:
    """Pointwise percentile bootstrap band of the curve of `average_roc_curve` (one stratum: of the ROC curve).

    Near its ends the curve has few cases to move it, and the band is too narrow there.

    Args:
        y_true: labels 0 or 1, shape (n,).
        y_score: scores, higher for class 1, shape (n,).
        seed: seed of the draws, 0 or more. The band does not depend on the order of the cases.
        points: number of specificities, 2 or more.
        confidence: nominal coverage of a point.
        patient: id of each case's patient, shape (n,); patients are drawn, each with all its cases.
        stratum: name of each case's stratum, as in `average_roc_curve`; strata keep their number of cases or patients.
        by_class: draw positive and negative cases (or patients) by themselves, each class keeping its number.
        replicates: number of samples that are drawn.

    Raises:
        StatsError: `one_class`, `labels_not_binary`, `lengths_differ`, `scores_nan`, `patient_missing`,
            `confidence_out_of_range`, `seed_invalid`, `too_few_replicates`, `too_few_points`, `too_few_cases`,
            `mixed_clusters`, `too_many_failed_replicates`; `no_variance` if every replicate has the same curve (a
            perfect score), on which a band would have no width.

    Source: percentile bootstrap of sensitivities at given specificities, as pROC's `ci.se`; Fawcett, Pattern Recognit
        Lett 27 (2006) 861-874, vertical averaging.

    Example:
        >>> y, s = np.array([0, 0, 0, 1, 1, 1]), np.array([1, 2, 4, 3, 5, 6])
        >>> band = average_roc_band(y, s, by_class=True, points=3, seed=1)
        >>> band.fpr.tolist(), band.tpr.round(3).tolist(), band.high.tolist()
        ([0.0, 0.5, 1.0], [0.667, 1.0, 1.0], [1.0, 1.0, 1.0])
    """
    check_confidence(confidence)
    check_draws(replicates=replicates, seed=seed, confidence=confidence)
    if points < 2:
        raise StatsError("too_few_points", f"A band needs 2 points or more, found {points}.")
    labels = check_both_classes(y_true)
    scores, strata = check_scores(y_score, cases=len(labels)), check_strata(stratum, cases=len(labels))
    patients = None if patient is None else check_groups(patient, cases=len(labels))
    used = in_mixed_strata(labels, strata)
    labels, scores = labels[used], scores[used]
    strata = np.unique(strata[used], return_inverse=True)[1].astype(np.int64)
    plan = plan_resampling(
        [labels, scores, strata],
        patient=None if patients is None else patients[used],
        pool=pools(labels if by_class else None, strata),
    )
    check_units(plan)
    ranked = list(_ranked(labels[plan.order], scores[plan.order], strata[plan.order], plan.unit))
    grid = np.linspace(0.0, 1.0, points)
    curve = _mean_curve(ranked, np.ones(len(plan.size), dtype=np.int64), grid)
    assert curve is not None  # every stratum has both classes
    draws = draw_units(plan, replicates=replicates, rng=np.random.default_rng(seed))
    found = [_mean_curve(ranked, counts, grid) for drawn in draws for counts in unit_counts(drawn)]
    defined = np.array([one for one in found if one is not None])
    failed = check_failed(replicates - len(defined), replicates=replicates)
    if (defined == curve).all():
        raise StatsError(
            "no_variance",
            "The curve is the same on every replicate; a band would have no width.",
            remedy="Give the interval of the area instead; it has one for a perfect score.",
        )
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(defined, [tail, 1.0 - tail], axis=0)
    name = bootstrap_name(plan, strata=int(strata.max()) > 0, by_class=by_class, method="percentile")
    return RocBand(
        grid, curve, low, high, f"pointwise_{name}", len(labels), confidence, replicates, failed, seed
    )


def _ranked(
    labels: Bool[np.ndarray, "n"],
    scores: Float64[np.ndarray, "n"],
    strata: Int64[np.ndarray, "n"],
    unit: Int64[np.ndarray, "n"],
) -> Iterator[_Ranked]:
    for one in range(int(strata.max()) + 1):
        own = np.flatnonzero(strata == one)
        own = own[np.argsort(-scores[own], kind="stable")]
        falling = scores[own]
        last = np.append(np.flatnonzero(falling[1:] != falling[:-1]), len(own) - 1).astype(np.int64)
        yield _Ranked(unit[own], labels[own], last)


def _mean_curve(
    ranked: list[_Ranked], counts: Int64[np.ndarray, "units"], grid: Float64[np.ndarray, "k"]
) -> Float64[np.ndarray, "k"] | None:
    """Mean sensitivity at the grid with each unit counted so often; None where no stratum has both classes."""
    total, pairs = np.zeros(len(grid)), 0.0
    for stratum in ranked:
        weight = counts[stratum.unit]
        hits = np.append(0, np.cumsum(weight * stratum.labels)[stratum.last])
        alarms = np.append(0, np.cumsum(weight * ~stratum.labels)[stratum.last])
        own = float(hits[-1]) * float(alarms[-1])
        if own:
            total, pairs = total + own * _sensitivity(hits, alarms, grid), pairs + own
    return total / pairs if pairs else None


def _sensitivity(
    hits: Int64[np.ndarray, "c"], alarms: Int64[np.ndarray, "c"], grid: Float64[np.ndarray, "k"]
) -> Float64[np.ndarray, "k"]:
    """Higher end of the curve at each 1 - specificity; tied cases move along a straight line."""
    wanted = grid * alarms[-1]
    left = np.searchsorted(alarms, wanted + ROUNDING, "right") - 1
    right = np.minimum(left + 1, len(alarms) - 1)
    gap = np.maximum(alarms[right] - alarms[left], 1)
    share = np.clip((wanted - alarms[left]) / gap, 0.0, 1.0)
    return np.asarray((hits[left] + share * (hits[right] - hits[left])) / hits[-1])
