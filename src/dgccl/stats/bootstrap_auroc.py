"""Bootstrap intervals of an AUROC and of a difference of two, fast: sorted once, only the weights change by draw."""

from dataclasses import dataclass
from typing import get_args

import numpy as np
from jaxtyping import Bool, Float64, Int64

from dgccl.errors import StatsError
from dgccl.stats._inputs import (
    Values,
    check_both_classes,
    check_choice,
    check_confidence,
    check_groups,
    check_scores,
    check_strata,
)
from dgccl.stats._no_variance import check_known_zero
from dgccl.stats.bootstrap import (
    BootstrapEstimate,
    BootstrapMethod,
    bca_ends,
    bootstrap_name,
    check_failed,
    check_units,
    jackknife_influence,
    percentile_ends,
    pools,
)
from dgccl.stats.newcombe import newcombe_interval
from dgccl.stats.pairs import RankedCases, case_pairs, rank_cases, weighted_pairs
from dgccl.stats.resample import ResamplingPlan, check_draws, draw_units, plan_resampling, unit_counts
from dgccl.stats.roc import clustered_variance, in_mixed_strata, stratified_residuals


def auroc_bootstrap(
    y_true: Values,
    y_score: Values,
    *,
    seed: int,
    confidence: float = 0.95,
    patient: Values | None = None,
    stratum: Values | None = None,
    by_class: bool = False,
    method: BootstrapMethod = "percentile",
    replicates: int = 2000,
) -> BootstrapEstimate:
    """AUROC with its bootstrap interval, the same as `bootstrap_interval` of `auroc` with the same seed.

    Args:
        y_true: labels 0 or 1, shape (n,).
        y_score: scores, higher for class 1, shape (n,).
        seed: seed of the draws, 0 or more. The interval does not depend on the order of the cases.
        confidence: nominal coverage.
        patient: id of each case's patient, shape (n,); patients are drawn, each with all its cases.
        stratum: name of each case's stratum, shape (n,), where scores can only be compared within one, as in
            `auroc_delong`; strata also keep their number of cases or patients.
        by_class: draw positive and negative cases (or patients) by themselves, each class keeping its number.
        method: `percentile`, or `bca`, which corrects for bias and skewness; in simulations BCa came closer to the
            nominal coverage; with a high AUROC of fewer than some 100 cases or patients both missed it.
        replicates: number of samples that are drawn.

    Returns:
        The estimate, see `BootstrapEstimate`. Where all replicates are equal (a perfect, perfectly wrong or constant
        score) the interval is Newcombe's and the method `newcombe_score`, as in `auroc_delong`.

    Raises:
        StatsError: `one_class`, `labels_not_binary`, `lengths_differ`, `scores_nan`, `patient_missing`;
            `too_few_cases` if a class comes from fewer than two cases or patients; and as `bootstrap_interval`.

    Source: as `bootstrap_interval`; the jackknife of BCa in closed form from the pairs of each unit.

    Example:
        >>> y, s = np.array([0, 0, 0, 1, 1, 1]), np.array([1, 2, 4, 3, 5, 6])
        >>> found = auroc_bootstrap(y, s, by_class=True, seed=1)
        >>> round(found.estimate, 4), round(found.ci_low, 4), found.ci_high, found.method
        (0.8889, 0.5556, 1.0, 'within_class_percentile_bootstrap')
    """
    return _bootstrap(
        y_true,
        {"y_score": y_score},
        seed=seed,
        confidence=confidence,
        patient=patient,
        stratum=stratum,
        by_class=by_class,
        method=method,
        replicates=replicates,
    )


