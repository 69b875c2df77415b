"""Calls of one class out of several: their counts, and what is right about them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from dgccl.stats._inputs import Values, check_class_labels, check_length, check_score_matrix
from dgccl.stats.estimate import Estimate
from dgccl.stats.proportion import wilson_interval


@dataclass(frozen=True, eq=False)
class ClassCalls:
    """What calling the class of the highest score gives.

    Attributes:
        counts: cases by truth (row) and call (column), (C, C).
        accuracy: share of all cases that are called right.
        sensitivity: of each class, the share of its cases that are called so; None for a class without cases.
        specificity: of each class, the share of the other cases that are not called so; None where there are none.
    """

    counts: Int64[np.ndarray, "classes classes"]
    accuracy: Estimate
    sensitivity: tuple[Estimate | None, ...]
    specificity: tuple[Estimate | None, ...]


def call_highest(y_true: Values, y_score: Values, *, confidence: float = 0.95) -> ClassCalls:
    """Call every case the class of its highest score, and count.

    Of equal scores the lowest class is called. No threshold is chosen, so none has to be carried from validation.
    The intervals are Wilson's; they take cases as independent and are too narrow with several cases a patient.

    Args:
        y_true: class indices 0 to C - 1, (n,).
        y_score: scores on one scale for all classes, such as probabilities, (n, C).
        confidence: nominal coverage.

    Raises:
        StatsError: `labels_not_classes`, `no_cases`, `lengths_differ`, `not_two_dimensional`, `scores_nan`,
            `confidence_out_of_range`.

    Example:
        >>> scores = np.array([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]])
        >>> call_highest(np.array([0, 1]), scores).counts.tolist()
        [[1, 0, 0], [0, 0, 1], [0, 0, 0]]
    """
    counts = count_calls(y_true, y_score)
    classes = len(counts)
    total, right = int(counts.sum()), counts.diagonal()
    true, called = counts.sum(axis=1), counts.sum(axis=0)

    def share(hits: int, cases: int) -> Estimate | None:
        return wilson_interval(hits, cases, confidence=confidence) if cases else None

    return ClassCalls(
        counts,
        wilson_interval(int(right.sum()), total, confidence=confidence),
        tuple(share(int(right[k]), int(true[k])) for k in range(classes)),
        tuple(
            share(total - int(true[k] + called[k] - right[k]), total - int(true[k])) for k in range(classes)
        ),
    )


def count_calls(y_true: Values, y_score: Values) -> Int64[np.ndarray, "classes classes"]:
    """Cases by truth (row) and call of the highest score (column).

    Args:
        y_true: class indices 0 to C - 1, (n,).
        y_score: scores on one scale for all classes, (n, C).

    Raises:
        StatsError: `labels_not_classes`, `no_cases`, `lengths_differ`, `not_two_dimensional`, `scores_nan`.
    """
    scores = check_score_matrix(y_score)
    classes = scores.shape[1]
    labels = check_class_labels(y_true, classes=classes)
    check_length(scores, cases=len(labels), name="y_score")
    cells = np.bincount(labels * classes + scores.argmax(axis=1), minlength=classes**2)
    return cells.reshape(classes, classes).astype(np.int64)
