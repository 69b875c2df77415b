"""Areas and their intervals: other people's software, direct definitions, and the ends of the scale."""

from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from sklearn.metrics import roc_curve as sklearn_roc_curve

from dgccl import stats
from dgccl.errors import StatsError

Method = Literal["delong", "logit"]


def sample(seed: int, n: int = 80, *, levels: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = (np.arange(n) % 5 < 2).astype(int)
    score = rng.normal(size=n) + 0.8 * y
    return y, score if levels is None else np.round(score * levels) / levels


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=2, max_size=40))
def test_auroc_is_sklearns(cases: list[tuple[bool, int]]) -> None:
    y, score = np.array([int(c[0]) for c in cases]), np.array([float(c[1]) for c in cases])
    if y.min() == y.max():
        with pytest.raises(StatsError) as caught:
            stats.auroc(y, score)
        assert caught.value.code == "one_class"
        return
    assert stats.auroc(y, score) == pytest.approx(roc_auc_score(y, score), abs=1e-12)
    curve = stats.roc_curve(y, score)
    assert np.trapezoid(curve.tpr, curve.fpr) == pytest.approx(stats.auroc(y, score), abs=1e-12)


@pytest.mark.parametrize("levels", [None, 2])
def test_curve_is_sklearns(levels: int | None) -> None:
    y, score = sample(3, levels=levels)
    for corners in (False, True):
        ours = stats.roc_curve(y, score, corners_only=corners)
        fpr, tpr, thresholds = sklearn_roc_curve(y, score, drop_intermediate=False)
        if corners:
            assert len(ours.fpr) < len(fpr)
            np.testing.assert_allclose(np.interp(fpr, ours.fpr, ours.tpr)[np.diff(fpr, append=2) > 0],
                                       tpr[np.diff(fpr, append=2) > 0])  # fmt: skip
        else:
            np.testing.assert_allclose(ours.fpr, fpr)
            np.testing.assert_allclose(ours.tpr, tpr)
            np.testing.assert_allclose(ours.thresholds, thresholds)


def test_curve_corner_counts() -> None:
    curve = stats.roc_curve(np.array([0, 0, 1, 1, 1]), np.array([1.0, 2.0, 2.0, 3.0, 4.0]))
    np.testing.assert_array_equal(curve.thresholds, [np.inf, 4, 3, 2, 1])
    np.testing.assert_allclose(curve.tpr, [0, 1 / 3, 2 / 3, 1, 1])
    np.testing.assert_allclose(curve.fpr, [0, 0, 0, 0.5, 1])


@pytest.mark.parametrize(("score", "value"), [([0, 0, 1, 1], 1.0), ([1, 1, 0, 0], 0.0), ([5, 5, 5, 5], 0.5)])
@pytest.mark.parametrize("method", ["delong", "logit"])
def test_no_variance_still_has_an_interval(score: list[int], value: float, method: Method) -> None:
    found = stats.auroc_delong(np.array([0, 0, 1, 1]), np.array(score, float), method=method)
    assert (found.estimate, found.method) == (value, "newcombe_score")
    assert 0.0 <= found.ci_low <= value <= found.ci_high <= 1.0
    assert found.ci_high - found.ci_low > 0.3


@pytest.mark.parametrize("value", [0.0, 0.3, 0.5, 0.97, 1.0])
def test_newcombe_ends_solve_the_score_equation(value: float) -> None:
    m, n, z = 12, 30, 1.959963984540054
    averaged = (m + n) / 2 - 1

    def variance(area: float) -> float:  # Hanley and McNeil with averaged counts
        q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
        return (area * (1 - area) + averaged * (q1 - area**2) + averaged * (q2 - area**2)) / (m * n)

    low, high = stats.newcombe_interval(value, positives=m, negatives=n)
    for end in (low, high):
        assert abs(end - value) == pytest.approx(z * np.sqrt(max(variance(end), 0.0)), abs=1e-7)
    assert low < high
    mirrored = stats.newcombe_interval(1.0 - value, positives=n, negatives=m)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_logit_interval_by_hand() -> None:
    y, score = sample(5)
    plain, logit = stats.auroc_delong(y, score), stats.auroc_delong(y, score, method="logit")
    value = plain.estimate
    half = (plain.ci_high - plain.ci_low) / 2 / (value * (1 - value))
    center = np.log(value / (1 - value))
    assert logit.ci_low == pytest.approx(1 / (1 + np.exp(-(center - half))), abs=1e-12)
    assert logit.ci_high == pytest.approx(1 / (1 + np.exp(-(center + half))), abs=1e-12)
    assert logit.method == "logit_delong"


