"""From scores to calls: choosing a threshold, and counting what it gives."""

from dataclasses import dataclass

import numpy as np

from dgccl.errors import StatsError
from dgccl.stats._inputs import Values, check_both_classes, check_scores
from dgccl.stats.estimate import Estimate
from dgccl.stats.proportion import ProportionMethod, proportion_interval


@dataclass(frozen=True)
class OperatingPoint:
    """Counts and rates of calls made by a threshold.

    Attributes:
        tp: positive cases called positive.
        fp: negative cases called positive.
        fn: positive cases called negative.
        tn: negative cases called negative.
        sensitivity: tp of all positive cases.
        specificity: tn of all negative cases.
    """

    tp: int
    fp: int
    fn: int
    tn: int
    sensitivity: Estimate
    specificity: Estimate


def youden_threshold(y_true: Values, y_score: Values) -> float:
    """The threshold with the largest Youden index; a case is called positive at score >= threshold.

    Candidates are the midpoints between neighboring distinct scores, and the lowest score (everything positive).
    Of equal indices the lowest threshold is taken, the one with the higher sensitivity. Counts are compared as
    integers, so that rounding decides no tie.

    Args:
        y_true: labels 0 or 1, shape (n,).
        y_score: finite scores, higher for class 1, shape (n,).

    Raises:
        StatsError: `one_class`, `labels_not_binary`, `lengths_differ`, `scores_nan`, `scores_infinite`.

    Source: Youden, Cancer 3 (1950) 32-35.

    Example:
        >>> youden_threshold(np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.4, 0.9]))
        0.30000000000000004
    """
    labels = check_both_classes(y_true)
    scores = check_scores(y_score, cases=len(labels))
    if np.isinf(scores).any():
        raise StatsError("scores_infinite", "A threshold needs finite scores; infinite ones were found.")
    distinct, index = np.unique(scores, return_inverse=True)
    positives = np.bincount(index[labels], minlength=len(distinct))
    negatives = np.bincount(index[~labels], minlength=len(distinct))
    called_positive = np.cumsum(positives[::-1])[::-1]
    called_negative = np.cumsum(negatives) - negatives
    # sensitivity + specificity, times positives * negatives
    index_scaled = called_positive * int(negatives.sum()) + called_negative * int(positives.sum())
    best = int(np.argmax(index_scaled))
    if best == 0:
        return float(distinct[0])
    below, above = float(distinct[best - 1]), float(distinct[best])
    middle = below / 2.0 + above / 2.0  # the difference of two huge scores would be infinite
    return middle if middle > below else above  # neighbors in floating point have nothing between them


def sensitivity_specificity_at(
    y_true: Values,
    y_score: Values,
    *,
    threshold: float | Values,
    confidence: float = 0.95,
    method: ProportionMethod = "wilson",
) -> OperatingPoint:
    """Sensitivity and specificity of the calls score >= threshold, with intervals.

    The intervals take cases as independent; with several cases a patient they are too narrow.

    Args:
        y_true: labels 0 or 1, shape (n,).
        y_score: scores, higher for class 1, shape (n,).
        threshold: one threshold, or one a case, shape (n,), where folds have their own.
        confidence: nominal coverage.
        method: `wilson` or `clopper_pearson`.

    Raises:
        StatsError: `one_class`, `labels_not_binary`, `lengths_differ`, `scores_nan`, `option_unknown`.

    Example:
        >>> found = sensitivity_specificity_at(np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.5, 0.9]), threshold=0.5)
        >>> found.sensitivity.estimate, round(found.sensitivity.ci_low, 3), found.specificity.estimate
        (1.0, 0.342, 0.5)
    """
    interval = proportion_interval(method)
    labels = check_both_classes(y_true)
    scores = check_scores(y_score, cases=len(labels))
    limits = (
        np.full(len(labels), threshold, np.float64) if np.ndim(threshold) == 0 else np.asanyarray(threshold)
    )
    limits = check_scores(limits, cases=len(labels), name="threshold")
    called = scores >= limits
    tp, fp = int((called & labels).sum()), int((called & ~labels).sum())
    fn, tn = int(labels.sum()) - tp, int((~labels).sum()) - fp
    return OperatingPoint(
        tp,
        fp,
        fn,
        tn,
        interval(tp, tp + fn, confidence=confidence),
        interval(tn, tn + fp, confidence=confidence),
    )
