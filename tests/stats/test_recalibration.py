"""Temperature, Platt and isotonic recalibration against R, scikit-learn and scipy."""

import json

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logit, softmax
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from dgccl.stats import auroc
from dgccl.stats.recalibration import (
    Isotonic,
    Platt,
    Temperature,
    fit_isotonic,
    fit_platt,
    fit_temperature,
    recalibration_from_dict,
)

from .calibration_reference import CASES, MODELS, R, Y, close, code_of

RNG = np.random.default_rng(6)
CLASSES = RNG.integers(0, 3, size=250)
LOGITS = RNG.normal(size=(250, 3)) * 2 + 2 * (CLASSES[:, None] == np.arange(3))
ORDER = RNG.permutation(len(Y))


@pytest.mark.parametrize("model", MODELS)
def test_against_r(model: str) -> None:
    p = CASES[model]
    assert fit_platt(Y, logit(p)).slope == close(f"platt_slope.{model}")
    assert fit_platt(Y, logit(p)).intercept == close(f"intercept.{model}")
    smooth = fit_platt(Y, p, smoothing=True)
    assert smooth.slope == close(f"platt_smooth_slope.{model}")
    assert smooth.intercept == close(f"platt_smooth_intercept.{model}")
    assert fit_temperature(Y, logit(p)).temperature == close(f"temperature.{model}")
    fitted = fit_isotonic(Y, p).apply(np.sort(p))
    for i in (1, 40, 200, 301):
        assert fitted[i - 1] == close(f"isotonic_{i}.{model}")


@pytest.mark.parametrize("model", MODELS)
def test_platt_and_isotonic_against_sklearn(model: str) -> None:
    x = logit(CASES[model])
    expected = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(x[:, None], Y)
    found = fit_platt(Y, x)
    assert (found.slope, found.intercept) == pytest.approx(
        (expected.coef_[0, 0], expected.intercept_[0]), abs=1e-6
    )
    np.testing.assert_allclose(found.apply(x), expected.predict_proba(x[:, None])[:, 1], atol=1e-6)
    curve = IsotonicRegression(out_of_bounds="clip", y_min=0, y_max=1).fit(x, Y)
    at = np.linspace(x.min() - 3, x.max() + 3, 999)
    np.testing.assert_allclose(fit_isotonic(Y, x).apply(at), curve.predict(at), atol=1e-12)


@pytest.mark.parametrize("scale", [0.3, 1.0, 40.0])
def test_temperature_of_several_classes_against_scipy(scale: float) -> None:
    logits = LOGITS * scale

    def loss(inverse: float) -> float:
        return -log_softmax(inverse * logits, axis=1)[np.arange(250), CLASSES].mean()

    best = minimize_scalar(loss, bounds=(1e-6, 10), method="bounded", options={"xatol": 1e-12})
    found = fit_temperature(CLASSES, logits)
    assert found.temperature == pytest.approx(1 / best.x, rel=1e-6)
    assert loss(1 / found.temperature) <= best.fun + 1e-15
    np.testing.assert_allclose(found.apply(logits), softmax(logits / found.temperature, axis=1), atol=1e-15)
    # A shift of a case's logits changes no probability, a stretch of all is undone.
    shifted = fit_temperature(CLASSES, logits + RNG.normal(size=(250, 1)))
    assert shifted.temperature == pytest.approx(found.temperature, rel=1e-10)
    assert fit_temperature(CLASSES, 7 * logits).temperature == pytest.approx(7 * found.temperature, rel=1e-10)


def test_temperature_of_one_column_is_that_of_two() -> None:
    x = logit(CASES["sure"])
    one, two = fit_temperature(Y, x), fit_temperature(Y, np.column_stack([0 * x, x]))
    assert one.temperature == pytest.approx(two.temperature, rel=1e-12)
    np.testing.assert_allclose(one.apply(x), two.apply(np.column_stack([0 * x, x]))[:, 1], atol=1e-14)
    p = CASES["sure"]
    logs = np.log(np.column_stack([1 - p, p]))
    assert fit_temperature(Y, logs).temperature == pytest.approx(one.temperature, rel=1e-10)


