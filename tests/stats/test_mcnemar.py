"""McNemar's test and Tango's interval against R, statsmodels, scipy, published values, and their own definitions."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest
from statsmodels.stats.contingency_tables import mcnemar

from dgccl.errors import StatsError
from dgccl.stats.mcnemar import mcnemar_calls, mcnemar_exact, paired_proportion_difference

R = dict(
    line.split(",")
    for line in (Path(__file__).parent / "reference/comparisons.csv").read_text("utf-8").split()[1:]
)
COUNTS = [(32, 28, 650), (1, 7, 21), (12, 2, 50), (5, 5, 40), (0, 6, 30), (40, 20, 160)]
CLOSE = 1e-8


@pytest.mark.parametrize(("b", "c", "n"), COUNTS)
def test_tests_and_interval_as_r(b: int, c: int, n: int) -> None:
    found, difference = mcnemar_exact(b, c), paired_proportion_difference(b, c, n)
    assert found.p == pytest.approx(float(R[f"mcnemar_p.{b}.{c}.{n}"]), abs=CLOSE)
    assert found.mid_p == pytest.approx(float(R[f"mcnemar_mid_p.{b}.{c}.{n}"]), abs=CLOSE)
    assert difference.ci_low == pytest.approx(float(R[f"tango_low.{b}.{c}.{n}"]), abs=CLOSE)
    assert difference.ci_high == pytest.approx(float(R[f"tango_high.{b}.{c}.{n}"]), abs=CLOSE)
    assert (difference.estimate, difference.method, difference.n) == ((b - c) / n, "tango_score", n)


def test_published_table() -> None:
    table = np.array([[583, 32], [28, 7]])
    found = mcnemar_exact(32, 28)
    assert found.p == pytest.approx(0.699, abs=5e-4)
    assert found.p == pytest.approx(mcnemar(table, exact=True).pvalue, rel=1e-12)


def test_published_interval_and_mid_p() -> None:
    """Airway hyper-responsiveness in 21 children, Fagerland, Lydersen and Laake (2013, 2014)."""
    found = paired_proportion_difference(1, 7, 21)
    assert (found.ci_low, found.ci_high) == pytest.approx((-0.517, -0.026), abs=5e-4)
    test = mcnemar_exact(1, 7)
    assert (test.p, test.mid_p) == pytest.approx((0.0703, 0.0391), abs=5e-5)


@settings(deadline=None, max_examples=80)
@given(st.integers(0, 60), st.integers(0, 60))
def test_exact_p_is_the_binomial_test(b: int, c: int) -> None:
    found, turned = mcnemar_exact(b, c), mcnemar_exact(c, b)
    assert (found.p, found.mid_p) == (turned.p, turned.mid_p)
    if b + c == 0:
        assert (found.p, found.mid_p) == (1.0, 1.0)
        return
    assert found.p == pytest.approx(binomtest(b, b + c).pvalue, abs=1e-12)
    assert 0.0 < found.mid_p < found.p <= 1.0


@pytest.mark.parametrize("n", [6, 25, 80])
def test_level_under_equality_by_enumeration(n: int) -> None:
    """All outcomes of n disagreements, weighed by their chance: the exact test keeps 5 %, the mid-p comes nearer."""
    chances = binom.pmf(np.arange(n + 1), n, 0.5)
    exact = sum(chance for b, chance in enumerate(chances) if mcnemar_exact(b, n - b).p <= 0.05)
    mid = sum(chance for b, chance in enumerate(chances) if mcnemar_exact(b, n - b).mid_p <= 0.05)
    assert exact <= 0.05
    assert abs(mid - 0.05) <= abs(exact - 0.05)


@settings(deadline=None, max_examples=80)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 60), st.sampled_from([0.9, 0.95, 0.99]))
def test_interval_holds_the_difference_and_mirrors(b: int, c: int, agree: int, confidence: float) -> None:
    n = b + c + agree
    if n == 0:
        return
    found = paired_proportion_difference(b, c, n, confidence=confidence)
    turned = paired_proportion_difference(c, b, n, confidence=confidence)
    assert -1.0 <= found.ci_low <= found.estimate <= found.ci_high <= 1.0
    assert found.ci_high - found.ci_low > 0.01
    assert (turned.ci_low, turned.ci_high) == (-found.ci_high, -found.ci_low)


@pytest.mark.parametrize("n", [3, 20, 400])
def test_interval_at_the_ends_has_its_closed_form(n: int) -> None:
    z2 = 1.959963984540054**2
    none = paired_proportion_difference(0, 0, n)
    assert (none.ci_low, none.ci_high) == pytest.approx((-z2 / (n + z2), z2 / (n + z2)), abs=1e-12)
    whole = paired_proportion_difference(n, 0, n)
    assert (whole.ci_low, whole.ci_high) == pytest.approx(((n - z2) / (n + z2), 1.0), abs=1e-12)
    almost = paired_proportion_difference(n - 1, 0, n)
    assert almost.ci_low < whole.ci_low
    assert almost.ci_high < 1.0


def test_interval_and_score_test_agree() -> None:
    """At a difference of 0 the score statistic is McNemar's own (b - c) / sqrt(b + c)."""
    for b, c in ((15, 5), (14, 6), (30, 15), (31, 19)):
        significant = abs(b - c) / np.sqrt(b + c) > 1.959963984540054
        assert (paired_proportion_difference(b, c, 120).ci_low > 0.0) == significant


