"""Slope, intercept, curves and errors of calibration against R, statsmodels and scikit-learn."""

from pathlib import Path

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit, logit
from sklearn import calibration as sklearn_calibration

from dgccl.stats.calibration import calibration_slope_intercept, spiegelhalter_test
from dgccl.stats.calibration_curves import calibration_curve, calibration_distances, smooth_calibration
from dgccl.stats.calibration_error import expected_calibration_error

from ..r_script import run_r
from .calibration_reference import (
    CASES,
    HERE,
    MODELS,
    PATIENT,
    R,
    Y,
    close,
    code_of,
    read_values,
)

ORDER = np.random.default_rng(1).permutation(len(Y))
SEPARATED = np.where(Y == 1, 0.6 + 0.3 * CASES["sure"], 0.5 * CASES["sure"])


@pytest.mark.parametrize("model", MODELS)
def test_slope_and_intercept_against_r(model: str) -> None:
    for suffix, method, found in (
        ("", "model_wald", calibration_slope_intercept(Y, CASES[model], variance="model")),
        ("_sandwich", "sandwich_wald", calibration_slope_intercept(Y, CASES[model])),
        (
            "_patients",
            "clustered_sandwich_wald",
            calibration_slope_intercept(Y, CASES[model], patient=PATIENT),
        ),
    ):
        for name, part in (
            ("large", found.in_the_large),
            ("intercept", found.intercept),
            ("slope", found.slope),
        ):
            assert part.estimate == close(f"{name}.{model}")
            assert part.ci_low == close(f"{name}{suffix}_low.{model}")
            assert part.ci_high == close(f"{name}{suffix}_high.{model}")
            assert (part.method, part.n) == (method, len(Y))
    assert spiegelhalter_test(Y, CASES[model]).z == close(f"spiegelhalter_z.{model}")


@pytest.mark.parametrize("model", MODELS)
def test_clustered_intervals_against_statsmodels(model: str) -> None:
    found = calibration_slope_intercept(Y, CASES[model], patient=PATIENT)
    x = logit(CASES[model])
    options = {"cov_type": "cluster", "cov_kwds": {"groups": PATIENT}, "tol": 1e-14, "maxiter": 100}
    both = sm.GLM(Y, sm.add_constant(x), family=sm.families.Binomial()).fit(**options).conf_int()
    large = sm.GLM(Y, np.ones(len(Y)), offset=x, family=sm.families.Binomial()).fit(**options).conf_int()
    for part, expected in (
        (found.in_the_large, large[0]),
        (found.intercept, both[0]),
        (found.slope, both[1]),
    ):
        assert (part.ci_low, part.ci_high) == pytest.approx(tuple(expected), abs=1e-8)
        assert part.method == "clustered_sandwich_wald"


@pytest.mark.parametrize("knots", [3, 4, 5])
@pytest.mark.parametrize("model", MODELS)
def test_smooth_curve_against_r(model: str, knots: int) -> None:
    at = np.array([0.05, 0.3, 0.6, 0.95])
    curve = smooth_calibration(Y, CASES[model], knots=knots, grid=at, variance="model")
    for i, g in enumerate(at):
        assert curve.observed[i] == close(f"smooth{knots}_{g:.2f}.{model}")
        assert curve.ci_low[i] == close(f"smooth{knots}_{g:.2f}_low.{model}")
        assert curve.ci_high[i] == close(f"smooth{knots}_{g:.2f}_high.{model}")
    distances = calibration_distances(Y, CASES[model], knots=knots)
    assert distances.mean == close(f"ici{knots}.{model}")
    assert distances.median == close(f"e50{knots}.{model}")
    assert distances.percentile_90 == close(f"e90{knots}.{model}")


def test_smooth_curve_and_its_default_points() -> None:
    p = CASES["blurred"]
    curve = smooth_calibration(Y, p, patient=PATIENT)
    assert curve.method == "clustered_sandwich_wald_spline_5"
    assert len(curve.probability) == 101
    assert (curve.probability[0], curve.probability[-1]) == (p.min(), p.max())
    assert ((curve.ci_low < curve.observed) & (curve.observed < curve.ci_high)).all()
    shuffled = smooth_calibration(Y[ORDER], p[ORDER], patient=PATIENT[ORDER])
    np.testing.assert_allclose(shuffled.ci_low, curve.ci_low, atol=1e-11)


@pytest.mark.parametrize("strategy", ["quantile", "uniform"])
@pytest.mark.parametrize("model", MODELS)
def test_binned_curve_against_sklearn(model: str, strategy: str) -> None:
    p = CASES[model]
    observed, mean = sklearn_calibration.calibration_curve(Y, p, n_bins=8, strategy=strategy)
    curve = calibration_curve(Y, p, bins=8, strategy=strategy)
    np.testing.assert_allclose(curve.observed, observed, atol=1e-14)
    np.testing.assert_allclose(curve.probability, mean, atol=1e-14)
    assert curve.n.sum() == len(Y)
    assert ((curve.ci_low <= curve.observed) & (curve.observed <= curve.ci_high)).all()
    shuffled = calibration_curve(Y[ORDER], p[ORDER], bins=8, strategy=strategy)
    np.testing.assert_allclose(shuffled.probability, curve.probability, atol=1e-14)


