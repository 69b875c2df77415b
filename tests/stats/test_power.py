"""Plans against power.roc.test of pROC, published values, exact special cases, scipy and simulation."""

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from dgccl import stats
from dgccl.errors import StatsError
from dgccl.stats.area_variance import AreaVariance, area_variance, difference_variance
from dgccl.stats.power import (
    auroc_power,
    auroc_precision_sample_size,
    auroc_sample_size,
    paired_auroc_power,
    paired_auroc_sample_size,
)

R = {
    name: float(value)
    for name, value in (
        line.split(",")
        for line in (Path(__file__).parent / "reference/comparisons.csv").read_text("utf-8").split()[1:]
    )
}
VARIANCES: tuple[AreaVariance, ...] = get_args(AreaVariance)
ONE = sorted(name.removeprefix("cases.") for name in R if name.startswith("cases."))
TWO = sorted(name.removeprefix("paired_cases.") for name in R if name.startswith("paired_cases."))


@pytest.mark.parametrize("name", ONE)
def test_one_area_as_proc(name: str) -> None:
    parts = name.split(".")
    area, ratio, one_sided = float(f"0.{parts[1]}"), float(f"{parts[2]}.{parts[3]}"), parts[4] == "one"
    plan = auroc_sample_size(area, ratio=ratio, power=0.9, one_sided=one_sided)
    assert plan.positives_unrounded == pytest.approx(R[f"cases.{name}"], rel=1e-6)
    assert plan.positives == max(2, np.ceil(R[f"cases.{name}"]))
    assert plan.negatives == max(2, np.ceil(ratio * R[f"cases.{name}"]))
    power = auroc_power(area, positives=40, negatives=int(40 * ratio), one_sided=one_sided)
    assert power == pytest.approx(R[f"power.{name}"], abs=1e-6)


@pytest.mark.parametrize("name", TWO)
def test_two_areas_as_proc(name: str) -> None:
    a, b, ratio, positive, negative = (float(part) for part in name.split("_"))
    plan = paired_auroc_sample_size(
        a, b, correlation_positive=positive, correlation_negative=negative, ratio=ratio
    )
    assert plan.positives_unrounded == pytest.approx(R[f"paired_cases.{name}"], rel=1e-6)
    power = paired_auroc_power(
        *(a, b),
        correlation_positive=positive,
        correlation_negative=negative,
        positives=100,
        negatives=int(100 * ratio),
        one_sided=True,
    )
    assert power == pytest.approx(R[f"paired_power.{name}"], abs=1e-6)


def test_hanley_and_mcneils_variance_is_that_of_exponential_scores() -> None:
    rng, y, area = np.random.default_rng(2), np.repeat([1, 0], [12, 30]), 0.8
    scale = np.where(y == 1, area / (1 - area), 1.0)
    areas = [stats.auroc(y, rng.exponential(scale)) for _ in range(3000)]
    assert np.mean(areas) == pytest.approx(area, abs=0.006)
    # The variance of 3,000 areas is known to about 3 %.
    assert np.var(areas) == pytest.approx(area_variance(area, 12, 30, variance="hanley_mcneil"), rel=0.1)


@pytest.mark.parametrize(("positives", "negatives"), [(5, 9), (40, 40), (100, 17)])
@pytest.mark.parametrize("variance", ["empirical", "hanley_mcneil"])
def test_variance_without_discrimination_is_the_rank_tests(
    positives: int, negatives: int, variance: AreaVariance
) -> None:
    exact = (positives + negatives + 1) / (12 * positives * negatives)
    assert area_variance(0.5, positives, negatives, variance=variance) == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize(("a", "b"), [(0.8, 0.8), (0.9, 0.6), (0.55, 0.97)])
def test_empirical_covariance_by_scipys_normal_probabilities(a: float, b: float) -> None:
    m, n, positive, negative = 20, 30, 0.7, -0.2
    where = norm.ppf([a, b])

    def covariance(correlation: float) -> float:
        model = multivariate_normal(cov=[[1.0, correlation], [correlation, 1.0]])
        return float(model.cdf(where)) - a * b

    def own(area: float) -> float:
        half = float(multivariate_normal(cov=[[1, 0.5], [0.5, 1]]).cdf([norm.ppf(area)] * 2)) - area**2
        return (area * (1 - area) + (m - 1) * half + (n - 1) * half) / (m * n)

    shared = covariance((positive + negative) / 2)
    shared += (n - 1) * covariance(positive / 2) + (m - 1) * covariance(negative / 2)
    expected = own(a) + own(b) - 2 * shared / (m * n)
    found = difference_variance(
        *(a, b, m, n), correlation_positive=positive, correlation_negative=negative, variance="empirical"
    )
    assert found == pytest.approx((expected, expected), rel=1e-4)


