"""What the calls of a test are worth: every usual figure of its table of counts, with an interval."""

import math
from dataclasses import dataclass

from scipy.stats import norm

from dgccl.errors import StatsError
from dgccl.stats._inputs import Values
from dgccl.stats.estimate import Estimate
from dgccl.stats.proportion import ProportionMethod, proportion_interval
from dgccl.stats.ratio import koopman_interval
from dgccl.stats.threshold import OperatingPoint, sensitivity_specificity_at


@dataclass(frozen=True)
class DiagnosticMeasures(OperatingPoint):
    """An operating point with everything that its four counts say.

    `ppv`, `lr_positive` and `mcc` are None where no case is called positive; `npv`, `lr_negative` and `mcc` are None
    where none is called negative: these are 0 / 0, and a number there would be a convention, not a finding.

    Attributes:
        ppv: share of the positive calls that are right; at `assumed_prevalence` where that is given.
        npv: share of the negative calls that are right; at `assumed_prevalence` where that is given.
        accuracy: share of all calls that are right, at the prevalence of these cases.
        balanced_accuracy: mean of sensitivity and specificity.
        lr_positive: sensitivity / (1 - specificity); infinite where no negative case is called positive.
        lr_negative: (1 - sensitivity) / specificity; infinite where no negative case is called negative.
        f1: harmonic mean of sensitivity and the share of right positive calls, at the prevalence of these cases.
        mcc: correlation of truth and call (Matthews), at the prevalence of these cases.
        prevalence: share of positive cases among these cases.
        assumed_prevalence: the prevalence for which `ppv` and `npv` hold; None where it is that of these cases.
    """

    ppv: Estimate | None
    npv: Estimate | None
    accuracy: Estimate
    balanced_accuracy: Estimate
    lr_positive: Estimate | None
    lr_negative: Estimate | None
    f1: Estimate
    mcc: Estimate | None
    prevalence: Estimate
    assumed_prevalence: float | None = None


def diagnostic_measures(
    y_true: Values,
    y_score: Values,
    *,
    threshold: float | Values,
    confidence: float = 0.95,
    method: ProportionMethod = "wilson",
    prevalence: float | None = None,
) -> DiagnosticMeasures:
    """All measures of the calls score >= threshold, with intervals.

    The intervals take cases as independent; with several cases a patient they are too narrow. Where cases were
    picked by their class (a case-control cohort), ppv, npv, accuracy, f1 and mcc speak of the mix that was picked;
    give `prevalence` to get ppv and npv for the patients who will be tested.

    Args:
        y_true: labels 0 or 1, shape (n,).
        y_score: scores, higher for class 1, shape (n,).
        threshold: one threshold, or one a case, shape (n,), where folds have their own.
        confidence: nominal coverage.
        method: interval of proportions, `wilson` or `clopper_pearson`.
        prevalence: share of class 1 among those to be tested, taken as known, between 0 and 1.

    Returns:
        The measures. Methods: `wilson` or `clopper_pearson` for proportions; `mover_*` of the two independent
        intervals for balanced accuracy; `koopman` for likelihood ratios; `bayes_koopman` for ppv and npv at a given
        prevalence; `indirect_*` for f1; `fisher_z_delta` for mcc, or `mover_*` where all calls are right or all wrong.

    Raises:
        StatsError: `one_class`, `labels_not_binary`, `lengths_differ`, `scores_nan`, `confidence_out_of_range`,
            `prevalence_out_of_range`, `option_unknown`.

    Source: MOVER: Newcombe, Stat Med 17 (1998) 873-890, method 10, and Zou and Donner, Stat Med 27 (2008) 1693-1702;
        likelihood ratios: Koopman, Biometrics 40 (1984) 513-517; predictive values at a prevalence: Mercaldo, Lau and
        Zhou, Stat Med 26 (2007) 2170-2183, with Koopman's interval in the place of their logit one, which does not
        exist with an empty cell; f1: Lam, Gopal and Qian, arXiv 2309.14621 (2023), indirect method; mcc: Itaya et
        al., arXiv 2405.12622 (2024).

    Example:
        >>> y, score = np.array([0, 0, 0, 1, 1]), np.array([0.1, 0.7, 0.2, 0.6, 0.9])
        >>> found = diagnostic_measures(y, score, threshold=0.5)
        >>> found.ppv.estimate, found.lr_positive.estimate, found.f1.estimate
        (0.6666666666666666, 3.0, 0.8)
    """
    point = sensitivity_specificity_at(
        y_true, y_score, threshold=threshold, confidence=confidence, method=method
    )
    return _measures(point, confidence=confidence, method=method, prevalence=prevalence)