def test_equal_probabilities_share_a_bin() -> None:
    p = np.array([0.1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.9])
    curve = calibration_curve(np.array([0, 0, 1, 0, 1, 0, 1, 1]), p, bins=4)
    assert curve.n.max() >= 6
    assert calibration_curve(np.array([0, 1]), np.array([0.3, 0.3])).n.tolist() == [2]


@pytest.mark.parametrize("model", MODELS)
def test_calibration_error_against_r(model: str) -> None:
    found = expected_calibration_error(Y, CASES[model], seed=1, strategy="uniform", draws=50)
    assert found.plug_in == close(f"ece.{model}")
    assert found.squared == close(f"squared.{model}")
    assert found.squared_debiased == close(f"squared_debiased.{model}")
    assert found.debiased < found.plug_in


def test_bias_of_the_plug_in_is_found_and_mostly_taken_off() -> None:
    """Labels drawn from the probabilities: the true error is 0."""
    rng = np.random.default_rng(8)
    p = rng.random(200)
    drawn = [expected_calibration_error(rng.random(200) < p, p, seed=i, draws=200) for i in range(300)]
    plug_in = np.mean([one.plug_in for one in drawn])
    assert np.mean([one.if_calibrated for one in drawn]) == pytest.approx(plug_in, rel=0.04)
    assert np.mean([one.debiased for one in drawn]) < 0.7 * plug_in
    squared = [one.squared_debiased for one in drawn]
    assert abs(np.mean(squared)) < 3 * np.std(squared) / np.sqrt(300)
    assert np.mean([one.squared for one in drawn]) > 20 * abs(np.mean(squared))
    rejected = np.mean([one.p <= 0.05 for one in drawn])
    assert 0.015 < rejected < 0.10


def test_squared_error_is_right_on_average_where_calibration_is_bad() -> None:
    rng = np.random.default_rng(9)
    p = np.repeat(np.arange(1, 10) / 10, 20)
    truth = p**2
    drawn = [
        expected_calibration_error(
            rng.random(180) < truth, p, seed=1, draws=1, bins=10, strategy="uniform"
        ).squared_debiased
        for _ in range(600)
    ]
    assert np.mean(drawn) == pytest.approx(np.mean((truth - p) ** 2), abs=3 * np.std(drawn) / np.sqrt(600))


def test_calibration_error_depends_on_the_seed_and_not_on_the_order() -> None:
    p = CASES["blurred"]
    one = expected_calibration_error(Y, p, seed=4)
    again = expected_calibration_error(Y[ORDER], p[ORDER], seed=4)
    assert again == one
    assert expected_calibration_error(Y, p, seed=5).if_calibrated != one.if_calibrated
    assert one.p == 1 / 1001
    assert one.plug_in > 2 * one.if_calibrated


def test_spiegelhalter_is_standard_normal_if_calibrated() -> None:
    rng = np.random.default_rng(2)
    p = rng.random(300)
    z = np.array([spiegelhalter_test(rng.random(300) < p, p).z for _ in range(800)])
    assert abs(z.mean()) < 3 / np.sqrt(800)
    assert z.std() == pytest.approx(1.0, abs=0.08)
    assert spiegelhalter_test(Y, CASES["blurred"]).p < 0.01
    assert code_of(lambda: spiegelhalter_test(Y, np.full(len(Y), 0.5))) == "no_variance"


def test_symmetries() -> None:
    p = CASES["blurred"]
    found, order = calibration_slope_intercept(Y, p), calibration_slope_intercept(Y[ORDER], p[ORDER])
    assert order.slope.ci_low == pytest.approx(found.slope.ci_low, abs=1e-12)
    assert order.in_the_large.ci_high == pytest.approx(found.in_the_large.ci_high, abs=1e-12)
    other = calibration_slope_intercept(1 - Y, 1 - p)
    assert other.slope.ci_low == pytest.approx(found.slope.ci_low, abs=1e-10)
    assert other.intercept.ci_low == pytest.approx(-found.intercept.ci_high, abs=1e-10)
    assert other.in_the_large.estimate == pytest.approx(-found.in_the_large.estimate, abs=1e-10)
    # A known distortion of the log odds is read off: odds = 0.5 + 2 * true odds.
    changed = calibration_slope_intercept(Y, expit(0.5 + 2 * logit(p)))
    assert changed.slope.estimate == pytest.approx(found.slope.estimate / 2, abs=1e-10)
    assert changed.intercept.estimate == pytest.approx(
        found.intercept.estimate - found.slope.estimate / 4, abs=1e-10
    )