def test_empirical_variance_is_what_delong_finds() -> None:
    rng, y = np.random.default_rng(5), np.repeat([1, 0], [60, 120])
    shift = np.sqrt(2) * norm.ppf([0.85, 0.75])
    mix = np.linalg.cholesky([[1.0, 0.6], [0.6, 1.0]])
    found = []
    for _ in range(400):
        scores = rng.normal(size=(180, 2)) @ mix.T + y[:, None] * shift
        found.append(stats.delong_paired(y, scores[:, 0], scores[:, 1]))
    foreseen, _ = difference_variance(
        *(0.85, 0.75, 60, 120), correlation_positive=0.6, correlation_negative=0.6, variance="empirical"
    )
    # DeLong's variance of 400 samples is known to about 1 %, the spread of the differences to 7 %.
    assert np.mean([(one.difference / one.z) ** 2 for one in found]) == pytest.approx(foreseen, rel=0.04)
    assert np.var([one.difference for one in found]) == pytest.approx(foreseen, rel=0.2)


@pytest.mark.parametrize(
    ("correlation", "area", "tabled"),
    [
        (0.3, 0.85, 0.25),
        (0.5, 0.7, 0.47),
        (0.5, 0.975, 0.32),
        (0.8, 0.9, 0.73),
        (0.1, 0.95, 0.06),
        (0.9, 0.8, 0.87),
    ],
)
def test_correlation_of_areas_is_hanley_and_mcneils(correlation: float, area: float, tabled: float) -> None:
    """Table 1 of Hanley and McNeil (1983)."""
    own = area_variance(area, 500, 500, variance="hanley_mcneil")
    spread, _ = difference_variance(
        *(area, area, 500, 500),
        correlation_positive=correlation,
        correlation_negative=correlation,
        variance="hanley_mcneil",
    )
    assert 1.0 - spread / (2.0 * own) == pytest.approx(tabled, abs=0.02)


@pytest.mark.parametrize("variance", VARIANCES)
def test_planned_cases_have_the_planned_power(variance: AreaVariance) -> None:
    for area, ratio, power in ((0.65, 1.0, 0.8), (0.8, 3.0, 0.9), (0.3, 0.5, 0.95)):
        plan = auroc_sample_size(area, ratio=ratio, power=power, variance=variance)
        reached = auroc_power(area, positives=plan.positives, negatives=plan.negatives, variance=variance)
        short = auroc_power(
            area, positives=plan.positives - 1, negatives=plan.negatives - 1, variance=variance
        )
        assert short < power <= reached < power + 0.05
        assert plan.method == variance
    of = {"correlation_positive": 0.6, "correlation_negative": 0.4}
    for a, b, margin in ((0.8, 0.9, None), (0.9, 0.85, None), (0.85, 0.85, 0.05), (0.84, 0.85, 0.1)):
        plan = paired_auroc_sample_size(a, b, **of, ratio=2.0, margin=margin, variance=variance)
        cases = {"positives": plan.positives, "negatives": plan.negatives}
        reached = paired_auroc_power(a, b, **of, **cases, margin=margin, variance=variance)
        fewer = {"positives": plan.positives - 1, "negatives": plan.negatives - 2}
        assert (
            paired_auroc_power(a, b, **of, **fewer, margin=margin, variance=variance) < 0.8 <= reached < 0.82
        )


@pytest.mark.parametrize("variance", VARIANCES)
def test_planned_cases_have_the_planned_precision(variance: AreaVariance) -> None:
    for area, half_width, ratio in ((0.7, 0.05, 1.0), (0.9, 0.03, 2.0)):
        plan = auroc_precision_sample_size(area, half_width=half_width, ratio=ratio, variance=variance)
        exact, enough, short = (
            1.959963984540054 * np.sqrt(area_variance(area, cases, ratio * cases, variance=variance))
            for cases in (plan.positives_unrounded, plan.positives, plan.positives - 1)
        )
        assert exact == pytest.approx(half_width, rel=1e-9)
        assert enough <= half_width < short


