"""Does the gate mean what it says: figures of tables whose answer is known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from dgccl.errors import StatsError
from dgccl.explain.cohort_level import CohortExplanation, ideal_shares
from dgccl.explain.gate_meaning import absolute_shares, gate_meaning
from dgccl.explain.groups import group_means, ideal_agreement, lesion_groups, trends
from dgccl.explain.resample import mean_of, measure, spearman_of, weighted_ranks


def make_table(count: int = 120, *, honest: float = 1.0, folds: int = 3, seed: int = 0) -> pd.DataFrame:
    """A gate that follows the share of the answer by `honest`; each fold's gate has a level of its own."""
    rng = np.random.default_rng(seed)
    share, fold = rng.uniform(0.05, 0.95, count), np.arange(count) // 2 % folds
    told = honest * share + (1 - honest) * rng.uniform(0.05, 0.95, count)
    gate = np.clip(0.5 * told + 0.2 * fold, 0.0, 1.0)
    size, sign = rng.uniform(0.5, 3.0, count), rng.choice([-1.0, 1.0], (2, count))
    return pd.DataFrame(
        {
            "lesion_id": [f"L{i}" for i in range(count)],
            "patient_id": [f"P{i // 2}" for i in range(count)],
            "fold": fold,
            "y_true": np.arange(count) // 2 % 2,
            "gate_ct": 1.0 - gate,
            "gate_pet": gate,
            "shapley_ct": sign[0] * size * (1.0 - share),
            "shapley_pet": sign[1] * size * share,
            "diameter_mm": 5.0 + 20.0 * share,
            "solid_fraction": np.where(np.arange(count) % 3 == 0, 0.0, 1.0),
        }
    )


def explained(table: pd.DataFrame) -> CohortExplanation:
    return CohortExplanation(table, ("ct", "pet"), ("benign", "malignant"), 1, "truth")


def test_an_honest_gate_and_one_that_means_nothing() -> None:
    honest = gate_meaning(make_table(), draws=200)
    for name in ("ct", "pet"):
        found = honest.by_modality[name]
        assert found.spearman.estimate == pytest.approx(1.0)
        assert found.spearman.ci_low == pytest.approx(1.0, abs=0.01)
        # Over all folds the levels of the folds' gates stand in the way.
        assert found.spearman_pooled.estimate is not None
        assert found.spearman_pooled.estimate < 0.9
        assert found.spearman.n_patients == 60
    idle = gate_meaning(make_table(400, honest=0.0), draws=200).by_modality["pet"].spearman
    assert idle.ci_low is not None
    assert idle.ci_high is not None
    assert idle.ci_low < 0.0 < idle.ci_high


def test_one_fold_gives_spearmans_coefficient_with_ties_too() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.integers(0, 6, 50).astype(float), rng.normal(size=50)
    found = spearman_of(first, second, np.zeros(50, dtype=np.int64))(np.ones((1, 50)))
    assert found[0] == pytest.approx(stats.spearmanr(first, second).statistic)


def test_the_levels_of_folds_are_no_correlation() -> None:
    rng = np.random.default_rng(2)
    fold = np.repeat([0, 1], 200)
    first, second = rng.normal(size=400) + 10 * fold, rng.normal(size=400) + 10 * fold
    ones = np.ones((1, 400))
    assert abs(spearman_of(first, second, fold)(ones)[0]) < 0.15
    assert spearman_of(first, second, np.zeros_like(fold))(ones)[0] > 0.6


def test_weights_are_repetitions() -> None:
    """A weighted sample is the sample in which each value stands as often as its weight says."""
    rng = np.random.default_rng(4)
    first, second = rng.integers(0, 4, 20).astype(float), rng.normal(size=20)
    weights = rng.integers(0, 4, (5, 20)).astype(float)
    fold = np.zeros(20, dtype=np.int64)
    for times, ranks, found in zip(
        weights, weighted_ranks(first, weights), spearman_of(first, second, fold)(weights), strict=True
    ):
        index = np.repeat(np.arange(20), times.astype(int))
        np.testing.assert_allclose(ranks[index], stats.rankdata(first[index]))
        assert found == pytest.approx(stats.spearmanr(first[index], second[index]).statistic)


def test_agreement_is_counted_on_both_sides_of_equal_parts() -> None:
    table = pd.DataFrame(
        {
            "gate_ct": [0.9, 0.8, 0.3, 0.4],
            "gate_pet": [0.1, 0.2, 0.7, 0.6],
            "shapley_ct": [-3.0, 1.0, 1.0, 1.0],
            "shapley_pet": [1.0, 3.0, -2.0, 4.0],
        }
    )
    np.testing.assert_allclose(absolute_shares(table, ["ct", "pet"])[0], [0.75, 0.25])
    found = gate_meaning(table, draws=100).by_modality["ct"]
    assert found.agreement.estimate == 0.75
    assert found.agreement_by_chance == pytest.approx(0.5 * 0.25 + 0.5 * 0.75)
    assert found.agreement.n_patients == 4  # without patient_id each lesion is one


