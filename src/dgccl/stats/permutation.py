"""Permutation test of two scores of the same cases: exchange of the scores, case by case or patient by patient."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float64, Int64

from dgccl.stats._inputs import (
    Values,
    check_both_classes,
    check_groups,
    check_scores,
    check_strata,
)
from dgccl.stats.bootstrap import finite
from dgccl.stats.pairs import case_pairs
from dgccl.stats.resample import CELLS, ResamplingPlan, check_draws, plan_resampling
from dgccl.stats.roc import in_mixed_strata

EXACT_STEPS = 10**8
"""Additions that the exact distribution of a paired test may cost, about a tenth of a second."""


@dataclass(frozen=True)
class PermutationTest:
    """A difference with its p value among the arrangements that the null hypothesis makes equally likely.

    Attributes:
        difference: the difference of the statistic.
        p: two-sided: share of arrangements whose difference is at least as far from 0.
        method: `exact_paired_permutation` (all arrangements) or `paired_permutation` (a sample of them), or the same
            with `unpaired`; in between stand, where they apply, `clustered_`, `stratified_` and `within_class_`.
        n: number of cases used.
        replicates: number of arrangements drawn; None where all were looked at.
        failed: how many of the arrangements left the statistic undefined; they are left out.
        seed: seed of the draws; None where all arrangements were looked at.
    """

    difference: float
    p: float
    method: str
    n: int
    replicates: int | None
    failed: int
    seed: int | None


def permutation_test_paired(
    y_true: Values,
    score_a: Values,
    score_b: Values,
    *,
    seed: int,
    statistic: Callable[..., float] | None = None,
    patient: Values | None = None,
    stratum: Values | None = None,
    ranks: bool = True,
    replicates: int = 9999,
) -> PermutationTest:
    """Test whether two scores of the same cases are exchangeable, by the difference of a statistic.

    The null hypothesis: given its label, a case is as likely to have its two ranks the other way round. It holds for
    two scores with one ROC curve that disagree symmetrically; scores with different ROC curves of one area break it,
    and there the test may reject more or less often than its level says. The statistic decides which departures are
    seen: the AUROC, by default, only differences of area.

    With the AUROC the difference is a sum of one term a case (or patient) whose sign an exchange turns. Hence the
    exact distribution up to several hundred cases, and a fast sample of it beyond.

    Args:
        y_true: labels 0 or 1, shape (n,).
        score_a: first score, higher for class 1, shape (n,).
        score_b: second score, shape (n,).
        seed: seed of the draws, 0 or more. The result does not depend on the order of the cases.
        statistic: called with y_true and a score, and with the stratum where it is given; None for the AUROC.
        patient: id of each case's patient, shape (n,); the scores of all cases of a patient are exchanged together.
        stratum: name of each case's stratum, shape (n,), where scores can only be compared within one; ranks are
            taken within it.
        ranks: exchange ranks, which puts scores of different units on one scale; False where both have one scale.
        replicates: number of arrangements that are drawn where not all are looked at.

    Raises:
        StatsError: `one_class`, `labels_not_binary`, `lengths_differ`, `scores_nan`, `patient_missing`,
            `stratum_missing`, `mixed_clusters` if a patient is in several strata, `seed_invalid`,
            `replicates_invalid`, `too_few_replicates`, and whatever the statistic raises.

    Source: Bandos, Rockette and Gur, Stat Med 24 (2005) 2873-2893 (areas); Venkatraman and Begg, Biometrika 83 (1996)
        835-848 (exchange of ranks, curves); p of a sample of arrangements: Phipson and Smyth,
        Stat Appl Genet Mol Biol 9 (2010) article 39.

    Example:
        >>> y, a, b = np.array([0, 0, 0, 1, 1, 1]), np.array([1, 2, 4, 3, 5, 6]), np.array([2, 1, 5, 4, 3, 6])
        >>> found = permutation_test_paired(y, a, b, seed=1)
        >>> round(found.difference, 3), found.p, found.method
        (0.111, 0.5, 'exact_paired_permutation')
    """
    check_draws(replicates=replicates, seed=seed)
    labels, a, b, strata, plan = _ordered(
        y_true,
        score_a,
        score_b,
        patient=patient,
        stratum=stratum,
        ranks=ranks,
        one_class_strata=statistic is not None,
    )
    rng = np.random.default_rng(seed)
    if statistic is None:
        difference, p, exact = _exchange_areas(labels, (a, b), strata, plan, replicates=replicates, rng=rng)
    else:
        given = () if stratum is None else (strata,)
        call = partial(_call, statistic, labels.astype(np.int64), given)
        difference, p, exact = _exchange(call, (a, b), plan, replicates=replicates, rng=rng)
    several = int(strata.max()) > int(strata.min())
    name = "exact_" * exact + "clustered_" * plan.clustered + "stratified_" * several + "paired_permutation"
    return PermutationTest(
        difference, p, name, len(labels), None if exact else replicates, 0, None if exact else seed
    )


def _ordered(
    y_true: Values,
    score_a: Values,
    score_b: Values,
    *,
    patient: Values | None,
    stratum: Values | None,
    ranks: bool,
    one_class_strata: bool,
) -> tuple[
    Bool[np.ndarray, "n"],
    Float64[np.ndarray, "n"],
    Float64[np.ndarray, "n"],
    Int64[np.ndarray, "n"],
    ResamplingPlan,
]:
    """Checked labels, both scores (or their ranks) and strata in the order of their plan."""
    labels = check_both_classes(y_true)
    a, b = (
        check_scores(score_a, cases=len(labels), name="score_a"),
        check_scores(score_b, cases=len(labels), name="score_b"),
    )
    strata, patients = check_strata(stratum, cases=len(labels)), check_groups(patient, cases=len(labels))
    mixed = in_mixed_strata(labels, strata)
    used = np.ones_like(mixed) if one_class_strata else mixed
    labels, a, b, strata, patients = (values[used] for values in (labels, a, b, strata, patients))
    strata = np.unique(strata, return_inverse=True)[1].astype(np.int64)
    if ranks:
        a, b = _ranks(a, strata), _ranks(b, strata)
    plan = plan_resampling([labels, a, b, strata], patient=patients, pool=strata)
    order = plan.order
    return labels[order], a[order], b[order], strata[order], plan


def _ranks(scores: Float64[np.ndarray, "n"], strata: Int64[np.ndarray, "n"]) -> Float64[np.ndarray, "n"]:
    """Rank of each score in its stratum, equal scores sharing the mean of theirs."""
    order = np.lexsort((scores, strata))
    score, own = scores[order], strata[order]
    first = np.flatnonzero(np.append(True, (np.diff(own) != 0) | (score[1:] != score[:-1])))
    last = np.append(first[1:], len(order))
    start = np.searchsorted(own, own[first], "left")
    ranks = np.empty(len(order))
    ranks[order] = np.repeat((first + last + 1) / 2.0 - start, last - first)
    return ranks


def _exchange_areas(
    labels: Bool[np.ndarray, "n"],
    scores: tuple[Float64[np.ndarray, "n"], Float64[np.ndarray, "n"]],
    strata: Int64[np.ndarray, "n"],
    plan: ResamplingPlan,
    *,
    replicates: int,
    rng: np.random.Generator,
) -> tuple[float, float, bool]:
    """Difference of the areas, its p value, and whether that is exact.

    An area after an exchange counts pairs of one chosen value of each of two cases: with x the choices (1 for a) and
    M the pairs, x'Mx and (1 - x)'M(1 - x). In their difference the squares cancel; what is left is linear in x, each
    case weighing by its pairs with both values of every other case.
    """
    pairs = case_pairs(np.tile(labels, 2), np.concatenate(scores), np.tile(strata, 2))
    n = len(labels)
    # Weighted counts are floats; these are whole numbers, and sums of them are compared exactly.
    steps = np.bincount(plan.unit, weights=pairs[:n] - pairs[n:]).astype(np.int64)
    observed = int(steps.sum())
    of_class = (np.bincount(strata, weights=labels), np.bincount(strata, weights=~labels))
    difference = observed / (4.0 * float(of_class[0] @ of_class[1]))
    moving = np.abs(steps[steps != 0])
    unit_step = max(1, int(np.gcd.reduce(moving)))
    moving //= unit_step
    if len(moving) * int(moving.sum()) <= EXACT_STEPS:
        return difference, sign_flip_p(moving, abs(observed) // unit_step), True
    rows, hits = max(1, CELLS // len(steps)), 0
    for first in range(0, replicates, rows):
        kept = rng.integers(0, 2, size=(min(rows, replicates - first), len(steps)), dtype=bool)
        found = 2 * np.einsum("ru,u->r", kept, steps) - observed
        hits += int(np.count_nonzero(np.abs(found) >= abs(observed)))
    return difference, (hits + 1) / (replicates + 1), False


def sign_flip_p(steps: Int64[np.ndarray, "k"], distance: int) -> float:
    """Chance that a sum of steps with random signs is at least so far from 0, from its whole distribution.

    Args:
        steps: lengths of the steps, 1 or more; there may be none.
        distance: a distance that the sum can have.

    Source: the distribution step by step, Pagano and Tritchler, J Am Stat Assoc 78 (1983) 435-440.
    """
    if distance == 0:
        return 1.0
    total, reach = int(steps.sum()), 0
    chance = np.zeros(total + 1)  # of the sum of the steps with a plus
    chance[0] = 1.0
    for step in np.sort(steps):
        half = 0.5 * chance[: reach + 1]
        chance[: reach + 1] = half
        chance[step : step + reach + 1] += half
        reach += int(step)
    tail = float(chance[(total + distance) // 2 :].sum() + chance[: (total - distance) // 2 + 1].sum())
    return max(tail, sys.float_info.min)  # a chance too small for a float is not 0


def _exchange(
    statistic: Callable[[Float64[np.ndarray, "n"]], float],
    scores: tuple[Float64[np.ndarray, "n"], Float64[np.ndarray, "n"]],
    plan: ResamplingPlan,
    *,
    replicates: int,
    rng: np.random.Generator,
) -> tuple[float, float, bool]:
    """As `_exchange_areas` for any statistic, which is computed anew for each arrangement."""
    a, b = scores
    units = len(plan.size)
    # Exchanging all cases only turns the sign, so half of the arrangements stand for all.
    exact = 2 ** (units - 1) <= replicates
    first, second = statistic(a), statistic(b)
    reached = abs(first - second) - 1e-12 * max(abs(first), abs(second))
    hits = 0
    for index in range(2 ** (units - 1) if exact else replicates):
        exchanged = index >> np.arange(units) & 1 if exact else rng.integers(0, 2, size=units)
        swap = exchanged[plan.unit] == 1
        hits += abs(statistic(np.where(swap, b, a)) - statistic(np.where(swap, a, b))) >= reached
    return first - second, hits / 2 ** (units - 1) if exact else (hits + 1) / (replicates + 1), exact


def _call(
    statistic: Callable[..., float],
    labels: Int64[np.ndarray, "n"],
    given: tuple[Int64[np.ndarray, "n"], ...],
    score: Float64[np.ndarray, "n"],
) -> float:
    return finite(statistic(labels, score, *given))
