"""Brier score, skill, parts and log loss against R, scikit-learn and each other."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass

import numpy as np
import pytest
from scipy.special import softmax
from sklearn import metrics

from dgccl.errors import StatsError
from dgccl.stats.calibration import calibration_slope_intercept, spiegelhalter_test
from dgccl.stats.calibration_curves import calibration_curve, calibration_distances, smooth_calibration
from dgccl.stats.calibration_error import expected_calibration_error
from dgccl.stats.conformal import fit_conformal, measured_coverage
from dgccl.stats.decision import decision_curve, net_benefit_difference
from dgccl.stats.probability import brier_parts, brier_score, brier_skill, log_loss
from dgccl.stats.recalibration import fit_isotonic, fit_platt, fit_temperature

from .calibration_reference import CASES, MODELS, PATIENT, Y, close, code_of

RNG = np.random.default_rng(5)
CLASSES = RNG.integers(0, 4, size=300)
MATRIX = softmax(RNG.normal(size=(300, 4)) + 1.5 * (CLASSES[:, None] == np.arange(4)), axis=1)
SCORES = {"brier": brier_score, "skill": brier_skill, "log_loss": log_loss}


@pytest.mark.parametrize("model", MODELS)
def test_against_r(model: str) -> None:
    p = CASES[model]
    normal, transformed = brier_score(Y, p, method="normal"), brier_score(Y, p)
    assert (normal.estimate, transformed.estimate) == (close(f"brier.{model}"), close(f"brier.{model}"))
    assert (normal.ci_low, normal.ci_high) == (
        close(f"brier_normal_low.{model}"),
        close(f"brier_normal_high.{model}"),
    )
    for name, found in (
        ("brier_logit", transformed),
        ("skill", brier_skill(Y, p)),
        ("log_loss", log_loss(Y, p)),
    ):
        assert found.ci_low == close(f"{name}_low.{model}")
        assert found.ci_high == close(f"{name}_high.{model}")
    assert brier_skill(Y, p).estimate == close(f"skill.{model}")
    assert log_loss(Y, p).estimate == close(f"log_loss.{model}")
    assert (normal.method, transformed.method, log_loss(Y, p).method) == ("normal", "logit_t", "log_t")


@pytest.mark.parametrize("model", MODELS)
def test_parts_against_r(model: str) -> None:
    parts = brier_parts(Y, CASES[model], bins=10)
    assert parts.reliability == close(f"reliability.{model}")
    assert parts.resolution == close(f"resolution.{model}")
    total = parts.reliability - parts.resolution + parts.uncertainty + parts.within_bins
    assert total == pytest.approx(parts.brier, abs=1e-15)
    assert parts.brier == pytest.approx(brier_score(Y, CASES[model]).estimate, abs=1e-15)


def test_the_three_parts_add_up_where_each_value_is_a_bin() -> None:
    p = np.round(CASES["blurred"], 1)
    parts = brier_parts(Y, p)
    assert parts.within_bins == 0.0
    total = parts.reliability - parts.resolution + parts.uncertainty
    assert total == pytest.approx(brier_score(Y, p).estimate, abs=1e-14)


def test_against_sklearn() -> None:
    p = CASES["sure"]
    assert brier_score(Y, p).estimate == pytest.approx(metrics.brier_score_loss(Y, p), abs=1e-15)
    assert log_loss(Y, p).estimate == pytest.approx(metrics.log_loss(Y, p), abs=1e-14)
    whole = metrics.brier_score_loss(CLASSES, MATRIX, scale_by_half=False)
    assert brier_score(CLASSES, MATRIX).estimate == pytest.approx(whole, abs=1e-15)
    assert log_loss(CLASSES, MATRIX).estimate == pytest.approx(metrics.log_loss(CLASSES, MATRIX), abs=1e-14)
    shares = np.bincount(CLASSES) / len(CLASSES)
    by_hand = 1 - whole / np.mean(np.sum((shares - (CLASSES[:, None] == np.arange(4))) ** 2, axis=1))
    assert brier_skill(CLASSES, MATRIX).estimate == pytest.approx(by_hand, abs=1e-14)


@pytest.mark.parametrize("patient", [None, PATIENT], ids=["cases", "patients"])
def test_two_classes_as_a_matrix(patient: np.ndarray | None) -> None:
    p = CASES["blurred"]
    matrix = np.column_stack([1 - p, p])
    for name, factor in (("brier", 2), ("skill", 1), ("log_loss", 1)):
        one, two = (SCORES[name](Y, values, patient=patient) for values in (p, matrix))
        expected = [factor * value for value in (one.estimate, one.ci_low, one.ci_high)]
        assert [two.estimate, two.ci_low, two.ci_high] == pytest.approx(expected, abs=1e-12)
        assert one.method == two.method


@pytest.mark.parametrize("name", SCORES)
def test_patients_are_what_was_sampled(name: str) -> None:
    """With every case repeated within its patient nothing is known that was not known before."""
    score, p = SCORES[name], CASES["blurred"]
    ids = np.arange(len(Y))
    plain = score(Y, p)
    doubled = score(np.repeat(Y, 2), np.repeat(p, 2), patient=np.repeat(ids, 2))
    assert doubled.method == "clustered_" + plain.method
    assert (doubled.estimate, doubled.ci_low, doubled.ci_high) == pytest.approx(
        (plain.estimate, plain.ci_low, plain.ci_high), abs=1e-12
    )
    assert score(Y, p, patient=ids) == plain
    order = np.random.default_rng(1).permutation(len(Y))
    one, other = score(Y, p, patient=PATIENT), score(Y[order], p[order], patient=PATIENT[order])
    assert (one.estimate, one.ci_low, one.ci_high) == pytest.approx(
        (other.estimate, other.ci_low, other.ci_high), abs=1e-12
    )


def test_clustered_error_is_that_of_a_bootstrap_of_patients() -> None:
    p, rng = CASES["sure"], np.random.default_rng(3)
    members = [np.flatnonzero(one == PATIENT) for one in np.unique(PATIENT)]
    found: dict[str, list[float]] = {name: [] for name in SCORES}
    errors = (p - Y) ** 2
    losses = -np.log(np.where(Y == 1, p, 1 - p))
    for _ in range(2000):
        drawn = np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        share = Y[drawn].mean()
        found["brier"].append(errors[drawn].mean())
        found["skill"].append(1 - errors[drawn].mean() / (share * (1 - share)))
        found["log_loss"].append(losses[drawn].mean())
    for name, score in SCORES.items():
        interval = score(Y, p, patient=PATIENT)
        # Wide enough for a transformed interval: its half width is the error only to first order.
        assert (interval.ci_high - interval.ci_low) / 2 / 1.96 == pytest.approx(np.std(found[name]), rel=0.08)


def test_without_variance() -> None:
    right = np.array([0.0, 1.0, 0.0, 1.0] * 10)
    labels = right.astype(int)
    perfect, wrong, half = (brier_score(labels, p) for p in (right, 1 - right, np.full(40, 0.5)))
    assert perfect.method == wrong.method == half.method == "wilson_bound"
    assert (perfect.estimate, perfect.ci_low) == (0.0, 0.0)
    assert perfect.ci_high == pytest.approx(1.959963984540054**2 / (40 + 1.959963984540054**2), abs=1e-12)
    assert (wrong.ci_low, wrong.ci_high) == pytest.approx((1 - perfect.ci_high, 1.0), abs=1e-12)
    assert half.ci_low < half.estimate == 0.25 < half.ci_high
    assert code_of(lambda: log_loss(labels, np.full(40, 0.5))) == "no_variance"
    assert code_of(lambda: brier_skill(labels, right)) == "no_variance"
    assert code_of(lambda: brier_skill(labels, np.full(40, 0.5))) == "no_variance"


def test_interval_stays_in_the_range() -> None:
    labels = np.array([0] * 19 + [1])
    for method in ("logit_t", "normal"):
        low = brier_score(labels, np.where(labels == 1, 0.4, 0.001), method=method)
        high = brier_score(labels, np.where(labels == 1, 0.5, 0.999), method=method)
        assert 0.0 <= low.ci_low < low.ci_high < high.ci_low < high.ci_high <= 1.0


@pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
def test_bad_input(score) -> None:
    p = CASES["sure"]
    assert code_of(lambda: score(Y, p + 0.5)) == "probability_out_of_range"
    assert code_of(lambda: score(Y, p - 0.5)) == "probability_out_of_range"
    assert code_of(lambda: score(Y, p[:-1])) == "lengths_differ"
    assert code_of(lambda: score(Y + 1, p)) == "labels_not_binary"
    assert code_of(lambda: score(np.array([], int), np.array([]))) == "no_cases"
    assert code_of(lambda: score(Y, np.where(PATIENT == 3, np.nan, p))) == "scores_nan"
    assert code_of(lambda: score(CLASSES, MATRIX * 1.1)) in (
        "probability_out_of_range",
        "probabilities_not_normalized",
    )
    assert code_of(lambda: score(CLASSES, MATRIX * 0.9)) == "probabilities_not_normalized"
    assert code_of(lambda: score(CLASSES[:-1], MATRIX)) == "lengths_differ"
    assert code_of(lambda: score(CLASSES + 1, MATRIX)) == "labels_not_classes"
    assert code_of(lambda: score(Y, p, patient=np.zeros(len(Y)))) == "too_few_cases"
    assert code_of(lambda: score(Y, p, confidence=95.0)) == "confidence_out_of_range"


def test_impossible_truth_and_one_class() -> None:
    assert code_of(lambda: log_loss(np.array([0, 1, 1]), np.array([0.2, 0.0, 0.9]))) == "log_loss_infinite"
    assert code_of(lambda: brier_skill(np.ones(4, int), np.full(4, 0.5))) == "one_class"
    assert code_of(lambda: brier_skill(np.ones(3, int), MATRIX[:3])) == "one_class"
    assert code_of(lambda: brier_parts(Y, CASES["sure"], bins=0)) == "bins_invalid"


def _numbers(value: object) -> Iterator[float]:
    if is_dataclass(value):
        value = [getattr(value, field.name) for field in fields(value)]
    if isinstance(value, np.ndarray | tuple | list):
        for part in value:
            yield from _numbers(part)
    elif isinstance(value, dict):
        yield from _numbers(list(value.values()))
    elif isinstance(value, int | float):
        yield float(value)


ALL = {
    "brier": lambda y, p, g: brier_score(y, p, patient=g),
    "skill": lambda y, p, g: brier_skill(y, p, patient=g),
    "log_loss": lambda y, p, g: log_loss(y, p, patient=g),
    "parts": lambda y, p, g: brier_parts(y, p, bins=5),
    "slope": lambda y, p, g: calibration_slope_intercept(y, p, patient=g, clip=1e-4),
    "spiegelhalter": lambda y, p, g: spiegelhalter_test(y, p),
    "curve": lambda y, p, g: calibration_curve(y, p, bins=4),
    "smooth": lambda y, p, g: smooth_calibration(y, p, patient=g, knots=3, clip=1e-4),
    "distances": lambda y, p, g: calibration_distances(y, p, clip=1e-4),
    "ece": lambda y, p, g: expected_calibration_error(y, p, seed=1, bins=3, draws=9),
    "temperature": lambda y, p, g: fit_temperature(y, 10 * p - 5),
    "platt": lambda y, p, g: fit_platt(y, p),
    "isotonic": lambda y, p, g: fit_isotonic(y, p),
    "conformal": lambda y, p, g: measured_coverage(y, fit_conformal(y, p, alpha=0.2).predict_sets(p)),
    "decision": lambda y, p, g: decision_curve(y, p, thresholds=np.array([0.01, 0.5, 0.99]), patient=g),
    "difference": lambda y, p, g: net_benefit_difference(y, p, p[::-1].copy(), threshold=0.5, patient=g),
}


@pytest.mark.parametrize("name", ALL)
def test_small_and_odd_samples_give_numbers_or_errors(name: str) -> None:
    """Ties, separated classes, one class, saturated and constant probabilities: never a NaN, never a warning."""
    rng = np.random.default_rng(31)
    answered = 0
    for _ in range(120):
        n = int(rng.integers(1, 25))
        y = rng.integers(0, 2, n)
        kinds = [
            rng.random(n),
            np.round(rng.random(n), 1),
            rng.integers(0, 2, n).astype(float),
            np.full(n, rng.random()),
            np.clip(0.8 * y + 0.2 * rng.random(n), 0, 1),
            rng.choice([1e-300, 1e-17, 1 - 1e-16, 0.5], n),
        ]
        p = kinds[rng.integers(len(kinds))]
        patient = None if rng.random() < 0.5 else rng.integers(0, n // 2 + 1, n)
        try:
            found = list(_numbers(ALL[name](y, p, patient)))
        except StatsError:
            continue
        assert found
        assert np.isfinite(found).all()
        answered += 1
    assert answered >= 5