def test_lesions_without_a_choice_are_left_out_and_counted() -> None:
    table = make_table(12)
    table.loc[0, ["gate_ct", "shapley_ct"]] = np.nan
    table.loc[1, ["shapley_ct", "shapley_pet"]] = 0.0
    found = gate_meaning(table, draws=50)
    assert (found.n, found.n_left_out) == (10, 2)


def test_a_constant_gate_has_no_correlation() -> None:
    table = make_table(20).assign(gate_ct=0.5, gate_pet=0.5)
    found = gate_meaning(table, draws=50).by_modality["ct"]
    assert (found.spearman.estimate, found.spearman.method) == (None, "not_defined")
    assert found.agreement.estimate is None
    assert found.agreement_by_chance is None


def test_a_model_without_a_gate_and_lesions_without_a_choice_are_refused() -> None:
    with pytest.raises(StatsError, match="no gate weights of ct, pet") as caught:
        gate_meaning(make_table(6).assign(gate_ct=np.nan, gate_pet=np.nan))
    assert caught.value.code == "no_gate"
    with pytest.raises(StatsError, match="any modality"):
        gate_meaning(make_table(6)[["shapley_ct"]])
    with pytest.raises(StatsError, match="None of the 6 lesions") as caught:
        gate_meaning(make_table(6).assign(shapley_ct=np.nan))
    assert caught.value.code == "no_cases"


def test_intervals_go_by_patient() -> None:
    """Lesions that repeat their patient's value make no interval narrower."""
    rng = np.random.default_rng(3)
    value = rng.normal(size=30)
    single = pd.DataFrame({"patient_id": np.arange(30).astype(str)})
    tenfold = pd.DataFrame({"patient_id": np.repeat(np.arange(30), 10).astype(str)})
    widths = []
    for table, values in ((single, value), (tenfold, np.repeat(value, 10))):
        found = measure(table, mean_of(values), method="mean")
        assert found.estimate == pytest.approx(value.mean())
        assert found.ci_low is not None
        assert found.ci_high is not None
        widths.append(found.ci_high - found.ci_low)
    assert widths[1] == pytest.approx(widths[0], rel=0.1)
    assert widths[0] == pytest.approx(2 * 1.96 * value.std() / np.sqrt(30), rel=0.15)


def test_an_interval_of_one_patient_or_of_nothing_is_none() -> None:
    one = measure(pd.DataFrame({"patient_id": ["A", "A"]}), mean_of(np.array([0.0, 1.0])), method="mean")
    assert (one.estimate, one.ci_low, one.n, one.n_patients) == (0.5, None, 2, 1)
    none = measure(pd.DataFrame({"patient_id": []}), mean_of(np.zeros(0)), method="mean")
    assert (none.estimate, none.method, none.n) == (None, "not_defined", 0)


def test_groups_hold_each_lesion_once_and_unknown_ones_not_at_all() -> None:
    table = make_table(30)
    table.loc[:2, "solid_fraction"] = np.nan
    groups = lesion_groups(table, ("benign", "malignant"))
    assert {by: sum(map(len, rows.values())) for by, rows in groups.items()} == {
        "class": 30,
        "diameter": 30,
        "solid_fraction": 27,
    }
    bare = lesion_groups(table.drop(columns=["diameter_mm", "solid_fraction"]), ("benign", "malignant"))
    assert set(bare) == {"class"}


def test_means_and_trends() -> None:
    found = group_means(explained(make_table(60)), draws=100)
    assert {item.quantity for item in found} == {"gate", "shapley", "absolute_share"}
    by_size = [
        item.mean.estimate
        for item in found
        if (item.by, item.quantity, item.modality) == ("diameter", "absolute_share", "pet")
    ]
    assert by_size == sorted(by_size, key=float)
    # No lesion is half solid: an empty group has no mean, and says so.
    assert {item.group for item in found if item.mean.estimate is None} == {"25% to 75%"}
    trend = {
        (t.quantity, t.modality, t.covariate): t.spearman
        for t in trends(explained(make_table(60)), draws=100)
    }
    assert trend["absolute_share", "pet", "diameter_mm"].estimate == pytest.approx(1.0)
    no_gate = replace(explained(make_table(60).assign(gate_ct=np.nan, gate_pet=np.nan)))
    assert {item.quantity for item in group_means(no_gate, draws=20)} == {"shapley", "absolute_share"}


def test_the_ideal_observers_shares() -> None:
    """Where CT and PET are independent given the class, each has its own likelihood ratio."""
    np.testing.assert_allclose(ideal_shares(np.array([[1.0, -2.0, -1.0]])), [[1.0, -2.0]])
    np.testing.assert_allclose(ideal_shares(np.array([[1.0, 0.0, 3.0]])), [[2.0, 1.0]])
    table = make_table(40)
    assert ideal_agreement(explained(table), draws=20) == {}
    table["ideal_shapley_pet"] = 2.0 * table["shapley_pet"]
    assert ideal_agreement(explained(table), draws=20)["pet"].estimate == pytest.approx(1.0)