@pytest.mark.parametrize("model", MODELS)
def test_order_and_area(model: str) -> None:
    x = logit(CASES[model])
    maps = [fit_temperature(Y, x), fit_platt(Y, x), fit_platt(Y, x, smoothing=True)]
    for one in maps:
        assert auroc(Y, one.apply(x)) == auroc(Y, x)
    risen = fit_isotonic(Y, x).apply(np.sort(x))
    assert (np.diff(risen) >= 0).all()
    assert fit_isotonic(Y, x).apply(x).mean() == pytest.approx(Y.mean(), abs=1e-12)
    assert fit_platt(Y, x).apply(x).mean() == pytest.approx(Y.mean(), abs=1e-12)
    assert fit_isotonic(Y[ORDER], x[ORDER]) == fit_isotonic(Y, x)
    assert fit_temperature(Y[ORDER], x[ORDER]).temperature == pytest.approx(maps[0].temperature, rel=1e-12)


def test_platt_far_from_zero_loses_no_digits() -> None:
    x = logit(CASES["blurred"])
    near, far = fit_platt(Y, x), fit_platt(Y, 1e6 + 1e-3 * x)
    np.testing.assert_allclose(far.apply(1e6 + 1e-3 * x), near.apply(x), atol=1e-7)


def test_frozen_values_survive_json() -> None:
    x = logit(CASES["sure"])
    maps = [fit_temperature(Y, x), fit_platt(Y, x), fit_isotonic(Y, x)]
    for one, kind in zip(maps, (Temperature, Platt, Isotonic), strict=True):
        assert isinstance(one, kind)
        again = recalibration_from_dict(json.loads(json.dumps(one.to_dict(), allow_nan=False)))
        assert again == one
        np.testing.assert_array_equal(again.apply(x), one.apply(x))
    for bad in (
        {},
        {"kind": "beta"},
        {"kind": "platt", "slope": 1.0},
        {"kind": "temperature", "temperature": "x"},
    ):
        assert code_of(lambda bad=bad: recalibration_from_dict(bad)) == "recalibration_unknown"


def test_separated_classes() -> None:
    x = np.arange(10.0) - 4.5
    y = (x > 0).astype(int)
    assert code_of(lambda: fit_platt(y, x)) == "separation"
    assert code_of(lambda: fit_temperature(y, x)) == "separation"
    assert code_of(lambda: fit_temperature(y, np.column_stack([-x, x]))) == "separation"
    assert fit_platt(y, x, smoothing=True).apply(np.array([-4.5, 4.5])) == pytest.approx(
        [1 / 7, 6 / 7], abs=0.12
    )
    assert set(fit_isotonic(y, x).probabilities) == {0.0, 1.0}


def test_logits_that_say_nothing_or_the_opposite() -> None:
    x = logit(CASES["sure"])
    assert code_of(lambda: fit_temperature(Y, -x)) == "no_positive_temperature"
    assert code_of(lambda: fit_temperature(Y, 0 * x)) == "no_positive_temperature"
    assert fit_platt(Y, -x).slope == pytest.approx(-R["platt_slope.sure"], abs=1e-9)
    assert code_of(lambda: fit_platt(Y, 0 * x)) == "constant_probability"
    flat = fit_isotonic(Y, 0 * x)
    assert flat.apply(np.array([-5.0, 5.0])).tolist() == pytest.approx([Y.mean()] * 2)


@pytest.mark.parametrize("fit", [fit_temperature, fit_platt, fit_isotonic])
def test_bad_input(fit) -> None:
    x = logit(CASES["sure"])
    assert code_of(lambda: fit(np.ones(len(Y), int), x)) == "one_class"
    assert code_of(lambda: fit(Y + 1, x)) == "labels_not_binary"
    assert code_of(lambda: fit(Y, x[1:])) == "lengths_differ"
    assert code_of(lambda: fit(Y, np.where(x > 2, np.nan, x))) == "scores_nan"
    assert code_of(lambda: fit(Y, np.where(x > 2, np.inf, x))) == "scores_infinite"
    fitted = fit(Y, x)
    assert code_of(lambda: fitted.apply(np.array([np.nan]))) == "scores_nan"
    assert code_of(lambda: fitted.apply(np.array([np.inf]))) == "scores_infinite"


def test_bad_matrices() -> None:
    assert code_of(lambda: fit_temperature(CLASSES + 1, LOGITS)) == "labels_not_classes"
    assert code_of(lambda: fit_temperature(CLASSES[1:], LOGITS)) == "lengths_differ"
    assert (
        code_of(lambda: fit_temperature(CLASSES, np.where(LOGITS > 4, np.inf, LOGITS))) == "scores_infinite"
    )
