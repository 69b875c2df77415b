"""Split conformal prediction: sets of classes that hold the truth as often as was asked, or an abstention."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from dgccl.errors import StatsError
from dgccl.stats._inputs import Values, check_class_labels, check_groups, check_length, plain_array
from dgccl.stats._probabilities import check_probabilities, check_probability_matrix
from dgccl.stats.estimate import Estimate
from dgccl.stats.proportion import ProportionMethod, proportion_interval

ALL = "all"
"""Name of the one group where none were given."""


@dataclass(frozen=True)
class ConformalSets:
    """Frozen thresholds of split conformal prediction.

    Attributes:
        alpha: share of sets that may miss the truth.
        by_class: whether the promise holds within every class.
        groups: names of the groups, `("all",)` where none were given.
        thresholds: a class is in the set where 1 - probability is at most this, by group and class; None takes every
            class, since there were too few calibration cases to leave any out.
        n: number of calibration cases behind each threshold, by group and class.
    """

    alpha: float
    by_class: bool
    groups: tuple[str, ...]
    thresholds: tuple[tuple[float | None, ...], ...]
    n: tuple[tuple[int, ...], ...]

    def predict_sets(
        self, probabilities: Values, group: Values | None = None
    ) -> Bool[np.ndarray, "n classes"]:
        """Which classes are in the set of each case; `abstentions` tells which sets are no decision.

        Args:
            probabilities: of every class, (n, C), or of class 1 of two, (n,).
            group: name of each case's group, (n,); needed if and only if the calibration had groups.

        Raises:
            StatsError: as `fit_conformal`; `classes_differ`; `unknown_group` for a group that the calibration did
                not have; `group_missing`.
        """
        matrix = _matrix(probabilities)
        classes = len(self.thresholds[0])
        if matrix.shape[1] != classes:
            raise StatsError(
                "classes_differ", f"There are {matrix.shape[1]} classes; the calibration had {classes}."
            )
        limits = np.array([[np.inf if one is None else one for one in row] for row in self.thresholds])
        return 1.0 - matrix <= limits[self._rows(group, len(matrix))]

    def _rows(self, group: Values | None, cases: int) -> Int64[np.ndarray, "n"]:
        names, index = _groups(group, cases)
        unknown = sorted(set(names) - set(self.groups))
        if unknown:
            raise StatsError(
                "unknown_group",
                f"No threshold was calibrated for {', '.join(unknown)}; there are {', '.join(self.groups)}.",
                remedy="Calibrate with cases of that group, or decide such cases in another way.",
            )
        return np.array([self.groups.index(name) for name in names], dtype=np.int64)[index]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "alpha": self.alpha,
            "by_class": self.by_class,
            "groups": list(self.groups),
            "thresholds": [list(row) for row in self.thresholds],
            "n": [list(row) for row in self.n],
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ConformalSets":
        """The thresholds that `to_dict` wrote.

        Raises:
            StatsError: `conformal_unknown`.
        """
        try:
            return cls(
                float(values["alpha"]),
                bool(values["by_class"]),
                tuple(values["groups"]),
                tuple(tuple(row) for row in values["thresholds"]),
                tuple(tuple(row) for row in values["n"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise StatsError(
                "conformal_unknown",
                "These are not the values of a conformal calibration.",
                remedy="Give what `to_dict` of a fitted calibration returned.",
            ) from error


@dataclass(frozen=True)
class ConformalCoverage:
    """What prediction sets did on test cases.

    Attributes:
        coverage: share of the sets that hold the true class.
        by_group: the same within each group.
        by_class: the same within each true class; None for a class without cases.
        abstained: share of the sets that are no decision.
        decided_right: of the sets with one class, the share that is right; None if there are none.
        mean_size: mean number of classes in a set.
    """

    coverage: Estimate
    by_group: dict[str, Estimate]
    by_class: tuple[Estimate | None, ...]
    abstained: Estimate
    decided_right: Estimate | None
    mean_size: float


def fit_conformal(
    y_true: Values,
    probabilities: Values,
    *,
    alpha: float,
    group: Values | None = None,
    by_class: bool = False,
) -> ConformalSets:
    """Calibrate prediction sets on validation cases, within each group, such as the modalities that a case has.

    A class is in the set where 1 - its probability is no more than the threshold (LAC), which gives the smallest sets
    on average. A set can be empty.

    If calibration and test cases of a group are exchangeable, a set misses the truth with a chance of at most alpha.
    That is over draws of both: for one calibration of n cases without ties the coverage is itself random,
    Beta(n + 1 - l, l) with l = floor((n + 1) * alpha). Within a class it is promised only with `by_class`. Cases of
    the training set are not exchangeable with new ones, nor are cases of a new scanner or hospital. With several cases
    a patient the promise is approximate, and the coverage varies more from calibration to calibration.

    Args:
        y_true: labels 0 or 1, or class indices, of validation cases, (n,).
        probabilities: of every class, (n, C), or of class 1 of two, (n,).
        alpha: share of sets that may miss the truth, e.g. 0.1.
        group: name of each case's group, e.g. `ct+pet`, `ct`, `pet`, (n,); None takes all as one.
        by_class: calibrate each class on its own cases, so that the promise holds for the rare class too.

    Raises:
        StatsError: `labels_not_classes`, `no_cases`, `lengths_differ`, `scores_nan`, `probability_out_of_range`,
            `probabilities_not_normalized`, `alpha_out_of_range`, `group_missing`.

    Source: Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World (2005); LAC, Sadinle, Lei and Wasserman,
        J Am Stat Assoc 114 (2019) 223-234; the distribution of the coverage, Vovk, ACML (2012) 475-490.

    Example:
        >>> p = np.array([0.1, 0.3, 0.4, 0.6, 0.8])
        >>> fit_conformal(np.array([0, 0, 1, 1, 1]), p, alpha=0.5).predict_sets(np.array([0.5, 0.9])).tolist()
        [[False, False], [False, True]]
    """
    if not 0.0 < alpha < 1.0:
        raise StatsError(
            "alpha_out_of_range",
            f"alpha must lie between 0 and 1, found {alpha}.",
            remedy="Use 0.1 for sets that hold the truth in 90 %.",
        )
    matrix = _matrix(probabilities)
    labels = check_class_labels(y_true, classes=matrix.shape[1])
    check_length(matrix, cases=len(labels), name="probabilities")
    names, index = _groups(group, len(labels))
    own = 1.0 - matrix[np.arange(len(labels)), labels]
    thresholds, counts = [], []
    for place in range(len(names)):
        kept = [own[(index == place) & ((labels == one) | (not by_class))] for one in range(matrix.shape[1])]
        thresholds.append(tuple(_quantile(values, alpha) for values in kept))
        counts.append(tuple(len(values) for values in kept))
    return ConformalSets(float(alpha), by_class, names, tuple(thresholds), tuple(counts))


def abstentions(sets: Values) -> Bool[np.ndarray, "n"]:
    """Which sets are no decision: those with more than one class, and those with none.

    An empty set says that the case is unlike the calibration cases of any class.

    Args:
        sets: which classes are in the set of each case, boolean, (n, C).

    Raises:
        StatsError: `sets_invalid`.

    Example:
        >>> abstentions(np.array([[True, False], [True, True], [False, False]])).tolist()
        [False, True, True]
    """
    return np.asarray(_held(sets).sum(axis=1) != 1)


def measured_coverage(
    y_true: Values,
    sets: Values,
    *,
    group: Values | None = None,
    confidence: float = 0.95,
    method: ProportionMethod = "wilson",
) -> ConformalCoverage:
    """How often prediction sets hold the truth on test cases: in all, by group, by class; and how often they abstain.

    The intervals take cases as independent and the calibration as given: expect them to miss 1 - alpha more often than
    their confidence says where there were few calibration cases.

    Args:
        y_true: labels 0 or 1, or class indices, (n,).
        sets: which classes are in the set of each case, boolean, (n, C).
        group: name of each case's group, (n,).
        confidence: nominal coverage of the intervals.
        method: `wilson` or `clopper_pearson`.

    Raises:
        StatsError: `labels_not_classes`, `no_cases`, `lengths_differ`, `sets_invalid`, `group_missing`,
            `confidence_out_of_range`, `option_unknown`.

    Example:
        >>> measured_coverage(np.array([0, 1]), np.array([[True, False], [True, True]])).coverage.estimate
        1.0
    """
    interval = proportion_interval(method)
    held = _held(sets)
    labels = check_class_labels(y_true, classes=held.shape[1])
    check_length(held, cases=len(labels), name="sets")
    names, index = _groups(group, len(labels))

    def share(hits: Bool[np.ndarray, "k"]) -> Estimate:
        return interval(int(hits.sum()), len(hits), confidence=confidence)

    right, decided = held[np.arange(len(labels)), labels], ~abstentions(held)
    in_class = [right[labels == one] for one in range(held.shape[1])]
    return ConformalCoverage(
        share(right),
        {name: share(right[index == place]) for place, name in enumerate(names)},
        tuple(share(hits) if len(hits) else None for hits in in_class),
        share(~decided),
        share(right[decided]) if decided.any() else None,
        float(held.sum() / len(held)),
    )


def _held(sets: Values) -> Bool[np.ndarray, "n classes"]:
    held = plain_array(sets, name="sets")
    if held.ndim != 2 or held.dtype != np.bool_:
        raise StatsError(
            "sets_invalid",
            f"The sets must be a boolean matrix, one row a case, one column a class; found {held.dtype} "
            f"of shape {held.shape}.",
        )
    return held


def _matrix(probabilities: Values) -> Float64[np.ndarray, "n classes"]:
    if np.ndim(probabilities) == 2:
        return check_probability_matrix(probabilities, name="probabilities")
    cases = len(np.atleast_1d(probabilities))
    positive = check_probabilities(probabilities, cases=cases, name="probabilities")
    return np.column_stack([1.0 - positive, positive])


def _groups(group: Values | None, cases: int) -> tuple[tuple[str, ...], Int64[np.ndarray, "n"]]:
    """Names of the groups, sorted, and the index of each case's."""
    if group is None:
        return (ALL,), np.zeros(cases, dtype=np.int64)
    check_groups(group, cases=cases, name="group")
    names, index = np.unique(np.asarray(group).astype(str), return_inverse=True)
    return tuple(names.tolist()), index.astype(np.int64)


def _quantile(values: Float64[np.ndarray, "k"], alpha: float) -> float | None:
    """The ceil((k + 1) * (1 - alpha))-th smallest value; None if there are fewer."""
    # As a fraction, since (k + 1) * (1 - alpha) that should be whole can come out just above.
    rank = math.ceil((len(values) + 1) * (1 - Fraction(str(float(alpha)))))
    return None if rank > len(values) else float(np.partition(values, rank - 1)[rank - 1])