def auroc_difference_bootstrap(
    y_true: Values,
    score_a: Values,
    score_b: Values,
    *,
    seed: int,
    confidence: float = 0.95,
    patient: Values | None = None,
    stratum: Values | None = None,
    by_class: bool = False,
    method: BootstrapMethod = "percentile",
    replicates: int = 2000,
) -> BootstrapEstimate:
    """AUROC of a minus AUROC of b on the same cases, with its bootstrap interval; each draw serves both.

    Scores that rank every pair of cases alike, and some pairs wrongly, differ by 0, from 0 to 0.

    Args:
        y_true: labels 0 or 1, shape (n,).
        score_a: first score, higher for class 1, shape (n,).
        score_b: second score, shape (n,).
        seed: seed of the draws, 0 or more. The interval does not depend on the order of the cases.
        confidence: nominal coverage.
        patient: id of each case's patient, shape (n,); patients are drawn, each with all its cases.
        stratum: name of each case's stratum, as in `auroc_bootstrap`.
        by_class: draw within classes, as in `auroc_bootstrap`.
        method: `percentile`, which came closer to the nominal coverage of a difference in simulations, or `bca`.
        replicates: number of samples that are drawn.

    Raises:
        StatsError: as `auroc_bootstrap`; `no_variance` if the areas differ by the same on all replicates and are not
            known to be equal (both scores perfect or constant).

    Source: as `auroc_bootstrap`.

    Example:
        >>> y, a, b = np.array([0, 0, 0, 1, 1, 1]), np.array([1, 2, 4, 3, 5, 6]), np.array([2, 1, 5, 4, 3, 6])
        >>> found = auroc_difference_bootstrap(y, a, b, by_class=True, seed=1)
        >>> round(found.estimate, 4), round(found.ci_low, 4), round(found.ci_high, 4)
        (0.1111, 0.0, 0.4444)
    """
    return _bootstrap(
        y_true,
        {"score_a": score_a, "score_b": score_b},
        seed=seed,
        confidence=confidence,
        patient=patient,
        stratum=stratum,
        by_class=by_class,
        method=method,
        replicates=replicates,
    )


@dataclass(frozen=True, eq=False)
class _Sample:
    """Checked cases, in the order of their plan."""

    labels: Bool[np.ndarray, "n"]
    scores: list[Float64[np.ndarray, "n"]]
    strata: Int64[np.ndarray, "n"]
    plan: ResamplingPlan


def _bootstrap(
    y_true: Values,
    y_scores: dict[str, Values],
    *,
    seed: int,
    confidence: float,
    patient: Values | None,
    stratum: Values | None,
    by_class: bool,
    method: BootstrapMethod,
    replicates: int,
) -> BootstrapEstimate:
    """Interval of the AUROC of one score, or of the first one's minus the second one's."""
    check_confidence(confidence)
    check_choice(method, get_args(BootstrapMethod), name="method")
    check_draws(replicates=replicates, seed=seed, confidence=confidence)
    sample = _check_sample(y_true, y_scores, patient=patient, stratum=stratum, by_class=by_class)
    plan, paired, strata = sample.plan, len(y_scores) > 1, int(sample.strata.max()) > 0
    with_class = _units_with_class(sample)
    ranked = [rank_cases(sample.labels, score, sample.strata, plan.unit) for score in sample.scores]
    value = float(_areas(ranked, np.ones((1, len(plan.size)), dtype=np.int64))[0])
    draws = draw_units(plan, replicates=replicates, rng=np.random.default_rng(seed))
    areas = np.concatenate([_areas(ranked, unit_counts(drawn)) for drawn in draws])
    failed = check_failed(replicates - len(areas), replicates=replicates)
    name = bootstrap_name(plan, strata=strata, by_class=by_class, method=method, paired=paired)
    if (areas == value).all() and not paired:
        low, high = newcombe_interval(
            value, positives=with_class[0], negatives=with_class[1], confidence=confidence
        )
        name = "newcombe_score"
    elif (areas == value).all():
        _check_known_zero(sample, value)
        low = high = 0.0
    elif method == "bca":
        influence = jackknife_influence(_left_out(sample), plan)
        low, high = bca_ends(areas, value, influence, confidence=confidence)
    else:
        low, high = percentile_ends(areas, confidence=confidence)
    return BootstrapEstimate(
        value, low, high, name, len(plan.order), confidence, replicates=replicates, failed=failed, seed=seed
    )