def test_distinct_patients_are_plain_delong() -> None:
    y, score = sample(7)
    ids = np.random.default_rng(0).permutation(len(y))
    assert stats.auroc_delong(y, score, patient=ids) == stats.auroc_delong(y, score)
    names = np.array([f"P{i}" for i in ids], dtype=object)
    other = score + np.random.default_rng(1).normal(size=len(y))
    assert stats.delong_paired(y, score, other, patient=names) == stats.delong_paired(y, score, other)


def clustered_sample(seed: int, *, patients: int, mixed: bool) -> tuple[np.ndarray, ...]:
    """Patients with 1 to 4 lesions that share a part of their score; `mixed` patients have both classes."""
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), rng.integers(1, 5, patients))
    own = rng.normal(size=patients)
    y = rng.integers(0, 2, len(patient)) if mixed else (patient % 2)
    a = 0.9 * y + own[patient] + 0.5 * rng.normal(size=len(patient))
    b = 0.5 * y + own[patient] + 0.5 * rng.normal(size=len(patient))
    return y, a, b, patient


def obuchowski_variance(y: np.ndarray, score: np.ndarray, patient: np.ndarray) -> float:
    """The definition, with the whole matrix of wins and plain loops over the clusters."""
    wins = np.sign(score[y == 1][:, None] - score[y == 0][None, :]) / 2 + 0.5
    area, m, n = wins.mean(), int(y.sum()), int((y == 0).sum())
    v10, v01 = wins.mean(axis=1), wins.mean(axis=0)
    s10 = s01 = s11 = 0.0
    ids = np.unique(patient)
    for one in ids:
        p, q = patient[y == 1] == one, patient[y == 0] == one
        first, second = v10[p].sum() - p.sum() * area, v01[q].sum() - q.sum() * area
        s10, s01, s11 = s10 + first**2, s01 + second**2, s11 + first * second
    i10, i01, clusters = len(np.unique(patient[y == 1])), len(np.unique(patient[y == 0])), len(ids)
    s10, s01, s11 = s10 * i10 / ((i10 - 1) * m), s01 * i01 / ((i01 - 1) * n), s11 * clusters / (clusters - 1)
    return s10 / m + s01 / n + 2 * s11 / (m * n)


@pytest.mark.parametrize("mixed", [True, False])
def test_clustered_variance_by_definition(mixed: bool) -> None:
    y, a, _, patient = clustered_sample(11, patients=40, mixed=mixed)
    found = stats.auroc_delong(y, a, patient=patient)
    z = 1.959963984540054
    assert found.method == "clustered_delong"
    assert (found.estimate - found.ci_low) / z == pytest.approx(
        np.sqrt(obuchowski_variance(y, a, patient)), rel=1e-9
    )


@pytest.mark.parametrize("mixed", [True, False])
def test_clustered_errors_agree_with_a_bootstrap_by_patient(mixed: bool) -> None:
    y, a, b, patient = clustered_sample(12, patients=80, mixed=mixed)
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(patient == one) for one in range(80)]
    areas = []
    for _ in range(600):
        drawn = np.concatenate([members[one] for one in rng.integers(0, 80, 80)])
        areas.append((stats.auroc(y[drawn], a[drawn]), stats.auroc(y[drawn], b[drawn])))
    replicates = np.array(areas)
    z = 1.959963984540054
    one, pair = stats.auroc_delong(y, a, patient=patient), stats.delong_paired(y, a, b, patient=patient)
    # The bootstrap's own error is 3 %.
    assert (one.estimate - one.ci_low) / z == pytest.approx(replicates[:, 0].std(), rel=0.15)
    assert (pair.difference - pair.ci_low) / z == pytest.approx(
        (replicates[:, 0] - replicates[:, 1]).std(), rel=0.15
    )
    plain = stats.auroc_delong(y, a)
    if not mixed:  # lesions that repeat their patient make the plain interval too narrow
        assert one.ci_high - one.ci_low > 1.2 * (plain.ci_high - plain.ci_low)