def measures_of_counts(
    *,
    tp: int,
    fp: int,
    fn: int,
    tn: int,
    confidence: float = 0.95,
    method: ProportionMethod = "wilson",
    prevalence: float | None = None,
) -> DiagnosticMeasures:
    """The measures of `diagnostic_measures` from four counts, e.g. those of a published table.

    Args:
        tp: positive cases called positive.
        fp: negative cases called positive.
        fn: positive cases called negative.
        tn: negative cases called negative.
        confidence: nominal coverage.
        method: interval of proportions, `wilson` or `clopper_pearson`.
        prevalence: share of class 1 among those to be tested, taken as known, between 0 and 1.

    Raises:
        StatsError: `counts_invalid`, `one_class`, `confidence_out_of_range`, `prevalence_out_of_range`,
            `option_unknown`.

    Example:
        >>> measures_of_counts(tp=5, fp=0, fn=5, tn=20).lr_positive.ci_high
        inf
    """
    if min(tp, fp, fn, tn) < 0:
        raise StatsError("counts_invalid", f"Counts must be 0 or more, found {tp}, {fp}, {fn} and {tn}.")
    if tp + fn == 0 or fp + tn == 0:
        raise StatsError(
            "one_class", f"There are {tp + fn} positive and {fp + tn} negative cases; both are needed."
        )
    interval = proportion_interval(method)
    sensitivity = interval(tp, tp + fn, confidence=confidence)
    specificity = interval(tn, tn + fp, confidence=confidence)
    point = OperatingPoint(tp, fp, fn, tn, sensitivity, specificity)
    return _measures(point, confidence=confidence, method=method, prevalence=prevalence)


def _measures(
    point: OperatingPoint, *, confidence: float, method: ProportionMethod, prevalence: float | None
) -> DiagnosticMeasures:
    if prevalence is not None and not 0.0 < prevalence < 1.0:
        raise StatsError(
            "prevalence_out_of_range",
            f"The prevalence must lie between 0 and 1, found {prevalence}.",
            remedy="Give the share of class 1 as 0.1, not as 10, or leave `prevalence` out.",
        )
    tp, fp, fn, tn = point.tp, point.fp, point.fn, point.tn
    positives, negatives = tp + fn, fp + tn
    interval = proportion_interval(method)

    def share(hits: int, trials: int) -> Estimate | None:
        return interval(hits, trials, confidence=confidence) if trials else None

    def ratio(hits: int, alarms: int) -> Estimate | None:
        trials = (positives, negatives)
        return koopman_interval((hits, alarms), trials, confidence=confidence) if hits + alarms else None

    ratios = (ratio(tp, fp), ratio(fn, tn))
    if prevalence is None:
        values = (share(tp, tp + fp), share(tn, tn + fn))
    else:
        values = (_ppv_at(ratios[0], prevalence), _npv_at(ratios[1], prevalence))
    n = positives + negatives
    return DiagnosticMeasures(
        *(tp, fp, fn, tn, point.sensitivity, point.specificity),
        ppv=values[0],
        npv=values[1],
        accuracy=interval(tp + tn, n, confidence=confidence),
        balanced_accuracy=_balanced_accuracy(point, method, confidence),
        lr_positive=ratios[0],
        lr_negative=ratios[1],
        f1=_f1(interval(tp, tp + fp + fn, confidence=confidence)),
        mcc=_mcc(point, method, confidence),
        prevalence=interval(positives, n, confidence=confidence),
        assumed_prevalence=prevalence,
    )


