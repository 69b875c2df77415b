"""Non-inferiority and equivalence against one-sided t tests of R and statsmodels, and by the place of the interval."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm
from scipy.stats import t as student
from statsmodels.stats.weightstats import ttost_paired

from dgccl import stats
from dgccl.errors import StatsError
from dgccl.stats.estimate import Estimate
from dgccl.stats.folds import corrected_resampled_t, paired_t_over_folds
from dgccl.stats.mcnemar import paired_proportion_difference
from dgccl.stats.non_inferiority import Difference, equivalence, non_inferiority
from dgccl.stats.unpaired import delong_unpaired

R = dict(
    line.split(",")
    for line in (Path(__file__).parent / "reference/comparisons.csv").read_text("utf-8").split()[1:]
)
A, B = np.array([0.907, 0.919, 0.923, 0.915, 0.918]), np.array([0.879, 0.882, 0.891, 0.883, 0.890])
RNG = np.random.default_rng(8)
Y = np.arange(90) % 3 % 2
OLD = RNG.normal(size=90) + 1.5 * Y
NEW = 0.8 * OLD + 0.6 * RNG.normal(size=90)


@pytest.mark.parametrize("margin", [0.01, 0.03, 0.04])
def test_one_sided_p_values_as_r(margin: float) -> None:
    fold = paired_t_over_folds(B, A)
    assert non_inferiority(fold, margin).p == pytest.approx(
        float(R[f"non_inferiority_p.{margin:.2f}"]), abs=1e-8
    )
    assert equivalence(fold, margin).p == pytest.approx(float(R[f"tost_p.{margin:.2f}"]), abs=1e-8)


@pytest.mark.parametrize("margin", [0.02, 0.05])
def test_equivalence_as_statsmodels(margin: float) -> None:
    a, b = RNG.normal(size=30) * 0.1, RNG.normal(size=30) * 0.1
    p, _, _ = ttost_paired(a, b, -margin, margin)
    for confidence in (0.9, 0.95):
        found = equivalence(paired_t_over_folds(a, b, confidence=confidence), margin)
        assert found.p == pytest.approx(p, rel=1e-9)
        assert (found.verdict == "equivalent") == (p < found.alpha)


@pytest.mark.parametrize("margin", [0.02, 0.05, 0.1, 0.2])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_paired_areas_by_hand(margin: float, confidence: float) -> None:
    pair = stats.delong_paired(Y, NEW, OLD, confidence=confidence)
    found = non_inferiority(pair, margin)
    error = pair.difference / pair.z
    assert found.p == pytest.approx(norm.sf((pair.difference + margin) / error), rel=1e-9)
    assert found.alpha == pytest.approx((1 - confidence) / 2)
    assert (found.verdict in ("non_inferior", "superior")) == (found.p < found.alpha)
    assert (found.method, found.n) == ("paired_delong_non_inferiority", 90)
    assert (found.difference, found.ci_low, found.ci_high) == (pair.difference, pair.ci_low, pair.ci_high)


@pytest.mark.parametrize(
    ("low", "value", "high", "verdict"),
    [
        (0.01, 0.03, 0.05, "superior"),
        (-0.01, 0.01, 0.03, "non_inferior"),
        (-0.04, -0.03, -0.02, "non_inferior"),  # worse for sure, but not by the margin
        (-0.07, -0.03, 0.01, "inconclusive"),
        (-0.07, -0.05, -0.03, "inconclusive"),
        (-0.2, 0.0, 0.2, "inconclusive"),
        (-0.05, -0.02, 0.01, "inconclusive"),  # the margin itself is not yet better than the margin
        (-0.09, -0.08, -0.06, "inferior"),
    ],
)
def test_verdict_by_the_place_of_the_interval(low: float, value: float, high: float, verdict: str) -> None:
    found = non_inferiority(Estimate(value, low, high, "x", 100), 0.05)
    assert found.verdict == verdict
    # exactly at the margin rounding decides p, so it is held to the level itself there
    assert (found.p < 0.025 - 1e-12) == (verdict in ("superior", "non_inferior"))


@pytest.mark.parametrize(
    ("low", "value", "high", "verdict"),
    [
        (-0.02, 0.01, 0.04, "equivalent"),
        (0.01, 0.02, 0.03, "equivalent"),
        (-0.06, 0.0, 0.04, "inconclusive"),
        (0.04, 0.08, 0.12, "inconclusive"),
        (0.06, 0.08, 0.1, "different"),
        (-0.1, -0.08, -0.06, "different"),
    ],
)
def test_equivalence_by_the_place_of_the_interval(
    low: float, value: float, high: float, verdict: str
) -> None:
    found = equivalence(Estimate(value, low, high, "x", 100), 0.05)
    mirrored = equivalence(Estimate(-value, -high, -low, "x", 100), 0.05)
    assert (found.verdict, found.p) == (verdict, mirrored.p)
    assert (found.p < 0.025) == (verdict == "equivalent")


def test_every_kind_of_difference_is_taken() -> None:
    unpaired = delong_unpaired(Y, NEW, Y[:60], OLD[:60])
    kinds: dict[str, tuple[Difference, int]] = {
        "paired_delong": (stats.delong_paired(Y, NEW, OLD), 90),
        "unpaired_delong": (unpaired, 150),
        "corrected_resampled_t": (corrected_resampled_t(A, B, test_fraction=0.2), 5),
        "tango_score": (paired_proportion_difference(10, 12, 100), 100),
    }
    for name, (difference, n) in kinds.items():
        for margin in (0.02, 0.2):
            found = non_inferiority(difference, margin)
            assert (found.method, found.n) == (f"{name}_non_inferiority", n)
            assert (found.ci_low > -margin) == (found.p < found.alpha)


def test_t_distribution_of_independent_cohorts() -> None:
    found = delong_unpaired(Y[:40], NEW[:40], Y[40:], OLD[40:])
    error = found.difference / found.t
    expected = student.sf((found.difference + 0.1) / error, found.df)
    assert non_inferiority(found, 0.1).p == pytest.approx(expected, rel=1e-9)


def test_scores_that_rank_alike() -> None:
    found = non_inferiority(stats.delong_paired(Y, OLD, np.exp(OLD)), 0.01)
    assert (found.verdict, found.p) == ("non_inferior", 0.0)
    assert equivalence(stats.delong_paired(Y, OLD, np.exp(OLD)), 0.01).verdict == "equivalent"
    assert non_inferiority(Estimate(-1.0, -1.0, -0.9, "x", 5), 0.1).p == 1.0


@pytest.mark.parametrize("margin", [0.0, -0.05, float("nan"), float("inf")])
@pytest.mark.parametrize("test", [non_inferiority, equivalence])
def test_margin_must_be_positive(margin: float, test: object) -> None:
    with pytest.raises(StatsError) as caught:
        test(Estimate(0.0, -0.1, 0.1, "x", 10), margin)  # type: ignore[operator]
    assert caught.value.code == "margin_not_positive"


@pytest.mark.parametrize(
    ("estimate", "code"),
    [
        (Estimate(0.5, 0.6, 0.7, "x", 10), "interval_invalid"),
        (Estimate(float("nan"), 0.6, 0.7, "x", 10), "interval_invalid"),
        (Estimate(0.5, 0.4, float("inf"), "x", 10), "interval_invalid"),
        (Estimate(0.5, 0.4, 0.6, "x", 10, 95.0), "confidence_out_of_range"),
    ],
)
def test_an_interval_must_be_one(estimate: Estimate, code: str) -> None:
    with pytest.raises(StatsError) as caught:
        non_inferiority(estimate, 0.05)
    assert caught.value.code == code
