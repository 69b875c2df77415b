"""Counts of the pairs of cases that an AUROC is made of, for many weightings of the same cases."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64


@dataclass(frozen=True, eq=False)
class RankedCases:
    """Cases sorted once, by stratum and score, so that the AUROC under any weights of their units is a few sums.

    Attributes:
        positive: unit of each positive case, sorted, shape (positives,).
        negative: unit of each negative case, sorted, shape (negatives,).
        below: number of sorted negatives before each positive, without those of an equal score, shape (positives,).
        upto: the same, with those of an equal score.
        positive_end: number of sorted positives up to the end of each stratum, shape (strata,).
        negative_end: number of sorted negatives up to the end of each stratum, shape (strata,).
    """

    positive: Int64[np.ndarray, "positives"]
    negative: Int64[np.ndarray, "negatives"]
    below: Int64[np.ndarray, "positives"]
    upto: Int64[np.ndarray, "positives"]
    positive_end: Int64[np.ndarray, "strata"]
    negative_end: Int64[np.ndarray, "strata"]


def rank_cases(
    labels: Bool[np.ndarray, "n"],
    scores: Float64[np.ndarray, "n"],
    strata: Int64[np.ndarray, "n"],
    unit: Int64[np.ndarray, "n"],
) -> RankedCases:
    """Sort the cases for `weighted_pairs`; strata are numbered from 0 without a gap."""
    order = np.lexsort((scores, strata))
    positive, score, stratum = labels[order], scores[order], strata[order]
    new = np.append(True, (np.diff(stratum) != 0) | (score[1:] != score[:-1]))
    tie = np.cumsum(new) - 1
    negatives = np.concatenate(([0], np.cumsum(~positive)))
    first = np.flatnonzero(new)
    last = np.append(first[1:], len(order))
    ends = np.cumsum(np.bincount(stratum))
    return RankedCases(
        unit[order[positive]],
        unit[order[~positive]],
        negatives[first][tie[positive]],
        negatives[last][tie[positive]],
        ends - negatives[ends],
        negatives[ends],
    )


def weighted_pairs(
    ranked: RankedCases, counts: Int64[np.ndarray, "rows units"]
) -> tuple[Int64[np.ndarray, "rows"], Int64[np.ndarray, "rows"]]:
    """Pairs of one stratum that are ranked right (a tie counts one half), doubled; and all pairs of one stratum.

    Both are whole numbers, hence exact. Each row of counts says how often each unit is there.
    """
    positive, negative = (np.take(counts, unit, axis=1) for unit in (ranked.positive, ranked.negative))
    before = np.zeros((len(counts), len(ranked.negative) + 1), dtype=np.int64)
    np.cumsum(negative, axis=1, out=before[:, 1:])
    beaten = np.take(before, ranked.below, axis=1)
    beaten += np.take(before, ranked.upto, axis=1)
    doubled = np.einsum("rp,rp->r", positive, beaten)
    if len(ranked.negative_end) == 1:
        return doubled, positive.sum(axis=1) * before[:, -1]
    ends = np.concatenate(([0], ranked.negative_end))
    earlier = np.take(before, ends, axis=1)
    total = np.zeros((len(counts), len(ranked.positive) + 1), dtype=np.int64)
    np.cumsum(positive, axis=1, out=total[:, 1:])
    reached = np.take(total, np.concatenate(([0], ranked.positive_end)), axis=1)
    positives = reached[:, 1:] - reached[:, :-1]
    # Negatives of earlier strata stand before a positive, but are not compared with it.
    doubled -= 2 * np.einsum("rs,rs->r", positives, earlier[:, :-1])
    return doubled, np.einsum("rs,rs->r", positives, earlier[:, 1:] - earlier[:, :-1])


def case_pairs(
    labels: Bool[np.ndarray, "n"], scores: Float64[np.ndarray, "n"], group: Int64[np.ndarray, "n"]
) -> Int64[np.ndarray, "n"]:
    """For each case the pairs with cases of the other class, in its own group, that are ranked right, doubled."""
    order = np.lexsort((scores, group))
    score, own = scores[order], group[order]
    new = np.append(True, (np.diff(own) != 0) | (score[1:] != score[:-1]))
    tie, first = np.cumsum(new) - 1, np.flatnonzero(new)
    last = np.append(first[1:], len(order))
    start = np.searchsorted(own, own, "left")
    stop = np.searchsorted(own, own, "right")
    positives = np.concatenate(([0], np.cumsum(labels[order])))
    negatives = np.arange(len(order) + 1) - positives
    below = negatives[first][tie] + negatives[last][tie] - 2 * negatives[start]
    above = 2 * positives[stop] - positives[first][tie] - positives[last][tie]
    pairs = np.empty(len(order), dtype=np.int64)
    pairs[order] = np.where(labels[order], below, above)
    return pairs
