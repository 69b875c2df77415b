"""Net benefit at one threshold: the figures of a decision curve, their intervals, and the difference of two models."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.stats import norm

from dgccl.errors import StatsError
from dgccl.stats._inputs import Values, check_both_classes, check_confidence, check_groups

ADDED = 4.0
"""Patients of the mean number of cases that an interval adds to the sample, spread over what can happen to a case."""

Labels = Bool[np.ndarray, "..."]
Calls = Float64[np.ndarray, "... models"]
Worth = Callable[[Labels, Calls], Float64[np.ndarray, "..."]]


@dataclass(frozen=True, eq=False)
class Sample:
    """Cases that were checked, and the prevalence that figures are to hold for.

    Attributes:
        labels: True for class 1, (n,).
        patients: index of each case's patient, (n,).
        prevalence: share of class 1.
        known: whether it was given; else it is that of the cases.
        confidence: nominal coverage of intervals.
    """

    labels: Bool[np.ndarray, "n"]
    patients: Int64[np.ndarray, "n"]
    prevalence: float
    known: bool
    confidence: float


@dataclass(frozen=True)
class Figure:
    """A figure with the ends of its interval, the middle of that, and the standard error."""

    value: float
    low: float
    high: float
    center: float
    error: float


def sample_of(y_true: Values, patient: Values | None, prevalence: float | None, confidence: float) -> Sample:
    """Check what all figures need.

    Raises:
        StatsError: `one_class`, `labels_not_binary`, `patient_missing`, `too_few_cases`, `prevalence_out_of_range`,
            `confidence_out_of_range`.
    """
    check_confidence(confidence)
    labels = check_both_classes(y_true)
    if prevalence is not None and not 0.0 < prevalence < 1.0:
        raise StatsError(
            "prevalence_out_of_range", f"The prevalence must lie between 0 and 1, found {prevalence}."
        )
    patients = check_groups(patient, cases=len(labels))
    # With a known prevalence each class is a sample of its own.
    parts = [patients] if prevalence is None else [patients[labels], patients[~labels]]
    fewest = min(len(np.unique(part)) for part in parts)
    if fewest < 2:
        raise StatsError(
            "too_few_cases",
            "The cases (of a class, if the prevalence is known) come from 1 patient; an interval needs at least 2.",
            remedy="Add patients.",
        )
    share = float(labels.mean()) if prevalence is None else float(prevalence)
    return Sample(labels, patients, share, prevalence is not None, confidence)


def odds_of(threshold: float) -> float:
    """What a false positive weighs."""
    return float(threshold / (1.0 - threshold))


def gain(odds: float) -> Worth:
    """What the calls of the first model add to net benefit: 1 of class 1, less the odds of class 0."""
    return lambda labels, calls: np.where(labels, 1.0, -odds) * calls[..., 0]


def figures(
    sample: Sample, treated: Bool[np.ndarray, "n"], odds: float, *, by_rule: bool = False
) -> tuple[Figure, Figure, Figure]:
    """Net benefit, standardized net benefit, and interventions avoided.

    Args:
        sample: the cases.
        treated: who is treated, (n,).
        odds: what a false positive weighs.
        by_rule: everyone is treated whatever the case, so that nothing is left to chance in who is.
    """
    calls = treated.astype(np.float64)[:, None]

    def left_out(labels: Labels, calls: Calls) -> Float64[np.ndarray, "..."]:
        return np.where(labels, -1.0 / odds, 1.0) * (1.0 - calls[..., 0])

    net = figure(sample, calls, gain(odds), by_rule=by_rule)
    ratio = figure(sample, calls, gain(odds), per_positive=True, by_rule=by_rule)
    return net, _at_most_one(ratio), _at_most_one(figure(sample, calls, left_out, by_rule=by_rule))


def _at_most_one(found: Figure) -> Figure:
    """A share of what there is: neither of all that can be gained nor of all cases can it be more than 1."""
    return Figure(found.value, found.low, min(1.0, found.high), found.center, found.error)


def figure(
    sample: Sample, calls: Calls, worth: Worth, *, per_positive: bool = False, by_rule: bool = False
) -> Figure:
    """A mean over cases (or over those of class 1) of what each is worth, with its interval.

    The interval is Wald's after adding four patients, spread evenly over the classes and the calls that a case can get.
    Without them it is far too short where few cases decide: a model that missed none of ten would seem to miss none.

    Args:
        sample: the cases.
        calls: 1 where a model treats a case, else 0, (n, models).
        worth: what a case adds, by its label and calls.
        per_positive: divide by the prevalence.
        by_rule: add no cases that are not treated.
    """
    value, _ = _mean(sample, sample.labels, worth(sample.labels, calls), np.ones(len(calls)), per_positive)
    choices = [1.0] if by_rule else [0.0, 1.0]
    cells = list(product([False, True], *([choices] * calls.shape[1])))
    added = np.array([cell[0] for cell in cells]), np.array([cell[1:] for cell in cells], dtype=np.float64)
    labels, both = np.append(sample.labels, added[0]), np.concatenate([calls, added[1]])
    share, size = ADDED / len(cells), len(calls) / (int(sample.patients.max()) + 1)
    weights = np.append(np.ones(len(calls)), np.full(len(cells), share * size))
    center, parts = _mean(sample, labels, worth(labels, both), weights, per_positive)
    by_patient = np.bincount(sample.patients, weights=parts[: len(calls)])
    # Each cell adds a whole patient or a share of one, and variances add up by patients.
    square = float(by_patient @ by_patient + np.sum(parts[len(calls) :] ** 2) / share)
    patients = len(by_patient) + ADDED
    error = float(np.sqrt(patients / (patients - 1.0) * square))
    half = float(norm.isf((1.0 - sample.confidence) / 2.0)) * error
    return Figure(value, center - half, center + half, center, error)


def _mean(
    sample: Sample,
    labels: Bool[np.ndarray, "m"],
    worth: Float64[np.ndarray, "m"],
    weights: Float64[np.ndarray, "m"],
    per_positive: bool,
) -> tuple[float, Float64[np.ndarray, "m"]]:
    """The figure, and what each case adds to its error."""
    if not sample.known:
        # The prevalence below the line is estimated, and varies with what is above it.
        base = labels.astype(np.float64) if per_positive else np.ones(len(labels))
        total = float(weights @ base)
        value = float(weights @ worth) / total
        return value, weights * (worth - value * base) / total
    divisor = sample.prevalence if per_positive else 1.0
    value, parts = 0.0, np.empty(len(labels))
    for chosen, share in ((labels, sample.prevalence), (~labels, 1.0 - sample.prevalence)):
        total = float(weights[chosen].sum())
        mean = float(weights[chosen] @ worth[chosen]) / total
        value += share * mean / divisor
        parts[chosen] = weights[chosen] * (worth[chosen] - mean) * share / total / divisor
    return value, parts
