"""What must not matter does not matter, for every metric; what is not defined is an error with its code."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
from scipy.special import expit

from dgccl import stats
from dgccl.errors import StatsError
from dgccl.stats.partial_bootstrap import partial_auroc_bootstrap

RNG = np.random.default_rng(77)
N = 60
Y = (RNG.random(N) < 0.4).astype(int)
A = np.round(RNG.normal(size=N) + Y, 1)  # one decimal: ties within and between the classes
B = np.round(RNG.normal(size=N) + 0.5 * Y, 1)
PATIENT = np.arange(N) // 2

Metric = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], tuple[float, ...]]


def _interval(
    *, method: Literal["delong", "logit"] = "delong", clustered: bool = False, strata: int = 1
) -> Metric:
    def metric(y: np.ndarray, a: np.ndarray, b: np.ndarray, patient: np.ndarray) -> tuple[float, ...]:
        stratum = patient % strata
        found = stats.auroc_delong(
            y, a, patient=patient if clustered else None, stratum=stratum, method=method
        )
        return found.estimate, found.ci_low, found.ci_high

    return metric


def _paired(*, clustered: bool, strata: int = 1) -> Metric:
    def metric(y: np.ndarray, a: np.ndarray, b: np.ndarray, patient: np.ndarray) -> tuple[float, ...]:
        found = stats.delong_paired(y, a, b, patient=patient if clustered else None, stratum=patient % strata)
        return found.difference, found.ci_low, found.ci_high, found.z, found.p

    return metric


def _called(y: np.ndarray, a: np.ndarray, b: np.ndarray, patient: np.ndarray) -> tuple[float, ...]:
    point = stats.sensitivity_specificity_at(y, a, threshold=stats.youden_threshold(y, a))
    return (
        *(point.sensitivity.estimate, point.sensitivity.ci_low, point.sensitivity.ci_high),
        *(point.specificity.estimate, point.specificity.ci_low, point.specificity.ci_high),
    )


def _mean_curve(y: np.ndarray, a: np.ndarray, stratum: np.ndarray) -> tuple[float, ...]:
    curve = stats.average_roc_curve(y, a, stratum=stratum)
    return tuple(np.interp(np.linspace(0.013, 1, 29), curve.fpr, curve.tpr))


def _unpaired(*, clustered: bool) -> Metric:
    """The first half of the patients against the second."""

    def metric(y: np.ndarray, a: np.ndarray, b: np.ndarray, patient: np.ndarray) -> tuple[float, ...]:
        one = patient < N // 4
        ids = {"patient_a": patient[one], "patient_b": patient[~one]} if clustered else {}
        found = stats.delong_unpaired(y[one], a[one], y[~one], b[~one], **ids)
        return found.difference, found.ci_low, found.ci_high, found.t, found.df, found.p

    return metric


def _non_inferior(y: np.ndarray, a: np.ndarray, b: np.ndarray, patient: np.ndarray) -> tuple[float, ...]:
    found = stats.non_inferiority(stats.delong_paired(y, a, b, patient=patient), 0.05)
    return found.p, found.ci_low, found.ci_high


def _calls_compared(y: np.ndarray, a: np.ndarray, b: np.ndarray, patient: np.ndarray) -> tuple[float, ...]:
    call_a, call_b = ((score >= np.sort(score)[N // 2]).astype(int) for score in (a, b))
    found = stats.mcnemar_calls(y, call_a, call_b)
    return found.test.p, found.test.mid_p, found.difference.ci_low, found.difference.ci_high


def _measures(y: np.ndarray, a: np.ndarray, b: np.ndarray, patient: np.ndarray) -> tuple[float, ...]:
    found = vars(stats.diagnostic_measures(y, a, threshold=stats.youden_threshold(y, a)))
    estimates = [entry for entry in found.values() if isinstance(entry, stats.Estimate)]
    return tuple(value for e in estimates for value in (e.estimate, e.ci_low, e.ci_high))


def _auprc(y: np.ndarray, a: np.ndarray, b: np.ndarray, patient: np.ndarray) -> tuple[float, ...]:
    found = stats.auprc_interval(y, a)
    return found.estimate, found.ci_low, found.ci_high, found.baseline


def _partial(y: np.ndarray, a: np.ndarray, b: np.ndarray, patient: np.ndarray) -> tuple[float, ...]:
    return (
        stats.partial_auroc(y, a, specificity=(0.8, 1.0)),
        stats.partial_auroc(y, a, sensitivity=(0.8, 1.0), standardized=True),
    )


def _ends(*found: stats.Estimate) -> tuple[float, ...]:
    return tuple(value for e in found for value in (e.estimate, e.ci_low, e.ci_high))


def _slope(*, intercept: bool = False) -> Metric:
    def metric(y: np.ndarray, a: np.ndarray, b: np.ndarray, patient: np.ndarray) -> tuple[float, ...]:
        found = stats.calibration_slope_intercept(y, expit(a), patient=patient)
        return _ends(found.intercept if intercept else found.slope)

    return metric


def _benefit_difference(
    y: np.ndarray, a: np.ndarray, b: np.ndarray, patient: np.ndarray
) -> tuple[float, ...]:
    found = stats.net_benefit_difference(y, expit(a), expit(b), threshold=0.5, patient=patient)
    return found.difference, found.ci_low, found.ci_high, found.z, found.p


def _calibration_error(y: np.ndarray, a: np.ndarray, b: np.ndarray, patient: np.ndarray) -> tuple[float, ...]:
    found = stats.expected_calibration_error(y, expit(a), seed=1, bins=5, draws=50)
    return found.plug_in, found.debiased, found.if_calibrated


def _smooth(y: np.ndarray, a: np.ndarray, b: np.ndarray, patient: np.ndarray) -> tuple[float, ...]:
    grid = np.array([0.3, 0.5, 0.7])
    return tuple(stats.smooth_calibration(y, expit(a), knots=3, grid=grid, patient=patient).ci_low)


def _parts(y: np.ndarray, a: np.ndarray, b: np.ndarray, patient: np.ndarray) -> tuple[float, ...]:
    found = stats.brier_parts(y, expit(a))
    return found.reliability, found.resolution


OF_PROBABILITIES: dict[str, Metric] = {
    "brier_score": lambda y, a, b, patient: _ends(stats.brier_score(y, expit(a), patient=patient)),
    "brier_skill": lambda y, a, b, patient: _ends(stats.brier_skill(y, expit(a), patient=patient)),
    "log_loss": lambda y, a, b, patient: _ends(stats.log_loss(y, expit(a), patient=patient)),
    "brier_parts": _parts,
    "spiegelhalter": lambda y, a, b, patient: (stats.spiegelhalter_test(y, expit(a)).z,),
    "calibration_slope": _slope(),
    "calibration_intercept": _slope(intercept=True),
    "calibration_distances": lambda y, a, b, patient: (
        stats.calibration_distances(y, expit(a), knots=3).mean,
    ),
    "smooth_calibration": _smooth,
    "expected_calibration_error": _calibration_error,
    "fit_temperature": lambda y, a, b, patient: (stats.fit_temperature(y, a).temperature,),
    "fit_platt": lambda y, a, b, patient: (stats.fit_platt(y, a).slope,),
    "fit_isotonic": lambda y, a, b, patient: tuple(np.sort(stats.fit_isotonic(y, a).apply(a))),
    "fit_conformal": lambda y, a, b, patient: (
        stats.fit_conformal(y, expit(a), alpha=0.2).thresholds[0][0] or np.inf,
    ),
    "net_benefit": lambda y, a, b, patient: _ends(
        stats.net_benefit(y, expit(a), threshold=0.5, patient=patient)
    ),
    "net_benefit_difference": _benefit_difference,
}
"""Metrics that depend on the scores themselves, not on their order alone: the scores here are log odds."""


def _bootstrap(*, clustered: bool = False, by_class: bool = False) -> Metric:
    def metric(y: np.ndarray, a: np.ndarray, b: np.ndarray, patient: np.ndarray) -> tuple[float, ...]:
        ids = patient if clustered else None
        return _ends(stats.auroc_bootstrap(y, a, patient=ids, by_class=by_class, replicates=200, seed=1))

    return metric


def _band(*, clustered: bool, strata: int = 1) -> Metric:
    def metric(y: np.ndarray, a: np.ndarray, b: np.ndarray, patient: np.ndarray) -> tuple[float, ...]:
        ids = patient if clustered else None
        band = stats.average_roc_band(
            y, a, patient=ids, stratum=patient % strata, points=11, replicates=60, seed=1
        )
        return tuple(np.r_[band.tpr, band.low, band.high])

    return metric


def _partial_bootstrap(y: np.ndarray, a: np.ndarray, b: np.ndarray, patient: np.ndarray) -> tuple[float, ...]:
    return _ends(
        partial_auroc_bootstrap(y, a, specificity=(0.8, 1.0), patient=patient, replicates=60, seed=1)
    )


def _permuted(*, clustered: bool) -> Metric:
    def metric(y: np.ndarray, a: np.ndarray, b: np.ndarray, patient: np.ndarray) -> tuple[float, ...]:
        found = stats.permutation_test_paired(y, a, b, patient=patient if clustered else None, seed=1)
        return found.difference, found.p

    return metric


def _permuted_groups(y: np.ndarray, a: np.ndarray, b: np.ndarray, patient: np.ndarray) -> tuple[float, ...]:
    found = stats.permutation_test_unpaired(y, a, group=patient % 2, replicates=199, seed=1)
    return found.difference, found.p


METRICS: dict[str, Metric] = {
    "auroc": lambda y, a, b, patient: (stats.auroc(y, a),),
    "delong": _interval(),
    "logit_delong": _interval(method="logit"),
    "clustered_delong": _interval(clustered=True),
    "paired_delong": _paired(clustered=False),
    "clustered_paired_delong": _paired(clustered=True),
    "stratified_delong": _interval(strata=3),
    "clustered_stratified_delong": _interval(clustered=True, strata=3),
    "stratified_paired_delong": _paired(clustered=False, strata=3),
    "average_roc_curve": lambda y, a, b, patient: tuple(
        stats.average_roc_curve(y, a, stratum=patient % 3).tpr
    ),
    "youden": _called,
    "kolmogorov_smirnov": lambda y, a, b, patient: (
        stats.kolmogorov_smirnov(a[y == 1], a[y == 0]).statistic,
    ),
    "unpaired_delong": _unpaired(clustered=False),
    "clustered_unpaired_delong": _unpaired(clustered=True),
    "non_inferiority": _non_inferior,
    "mcnemar": _calls_compared,
    "diagnostic_measures": _measures,
    "auprc": _auprc,
    "partial_auroc": _partial,
    "bootstrap": _bootstrap(),
    "bootstrap_within_class": _bootstrap(by_class=True),
    "clustered_bootstrap": _bootstrap(clustered=True),
    "clustered_paired_bootstrap": lambda y, a, b, patient: _ends(
        stats.auroc_difference_bootstrap(y, a, b, patient=patient, replicates=200, seed=1)
    ),
    "roc_band": _band(clustered=False),
    "clustered_roc_band": _band(clustered=True),
    "clustered_stratified_roc_band": _band(clustered=True, strata=3),
    "clustered_partial_bootstrap": _partial_bootstrap,
    "permutation_paired": _permuted(clustered=False),
    "clustered_permutation_paired": _permuted(clustered=True),
    "permutation_unpaired": _permuted_groups,
    "roc_curve": lambda y, a, b, patient: tuple(np.r_[stats.roc_curve(y, a).tpr, stats.roc_curve(y, a).fpr]),
}


ALL_METRICS = METRICS | OF_PROBABILITIES


@pytest.mark.parametrize("name", ALL_METRICS)
def test_order_of_cases(name: str) -> None:
    order = np.random.default_rng(1).permutation(N)
    expected = ALL_METRICS[name](Y, A, B, PATIENT)
    assert ALL_METRICS[name](Y[order], A[order], B[order], PATIENT[order]) == pytest.approx(
        expected, abs=1e-12
    )


@pytest.mark.parametrize(
    "transform",
    [lambda s: 3 * s - 7, np.exp, np.arctan, lambda s: s**3],
    ids=["affine", "exp", "arctan", "cube"],
)
@pytest.mark.parametrize("name", METRICS)
def test_monotone_transform(name: str, transform: Callable[[np.ndarray], np.ndarray]) -> None:
    expected = METRICS[name](Y, A, B, PATIENT)
    assert METRICS[name](Y, transform(A), transform(B), PATIENT) == pytest.approx(expected, abs=1e-12)


OF_ONE_CLASS = (
    "youden",
    "roc_curve",
    "average_roc_curve",
    "mcnemar",
    "diagnostic_measures",
    "auprc",
    "partial_auroc",
    "calibration_intercept",
    "smooth_calibration",
    "expected_calibration_error",
    "fit_isotonic",
    "net_benefit",
    "net_benefit_difference",
    "roc_band",
    "clustered_roc_band",
    "clustered_stratified_roc_band",
    "clustered_partial_bootstrap",
    "bootstrap",
    "bootstrap_within_class",
    "permutation_unpaired",
)
"""Metrics that speak of class 1, or of calls of it: with the classes swapped they are others. The last three draw
other cases then, so that they agree only as far as chance lets them."""


@pytest.mark.parametrize("name", [name for name in ALL_METRICS if name not in OF_ONE_CLASS])
def test_swapping_labels_and_sign(name: str) -> None:
    expected = ALL_METRICS[name](Y, A, B, PATIENT)
    assert ALL_METRICS[name](1 - Y, -A, -B, PATIENT) == pytest.approx(expected, abs=1e-12)


REPEATED = {
    "auroc": 1,
    "clustered_bootstrap": None,
    "clustered_roc_band": None,
    "clustered_stratified_roc_band": None,
    "clustered_partial_bootstrap": None,
    "clustered_permutation_paired": None,
    "clustered_delong": None,
    "clustered_paired_delong": None,
    "clustered_unpaired_delong": None,
    "partial_auroc": None,
    "auprc": 1,
    "brier_score": None,
    "brier_skill": None,
    "log_loss": None,
    "brier_parts": None,
    "fit_temperature": None,
    "fit_platt": None,
    "net_benefit": None,
    "net_benefit_difference": None,
    "calibration_slope": 1,
    "roc_curve": None,
    "diagnostic_measures": 1,
}
"""Metrics that do not change when every case stands there twice, with its patient: all of their figures (None), or only
the estimate, the interval being one that takes cases as independent."""


@pytest.mark.parametrize("name", REPEATED)
def test_every_case_twice_is_a_weight_of_two(name: str) -> None:
    figures = REPEATED[name]
    expected = ALL_METRICS[name](Y, A, B, PATIENT)[:figures]
    twice = ALL_METRICS[name](*(np.repeat(values, 2) for values in (Y, A, B, PATIENT)))[:figures]
    assert twice == pytest.approx(expected, abs=1e-9)


def test_swapping_labels_alone_mirrors_the_area() -> None:
    found, mirrored = stats.auroc_delong(Y, A), stats.auroc_delong(1 - Y, A)
    assert mirrored.estimate == pytest.approx(1 - found.estimate, abs=1e-15)
    assert (mirrored.ci_low, mirrored.ci_high) == pytest.approx(
        (1 - found.ci_high, 1 - found.ci_low), abs=1e-12
    )
    pair, swapped = stats.delong_paired(Y, A, B), stats.delong_paired(Y, B, A)
    assert (swapped.difference, swapped.p) == pytest.approx((-pair.difference, pair.p), abs=1e-12)


@pytest.mark.parametrize("name", ALL_METRICS)
def test_types_of_labels_and_scores(name: str) -> None:
    expected = ALL_METRICS[name](Y, A, B, PATIENT)
    ids = PATIENT.astype(np.int32)
    for labels in (Y.astype(bool), Y.astype(float), Y.astype(np.uint8)):
        assert ALL_METRICS[name](labels, A, B, ids) == pytest.approx(expected, abs=1e-12)


NAN = np.where(np.arange(N) == 3, np.nan, A)
BAD = {
    "one_class": (np.ones(N, int), A),
    "no_cases": (np.array([], int), np.array([])),
    "labels_not_binary": (Y + 1, A),
    "scores_nan": (Y, NAN),
    "lengths_differ": (Y, A[:-1]),
    "not_one_dimensional": (Y[:, None], A),
    "scores_not_numbers": (Y, A.astype(str)),
}
FUNCTIONS: dict[str, Callable[[np.ndarray, np.ndarray], object]] = {
    "auroc": stats.auroc,
    "auroc_delong": stats.auroc_delong,
    "delong_paired_a": lambda y, s: stats.delong_paired(y, s, np.zeros(len(y))),
    "delong_paired_b": lambda y, s: stats.delong_paired(y, np.zeros(len(y)), s),
    "roc_curve": stats.roc_curve,
    "youden_threshold": stats.youden_threshold,
    "sensitivity_specificity_at": lambda y, s: stats.sensitivity_specificity_at(y, s, threshold=0.5),
    "diagnostic_measures": lambda y, s: stats.diagnostic_measures(y, s, threshold=0.5),
    "auprc": stats.auprc,
    "auprc_interval": stats.auprc_interval,
    "precision_recall_curve": stats.precision_recall_curve,
    "partial_auroc": lambda y, s: stats.partial_auroc(y, s, specificity=(0.9, 1.0)),
}


@pytest.mark.parametrize("code", BAD)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_bad_input_is_an_error(name: str, code: str) -> None:
    with pytest.raises(StatsError) as caught:
        FUNCTIONS[name](*BAD[code])
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("patient", "code"),
    [
        (PATIENT[:-1], "lengths_differ"),
        (np.where(PATIENT == 2, np.nan, PATIENT), "patient_missing"),
        (np.array([None, *PATIENT[1:]], dtype=object), "patient_missing"),
    ],
)
def test_bad_patients(patient: np.ndarray, code: str) -> None:
    with pytest.raises(StatsError) as caught:
        stats.auroc_delong(Y, A, patient=patient)
    assert caught.value.code == code
    with pytest.raises(StatsError) as caught:
        stats.delong_paired(Y, A, B, stratum=patient)
    assert caught.value.code == code.replace("patient", "stratum")


def test_missing_labels_and_small_classes() -> None:
    with pytest.raises(StatsError) as caught:
        stats.auroc(np.where(np.arange(N) == 0, np.nan, Y), A)
    assert caught.value.code == "labels_not_binary"
    with pytest.raises(StatsError) as caught:
        stats.auroc_delong(np.array([1, 0, 0]), np.array([1.0, 2.0, 3.0]))
    assert caught.value.code == "too_few_cases"
    with pytest.raises(StatsError) as caught:
        stats.auroc_delong(np.array([1, 1, 0, 0]), np.arange(4.0), patient=np.array([1, 1, 2, 3]))
    assert caught.value.code == "too_few_cases"


def test_where_the_exact_sum_fails_the_method_says_so() -> None:
    """scipy's exact sum fails for samples that interleave; the p value is then asymptotic, and is called so."""
    first = np.arange(300.0)
    found = stats.kolmogorov_smirnov(first, first + 0.5)
    assert (found.statistic, found.p) == pytest.approx((1 / 300, 1.0))
    assert found.method == "kolmogorov_smirnov_asymptotic"
    assert stats.kolmogorov_smirnov(first, first + 40.5).method == "kolmogorov_smirnov_exact"


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0, float("nan")])
def test_confidence_out_of_range(confidence: float) -> None:
    calls: list[Callable[[], object]] = [
        lambda: stats.auroc_delong(Y, A, confidence=confidence),
        lambda: stats.delong_paired(Y, A, B, confidence=confidence),
        lambda: stats.wilson_interval(1, 2, confidence=confidence),
        lambda: stats.newcombe_interval(0.5, positives=3, negatives=3, confidence=confidence),
    ]
    for call in calls:
        with pytest.raises(StatsError) as caught:
            call()
        assert caught.value.code == "confidence_out_of_range"
