"""Scores of probabilities: the Brier score, its skill and its parts, the log loss."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm

from dgccl.errors import StatsError
from dgccl.stats._inputs import Values, check_choice, check_confidence, check_groups, check_labels
from dgccl.stats._probabilities import (
    bin_index,
    check_probabilities,
    cluster_prefix,
    forecasts,
    mean_variance,
    t_quantile,
    wilson_bound,
)
from dgccl.stats.estimate import Estimate
from dgccl.stats.roc import SMALLEST_VARIANCE

BrierMethod = Literal["logit_t", "normal"]


@dataclass(frozen=True)
class BrierParts:
    """What a Brier score is made of: brier = reliability - resolution + uncertainty + within_bins.

    Attributes:
        brier: the score of the probabilities themselves.
        reliability: mean squared distance of a bin's mean probability and its share of class 1; 0 is best.
        resolution: mean squared distance of a bin's share of class 1 and the prevalence; larger is better.
        uncertainty: prevalence * (1 - prevalence), which no model changes.
        within_bins: what differences between the probabilities of one bin add; 0 if a bin holds one value.
    """

    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    within_bins: float


def brier_score(
    y_true: Values,
    y_probability: Values,
    *,
    confidence: float = 0.95,
    patient: Values | None = None,
    method: BrierMethod = "logit_t",
) -> Estimate:
    """Mean squared error of probabilities; of more classes, the squared errors are summed over the classes.

    A matrix of two classes has twice the score of the probability of class 1 alone, and lies in [0, 2]. If all
    cases err alike there is no variance to use; the interval then comes from the largest variance that a mean in
    this range can have (`wilson_bound`) and is wide.

    Args:
        y_true: labels 0 or 1, or class indices, (n,).
        y_probability: probability of class 1, (n,), or of every class, (n, C).
        confidence: nominal coverage.
        patient: id of each case's patient, (n,); repeated ids make the interval go by patient.
        method: `logit_t` for the interval that is symmetric on the logit scale, with Student's t of one less than
            the patients; `normal` for the plain one, cut at the ends of the range, which is too short below about
            100 cases.

    Raises:
        StatsError: `labels_not_binary`, `labels_not_classes`, `no_cases`, `lengths_differ`, `scores_nan`,
            `probability_out_of_range`, `probabilities_not_normalized`, `too_few_cases`, `option_unknown`.

    Source: Brier, Mon Weather Rev 78 (1950) 1-3; the variance of a mean, Bradley, Schwartz and Hashino, Weather
        Forecast 23 (2008) 992-1006.

    Example:
        >>> brier_score(np.array([0, 0, 1, 1]), np.array([0.0, 0.5, 0.5, 1.0])).estimate
        0.125
    """
    check_confidence(confidence)
    check_choice(method, get_args(BrierMethod), name="method")
    probability, outcome, classes = forecasts(y_true, y_probability)
    top = 1.0 if classes is None else 2.0
    errors = np.sum((probability - outcome) ** 2, axis=1)
    patients = check_groups(patient, cases=len(errors))
    value, variance = float(errors.mean()), mean_variance(errors, patients)
    prefix = cluster_prefix(patients)
    groups = int(patients.max()) + 1
    if variance < SMALLEST_VARIANCE:
        low, high = wilson_bound(value / top, groups, confidence)
        return Estimate(value, top * low, top * high, prefix + "wilson_bound", len(errors), confidence)
    if method == "normal":
        half = float(norm.isf((1.0 - confidence) / 2.0)) * np.sqrt(variance)
        low, high = max(0.0, value - half), min(top, value + half)
        return Estimate(value, float(low), float(high), prefix + method, len(errors), confidence)
    share = value / top
    half = t_quantile(confidence, groups) * np.sqrt(variance) / top / (share * (1.0 - share))
    low, high = top * float(expit(logit(share) - half)), top * float(expit(logit(share) + half))
    return Estimate(value, low, high, prefix + method, len(errors), confidence)


def brier_skill(
    y_true: Values, y_probability: Values, *, confidence: float = 0.95, patient: Values | None = None
) -> Estimate:
    """Brier skill: 1 - Brier score / Brier score of giving every case the prevalence; 1 is perfect, 0 is no use.

    The prevalence is that of the given cases and counts as estimated. The interval is symmetric on the scale of
    log(1 - skill), with Student's t.

    Args:
        y_true: labels 0 or 1, or class indices, (n,).
        y_probability: probability of class 1, (n,), or of every class, (n, C).
        confidence: nominal coverage.
        patient: id of each case's patient, (n,); repeated ids make the interval go by patient.

    Raises:
        StatsError: as `brier_score`; `one_class`; `no_variance` if the skill has none, as that of the prevalence
            itself or of probabilities without any error.

    Source: Kattan and Gerds, Diagn Progn Res 2 (2018) 7; the variance by linearization.

    Example:
        >>> brier_skill(np.array([0, 0, 1, 1]), np.array([0.0, 0.5, 0.5, 1.0])).estimate
        0.5
    """
    check_confidence(confidence)
    probability, outcome, _ = forecasts(y_true, y_probability)
    shares = outcome.mean(axis=0)
    reference = float(np.sum(shares * (1.0 - shares)))
    if reference == 0.0:
        raise StatsError(
            "one_class",
            f"All {len(outcome)} cases are of one class, which the prevalence predicts without error.",
            remedy="Add cases of the other class.",
        )
    errors = np.sum((probability - outcome) ** 2, axis=1)
    patients = check_groups(patient, cases=len(errors))
    ratio = float(errors.mean()) / reference
    # The reference moves with the prevalence; its derivative by each class's share is 1 - 2 * share.
    moved = (outcome - shares) @ (1.0 - 2.0 * shares)
    variance = mean_variance((errors - ratio * moved) / reference, patients)
    if variance < SMALLEST_VARIANCE:
        raise StatsError(
            "no_variance",
            f"The skill is {1.0 - ratio:.4f} and has no variance: no interval is defined.",
            remedy="Report the Brier score with its interval; look for constant or perfect probabilities.",
        )
    factor = float(np.exp(t_quantile(confidence, int(patients.max()) + 1) * np.sqrt(variance) / ratio))
    name = cluster_prefix(patients) + "log_t"
    return Estimate(1.0 - ratio, 1.0 - ratio * factor, 1.0 - ratio / factor, name, len(errors), confidence)


def brier_parts(y_true: Values, y_probability: Values, *, bins: int | None = None) -> BrierParts:
    """Split the Brier score of class 1 into reliability, resolution, uncertainty and what the bins hide.

    Reliability and resolution are both biased upwards, the more the smaller the bins.

    Args:
        y_true: labels 0 or 1, (n,).
        y_probability: probability of class 1, (n,).
        bins: number of bins of equal width; None puts each distinct probability in a bin of its own.

    Raises:
        StatsError: `labels_not_binary`, `no_cases`, `lengths_differ`, `scores_nan`, `probability_out_of_range`,
            `bins_invalid`.

    Source: Murphy, J Appl Meteorol 12 (1973) 595-600; the parts within bins, Stephenson, Coelho and Jolliffe,
        Weather Forecast 23 (2008) 752-757.

    Example:
        >>> parts = brier_parts(np.array([0, 0, 1, 1]), np.array([0.0, 0.5, 0.5, 1.0]))
        >>> parts.reliability, parts.resolution, parts.uncertainty
        (0.0, 0.125, 0.25)
    """
    labels = check_labels(y_true)
    probability = check_probabilities(y_probability, cases=len(labels))
    if bins is None:
        index = np.unique(probability, return_inverse=True)[1]
    else:
        index = bin_index(probability, bins=bins, strategy="uniform")
    counts = np.bincount(index).astype(np.float64)
    seen = counts > 0
    weights = counts[seen] / len(labels)
    observed = np.bincount(index, weights=labels)[seen] / counts[seen]
    forecast = np.bincount(index, weights=probability)[seen] / counts[seen]
    prevalence = float(labels.mean())
    brier = float(np.mean((probability - labels) ** 2))
    reliability = float(weights @ (forecast - observed) ** 2)
    resolution = float(weights @ (observed - prevalence) ** 2)
    uncertainty = prevalence * (1.0 - prevalence)
    within = 0.0 if bins is None else brier - (reliability - resolution + uncertainty)
    return BrierParts(brier, reliability, resolution, uncertainty, within)


def log_loss(
    y_true: Values, y_probability: Values, *, confidence: float = 0.95, patient: Values | None = None
) -> Estimate:
    """Mean of -log of the probability that was given to the true class, in nats.

    The interval is symmetric on the log scale, with Student's t. Nothing is clipped: a probability of 0 for what
    came true has an infinite loss and is an error.

    Args:
        y_true: labels 0 or 1, or class indices, (n,).
        y_probability: probability of class 1, (n,), or of every class, (n, C).
        confidence: nominal coverage.
        patient: id of each case's patient, (n,); repeated ids make the interval go by patient.

    Raises:
        StatsError: as `brier_score`; `log_loss_infinite`; `no_variance` if all cases have one loss.

    Source: Good, J R Stat Soc B 14 (1952) 107-114.

    Example:
        >>> round(log_loss(np.array([0, 1, 1]), np.array([0.5, 0.5, 1.0])).estimate, 4)
        0.4621
    """
    check_confidence(confidence)
    probability, outcome, classes = forecasts(y_true, y_probability)
    if classes is None:
        given = np.where(outcome[:, 0] > 0, probability[:, 0], 1.0 - probability[:, 0])
    else:
        given = probability[np.arange(len(classes)), classes]
    impossible = int(np.count_nonzero(given == 0.0))
    if impossible:
        raise StatsError(
            "log_loss_infinite",
            f"{impossible} of the {len(given)} cases have a probability of 0 for their true class.",
            remedy="Recalibrate, or clip the probabilities and say so.",
        )
    losses = -np.log(given)
    patients = check_groups(patient, cases=len(losses))
    value, variance = float(losses.mean()), mean_variance(losses, patients)
    if variance < SMALLEST_VARIANCE:
        raise StatsError(
            "no_variance",
            f"All cases have a loss of {value:.4f}: no interval is defined.",
            remedy="Look for constant probabilities; report the Brier score, which has an interval.",
        )
    factor = float(np.exp(t_quantile(confidence, int(patients.max()) + 1) * np.sqrt(variance) / value))
    name = cluster_prefix(patients) + "log_t"
    return Estimate(value, value / factor, value * factor, name, len(losses), confidence)