def test_repeated_patients_tell_nothing_new() -> None:
    p, ids = CASES["blurred"], np.arange(len(Y))
    one = calibration_slope_intercept(Y, p, patient=ids)
    assert one == calibration_slope_intercept(Y, p)
    twice = calibration_slope_intercept(Y.repeat(2), p.repeat(2), patient=ids.repeat(2))
    assert twice.slope.estimate == pytest.approx(one.slope.estimate, abs=1e-10)
    # but for the factor (n - 1) / (n - k), which counts cases
    width = (twice.slope.ci_high - twice.slope.ci_low) / (one.slope.ci_high - one.slope.ci_low)
    cases = len(Y)
    expected = np.sqrt((2 * cases - 1) / (2 * cases - 2) / ((cases - 1) / (cases - 2)))
    assert width == pytest.approx(expected, abs=1e-9)
    careless = calibration_slope_intercept(Y.repeat(2), p.repeat(2))
    assert careless.slope.ci_high - careless.slope.ci_low < 0.75 * (one.slope.ci_high - one.slope.ci_low)


def test_saturated_probabilities_are_an_error_or_clipped_as_asked() -> None:
    p = CASES["sure"].copy()
    p[:2] = 0.0, 1.0
    for call in (calibration_slope_intercept, smooth_calibration, calibration_distances):
        assert code_of(lambda call=call: call(Y, p)) == "probability_zero_or_one"
        assert code_of(lambda call=call: call(Y, p, clip=0.5)) == "clip_out_of_range"
        assert code_of(lambda call=call: call(Y, p, clip=0.0)) == "clip_out_of_range"
    clipped = calibration_slope_intercept(Y, p, clip=1e-3)
    assert clipped == calibration_slope_intercept(Y, np.clip(p, 1e-3, 1 - 1e-3))


def test_extreme_but_overlapping_probabilities_are_fitted() -> None:
    """A first Newton step would overshoot here."""
    p = np.array([1e-9, 1e-9, 1 - 1e-9, 1 - 1e-9, 1e-9, 1 - 1e-9])
    y = np.array([0, 1, 1, 0, 0, 1])
    found = calibration_slope_intercept(y, p)
    assert found.slope.estimate == pytest.approx(np.log(2) / logit(1 - 1e-9), rel=1e-7)
    assert found.in_the_large.estimate == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("call", [calibration_slope_intercept, smooth_calibration, calibration_distances])
def test_bad_input(call) -> None:
    p = CASES["sure"]
    assert code_of(lambda: call(Y, SEPARATED)) == "separation"
    assert code_of(lambda: call(1 - Y, SEPARATED)) == "separation"
    touching = np.where(Y == 1, np.maximum(SEPARATED, 0.6), np.minimum(SEPARATED, 0.6))
    touching[[int(np.flatnonzero(Y == 1)[0]), int(np.flatnonzero(Y == 0)[0])]] = 0.6
    assert code_of(lambda: call(Y, touching)) == "separation"
    assert code_of(lambda: call(np.ones(len(Y), int), p)) == "one_class"
    assert code_of(lambda: call(Y, p + 1)) == "probability_out_of_range"
    assert code_of(lambda: call(Y, p[1:])) == "lengths_differ"
    assert code_of(lambda: call(Y, np.full(len(Y), 0.3))) in ("constant_probability", "too_few_values")


def test_errors_of_their_own() -> None:
    p = CASES["sure"]
    two = np.where(PATIENT < 95, "a", "b")
    assert code_of(lambda: calibration_slope_intercept(Y, p, patient=two)) == "too_few_cases"
    for call in (calibration_slope_intercept, smooth_calibration):
        assert code_of(lambda call=call: call(Y, p, patient=PATIENT, variance="model")) == "variance_invalid"
    assert code_of(lambda: smooth_calibration(Y, p, knots=2)) == "knots_invalid"
    assert code_of(lambda: smooth_calibration(Y, p, points=1)) == "points_invalid"
    assert code_of(lambda: smooth_calibration(Y, p, grid=np.array([0.5, 1.5]))) == "probability_out_of_range"
    assert code_of(lambda: smooth_calibration(Y, np.where(p > 0.5, 0.7, 0.2))) == "too_few_values"
    assert code_of(lambda: expected_calibration_error(Y, p, seed=1, draws=0)) == "draws_invalid"
    assert code_of(lambda: expected_calibration_error(Y[:9], p[:9], seed=1)) == "too_few_cases"
    assert code_of(lambda: calibration_curve(Y, p, bins=0)) == "bins_invalid"
    assert code_of(lambda: calibration_curve(Y, p, confidence=1.0)) == "confidence_out_of_range"


def test_stored_values_are_what_r_computes(tmp_path: Path) -> None:
    again = tmp_path / "again.csv"
    run_r(str(HERE / "calibration.R"), str(HERE / "calibration_cases.csv"), str(again), package="")
    values = read_values(again)
    assert values.keys() == R.keys()
    for name, value in R.items():
        assert values[name] == pytest.approx(value, rel=1e-10, abs=1e-12), name
