"""Proportions, thresholds, Holm and Kolmogorov-Smirnov against statsmodels, scipy and search by hand."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from dgccl import stats
from dgccl.errors import StatsError

statsmodels_proportion = pytest.importorskip(
    "statsmodels.stats.proportion", reason="statsmodels is not installed"
)
statsmodels_multitest = pytest.importorskip(
    "statsmodels.stats.multitest", reason="statsmodels is not installed"
)


@settings(deadline=None, max_examples=80)
@given(st.integers(1, 400), st.data(), st.sampled_from([0.8, 0.95, 0.99]))
def test_intervals_are_statsmodels(trials: int, data: st.DataObject, confidence: float) -> None:
    successes = data.draw(st.integers(0, trials))
    for ours, theirs in ((stats.wilson_interval, "wilson"), (stats.clopper_pearson_interval, "beta")):
        found = ours(successes, trials, confidence=confidence)
        low, high = statsmodels_proportion.proportion_confint(
            successes, trials, alpha=1 - confidence, method=theirs
        )
        assert (found.ci_low, found.ci_high) == pytest.approx((low, high), abs=1e-10)
        assert found.ci_low <= found.estimate <= found.ci_high
        assert (found.estimate, found.n, found.confidence) == (successes / trials, trials, confidence)


@pytest.mark.parametrize(
    ("counts", "code"), [((0, 0), "no_trials"), ((3, 2), "counts_invalid"), ((-1, 2), "counts_invalid")]
)
@pytest.mark.parametrize("interval", [stats.wilson_interval, stats.clopper_pearson_interval])
def test_impossible_counts(
    interval: Callable[[int, int], stats.Estimate], counts: tuple[int, int], code: str
) -> None:
    with pytest.raises(StatsError) as caught:
        interval(*counts)
    assert caught.value.code == code


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_is_statsmodels(p: list[float]) -> None:
    values = np.array(p, dtype=np.float64)
    adjusted = stats.holm(values)
    if len(p):
        np.testing.assert_allclose(
            adjusted, statsmodels_multitest.multipletests(values, method="holm")[1], atol=1e-12
        )
    else:
        assert adjusted.shape == (0,)


def test_holm_refuses_what_is_no_p() -> None:
    with pytest.raises(StatsError) as caught:
        stats.holm(np.array([0.2, 1.2]))
    assert caught.value.code == "p_out_of_range"
    with pytest.raises(StatsError) as caught:
        stats.holm(np.array([0.2, np.nan]))
    assert caught.value.code == "scores_nan"


@settings(deadline=None, max_examples=80)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=30))
def test_youden_is_the_best_of_all_and_the_most_sensitive(cases: list[tuple[bool, int]]) -> None:
    y, score = np.array([int(c[0]) for c in cases]), np.array([c[1] / 7 for c in cases])
    if y.min() == y.max():
        return
    found = stats.youden_threshold(y, score)

    def index(threshold: float) -> tuple[float, float]:
        point = stats.sensitivity_specificity_at(y, score, threshold=threshold)
        return round(point.sensitivity.estimate + point.specificity.estimate, 12), point.sensitivity.estimate

    assert index(found) == max(index(t) for t in np.r_[np.unique(score), 2.0])


def test_youden_examples() -> None:
    assert stats.youden_threshold(np.array([0, 0, 1, 1]), np.array([1.0, 2.0, 4.0, 9.0])) == 3.0
    assert stats.youden_threshold(np.array([0, 1, 0, 1]), np.full(4, 0.4)) == 0.4
    # J is 1/2 at 1.5 and at 3.5: the lower is taken
    assert stats.youden_threshold(np.array([0, 1, 0, 1]), np.array([1.0, 2.0, 3.0, 4.0])) == 1.5
    neighbors = np.array([0.5, np.nextafter(0.5, 1.0)])
    assert stats.youden_threshold(np.array([0, 1]), neighbors) == neighbors[1]
    with pytest.raises(StatsError) as caught:
        stats.youden_threshold(np.array([0, 1]), np.array([0.0, np.inf]))
    assert caught.value.code == "scores_infinite"


def test_score_at_the_threshold_is_positive() -> None:
    y, score = np.array([0, 1, 1, 0, 1]), np.array([0.5, 0.5, 0.4, 0.2, 0.9])
    point = stats.sensitivity_specificity_at(y, score, threshold=0.5, method="clopper_pearson")
    assert (point.tp, point.fp, point.fn, point.tn) == (2, 1, 1, 1)
    assert point.sensitivity == stats.clopper_pearson_interval(2, 3)
    assert point.specificity == stats.clopper_pearson_interval(1, 2)


def test_each_case_may_have_its_own_threshold() -> None:
    y, score = np.array([0, 1, 1, 0]), np.array([0.5, 0.5, 0.4, 0.2])
    point = stats.sensitivity_specificity_at(y, score, threshold=np.array([0.6, 0.6, 0.3, 0.1]))
    assert (point.tp, point.fp, point.fn, point.tn) == (1, 1, 1, 1)
    with pytest.raises(StatsError) as caught:
        stats.sensitivity_specificity_at(y, score, threshold=np.array([0.6, 0.6]))
    assert caught.value.code == "lengths_differ"


@pytest.mark.parametrize("sizes", [(3, 900), (1500, 1200)])
def test_kolmogorov_smirnov_is_scipys(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=sizes[0]), rng.normal(0.1, size=sizes[1])
    found, theirs = stats.kolmogorov_smirnov(a, b), ks_2samp(a, b)
    assert found.statistic == pytest.approx(theirs.statistic)
    assert found.p == pytest.approx(theirs.pvalue, rel=0.05)


def test_kolmogorov_smirnov_refuses_an_empty_sample() -> None:
    with pytest.raises(StatsError) as caught:
        stats.kolmogorov_smirnov(np.array([]), np.array([1.0]))
    assert caught.value.code == "no_cases"