@pytest.mark.parametrize("variance", VARIANCES)
def test_what_should_need_more_cases_does(variance: AreaVariance) -> None:
    def cases(**changed: float) -> float:
        given = {"power": 0.8, "alpha": 0.05, "null": 0.5} | changed
        return auroc_sample_size(0.75, **given, variance=variance).positives_unrounded

    assert cases() < cases(power=0.9)
    assert cases() < cases(alpha=0.01)
    assert cases() < cases(null=0.6)
    assert cases() > cases(ratio=3.0)
    assert cases() > auroc_sample_size(0.75, one_sided=True, variance=variance).positives_unrounded

    def pairs(
        a: float = 0.8, b: float = 0.85, correlation: float = 0.5, margin: float | None = None
    ) -> float:
        of = {"correlation_positive": correlation, "correlation_negative": correlation}
        return paired_auroc_sample_size(a, b, **of, margin=margin, variance=variance).positives_unrounded

    assert pairs(correlation=0.8) < pairs() < pairs(correlation=0.0)
    assert pairs(a=0.8, b=0.9) < pairs()
    assert pairs(0.8, 0.8, margin=0.1) < pairs(0.8, 0.8, margin=0.05)
    assert pairs(0.8, 0.8, margin=0.05) < pairs(0.78, 0.8, margin=0.05)


def test_mirrored_areas_plan_alike() -> None:
    for variance in ("obuchowski", "empirical"):
        plan = auroc_sample_size(0.8, variance=variance).positives_unrounded
        assert auroc_sample_size(0.2, variance=variance).positives_unrounded == pytest.approx(plan, rel=1e-9)


PAIR = {"correlation_positive": 0.5, "correlation_negative": 0.5}
BAD: list[tuple[str, Callable[[], object]]] = [
    ("auroc_out_of_range", lambda: auroc_sample_size(1.0)),
    ("auroc_out_of_range", lambda: auroc_sample_size(0.8, null=0.0)),
    ("auroc_out_of_range", lambda: auroc_power(float("nan"), positives=10, negatives=10)),
    ("auroc_out_of_range", lambda: paired_auroc_sample_size(0.8, 1.0, **PAIR)),
    ("no_difference", lambda: auroc_sample_size(0.5)),
    ("no_difference", lambda: paired_auroc_sample_size(0.8, 0.8, **PAIR)),
    ("no_difference", lambda: paired_auroc_sample_size(0.75, 0.8, margin=0.05, **PAIR)),
    ("margin_not_positive", lambda: paired_auroc_sample_size(0.8, 0.8, margin=0.0, **PAIR)),
    ("ratio_out_of_range", lambda: auroc_sample_size(0.8, ratio=0.0)),
    ("ratio_out_of_range", lambda: auroc_precision_sample_size(0.8, half_width=0.1, ratio=float("inf"))),
    ("power_out_of_range", lambda: auroc_sample_size(0.8, power=1.0)),
    ("power_out_of_range", lambda: auroc_sample_size(0.8, power=0.02)),
    ("alpha_out_of_range", lambda: auroc_sample_size(0.8, alpha=5.0)),
    ("half_width_out_of_range", lambda: auroc_precision_sample_size(0.8, half_width=0.0)),
    ("confidence_out_of_range", lambda: auroc_precision_sample_size(0.8, half_width=0.1, confidence=95.0)),
    (
        "correlation_out_of_range",
        lambda: paired_auroc_sample_size(0.8, 0.7, correlation_positive=1.0, correlation_negative=0.5),
    ),
    ("too_few_cases", lambda: auroc_power(0.8, positives=1, negatives=10)),
    ("too_few_cases", lambda: paired_auroc_power(0.8, 0.7, positives=10, negatives=0, **PAIR)),
]


@pytest.mark.parametrize(("code", "call"), BAD)
def test_what_is_not_defined_is_an_error(code: str, call: Callable[[], object]) -> None:
    with pytest.raises(StatsError) as caught:
        call()
    assert caught.value.code == code


def test_a_formula_without_variance_is_an_error_and_the_exact_one_has_some() -> None:
    of = {"correlation_positive": 0.99, "correlation_negative": 0.99}
    with pytest.raises(StatsError) as caught:
        paired_auroc_sample_size(0.97, 0.75, **of)
    assert caught.value.code == "no_variance"
    assert paired_auroc_sample_size(0.97, 0.75, **of, variance="empirical").positives >= 2