def _ppv_at(ratio: Estimate | None, prevalence: float) -> Estimate | None:
    """The positive predictive value rises with the positive likelihood ratio, so its interval is carried over."""
    if ratio is None:
        return None

    def carried(value: float) -> float:
        odds = value * prevalence / (1.0 - prevalence)
        return 1.0 if math.isinf(odds) else odds / (1.0 + odds)

    ends = (carried(ratio.estimate), carried(ratio.ci_low), carried(ratio.ci_high))
    return Estimate(*ends, "bayes_koopman", ratio.n, ratio.confidence)


def _npv_at(ratio: Estimate | None, prevalence: float) -> Estimate | None:
    """The negative predictive value falls as the negative likelihood ratio rises."""
    if ratio is None:
        return None

    def carried(value: float) -> float:
        return 1.0 / (1.0 + value * prevalence / (1.0 - prevalence))

    ends = (carried(ratio.estimate), carried(ratio.ci_high), carried(ratio.ci_low))
    return Estimate(*ends, "bayes_koopman", ratio.n, ratio.confidence)


def _balanced_accuracy(point: OperatingPoint, method: ProportionMethod, confidence: float) -> Estimate:
    """The mean of two independent proportions: distances to the ends of their intervals add in quadrature."""
    a, b = point.sensitivity, point.specificity
    value = (a.estimate + b.estimate) / 2.0
    low = value - math.hypot(a.estimate - a.ci_low, b.estimate - b.ci_low) / 2.0
    high = value + math.hypot(a.ci_high - a.estimate, b.ci_high - b.estimate) / 2.0
    return Estimate(value, low, high, f"mover_{method}", a.n + b.n, confidence)


def _f1(share: Estimate) -> Estimate:
    """F1 from tp / (tp + fp + fn), a proportion of which it is a rising function."""

    def carried(value: float) -> float:
        return 2.0 * value / (1.0 + value)

    ends = (carried(share.estimate), carried(share.ci_low), carried(share.ci_high))
    return Estimate(*ends, f"indirect_{share.method}", share.n, share.confidence)


def _mcc(point: OperatingPoint, method: ProportionMethod, confidence: float) -> Estimate | None:
    tp, fp, fn, tn = point.tp, point.fp, point.fn, point.tn
    n = tp + fp + fn + tn
    margins = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    if margins == 0:
        return None
    if fp == fn == 0 or tp == tn == 0:
        # The variance is 0 and z infinite; the sample cannot show that much.
        far = _perfect_mcc_end(point)
        ends = (1.0, far, 1.0) if fp == 0 else (-1.0, -1.0, -far)
        return Estimate(*ends, f"mover_{method}", n, confidence)
    value = (tp * tn - fp * fn) / math.sqrt(margins)
    truth, call = math.sqrt((fp + tn) / (tp + fn)), math.sqrt((fn + tn) / (tp + fp))
    # Standardized truth and call of each kind of case, and what such a case adds to the error of their correlation
    cells = (
        (tp, truth, call),
        (fp, -1.0 / truth, call),
        (fn, truth, -1.0 / call),
        (tn, -1.0 / truth, -1.0 / call),
    )
    variance = math.fsum(k * (x * y - value * (x * x + y * y) / 2.0) ** 2 for k, x, y in cells) / n**2
    half = float(norm.isf((1.0 - confidence) / 2.0)) * math.sqrt(variance) / (1.0 - value**2)
    low, high = math.tanh(math.atanh(value) - half), math.tanh(math.atanh(value) + half)
    return Estimate(value, low, high, "fisher_z_delta", n, confidence)


def _perfect_mcc_end(point: OperatingPoint) -> float:
    """How low the correlation may be when all calls are right; by symmetry also for calls that are all wrong.

    At a correlation of 1 the prevalence has no part in its error, so that only the two rates vary.
    """
    rates = (point.sensitivity, point.specificity)
    sizes = (rates[0].n, rates[1].n)
    lowest = [one.ci_low if one.estimate == 1.0 else 1.0 - one.ci_high for one in rates]
    distances = []
    for rate, own, other in zip(lowest, sizes, sizes[::-1], strict=True):
        # The correlation with this rate of right calls in one class and no wrong call in the other
        distances.append(1.0 - math.sqrt(rate * other / (other + own * (1.0 - rate))))
    return 1.0 - math.hypot(*distances)
