"""The precision-recall curve, its area and its interval against scikit-learn, scipy and definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import norm
from sklearn import metrics

from dgccl.errors import StatsError
from dgccl.stats.precision_recall import (
    AuprcEstimate,
    auprc,
    auprc_interval,
    auprc_macro,
    precision_recall_curve,
)
from dgccl.stats.proportion import wilson_interval


def sample(seed: int, n: int = 80, *, levels: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = (np.arange(n) % 5 < 2).astype(int)
    score = rng.normal(size=n) + 0.8 * y
    return y, score if levels is None else np.round(score * levels) / levels


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=2, max_size=40))
def test_area_is_sklearns(cases: list[tuple[bool, int]]) -> None:
    y, score = np.array([int(c[0]) for c in cases]), np.array([float(c[1]) for c in cases])
    if y.min() == y.max():
        with pytest.raises(StatsError) as caught:
            auprc(y, score)
        assert caught.value.code == "one_class"
        return
    assert auprc(y, score) == pytest.approx(metrics.average_precision_score(y, score), abs=1e-12)
    by_hand = np.mean([y[score >= score[i]].mean() for i in np.flatnonzero(y)])
    assert auprc(y, score) == pytest.approx(by_hand, abs=1e-12)


@pytest.mark.parametrize("levels", [None, 4, 1])
@pytest.mark.parametrize("corners", [False, True])
def test_curve_is_sklearns(levels: int | None, corners: bool) -> None:
    y, score = sample(3, levels=levels)
    ours = precision_recall_curve(y, score, corners_only=corners)
    precision, recall, thresholds = metrics.precision_recall_curve(y, score, drop_intermediate=corners)
    # Theirs ends at recall 0 with a precision of 1 by convention; ours leaves that point out.
    np.testing.assert_allclose(ours.precision, precision[-2::-1])
    np.testing.assert_allclose(ours.recall, recall[-2::-1])
    np.testing.assert_array_equal(ours.thresholds, thresholds[::-1])
    assert ours.baseline == 0.4
    steps = np.diff(ours.recall, prepend=0.0) @ ours.precision
    assert steps == pytest.approx(auprc(y, score), abs=1e-12)


def test_curve_of_few_points() -> None:
    one = precision_recall_curve(np.array([0, 1]), np.array([2.0, 2.0]), corners_only=True)
    assert (one.recall.tolist(), one.precision.tolist(), one.thresholds.tolist()) == ([1.0], [0.5], [2.0])
    two = precision_recall_curve(np.array([0, 1, 0]), np.array([np.inf, 2.0, -np.inf]), corners_only=True)
    assert two.recall.tolist() == [0.0, 1.0, 1.0]
    assert two.precision.tolist() == [0.0, 0.5, pytest.approx(1 / 3)]


@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_interval_is_boyds(confidence: float) -> None:
    y, score = sample(4)
    found = auprc_interval(y, score, confidence=confidence)
    # As scipy has a normal of the logit with that standard error
    error = 1 / np.sqrt(y.sum() * found.estimate * (1 - found.estimate))
    theirs = expit(norm.interval(confidence, logit(found.estimate), error))
    assert (found.ci_low, found.ci_high) == pytest.approx(tuple(theirs), abs=1e-12)
    assert found.estimate == auprc(y, score)
    assert (found.method, found.n, found.confidence, found.baseline) == ("logit", 80, confidence, 0.4)


@pytest.mark.parametrize("positives", [1, 7, 3000])
def test_perfect_score_still_has_an_interval(positives: int) -> None:
    y = np.repeat([1, 0], [positives, 11])
    score = -np.arange(len(y)) / 7.0
    found = auprc_interval(y, score)
    low = wilson_interval(positives, positives).ci_low
    baseline = positives / len(y)
    assert found == AuprcEstimate(1.0, low, 1.0, "wilson", len(y), 0.95, baseline=baseline)
    assert low < 1.0


def test_score_without_skill_has_the_baseline() -> None:
    y = np.array([0, 1, 1, 0, 0])
    found = auprc_interval(y, np.zeros(5))
    assert found.estimate == found.baseline == 0.4
    assert 0.0 < found.ci_low < 0.4 < found.ci_high < 1.0


def test_what_does_not_matter() -> None:
    y, score = sample(5, levels=3)
    expected = auprc_interval(y, score)
    order = np.random.default_rng(0).permutation(len(y))
    assert auprc_interval(y[order], score[order]) == expected
    assert auprc_interval(y, np.exp(score)) == expected
    assert auprc(np.tile(y, 3), np.tile(score, 3)) == pytest.approx(expected.estimate, abs=1e-12)


def test_area_of_many_cases() -> None:
    y, score = sample(6, n=100_000, levels=1000)
    assert auprc(y, score) == pytest.approx(metrics.average_precision_score(y, score), abs=1e-12)


@pytest.mark.parametrize("levels", [1, 50])
def test_macro_is_sklearns(levels: int) -> None:
    rng = np.random.default_rng(8)
    y = rng.choice(4, p=[0.5, 0.3, 0.15, 0.05], size=120)
    score = np.round(levels * (rng.normal(size=(120, 4)) + np.eye(4)[y])) / levels
    theirs = metrics.average_precision_score(np.eye(4)[y], score, average="macro")
    assert auprc_macro(y, score) == pytest.approx(theirs, abs=1e-12)


def test_macro_needs_every_class() -> None:
    score = np.random.default_rng(0).random((5, 3))
    for y, code in (
        ([0, 1, 1, 0, 0], "class_absent"),
        ([0, 1, 2, 3, 0], "labels_not_classes"),
        ([0, 1, 2, 0], "lengths_differ"),
    ):
        with pytest.raises(StatsError) as caught:
            auprc_macro(np.array(y), score)
        assert caught.value.code == code


BAD = {
    "one_class": (np.zeros(6, int), np.arange(6.0)),
    "no_cases": (np.array([], int), np.array([])),
    "labels_not_binary": (np.array([0, 1, 2]), np.arange(3.0)),
    "scores_nan": (np.array([0, 1, 1]), np.array([0.1, np.nan, 0.2])),
    "lengths_differ": (np.array([0, 1, 1]), np.array([0.1, 0.2])),
    "not_one_dimensional": (np.array([[0], [1]]), np.array([0.1, 0.2])),
    "scores_not_numbers": (np.array([0, 1]), np.array(["a", "b"])),
}


@pytest.mark.parametrize("code", BAD)
@pytest.mark.parametrize("function", [precision_recall_curve, auprc, auprc_interval])
def test_bad_input_is_an_error(function: object, code: str) -> None:
    with pytest.raises(StatsError) as caught:
        function(*BAD[code])  # type: ignore[operator]
    assert caught.value.code == code


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0, float("nan")])
def test_confidence_out_of_range(confidence: float) -> None:
    with pytest.raises(StatsError) as caught:
        auprc_interval(*sample(1), confidence=confidence)
    assert caught.value.code == "confidence_out_of_range"
