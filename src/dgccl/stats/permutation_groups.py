"""Permutation test of one score in two independent groups of cases."""

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.special import gammaln

from dgccl.errors import StatsError
from dgccl.stats._inputs import Values, check_both_classes, check_groups, check_scores
from dgccl.stats.bootstrap import finite
from dgccl.stats.pairs import RankedCases, rank_cases, weighted_pairs
from dgccl.stats.permutation import PermutationTest
from dgccl.stats.resample import CELLS, ResamplingPlan, check_draws, plan_resampling


def permutation_test_unpaired(
    y_true: Values,
    y_score: Values,
    *,
    group: Values,
    seed: int,
    statistic: Callable[..., float] | None = None,
    patient: Values | None = None,
    replicates: int = 9999,
) -> PermutationTest:
    """Test whether a score does equally well in two independent groups of cases, by the difference of a statistic.

    The null hypothesis: within a class, the scores of both groups come from one distribution. Groups are exchanged
    within classes, so that the share of class 1 may differ between them. Where a patient has cases of both classes,
    whole patients are exchanged instead, and the null hypothesis is that the patients of both groups come from one
    distribution, labels included. Groups with different distributions and equal areas break it.

    Args:
        y_true: labels 0 or 1, shape (n,).
        y_score: scores, higher for class 1, shape (n,).
        group: name of each case's group, two different ones, shape (n,). The difference is that of the name that
            sorts first minus the other.
        seed: seed of the draws, 0 or more. The result does not depend on the order of the cases.
        statistic: called with y_true and y_score of a group; None for the AUROC. Arrangements on which it raises a
            StatsError are left out and counted, which keeps the test valid.
        patient: id of each case's patient, shape (n,); every patient is in one group.
        replicates: number of arrangements that are drawn; if there are no more than these, all are looked at.

    Returns:
        The test; its method has `within_class_` in it where groups were exchanged within classes.

    Raises:
        StatsError: `one_class` (in either group), `labels_not_binary`, `lengths_differ`, `scores_nan`,
            `group_missing`, `patient_missing`, `not_two_groups`, `mixed_clusters` if a patient is in both groups,
            `seed_invalid`, `replicates_invalid`, `too_few_replicates`, and whatever the statistic raises on the
            groups as they are.

    Source: Pitman, Suppl J R Stat Soc 4 (1937) 119-130; p of a sample of arrangements: Phipson and Smyth,
        Stat Appl Genet Mol Biol 9 (2010) article 39.

    Example:
        >>> y, s = np.array([0, 0, 1, 1, 0, 0, 1, 1]), np.array([1, 2, 5, 6, 3, 4, 3, 4])
        >>> found = permutation_test_unpaired(y, s, group=np.repeat(["men", "women"], 4), seed=1)
        >>> found.difference, round(found.p, 4), found.method
        (0.5, 0.0556, 'exact_within_class_unpaired_permutation')
    """
    check_draws(replicates=replicates, seed=seed)
    labels = check_both_classes(y_true)
    scores, groups = check_scores(y_score, cases=len(labels)), _two_groups(group, cases=len(labels))
    plan, within = _plan(labels, scores, groups, patient)
    labels, scores, groups = labels[plan.order], scores[plan.order], groups[plan.order]
    for one in (0, 1):
        check_both_classes(labels[groups == one])
    first = 1 - groups[plan.start]  # 1 for the units of the first group
    if statistic is None:
        differences = partial(_areas, rank_cases(labels, scores, np.zeros_like(groups), plan.unit))
        observed = float(differences(first[None])[0])
    else:
        difference = partial(_difference, statistic, labels.astype(np.int64), scores)
        differences = partial(_statistics, difference, plan.unit)
        observed = finite(difference(groups == 0))
    exact = _few(first, plan, replicates)
    blocks = _all(first, plan) if exact else _some(first, plan, replicates, np.random.default_rng(seed))
    reached = abs(observed) - 1e-12 * max(1.0, abs(observed))
    looked_at, defined, hits = 0, 0, 0
    for block in blocks:
        found = differences(block)
        looked_at, defined = looked_at + len(block), defined + len(found)
        hits += int(np.count_nonzero(np.abs(found) >= reached))
    p = hits / defined if exact else (hits + 1) / (defined + 1)
    name = (
        "exact_" * exact + "clustered_" * plan.clustered + "within_class_" * within + "unpaired_permutation"
    )
    failed = looked_at - defined
    return PermutationTest(
        observed, p, name, len(labels), None if exact else replicates, failed, None if exact else seed
    )


