"""The ROC curve of one set of scores, and the mean of the curves of several strata."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from dgccl.stats._inputs import Values, check_both_classes, check_scores, check_strata
from dgccl.stats.roc import in_mixed_strata


@dataclass(frozen=True, eq=False)
class RocCurve:
    """Corners of an ROC curve, from (0, 0) to (1, 1).

    Attributes:
        fpr: 1 - specificity, shape (k,), rising.
        tpr: sensitivity, shape (k,), rising.
        thresholds: a case is called positive at score >= threshold, shape (k,), falling from infinity.
    """

    fpr: Float64[np.ndarray, "k"]
    tpr: Float64[np.ndarray, "k"]
    thresholds: Float64[np.ndarray, "k"]


@dataclass(frozen=True, eq=False)
class MeanRocCurve:
    """Corners of the mean of several ROC curves, from (0, 0) to (1, 1).

    Attributes:
        fpr: 1 - specificity, shape (k,), rising.
        tpr: mean sensitivity, shape (k,), rising.
    """

    fpr: Float64[np.ndarray, "k"]
    tpr: Float64[np.ndarray, "k"]


def roc_curve(y_true: Values, y_score: Values, *, corners_only: bool = False) -> RocCurve:
    """Points of the ROC curve, one a distinct score, so that tied cases move together.

    Args:
        y_true: labels 0 or 1, shape (n,).
        y_score: scores, higher for class 1, shape (n,).
        corners_only: leave out points that lie on the line between their neighbors.

    Raises:
        StatsError: `one_class`, `labels_not_binary`, `lengths_differ`, `scores_nan`.

    Example:
        >>> curve = roc_curve(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
        >>> curve.fpr.tolist(), curve.tpr.tolist(), curve.thresholds.tolist()
        ([0.0, 0.0, 0.5, 0.5, 1.0], [0.0, 0.5, 0.5, 1.0, 1.0], [inf, 0.8, 0.4, 0.35, 0.1])
    """
    labels = check_both_classes(y_true)
    scores = check_scores(y_score, cases=len(labels))
    distinct, index = np.unique(scores, return_inverse=True)
    hits = np.bincount(index, weights=labels, minlength=len(distinct))[::-1]
    alarms = np.bincount(index, weights=~labels, minlength=len(distinct))[::-1]
    keep = np.ones(len(distinct) + 1, dtype=bool)
    if corners_only:
        keep[1:-1] = hits[:-1] * alarms[1:] != hits[1:] * alarms[:-1]
    tpr = np.concatenate(([0.0], np.cumsum(hits))) / labels.sum()
    fpr = np.concatenate(([0.0], np.cumsum(alarms))) / (~labels).sum()
    thresholds = np.concatenate(([np.inf], distinct[::-1]))
    return RocCurve(fpr[keep], tpr[keep], thresholds[keep])


def average_roc_curve(y_true: Values, y_score: Values, *, stratum: Values) -> MeanRocCurve:
    """Mean ROC curve of the strata at equal specificity; the area under it is the stratified AUROC.

    Strata weigh by their pairs; those with one class are left out. The mean belongs to no single threshold.

    Args:
        y_true: labels 0 or 1, shape (n,).
        y_score: scores, higher for class 1, shape (n,).
        stratum: name of each case's stratum, e.g. its fold, shape (n,).

    Raises:
        StatsError: `one_class`, `labels_not_binary`, `lengths_differ`, `scores_nan`.

    Source: vertical averaging, Fawcett, Pattern Recognit Lett 27 (2006) 861-874.

    Example:
        >>> y, s = np.array([0, 0, 1, 1, 0, 0, 1, 1]), np.array([1, 3, 2, 4, 1, 2, 3, 4])
        >>> curve = average_roc_curve(y, s, stratum=np.repeat(["fold 1", "fold 2"], 4))
        >>> curve.fpr.tolist(), curve.tpr.tolist()
        ([0.0, 0.0, 0.5, 0.5, 1.0], [0.0, 0.75, 0.75, 1.0, 1.0])
    """
    labels = check_both_classes(y_true)
    scores = check_scores(y_score, cases=len(labels))
    strata = check_strata(stratum, cases=len(labels))
    used = in_mixed_strata(labels, strata)
    groups = [used & (strata == one) for one in np.unique(strata[used])]
    curves = [roc_curve(labels[group], scores[group]) for group in groups]
    pairs = [float(labels[group].sum() * (~labels[group]).sum()) for group in groups]
    grid = np.unique(np.concatenate([curve.fpr for curve in curves]))
    ends = np.average([_tpr_at(curve, grid) for curve in curves], axis=0, weights=pairs)
    fpr, tpr = np.repeat(grid, 2), np.clip(ends.T.ravel(), 0.0, 1.0)
    new = np.append(True, (np.diff(fpr) > 0) | (np.diff(tpr) > 0))
    return MeanRocCurve(fpr[new], tpr[new])


def _tpr_at(curve: RocCurve, fpr: Float64[np.ndarray, "g"]) -> Float64[np.ndarray, "2 g"]:
    """Lower and upper end of a curve at each fpr: they differ where the curve rises straight up."""
    where, first = np.unique(curve.fpr, return_index=True)
    low, high = curve.tpr[first], curve.tpr[np.append(first[1:], len(curve.fpr)) - 1]
    left = np.searchsorted(where, fpr, "right") - 1
    right = np.minimum(left + 1, len(where) - 1)
    exact = where[left] == fpr
    share = (fpr - where[left]) / np.where(exact, 1.0, where[right] - where[left])
    between = high[left] + share * (low[right] - high[left])
    return np.stack([np.where(exact, low[left], between), np.where(exact, high[left], between)])