def _check_sample(
    y_true: Values,
    y_scores: dict[str, Values],
    *,
    patient: Values | None,
    stratum: Values | None,
    by_class: bool,
) -> _Sample:
    labels = check_both_classes(y_true)
    scores = [check_scores(score, cases=len(labels), name=name) for name, score in y_scores.items()]
    strata = check_strata(stratum, cases=len(labels))
    patients = None if patient is None else check_groups(patient, cases=len(labels))
    used = in_mixed_strata(labels, strata)
    labels, scores = labels[used], [score[used] for score in scores]
    strata = np.unique(strata[used], return_inverse=True)[1].astype(np.int64)
    plan = plan_resampling(
        [labels, *scores, strata],
        patient=None if patients is None else patients[used],
        pool=pools(labels if by_class else None, strata),
    )
    check_units(plan)
    return _Sample(labels[plan.order], [score[plan.order] for score in scores], strata[plan.order], plan)


def _units_with_class(sample: _Sample) -> tuple[int, int]:
    """Number of units with positive and with negative cases; with several cases a patient, patients are the sample."""
    counts = [len(np.unique(sample.plan.unit[chosen])) for chosen in (sample.labels, ~sample.labels)]
    if min(counts) < 2:
        raise StatsError(
            "too_few_cases",
            f"The positive class comes from {counts[0]} cases or patients and the negative from {counts[1]}; "
            "an interval needs at least 2 of each.",
            remedy="Add cases of the rarer class.",
        )
    return counts[0], counts[1]


def _check_known_zero(sample: _Sample, value: float) -> None:
    a, b = (stratified_residuals(sample.labels, score, sample.strata) for score in sample.scores)
    alike = np.array_equal(a.positive, b.positive) and np.array_equal(a.negative, b.negative)
    own = [clustered_variance(sample.labels, one.positive, one.negative, sample.plan.unit) for one in (a, b)]
    check_known_zero(value, ranked_alike=alike, variances=own)


def _areas(ranked: list[RankedCases], counts: Int64[np.ndarray, "rows units"]) -> Float64[np.ndarray, "k"]:
    """The statistic in each replicate in which it is defined."""
    found = [weighted_pairs(one, counts) for one in ranked]
    pairs = found[0][1]  # the same for all scores
    areas = [doubled[pairs > 0] / (2 * pairs[pairs > 0]) for doubled, _ in found]
    return areas[0] - areas[1] if len(areas) > 1 else areas[0]


def _left_out(sample: _Sample) -> Float64[np.ndarray, "units"]:
    """The statistic without each unit: of all pairs, those that the unit has a part in are taken away."""
    plan, labels = sample.plan, sample.labels
    stratum = sample.strata[plan.start]
    positives, negatives = (np.bincount(plan.unit, weights=chosen) for chosen in (labels, ~labels))
    all_positives, all_negatives = (np.bincount(stratum, weights=own) for own in (positives, negatives))
    of_stratum = (all_positives * all_negatives)[stratum]
    rest = (all_positives[stratum] - positives) * (all_negatives[stratum] - negatives)
    pairs = float(all_positives @ all_negatives) - of_stratum + rest
    # Both classes come from two units at least, so none but a unit alone in its pool, never left out, ends all pairs.
    pairs = np.where(plan.pool_size > 1, pairs, 1.0)
    areas = []
    for score in sample.scores:
        right = case_pairs(labels, score, sample.strata)
        own = np.bincount(plan.unit, weights=right)
        # A pair of two cases of one unit was counted from both of its ends.
        twice = np.bincount(plan.unit, weights=case_pairs(labels, score, plan.unit) * labels)
        areas.append((float(right[labels].sum()) - own + twice) / (2.0 * pairs))
    return areas[0] - areas[1] if len(areas) > 1 else areas[0]