def _two_groups(group: Values, *, cases: int) -> Int64[np.ndarray, "n"]:
    groups = check_groups(group, cases=cases, name="group")
    found = int(groups.max()) + 1
    if found != 2:
        raise StatsError("not_two_groups", f"group must hold two different names, found {found}.")
    return groups


def _plan(
    labels: Bool[np.ndarray, "n"],
    scores: Float64[np.ndarray, "n"],
    groups: Int64[np.ndarray, "n"],
    patient: Values | None,
) -> tuple[ResamplingPlan, bool]:
    """The plan, and whether it exchanges within classes: it does unless a patient has cases of both.

    Raises:
        StatsError: `mixed_clusters` if a patient is in both groups.
    """
    plan = plan_resampling([labels, scores, groups], patient=patient, pool=groups)
    positives = np.bincount(plan.unit, weights=labels[plan.order])
    within = bool(((positives == 0) | (positives == plan.size)).all())
    pool = labels.astype(np.int64) * within
    return plan_resampling([labels, scores, groups], patient=patient, pool=pool), within


def _pool_slices(plan: ResamplingPlan) -> list[slice]:
    starts = np.unique(plan.pool_start)
    return [slice(int(start), int(start + plan.pool_size[start])) for start in starts]


def _few(first: Int64[np.ndarray, "units"], plan: ResamplingPlan, replicates: int) -> bool:
    """Whether there are no more ways than replicates to choose the first group, as many of each pool as it has."""
    sizes = np.array([(len(first[one]), int(first[one].sum())) for one in _pool_slices(plan)])
    of, chosen = sizes.T
    # In logarithms, since the number itself has thousands of digits in large samples.
    ways = float(np.sum(gammaln(of + 1) - gammaln(chosen + 1) - gammaln(of - chosen + 1)))
    return ways <= math.log(replicates) + 1e-9


def _all(
    first: Int64[np.ndarray, "units"], plan: ResamplingPlan
) -> Iterator[Int64[np.ndarray, "rows units"]]:
    chosen = [
        itertools.combinations(range(one.start, one.stop), int(first[one].sum()))
        for one in _pool_slices(plan)
    ]
    ways = itertools.product(*chosen)
    while batch := list(itertools.islice(ways, max(1, CELLS // len(plan.unit)))):
        block = np.zeros((len(batch), len(first)), dtype=np.int64)
        for row, parts in zip(block, batch, strict=True):
            row[list(itertools.chain(*parts))] = 1
        yield block


def _some(
    first: Int64[np.ndarray, "units"], plan: ResamplingPlan, replicates: int, rng: np.random.Generator
) -> Iterator[Int64[np.ndarray, "rows units"]]:
    rows = max(1, CELLS // len(plan.unit))
    for done in range(0, replicates, rows):
        block = np.tile(first, (min(rows, replicates - done), 1))
        for one in _pool_slices(plan):
            block[:, one] = rng.permuted(block[:, one], axis=1)
        yield block


def _areas(ranked: RankedCases, chosen: Int64[np.ndarray, "rows units"]) -> Float64[np.ndarray, "k"]:
    """AUROC of the chosen units minus that of the others, where both are defined."""
    (wins, pairs), (other_wins, other_pairs) = (
        weighted_pairs(ranked, counts) for counts in (chosen, 1 - chosen)
    )
    defined = (pairs > 0) & (other_pairs > 0)
    return (wins[defined] / pairs[defined] - other_wins[defined] / other_pairs[defined]) / 2.0


def _statistics(
    difference: Callable[[Bool[np.ndarray, "n"]], float],
    unit: Int64[np.ndarray, "n"],
    chosen: Int64[np.ndarray, "rows units"],
) -> Float64[np.ndarray, "k"]:
    """The difference for each choice of units, where it is defined."""
    found = []
    for row in chosen:
        with contextlib.suppress(StatsError):
            found.append(difference(row[unit] == 1))
    return np.array([finite(one) for one in found], dtype=np.float64)


def _difference(
    statistic: Callable[..., float],
    labels: Int64[np.ndarray, "n"],
    scores: Float64[np.ndarray, "n"],
    chosen: Bool[np.ndarray, "n"],
) -> float:
    first, second = (float(statistic(labels[part], scores[part])) for part in (chosen, ~chosen))
    return first - second
