"""The band of a mean ROC curve: a plain bootstrap over scikit-learn's curves, pROC's ci.se, what must not matter."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_curve as sklearn_roc_curve

from dgccl import stats
from dgccl.errors import StatsError
from dgccl.stats.resample import draw_units, drawn_cases, plan_resampling
from dgccl.stats.roc_band import RocBand, average_roc_band

HERE = Path(__file__).parent / "reference"
N = 60
RNG = np.random.default_rng(21)
Y = (RNG.random(N) < 0.4).astype(int)
TIED = np.round(RNG.normal(size=N) + Y, 1)
PLAIN = RNG.normal(size=N) + Y
PATIENT = np.arange(N) // 2
STRATUM = PATIENT % 3

DESIGNS: dict[str, dict[str, Any]] = {
    "cases": {},
    "within_class": {"by_class": True},
    "patients": {"patient": PATIENT},
    "strata": {"stratum": STRATUM},
    "patients_strata": {"patient": PATIENT, "stratum": STRATUM},
}


def lines(band: RocBand) -> np.ndarray:
    return np.array([band.fpr, band.tpr, band.low, band.high])


def higher_end(fpr: np.ndarray, tpr: np.ndarray, at: float) -> float:
    """Sensitivity of a curve at one place, straight between its points; the highest where several share it."""
    there = np.isclose(fpr, at, rtol=0.0, atol=1e-12)
    if there.any():
        return float(tpr[there].max())
    after = int(np.argmax(fpr > at))
    share = (at - fpr[after - 1]) / (fpr[after] - fpr[after - 1])
    return float(tpr[after - 1] + share * (tpr[after] - tpr[after - 1]))


def plain_curve(y: np.ndarray, score: np.ndarray, stratum: np.ndarray, grid: np.ndarray) -> np.ndarray | None:
    """Mean over strata of scikit-learn's curves at the grid, weighing by their pairs."""
    total, pairs = np.zeros(len(grid)), 0
    for one in np.unique(stratum):
        own = stratum == one
        weight = int(y[own].sum()) * int((1 - y[own]).sum())
        if weight:
            fpr, tpr, _ = sklearn_roc_curve(y[own], score[own], drop_intermediate=False)
            total += weight * np.array([higher_end(fpr, tpr, at) for at in grid])
            pairs += weight
    return total / pairs if pairs else None


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("score", [TIED, PLAIN], ids=["tied", "plain"])
def test_a_plain_bootstrap_over_scikit_learn_on_the_same_draws(design: str, score: np.ndarray) -> None:
    options = DESIGNS[design]
    found = average_roc_band(Y, score, points=15, replicates=60, confidence=0.8, seed=9, **options)
    stratum = options.get("stratum", np.zeros(N, dtype=np.int64))
    pool = stratum * 2 + Y * options.get("by_class", False)
    plan = plan_resampling([Y == 1, score, stratum], patient=options.get("patient"), pool=pool)
    cases = (Y[plan.order], score[plan.order], stratum[plan.order])
    drawn = [
        drawn_cases(plan, row)
        for block in draw_units(plan, replicates=60, rng=np.random.default_rng(9))
        for row in block
    ]
    replicates = [plain_curve(*(values[one] for values in cases), found.fpr) for one in drawn]
    low, high = np.quantile([one for one in replicates if one is not None], [0.1, 0.9], axis=0)
    np.testing.assert_allclose(found.tpr, plain_curve(*cases, found.fpr), atol=1e-12)
    np.testing.assert_allclose(found.low, low, atol=1e-12)
    np.testing.assert_allclose(found.high, high, atol=1e-12)


@pytest.mark.parametrize("score", [TIED, PLAIN], ids=["tied", "plain"])
@pytest.mark.parametrize("stratum", [STRATUM, np.zeros(N, dtype=np.int64)], ids=["three", "one"])
@pytest.mark.parametrize("points", [2, 7, 26, 101])
def test_the_curve_is_the_high_end_of_the_mean_curve(
    score: np.ndarray, stratum: np.ndarray, points: int
) -> None:
    found = average_roc_band(Y, score, stratum=stratum, points=points, replicates=40, seed=1)
    curve = stats.average_roc_curve(Y, score, stratum=stratum)
    expected = [higher_end(curve.fpr, curve.tpr, at) for at in np.linspace(0.0, 1.0, points)]
    np.testing.assert_allclose(found.tpr, expected, atol=1e-12)


REFERENCE = HERE / "bootstrap.csv"
with REFERENCE.open(encoding="utf-8", newline="") as _file:
    R = {row["quantity"]: float(row["value"]) for row in csv.DictReader(_file)}
CASES = np.genfromtxt(HERE / "cases.csv", delimiter=",", names=True)


@pytest.mark.parametrize("score", ["first", "second", "ordinal"])
@pytest.mark.parametrize("by_class", [True, False])
def test_one_stratum_is_procs(score: str, by_class: bool) -> None:
    found = average_roc_band(
        CASES["y_true"].astype(int), CASES[score], points=11, by_class=by_class, replicates=10000, seed=3
    )
    kind = "within_class" if by_class else "all"
    names = [f"{score}.{1 - at:.1f}.{kind}" for at in found.fpr[1:-1]]
    low = found.low[1:-1] - [R[f"se_low.{name}"] for name in names]
    high = found.high[1:-1] - [R[f"se_high.{name}"] for name in names]
    # Within classes sensitivities go by steps of one positive case, and chance can move a quantile by one of them.
    step = 1.0 / CASES["y_true"].sum() + 1e-9
    assert np.abs(np.r_[low, high]).max() <= step
    assert np.abs(np.r_[low, high]).mean() < step / 4
    assert abs(low.mean()) < step / 3
    assert abs(high.mean()) < step / 3


