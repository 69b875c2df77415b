"""What calling every case one of several classes is worth: each class against the rest, and means over classes."""

import math

import numpy as np
from jaxtyping import Int64

from dgccl.errors import StatsError
from dgccl.stats._inputs import Values
from dgccl.stats.calls import count_calls
from dgccl.stats.measures import DiagnosticMeasures, measures_of_counts
from dgccl.stats.proportion import ProportionMethod


def diagnostic_measures_by_class(
    y_true: Values, y_score: Values, *, confidence: float = 0.95, method: ProportionMethod = "wilson"
) -> tuple[DiagnosticMeasures, ...]:
    """Measures of each class against the rest, every case being called the class of its highest score.

    Args:
        y_true: class indices 0 to C - 1, every class present, (n,).
        y_score: scores on one scale for all classes, such as probabilities, (n, C).
        confidence: nominal coverage.
        method: interval of proportions, `wilson` or `clopper_pearson`.

    Raises:
        StatsError: as `call_highest`; `class_absent`, `option_unknown`.

    Example:
        >>> scores = np.array([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7], [0.2, 0.3, 0.5]])
        >>> [one.accuracy.estimate for one in diagnostic_measures_by_class(np.array([0, 1, 2]), scores)]
        [1.0, 0.6666666666666666, 0.6666666666666666]
    """
    counts = _counts(y_true, y_score)
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

        Its interval, drawn within the classes so that none is lost (with `patient`, patients are drawn):

        >>> from dgccl.stats import bootstrap_interval
        >>> y = np.repeat([0, 1, 2], 4)
        >>> counts = [[7, 2, 1], [5, 3, 2], [4, 5, 1], [6, 1, 3], [3, 6, 1], [2, 5, 3], [5, 3, 2], [1, 8, 1]]
        >>> scores = np.array([*counts, [2, 2, 6], [5, 1, 4], [1, 3, 6], [3, 4, 3]]) / 10
        >>> found = bootstrap_interval(f1_macro, [y, scores], by_class=True, seed=1)
        >>> round(found.estimate, 3), round(found.ci_low, 3), round(found.ci_high, 3)
        (0.667, 0.333, 0.915)
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

        Its interval, drawn within the classes so that none is lost (with `patient`, patients are drawn):

        >>> from dgccl.stats import bootstrap_interval
        >>> y = np.repeat([0, 1, 2], 4)
        >>> counts = [[7, 2, 1], [5, 3, 2], [4, 5, 1], [6, 1, 3], [3, 6, 1], [2, 5, 3], [5, 3, 2], [1, 8, 1]]
        >>> scores = np.array([*counts, [2, 2, 6], [5, 1, 4], [1, 3, 6], [3, 4, 3]]) / 10
        >>> found = bootstrap_interval(mcc_multiclass, [y, scores], by_class=True, seed=1)
        >>> round(found.estimate, 3), round(found.ci_low, 3), round(found.ci_high, 3)
        (0.516, 0.135, 0.884)
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


def _counts(y_true: Values, y_score: Values) -> Int64[np.ndarray, "classes classes"]:
    """Cases by truth (row) and call (column), with cases of every class."""
    counts = count_calls(y_true, y_score)
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