def test_repeating_every_lesion_adds_no_information() -> None:
    y, score = sample(9)
    other = score + np.random.default_rng(2).normal(size=len(y))
    twice = [np.repeat(values, 2) for values in (y, score, other, np.arange(len(y)))]
    once = stats.auroc_delong(y, score)
    again = stats.auroc_delong(twice[0], twice[1], patient=twice[3])
    assert (again.ci_low, again.ci_high) == pytest.approx((once.ci_low, once.ci_high), abs=1e-12)
    pair = stats.delong_paired(twice[0], twice[1], twice[2], patient=twice[3])
    assert pair.z == pytest.approx(stats.delong_paired(y, score, other).z, abs=1e-9)
    assert pair.method == "clustered_paired_delong"


def test_scores_of_equal_rank_do_not_differ() -> None:
    y, score = sample(4)
    for other in (score, np.exp(score), 3 * score - 1):
        found = stats.delong_paired(y, score, other)
        assert (found.difference, found.z, found.p, found.ci_low, found.ci_high) == (0.0, 0.0, 1.0, 0.0, 0.0)


def test_difference_without_variance_is_refused() -> None:
    y = np.array([0, 0, 1, 1])
    with pytest.raises(StatsError) as caught:
        stats.delong_paired(y, y.astype(float), np.zeros(4))
    assert caught.value.code == "no_variance"


def stratified_sample(seed: int, n: int = 90) -> tuple[np.ndarray, ...]:
    y, score = sample(seed, n, levels=3)
    stratum = np.random.default_rng(seed + 1).integers(0, 4, n)
    return y, score, np.array(["a", "b", "c", "d"])[stratum]


def test_stratified_area_is_the_share_of_pairs_within_strata() -> None:
    y, score, stratum = stratified_sample(21)
    wins = np.sign(score[:, None] - score[None, :]) / 2 + 0.5
    pairs = (y[:, None] == 1) & (y[None, :] == 0) & (stratum[:, None] == stratum[None, :])
    found = stats.auroc_delong(y, score, stratum=stratum)
    assert found.estimate == pytest.approx(wins[pairs].mean(), abs=1e-12)
    assert (found.method, found.n) == ("stratified_delong", len(y))
    curve = stats.average_roc_curve(y, score, stratum=stratum)
    assert np.trapezoid(curve.tpr, curve.fpr) == pytest.approx(found.estimate, abs=1e-12)
    assert (curve.fpr[0], curve.tpr[0], curve.fpr[-1], curve.tpr[-1]) == (0.0, 0.0, 1.0, 1.0)
    assert (np.diff(curve.tpr) >= -1e-12).all()


def test_scales_of_strata_do_not_matter_and_one_stratum_is_plain() -> None:
    y, score, stratum = stratified_sample(22)
    shifted = score + 10.0 * np.unique(stratum, return_inverse=True)[1]
    assert stats.auroc_delong(y, shifted, stratum=stratum) == stats.auroc_delong(y, score, stratum=stratum)
    assert stats.auroc_delong(y, score, stratum=np.zeros(len(y))) == stats.auroc_delong(y, score)
    found = stats.delong_paired(y, score, shifted, stratum=stratum)
    assert (found.difference, found.p) == (0.0, 1.0)


def test_cases_of_a_stratum_with_one_class_are_left_out() -> None:
    y, score, stratum = stratified_sample(23)
    extra = np.concatenate([y, [1, 1, 1]]), np.concatenate([score, [9.0, 8.0, 7.0]])
    strata, ids = np.concatenate([stratum, ["e"] * 3]), np.arange(len(y) + 3)
    assert stats.auroc_delong(*extra, stratum=strata, patient=ids) == stats.auroc_delong(
        y, score, stratum=stratum
    )
    with pytest.raises(StatsError) as caught:
        stats.auroc_delong(np.array([0, 0, 1, 1]), np.arange(4.0), stratum=np.array([0, 0, 1, 1]))
    assert caught.value.code == "one_class"


def test_stratified_error_agrees_with_simulation() -> None:
    rng = np.random.default_rng(3)
    y, stratum = np.tile([0, 0, 1], 40), np.repeat(np.arange(5), 24)
    found = []
    for _ in range(400):
        score = rng.normal(size=120) + 1.2 * y + 3.0 * stratum
        one = stats.auroc_delong(y, score, stratum=stratum)
        found.append((one.estimate, (one.estimate - one.ci_low) / 1.959963984540054))
    estimates, errors = np.array(found).T
    assert errors.mean() == pytest.approx(estimates.std(), rel=0.15)