@pytest.mark.parametrize("design", DESIGNS)
def test_order_of_cases_and_scale_of_scores_do_not_matter(design: str) -> None:
    options, order = DESIGNS[design], np.random.default_rng(2).permutation(N)
    moved = {k: v[order] if isinstance(v, np.ndarray) else v for k, v in options.items()}
    found = lines(average_roc_band(Y, TIED, points=21, replicates=100, seed=5, **options))
    for transform in (lambda s: s, lambda s: 3 * s - 7, np.exp, np.arctan, lambda s: s**3):
        again = average_roc_band(Y[order], transform(TIED[order]), points=21, replicates=100, seed=5, **moved)
        np.testing.assert_allclose(lines(again), found, atol=1e-12)


@pytest.mark.parametrize("design", DESIGNS)
def test_shape_of_a_band(design: str) -> None:
    found = average_roc_band(Y, TIED, points=21, replicates=200, seed=5, **DESIGNS[design])
    assert (found.fpr[0], found.fpr[-1], found.tpr[-1], found.low[-1], found.high[-1]) == (0, 1, 1, 1, 1)
    assert (found.low <= found.high).all()
    for line in (found.tpr, found.low, found.high):
        assert (np.diff(line) >= -1e-12).all()
        assert line.min() >= 0.0
        assert line.max() <= 1.0
    wide = average_roc_band(Y, TIED, points=21, replicates=200, confidence=0.99, seed=5, **DESIGNS[design])
    assert (wide.low <= found.low).all()
    assert (wide.high >= found.high).all()
    assert found.method.startswith("pointwise_")
    assert found.method.endswith("percentile_bootstrap")
    assert (found.n, found.replicates, found.seed, found.confidence) == (N, 200, 5, 0.95)


def test_a_small_score_covers_less_than_a_large_cohort() -> None:
    """Four times the cases give about half of the width."""
    rng = np.random.default_rng(8)
    y = np.arange(1600) % 2
    score = rng.normal(size=1600) + y
    narrow = average_roc_band(y, score, by_class=True, points=11, replicates=500, seed=1)
    wide = average_roc_band(y[:400], score[:400], by_class=True, points=11, replicates=500, seed=1)
    widths = (narrow.high - narrow.low)[2:8].mean() / (wide.high - wide.low)[2:8].mean()
    assert widths == pytest.approx(0.5, abs=0.1)


def test_patients_of_two_equal_lesions_are_one_case_each() -> None:
    one = average_roc_band(Y, PLAIN, points=21, replicates=200, seed=5)
    twice = average_roc_band(
        np.repeat(Y, 2),
        np.repeat(PLAIN, 2),
        patient=np.repeat(np.arange(N), 2),
        points=21,
        replicates=200,
        seed=5,
    )
    assert twice.method == "pointwise_clustered_percentile_bootstrap"
    # Patients are drawn in another order than cases, so that only the distribution is the same.
    np.testing.assert_allclose(twice.tpr, one.tpr, atol=1e-12)
    np.testing.assert_allclose(twice.high - twice.low, one.high - one.low, atol=0.15)


def test_strata_of_one_class_are_left_out() -> None:
    stratum = np.where(np.arange(N) < 6, 9, STRATUM)
    y = np.where(stratum == 9, 0, Y)
    used = stratum != 9
    found = average_roc_band(y, TIED, stratum=stratum, points=11, replicates=50, seed=1)
    expected = average_roc_band(y[used], TIED[used], stratum=stratum[used], points=11, replicates=50, seed=1)
    np.testing.assert_array_equal(lines(found), lines(expected))
    assert found.n == int(used.sum())


BAD: dict[str, dict[str, Any]] = {
    "one_class": {"y_true": np.ones(N, dtype=int)},
    "labels_not_binary": {"y_true": Y + 1},
    "lengths_differ": {"y_score": TIED[1:]},
    "scores_nan": {"y_score": np.where(np.arange(N) == 3, np.nan, TIED)},
    "patient_missing": {"patient": np.where(PATIENT == 2, np.nan, PATIENT)},
    "confidence_out_of_range": {"confidence": 95.0},
    "seed_invalid": {"seed": -1},
    "too_few_replicates": {"replicates": 38},
    "too_few_points": {"points": 1},
    "mixed_clusters": {"patient": PATIENT, "by_class": True},
    "no_variance": {"y_score": Y.astype(float)},
    "too_many_failed_replicates": {"y_true": (np.arange(N) < 2).astype(int)},
}


@pytest.mark.parametrize("code", BAD)
def test_what_is_not_defined_is_an_error(code: str) -> None:
    given = {"y_true": Y, "y_score": TIED, "seed": 1, **BAD[code]}
    with pytest.raises(StatsError) as caught:
        average_roc_band(given.pop("y_true"), given.pop("y_score"), **given)
    assert caught.value.code == code
