"""What calling every case one of several classes is worth: each class against the rest, and means over classes."""

import math

import numpy as np
from jaxtyping import Int64

from dgccl.errors import StatsError
from dgccl.stats._inputs import Values
from dgccl.stats.calls import call_highest
from dgccl.stats.measures import DiagnosticMeasures, Method, measures_of_counts


def diagnostic_measures_by_class(
    y_true: Values, y_score: Values, *, confidence: float = 0.95, method: Method = "wilson"
) -> tuple[DiagnosticMeasures, ...]:
    """Measures of each class against the rest, every case being called the class of its highest score.

    Args:
        y_true: class indices 0 to C - 1, every class present, (n,).
        y_score: scores on one scale for all classes, such as probabilities, (n, C).
        confidence: nominal coverage.
        method: interval of proportions, `wilson` or `clopper_pearson`.

    Raises:
        StatsError: as `call_highest`; `class_absent`.

    Example:
        >>> scores = np.array([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7], [0.2, 0.3, 0.5]])
        >>> [one.accuracy.estimate for one in diagnostic_measures_by_class(np.array([0, 1, 2]), scores)]
        [1.0, 0.6666666666666666, 0.6666666666666666]
    """
    counts = _counts(y_true, y_score, confidence=confidence)
    return tuple(
        measures_of_counts(tp=tp, fp=fp, fn=fn, tn=tn, confidence=confidence, method=method)
        for tp, fp, fn, tn in _one_versus_rest(counts)
    )


def f1_macro(y_true: Values, y_score: Values) -> float:
    """Mean over classes of F1, every case being called the class of its highest score; every class weighs alike.

    Args:
        y_true: class indices 0 to C - 1, every class present, (n,).
        y_score: scores on one scale for all classes, (n, C).

    Raises:
        StatsError: as `call_highest`; `class_absent`.

    Source: scikit-learn's `f1_score(average="macro")`.

    Example:
        >>> f1_macro(np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]]))
        0.6666666666666666
    """
    counts = _one_versus_rest(_counts(y_true, y_score))
    return math.fsum(2 * tp / (2 * tp + fp + fn) for tp, fp, fn, _ in counts) / len(counts)


def mcc_multiclass(y_true: Values, y_score: Values) -> float:
    """Correlation of truth and call for any number of classes; of two classes Matthews's.

    Every case is called the class of its highest score.

    Args:
        y_true: class indices 0 to C - 1, every class present, (n,).
        y_score: scores on one scale for all classes, (n, C).

    Raises:
        StatsError: as `call_highest`; `class_absent`; `calls_constant` if all cases are called the same class, where
            the correlation is 0 / 0 (scikit-learn then says 0).

    Source: Gorodkin, Comput Biol Chem 28 (2004) 367-374, R_K; scikit-learn's `matthews_corrcoef`.

    Example:
        >>> mcc_multiclass(np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]]))
        0.5
    """
    counts = _counts(y_true, y_score)
    total, right = int(counts.sum()), int(counts.trace())
    true, called = counts.sum(axis=1), counts.sum(axis=0)
    true_pairs, called_pairs = total**2 - int(true @ true), total**2 - int(called @ called)
    if called_pairs == 0:
        raise StatsError(
            "calls_constant",
            f"All {total} cases are called class {int(called.argmax())}; the correlation is not defined.",
        )
    return (right * total - int(true @ called)) / math.sqrt(true_pairs * called_pairs)


def _counts(
    y_true: Values, y_score: Values, *, confidence: float = 0.95
) -> Int64[np.ndarray, "classes classes"]:
    """Cases by truth (row) and call (column), with cases of every class."""
    counts = call_highest(y_true, y_score, confidence=confidence).counts
    cases = counts.sum(axis=1)
    if not cases.all():
        raise StatsError(
            "class_absent",
            f"Class {int(cases.argmin())} has none of the {int(cases.sum())} cases.",
            remedy="Add cases of the class, or leave out its column.",
        )
    return counts


def _one_versus_rest(counts: Int64[np.ndarray, "classes classes"]) -> list[tuple[int, int, int, int]]:
    """Of each class: tp, fp, fn, tn."""
    total, right = int(counts.sum()), counts.diagonal().tolist()
    true, called = counts.sum(axis=1).tolist(), counts.sum(axis=0).tolist()
    return [
        (hit, have - hit, own - hit, total - own - have + hit)
        for hit, own, have in zip(right, true, called, strict=True)
    ]
