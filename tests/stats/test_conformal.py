"""Conformal sets: exact thresholds, the known distribution of their coverage, groups, classes, abstentions."""

import json
import math

import numpy as np
import pytest
from scipy.stats import beta, kstest

from dgccl.stats import clopper_pearson_interval, wilson_interval
from dgccl.stats.conformal import ConformalSets, abstentions, fit_conformal, measured_coverage

from .calibration_reference import CASES, MODELS, Y, close, code_of

RNG = np.random.default_rng(11)
CLASSES = RNG.integers(0, 3, size=400)
MATRIX = RNG.dirichlet(np.ones(3), size=400)
MATRIX[np.arange(400), CLASSES] += 1.0
MATRIX /= MATRIX.sum(axis=1, keepdims=True)
GROUP = np.array(["ct", "ct+pet", "pet"])[RNG.integers(0, 3, size=400)]


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("model", MODELS)
def test_threshold_against_r(model: str, alpha: float) -> None:
    fitted = fit_conformal(Y, CASES[model], alpha=alpha)
    for threshold in fitted.thresholds[0]:
        assert threshold == close(f"conformal_{alpha:.2f}.{model}")
    p = CASES[model]
    limit = fitted.thresholds[0][0]
    expected = np.column_stack([1 - (1 - p) <= limit, 1 - p <= limit])
    np.testing.assert_array_equal(fitted.predict_sets(p), expected)


def _scores(n: int, runs: int, alpha: float) -> np.ndarray:
    """Coverage given the calibration: scores of the truth are uniform on [0.2, 0.7], so it is known exactly."""
    rng = np.random.default_rng(20)
    found = []
    for _ in range(runs):
        own, y = 0.3 + 0.5 * rng.random(n), rng.integers(0, 2, n)
        fitted = fit_conformal(y, np.where(y == 1, own, 1 - own), alpha=alpha)
        found.append((fitted.thresholds[0][0] - 0.2) / 0.5)
    return np.array(found)


@pytest.mark.parametrize(("n", "alpha"), [(19, 0.05), (50, 0.1), (200, 0.2)])
def test_coverage_has_its_beta_distribution(n: int, alpha: float) -> None:
    found = _scores(n, 1500, alpha)
    left_out = math.floor((n + 1) * alpha + 1e-9)
    assert kstest(found, beta(n + 1 - left_out, left_out).cdf).pvalue > 1e-3
    for rank in (n - left_out, n + 2 - left_out):  # one rank less or more would be seen
        if n < 100 and rank <= n:
            assert kstest(found, beta(rank, n + 1 - rank).cdf).pvalue < 1e-6
    assert found.mean() > 1 - alpha - 3 * found.std() / np.sqrt(1500)


@pytest.mark.parametrize("by_class", [False, True])
def test_marginal_coverage_on_new_cases(by_class: bool) -> None:
    rng = np.random.default_rng(21)
    truth = rng.dirichlet(np.array([2.0, 1.0, 0.4]), size=40_000)
    y = np.array([rng.choice(3, p=row) for row in truth[:8000]])
    wrong = truth[:8000] ** 2 / np.sum(
        truth[:8000] ** 2, axis=1, keepdims=True
    )  # sure of itself, as networks are
    fitted = fit_conformal(y[:4000], wrong[:4000], alpha=0.1, by_class=by_class)
    found = measured_coverage(y[4000:], fitted.predict_sets(wrong[4000:]))
    assert found.coverage.estimate == pytest.approx(0.9, abs=0.02)
    rare = found.by_class[2]
    assert rare is not None
    if by_class:
        assert rare.estimate == pytest.approx(0.9, abs=0.05)
    else:
        assert rare.ci_high < 0.85  # what is promised for all is not kept for the rare class


def test_ranks_that_are_whole_numbers_stay_so() -> None:
    """(n + 1) * (1 - alpha) is whole for all of these, and comes out above it in floating point for some."""
    for n, alpha, rank in ((9, 0.1, 9), (19, 0.05, 19), (99, 0.07, 93), (199, 0.015, 197), (24, 0.44, 14)):
        own = (np.arange(n) + 1) / (n + 2)
        fitted = fit_conformal(np.ones(n, int), 1 - own, alpha=alpha)
        assert fitted.thresholds[0][1] == pytest.approx(own[rank - 1], abs=1e-15)


def test_too_few_cases_take_every_class() -> None:
    few = fit_conformal(Y[:8], CASES["sure"][:8], alpha=0.1)
    assert few.thresholds == ((None, None),)
    sets = few.predict_sets(CASES["sure"])
    assert sets.all()
    assert abstentions(sets).all()
    found = measured_coverage(Y, sets)
    assert (found.coverage.estimate, found.abstained.estimate, found.mean_size) == (1.0, 1.0, 2.0)
    assert found.decided_right is None
    absent = fit_conformal(np.zeros(50, int), np.linspace(0.01, 0.4, 50), alpha=0.1, by_class=True)
    assert absent.thresholds[0][0] is not None
    assert absent.thresholds[0][1] is None
    assert absent.n == ((50, 0),)


