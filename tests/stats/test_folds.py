"""Tests over folds against R, scipy and statsmodels; the correction against its definition and its limits."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_rel
from statsmodels.stats.weightstats import DescrStatsW

from dgccl.errors import StatsError
from dgccl.stats.folds import corrected_resampled_t, paired_t_over_folds

R = dict(
    line.split(",")
    for line in (Path(__file__).parent / "reference/comparisons.csv").read_text("utf-8").split()[1:]
)
A, B = np.array([0.907, 0.919, 0.923, 0.915, 0.918]), np.array([0.879, 0.882, 0.891, 0.883, 0.890])


def test_published_folds_as_r_and_scipy() -> None:
    found = paired_t_over_folds(A, B)
    assert (round(found.t, 2), f"{found.p:.1e}") == (18.90, "4.6e-05")
    theirs = ttest_rel(A, B)
    assert (found.t, found.p, found.df) == pytest.approx(
        (theirs.statistic, theirs.pvalue, theirs.df), rel=1e-9
    )
    for name in ("t", "df", "p"):
        assert getattr(found, name) == pytest.approx(float(R[f"fold_{name}"]), rel=1e-8)
    assert found.ci_low == pytest.approx(float(R["fold_low"]), abs=1e-10)
    assert found.ci_high == pytest.approx(float(R["fold_high"]), abs=1e-10)
    assert (found.method, found.n) == ("paired_t_over_folds", 5)


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_interval_is_statsmodels(confidence: float) -> None:
    found = paired_t_over_folds(A, B, confidence=confidence)
    low, high = DescrStatsW(A - B).tconfint_mean(alpha=1.0 - confidence)
    assert (found.ci_low, found.ci_high) == pytest.approx((low, high), abs=1e-12)


@pytest.mark.parametrize("fraction", [0.2, 0.1])
def test_correction_as_r(fraction: float) -> None:
    found = corrected_resampled_t(A, B, test_fraction=fraction)
    ratio = f"{fraction / (1 - fraction):.3f}"
    assert found.t == pytest.approx(float(R[f"corrected_t.{ratio}"]), rel=1e-8)
    assert found.p == pytest.approx(float(R[f"corrected_p.{ratio}"]), rel=1e-8)
    assert found.ci_low == pytest.approx(float(R[f"corrected_low.{ratio}"]), rel=1e-8)
    assert found.method == "corrected_resampled_t"


def test_correction_widens_and_vanishes_with_the_test_share() -> None:
    plain = paired_t_over_folds(A, B)
    tiny = corrected_resampled_t(A, B, test_fraction=1e-12)
    assert (tiny.t, tiny.ci_low) == pytest.approx((plain.t, plain.ci_low), rel=1e-9)
    widths = [
        found.ci_high - found.ci_low
        for found in (corrected_resampled_t(A, B, test_fraction=share) for share in (0.1, 0.2, 0.5))
    ]
    assert plain.ci_high - plain.ci_low < widths[0] < widths[1] < widths[2]


def test_order_and_sides_do_not_matter() -> None:
    order = np.array([3, 0, 4, 2, 1])
    for found, other, turned in (
        (paired_t_over_folds(A, B), paired_t_over_folds(A[order], B[order]), paired_t_over_folds(B, A)),
        (
            corrected_resampled_t(A, B, test_fraction=0.2),
            corrected_resampled_t(A[order], B[order], test_fraction=0.2),
            corrected_resampled_t(B, A, test_fraction=0.2),
        ),
    ):
        assert (other.t, other.p, other.ci_low) == pytest.approx((found.t, found.p, found.ci_low), rel=1e-9)
        assert (turned.t, turned.p, turned.ci_high) == pytest.approx(
            (-found.t, found.p, -found.ci_low), rel=1e-9
        )


BAD = {
    "no_variance": lambda: paired_t_over_folds(A, A),
    "too_few_folds": lambda: paired_t_over_folds(A[:1], B[:1]),
    "no_cases": lambda: paired_t_over_folds(A[:0], B[:0]),
    "lengths_differ": lambda: paired_t_over_folds(A, B[:-1]),
    "scores_nan": lambda: corrected_resampled_t(np.array([np.nan, 1.0]), B[:2], test_fraction=0.2),
    "scores_infinite": lambda: paired_t_over_folds(np.array([np.inf, 1.0]), B[:2]),
    "scores_not_numbers": lambda: paired_t_over_folds(A.astype(str), B),
    "not_one_dimensional": lambda: paired_t_over_folds(A[:, None], B),
    "fraction_out_of_range": lambda: corrected_resampled_t(A, B, test_fraction=5.0),
    "confidence_out_of_range": lambda: paired_t_over_folds(A, B, confidence=95.0),
}


@pytest.mark.parametrize("code", BAD)
def test_what_is_not_defined_is_an_error(code: str) -> None:
    with pytest.raises(StatsError) as caught:
        BAD[code]()
    assert caught.value.code == code


@pytest.mark.parametrize("shift", [0.1, -0.03, 1e-3, 1e5])
def test_a_constant_difference_is_no_variance_whatever_the_rounding(shift: float) -> None:
    for call in (paired_t_over_folds, lambda a, b: corrected_resampled_t(a, b, test_fraction=0.2)):
        with pytest.raises(StatsError) as caught:
            call(A + shift, A)
        assert caught.value.code == "no_variance"
