"""The precision-recall curve, the area under it, and that area's interval."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.special import expit, logit
from scipy.stats import norm

from dgccl.errors import StatsError
from dgccl.stats._inputs import (
    Values,
    check_both_classes,
    check_class_labels,
    check_confidence,
    check_length,
    check_score_matrix,
    check_scores,
)
from dgccl.stats.estimate import Estimate
from dgccl.stats.proportion import wilson_interval


@dataclass(frozen=True, eq=False)
class PrecisionRecallCurve:
    """Points of a precision-recall curve, one a threshold.

    It has no point at recall 0, where nothing is called positive and precision is 0 / 0. Between two points precision
    does not follow a straight line; the area takes each step at the precision of its end.

    Attributes:
        recall: sensitivity, shape (k,), rising to 1.
        precision: share of the positive calls that are right, shape (k,).
        thresholds: a case is called positive at score >= threshold, shape (k,), falling.
        baseline: precision of a score without skill, which is the share of positive cases.
    """

    recall: Float64[np.ndarray, "k"]
    precision: Float64[np.ndarray, "k"]
    thresholds: Float64[np.ndarray, "k"]
    baseline: float


@dataclass(frozen=True, kw_only=True)
class AuprcEstimate(Estimate):
    """An area under the precision-recall curve with its interval.

    Attributes:
        baseline: the area of a score without skill, which is the share of positive cases.
    """

    baseline: float


def precision_recall_curve(
    y_true: Values, y_score: Values, *, corners_only: bool = False
) -> PrecisionRecallCurve:
    """Points of the precision-recall curve, one a distinct score, so that tied cases move together.

    Args:
        y_true: labels 0 or 1, shape (n,).
        y_score: scores, higher for class 1, shape (n,).
        corners_only: of points of equal recall leave only the first and the last; the line between them is straight.

    Raises:
        StatsError: `one_class`, `labels_not_binary`, `lengths_differ`, `scores_nan`.

    Source: Davis and Goadrich, ICML (2006) 233-240.

    Example:
        >>> curve = precision_recall_curve(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
        >>> curve.recall.tolist(), curve.thresholds.tolist(), curve.baseline
        ([0.5, 0.5, 1.0, 1.0], [0.8, 0.4, 0.35, 0.1], 0.5)
    """
    labels = check_both_classes(y_true)
    scores = check_scores(y_score, cases=len(labels))
    thresholds, hits, called = _counts(labels, scores)
    keep = np.ones(len(hits), dtype=bool)
    if corners_only:
        keep[1:-1] = (hits[1:-1] != hits[:-2]) | (hits[1:-1] != hits[2:])
    positives = int(labels.sum())
    recall, precision = hits[keep] / positives, hits[keep] / called[keep]
    return PrecisionRecallCurve(recall, precision, thresholds[keep], positives / len(labels))


def auprc(y_true: Values, y_score: Values) -> float:
    """Area under the precision-recall curve as average precision: mean over positive cases of precision at their score.

    A score without skill has about the share of positive cases; areas of cohorts of other shares do not compare.

    Args:
        y_true: labels 0 or 1, shape (n,).
        y_score: scores, higher for class 1, shape (n,).

    Raises:
        StatsError: `one_class`, `labels_not_binary`, `lengths_differ`, `scores_nan`.

    Source: Boyd, Eng and Page, ECML PKDD, LNCS 8190 (2013) 451-466, average precision; scikit-learn's
        `average_precision_score`.

    Example:
        >>> auprc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
        0.8333333333333333
    """
    labels = check_both_classes(y_true)
    return _average_precision(labels, check_scores(y_score, cases=len(labels)))


def auprc_interval(y_true: Values, y_score: Values, *, confidence: float = 0.95) -> AuprcEstimate:
    """Average precision with the logit interval that takes it as a proportion of the positive cases.

    Its limits: it counts only the positive cases and knows nothing of the scores, so that it is mostly too wide, the
    more so the better the score (benchmarks/results/measures_coverage.md); average precision itself comes out too high
    in small cohorts. It takes cases as independent; with several cases a patient, or for a tighter interval,
    bootstrap `auprc`. Of a perfect score the logit is infinite; Wilson's interval of the same proportion is given.

    Args:
        y_true: labels 0 or 1, shape (n,).
        y_score: scores, higher for class 1, shape (n,).
        confidence: nominal coverage.

    Returns:
        The estimate with its baseline; its `method` is `logit`, or `wilson` for an area of 1.

    Raises:
        StatsError: `one_class`, `labels_not_binary`, `lengths_differ`, `scores_nan`, `confidence_out_of_range`.

    Source: Boyd, Eng and Page, ECML PKDD, LNCS 8190 (2013) 451-466, logit interval.

    Example:
        >>> found = auprc_interval(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
        >>> round(found.ci_low, 3), round(found.ci_high, 3), found.baseline
        (0.108, 0.995, 0.5)
    """
    check_confidence(confidence)
    labels = check_both_classes(y_true)
    value = _average_precision(labels, check_scores(y_score, cases=len(labels)))
    positives = int(labels.sum())
    if value == 1.0:
        low, method = wilson_interval(positives, positives, confidence=confidence).ci_low, "wilson"
        high = 1.0
    else:
        half = float(norm.isf((1.0 - confidence) / 2.0)) / math.sqrt(positives * value * (1.0 - value))
        low, high = float(expit(logit(value) - half)), float(expit(logit(value) + half))
        method = "logit"
    return AuprcEstimate(value, low, high, method, len(labels), confidence, baseline=positives / len(labels))


def auprc_macro(y_true: Values, y_score: Values) -> float:
    """Mean over classes of the average precision of each class against the rest; every class weighs alike.

    Args:
        y_true: class indices 0 to C - 1, every class present, (n,).
        y_score: scores, a column a class, higher for that class, (n, C).

    Raises:
        StatsError: `class_absent`, `labels_not_classes`, `lengths_differ`, `not_two_dimensional`, `scores_nan`.

    Source: scikit-learn's `average_precision_score(average="macro")`.

    Example:
        >>> scores = np.array([[0.8, 0.1, 0.1], [0.2, 0.6, 0.2], [0.3, 0.3, 0.4], [0.5, 0.3, 0.2]])
        >>> round(auprc_macro(np.array([0, 1, 2, 2]), scores), 4)
        0.9444

        Its interval, drawn within the classes so that none is lost (with `patient`, patients are drawn):

        >>> from dgccl.stats import bootstrap_interval
        >>> y = np.repeat([0, 1, 2], 4)
        >>> counts = [[7, 2, 1], [5, 3, 2], [4, 5, 1], [6, 1, 3], [3, 6, 1], [2, 5, 3], [5, 3, 2], [1, 8, 1]]
        >>> scores = np.array([*counts, [2, 2, 6], [5, 1, 4], [1, 3, 6], [3, 4, 3]]) / 10
        >>> found = bootstrap_interval(auprc_macro, [y, scores], by_class=True, seed=1)
        >>> round(found.estimate, 3), round(found.ci_low, 3), round(found.ci_high, 3)
        (0.849, 0.701, 0.983)
    """
    scores = check_score_matrix(y_score)
    classes = scores.shape[1]
    labels = check_class_labels(y_true, classes=classes)
    check_length(scores, cases=len(labels), name="y_score")
    cases = np.bincount(labels, minlength=classes)
    if not cases.all():
        raise StatsError(
            "class_absent",
            f"Class {int(cases.argmin())} has none of the {len(labels)} cases; its area is not defined.",
            remedy="Add cases of the class, or leave out its column.",
        )
    return math.fsum(_average_precision(labels == k, scores[:, k]) for k in range(classes)) / classes


def _counts(
    labels: Bool[np.ndarray, "n"], scores: Float64[np.ndarray, "n"]
) -> tuple[Float64[np.ndarray, "k"], Int64[np.ndarray, "k"], Int64[np.ndarray, "k"]]:
    """Distinct scores falling, with the positive cases and all cases at or above each."""
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]
    last = np.append(np.flatnonzero(falling[1:] != falling[:-1]), len(falling) - 1)
    hits = np.cumsum(labels[order], dtype=np.int64)[last]
    return falling[last], hits, last.astype(np.int64) + 1


def _average_precision(labels: Bool[np.ndarray, "n"], scores: Float64[np.ndarray, "n"]) -> float:
    _, hits, called = _counts(labels, scores)
    # Whole numbers are summed before the division, so that a perfect score has exactly 1.
    return float(np.diff(hits, prepend=0) @ (hits / called)) / int(hits[-1])