def test_each_group_is_calibrated_on_its_own_cases() -> None:
    fitted = fit_conformal(CLASSES, MATRIX, alpha=0.2, group=GROUP)
    assert fitted.groups == ("ct", "ct+pet", "pet")
    sets = fitted.predict_sets(MATRIX, GROUP)
    for place, name in enumerate(fitted.groups):
        own = name == GROUP
        alone = fit_conformal(CLASSES[own], MATRIX[own], alpha=0.2)
        assert alone.thresholds[0] == fitted.thresholds[place]
        np.testing.assert_array_equal(alone.predict_sets(MATRIX[own]), sets[own])
        assert fitted.n[place] == (own.sum(),) * 3
    order = np.random.default_rng(3).permutation(400)
    assert fit_conformal(CLASSES[order], MATRIX[order], alpha=0.2, group=GROUP[order]) == fitted


def test_unknown_groups_are_an_error() -> None:
    fitted = fit_conformal(CLASSES, MATRIX, alpha=0.2, group=GROUP)
    assert code_of(lambda: fitted.predict_sets(MATRIX[:1], np.array(["mr"]))) == "unknown_group"
    assert code_of(lambda: fitted.predict_sets(MATRIX)) == "unknown_group"
    assert code_of(lambda: fitted.predict_sets(MATRIX, GROUP[1:])) == "lengths_differ"
    gone = np.array([None, *GROUP[1:]], dtype=object)
    assert code_of(lambda: fitted.predict_sets(MATRIX, gone)) == "group_missing"
    assert code_of(lambda: fit_conformal(CLASSES, MATRIX, alpha=0.2, group=gone)) == "group_missing"
    plain = fit_conformal(CLASSES, MATRIX, alpha=0.2)
    assert code_of(lambda: plain.predict_sets(MATRIX, GROUP)) == "unknown_group"


def test_measured_coverage_counts() -> None:
    y = np.array([0, 0, 1, 1, 2])
    sets = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 1], [0, 0, 0], [0, 0, 1]], dtype=bool)
    group = np.array(["a", "a", "a", "b", "b"])
    found = measured_coverage(y, sets, group=group)
    assert found.coverage == wilson_interval(3, 5)
    assert found.by_group == {"a": wilson_interval(2, 3), "b": wilson_interval(1, 2)}
    assert found.by_class == (wilson_interval(1, 2), wilson_interval(1, 2), wilson_interval(1, 1))
    assert found.abstained == wilson_interval(2, 5)
    assert found.decided_right == wilson_interval(2, 3)
    assert found.mean_size == 1.0
    exact = measured_coverage(y, sets, method="clopper_pearson", confidence=0.9)
    assert exact.coverage == clopper_pearson_interval(3, 5, confidence=0.9)
    assert measured_coverage(y[:4], sets[:4]).by_class[2] is None


def test_frozen_values_survive_json() -> None:
    for fitted in (
        fit_conformal(CLASSES, MATRIX, alpha=0.1, group=GROUP, by_class=True),
        fit_conformal(CLASSES[:8], MATRIX[:8], alpha=0.1),
    ):
        again = ConformalSets.from_dict(json.loads(json.dumps(fitted.to_dict(), allow_nan=False)))
        assert again == fitted
    assert code_of(lambda: ConformalSets.from_dict({"alpha": 0.1})) == "conformal_unknown"
    assert (
        code_of(lambda: ConformalSets.from_dict({**fitted.to_dict(), "thresholds": 1})) == "conformal_unknown"
    )


def test_bad_input() -> None:
    p = CASES["sure"]
    for alpha in (0.0, 1.0, float("nan")):
        assert code_of(lambda alpha=alpha: fit_conformal(Y, p, alpha=alpha)) == "alpha_out_of_range"
    assert code_of(lambda: fit_conformal(Y, p + 1, alpha=0.1)) == "probability_out_of_range"
    assert code_of(lambda: fit_conformal(Y + 1, p, alpha=0.1)) == "labels_not_classes"
    assert code_of(lambda: fit_conformal(Y[1:], p, alpha=0.1)) == "lengths_differ"
    assert code_of(lambda: fit_conformal(CLASSES, MATRIX * 0.5, alpha=0.1)) == "probabilities_not_normalized"
    fitted = fit_conformal(Y, p, alpha=0.1)
    assert code_of(lambda: fitted.predict_sets(MATRIX)) == "classes_differ"
    sets = fitted.predict_sets(p)
    assert code_of(lambda: measured_coverage(Y, sets.astype(int))) == "sets_invalid"
    assert code_of(lambda: measured_coverage(Y, sets[:, 0])) == "sets_invalid"
    assert code_of(lambda: measured_coverage(Y[1:], sets)) == "lengths_differ"