def test_calls_are_counted_by_who_is_right() -> None:
    rng = np.random.default_rng(4)
    y, a, b = (rng.integers(0, 2, 200) for _ in range(3))
    found = mcnemar_calls(y, a, b)
    table = [
        [int(((a == y) == p).sum() and ((a == y) == p)[(b == y) == q].sum()) for q in (True, False)]
        for p in (True, False)
    ]
    assert [[found.both, found.only_a], [found.only_b, found.neither]] == table
    assert found.test.p == pytest.approx(mcnemar(np.array(table), exact=True).pvalue, rel=1e-12)
    assert found.difference.estimate == pytest.approx((a == y).mean() - (b == y).mean(), abs=1e-15)
    order = rng.permutation(200)
    assert mcnemar_calls(y[order], a[order], b[order]) == found
    assert mcnemar_calls(1 - y, 1 - a, 1 - b) == found
    assert mcnemar_calls(y.astype(bool), a.astype(bool), b.astype(float)) == found


def test_one_class_compares_sensitivities() -> None:
    y, a, b = np.ones(10, int), np.array([1] * 9 + [0]), np.array([0] * 7 + [1] * 3)
    found = mcnemar_calls(y, a, b)
    assert (found.both, found.only_a, found.only_b, found.neither) == (2, 7, 1, 0)
    assert found.difference.estimate == pytest.approx(0.6)


Y = np.array([0, 1, 1, 0])
BAD = {
    "no_cases": lambda: mcnemar_calls(Y[:0], Y[:0], Y[:0]),
    "labels_not_binary": lambda: mcnemar_calls(Y + 1, Y, Y),
    "lengths_differ": lambda: mcnemar_calls(Y, Y[:-1], Y),
    "scores_nan": lambda: mcnemar_calls(Y, Y, np.array([0, 1, np.nan, 0])),
    "calls_not_binary": lambda: mcnemar_calls(Y, Y, np.array([0.2, 0.8, 1.0, 0.0])),
    "scores_not_numbers": lambda: mcnemar_calls(Y, Y, Y.astype(str)),
    "not_one_dimensional": lambda: mcnemar_calls(Y[:, None], Y, Y),
    "no_trials": lambda: paired_proportion_difference(0, 0, 0),
    "counts_invalid": lambda: paired_proportion_difference(3, 2, 4),
    "confidence_out_of_range": lambda: paired_proportion_difference(1, 2, 4, confidence=1.0),
}


@pytest.mark.parametrize("code", BAD)
def test_what_is_not_defined_is_an_error(code: str) -> None:
    with pytest.raises(StatsError) as caught:
        BAD[code]()
    assert caught.value.code == code


def test_negative_counts() -> None:
    with pytest.raises(StatsError) as caught:
        mcnemar_exact(-1, 3)
    assert caught.value.code == "counts_invalid"
