"""Decision curves: what acting on probabilities is worth, against treating everyone and no one."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy.stats import norm

from dgccl.errors import StatsError
from dgccl.stats._inputs import Values
from dgccl.stats._net_benefit import Figure, Sample, figure, figures, gain, odds_of, sample_of
from dgccl.stats._probabilities import check_probabilities, cluster_prefix
from dgccl.stats.comparison import PairedComparison
from dgccl.stats.estimate import Estimate


@dataclass(frozen=True, eq=False)
class Band:
    """A figure at each threshold with its interval, which holds at each threshold alone.

    Attributes:
        estimate: the figure, (t,).
        ci_low: lower ends, (t,).
        ci_high: upper ends, (t,).
    """

    estimate: Float64[np.ndarray, "t"]
    ci_low: Float64[np.ndarray, "t"]
    ci_high: Float64[np.ndarray, "t"]


@dataclass(frozen=True, eq=False)
class BenefitCurve:
    """What one way of treating is worth at each threshold.

    Attributes:
        net_benefit: true positives less weighted false positives, as a share of all cases.
        standardized: net benefit over the prevalence, at most 1.
        interventions_avoided: by how many fewer cases are treated than if all were, net of the missed ones, as a share
            of all cases; its upper end is at most 1.
    """

    net_benefit: Band
    standardized: Band
    interventions_avoided: Band


@dataclass(frozen=True, eq=False)
class DecisionCurve:
    """Decision curves of one model or several, and of treating everyone; treating no one is worth 0 everywhere.

    Attributes:
        thresholds: a case is treated at probability >= threshold, (t,).
        models: curve of each model, by its name.
        treat_all: curve of treating everyone.
        prevalence: share of class 1 that the curves hold for.
        method: how the bands were computed.
        n: number of cases.
        confidence: nominal coverage at each threshold alone.
    """

    thresholds: Float64[np.ndarray, "t"]
    models: dict[str, BenefitCurve]
    treat_all: BenefitCurve
    prevalence: float
    method: str
    n: int
    confidence: float = 0.95

    @property
    def treat_none(self) -> Float64[np.ndarray, "t"]:
        """Net benefit of treating no one: 0."""
        return np.zeros(len(self.thresholds))


def decision_curve(
    y_true: Values,
    y_probability: Values | Mapping[str, Values],
    *,
    thresholds: Values,
    confidence: float = 0.95,
    patient: Values | None = None,
    prevalence: float | None = None,
) -> DecisionCurve:
    """Net benefit of treating at probability >= threshold, with its band, beside treating everyone and no one.

    The threshold is the probability at which one would be indifferent: a false positive weighs
    threshold / (1 - threshold) of a true positive. Bands hold at one threshold each. They are Wald's from the variance
    over cases or patients, after adding four of them, spread evenly over the classes and over treated or not; without
    these they are far too short where few cases decide (`adjusted_wald`).

    Args:
        y_true: labels 0 or 1, (n,).
        y_probability: calibrated probability of class 1, (n,); or several by the name of their model.
        thresholds: inside (0, 1), (t,).
        confidence: nominal coverage.
        patient: id of each case's patient, (n,); repeated ids make the band go by patient.
        prevalence: share of class 1 where the model is to be used, if it is not that of the cases; it is taken as
            known. None estimates it from the cases.

    Raises:
        StatsError: `one_class`, `labels_not_binary`, `lengths_differ`, `scores_nan`, `probability_out_of_range`,
            `threshold_out_of_range`, `prevalence_out_of_range`, `no_models`, `too_few_cases`.

    Source: Vickers and Elkin, Med Decis Making 26 (2006) 565-574; interventions avoided, Vickers et al., BMC Med Inform
        Decis Mak 8 (2008) 53; the standardized form and its inference, Marsh, Janes and Pepe, Biometrics 76 (2020)
        843-852; the added cases, Agresti and Caffo, Am Stat 54 (2000) 280-288.

    Example:
        >>> y, p = np.array([0, 0, 0, 1, 1]), np.array([0.1, 0.2, 0.6, 0.5, 0.9])
        >>> decision_curve(y, p, thresholds=np.array([0.2, 0.5])).models["model"].net_benefit.estimate.round(3).tolist()
        [0.3, 0.2]
    """
    sample = sample_of(y_true, patient, prevalence, confidence)
    given = y_probability if isinstance(y_probability, Mapping) else {"model": y_probability}
    if not given:
        raise StatsError(
            "no_models", "No probabilities were given.", remedy="Give those of one model at least."
        )
    cases = len(sample.labels)
    models = {
        name: check_probabilities(values, cases=cases, name=f"y_probability of {name}")
        for name, values in given.items()
    }
    limits = _thresholds(thresholds)
    method = cluster_prefix(sample.patients) + "adjusted_wald"
    curves = {name: _curve(sample, values, limits) for name, values in models.items()}
    treat_all = _curve(sample, np.ones(cases), limits, by_rule=True)
    return DecisionCurve(limits, curves, treat_all, sample.prevalence, method, cases, confidence)


def net_benefit(
    y_true: Values,
    y_probability: Values,
    *,
    threshold: float,
    confidence: float = 0.95,
    patient: Values | None = None,
    prevalence: float | None = None,
) -> Estimate:
    """Net benefit of treating at probability >= threshold, as a share of all cases.

    Args:
        y_true: labels 0 or 1, (n,).
        y_probability: calibrated probability of class 1, (n,).
        threshold: inside (0, 1).
        confidence: nominal coverage.
        patient: id of each case's patient, (n,); repeated ids make the interval go by patient.
        prevalence: known share of class 1 where the model is to be used; None estimates it from the cases.

    Raises:
        StatsError: as `decision_curve`.

    Source: Vickers and Elkin, Med Decis Making 26 (2006) 565-574.

    Example:
        >>> net_benefit(np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.5, 0.9]), threshold=0.5).estimate
        0.25
    """
    sample = sample_of(y_true, patient, prevalence, confidence)
    probability = check_probabilities(y_probability, cases=len(sample.labels))
    limit = _thresholds([threshold])[0]
    found = figures(sample, probability >= limit, odds_of(limit))[0]
    name = cluster_prefix(sample.patients) + "adjusted_wald"
    return Estimate(found.value, found.low, found.high, name, len(probability), confidence)


def net_benefit_difference(
    y_true: Values,
    probability_a: Values,
    probability_b: Values,
    *,
    threshold: float,
    confidence: float = 0.95,
    patient: Values | None = None,
    prevalence: float | None = None,
) -> PairedComparison:
    """Net benefit of a less that of b at one threshold, on the same cases, with its interval and its test against 0.

    Models that treat the same cases differ by 0 with p = 1. Interval and test are Wald's after adding four cases (four
    patients), spread evenly over the classes and over what either model can do, so that the interval has a width even
    then.

    Args:
        y_true: labels 0 or 1, (n,).
        probability_a: calibrated probability of class 1 by the first model, (n,).
        probability_b: the same by the second model, (n,).
        threshold: inside (0, 1); a case is treated at probability >= threshold.
        confidence: nominal coverage.
        patient: id of each case's patient, (n,); repeated ids make the test go by patient.
        prevalence: known share of class 1 where the models are to be used; None estimates it from the cases.

    Raises:
        StatsError: as `decision_curve`.

    Source: Vickers et al., BMC Med Inform Decis Mak 8 (2008) 53; the added cases, Agresti and Min, Stat Med 24 (2005)
        729-740.

    Example:
        >>> y, a, b = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.7, 0.9]), np.array([0.6, 0.2, 0.7, 0.3])
        >>> net_benefit_difference(y, a, b, threshold=0.5).difference
        0.5
    """
    sample = sample_of(y_true, patient, prevalence, confidence)
    cases = len(sample.labels)
    a = check_probabilities(probability_a, cases=cases, name="probability_a")
    b = check_probabilities(probability_b, cases=cases, name="probability_b")
    limit = _thresholds([threshold])[0]
    worth = gain(odds_of(limit))
    found = figure(
        sample,
        np.column_stack([a >= limit, b >= limit]).astype(np.float64),
        lambda labels, calls: worth(labels, calls) - worth(labels, calls[..., 1:]),
    )
    z = found.center / found.error
    name = cluster_prefix(sample.patients) + "paired_adjusted_wald"
    return PairedComparison(
        found.value, found.low, found.high, z, float(2.0 * norm.sf(abs(z))), name, cases, confidence
    )


def _thresholds(thresholds: Values | list[float]) -> Float64[np.ndarray, "t"]:
    limits = check_probabilities(
        np.asanyarray(thresholds), cases=len(np.atleast_1d(thresholds)), name="thresholds"
    )
    if not len(limits) or limits.min() <= 0.0 or limits.max() >= 1.0:
        raise StatsError(
            "threshold_out_of_range",
            "Thresholds must lie between 0 and 1, the ends left out, and there must be one at least.",
            remedy="Give the probabilities at which one would act, e.g. 0.05 to 0.5.",
        )
    return limits


def _curve(
    sample: Sample,
    probability: Float64[np.ndarray, "n"],
    limits: Float64[np.ndarray, "t"],
    *,
    by_rule: bool = False,
) -> BenefitCurve:
    rows = [figures(sample, probability >= limit, odds_of(limit), by_rule=by_rule) for limit in limits]
    return BenefitCurve(*(_band([row[which] for row in rows]) for which in range(3)))


def _band(found: list[Figure]) -> Band:
    return Band(*(np.array([getattr(one, name) for one in found]) for name in ("value", "low", "high")))
