"""The bootstrap's AUROC is that of evaluation, and withheld lesions are those that should be."""

import numpy as np
import pandas as pd
import pytest

from dgccl import stats
from dgccl.robustness.scores import withheld
from dgccl.robustness.steps import bootstrap_weights, step_of, weighted_auroc

RNG = np.random.default_rng(4)


def table(n: int = 60, classes: int = 2) -> pd.DataFrame:
    y_true = RNG.integers(0, classes, n)
    rows = pd.DataFrame(
        {
            "lesion_id": [f"lesion_{i:03d}" for i in range(n)],
            "patient_id": [f"patient_{i // 2:03d}" for i in range(n)],
            "fold": np.arange(n) // 2 % 3,
            "y_true": y_true,
            "gate_ct": RNG.uniform(0, 1, n),
        }
    )
    if classes == 2:
        return rows.assign(y_score=(0.3 * y_true + RNG.uniform(0, 0.7, n)).round(2))
    scores = RNG.dirichlet(np.ones(classes), n)
    return rows.assign(**{f"y_score_{c}": scores[:, c] for c in range(classes)})


@pytest.mark.parametrize("classes", [2, 3])
def test_unit_weights_give_the_auroc_of_evaluation(classes: int) -> None:
    rows = table(classes=classes)
    columns = ["y_score"] if classes == 2 else [f"y_score_{c}" for c in range(classes)]
    compute = stats.auroc_delong if classes == 2 else stats.auroc_macro_delong
    scores = rows[columns].to_numpy()
    expected = compute(
        rows["y_true"].to_numpy(), scores[:, 0] if classes == 2 else scores, stratum=rows["fold"].to_numpy()
    )
    found = weighted_auroc(rows, columns, np.ones((1, len(rows))))
    np.testing.assert_allclose(found, [expected.estimate], atol=1e-12)


def test_a_weight_of_two_is_a_lesion_twice() -> None:
    rows = table()
    weights = RNG.integers(0, 3, (1, len(rows))).astype(float)
    repeated = rows.loc[rows.index.repeat(weights[0].astype(int))]
    again = weighted_auroc(repeated, ["y_score"], np.ones((1, len(repeated))))
    np.testing.assert_allclose(weighted_auroc(rows, ["y_score"], weights), again, atol=1e-12)


def test_bootstrap_draws_patients() -> None:
    rows = table()
    weights = bootstrap_weights(rows, replicates=200, seed=1)
    assert weights.shape == (200, 60)
    np.testing.assert_array_equal(weights[:, 0::2], weights[:, 1::2])
    np.testing.assert_array_equal(weights.sum(axis=1), 60)
    np.testing.assert_array_equal(weights, bootstrap_weights(rows, replicates=200, seed=1))


def test_withheld_lesions_are_nested_and_as_many_as_asked_for() -> None:
    rows = table()
    without = rows.iloc[:40].assign(y_score=-1.0, gate_ct=0.0)
    lost = {}
    for rate in (0.0, 0.25, 0.5, 1.0):
        mixed = withheld(rows, without, rate=rate, seed=9, columns=["y_score", "gate_ct"])
        lost[rate] = set(mixed.loc[mixed["y_score"] == -1.0, "lesion_id"])
        assert len(lost[rate]) == round(40 * rate)
        assert (mixed["lesion_id"] == rows["lesion_id"]).all()
    assert lost[0.25] < lost[0.5] < lost[1.0] == set(without["lesion_id"])


def test_a_step_without_a_change_and_one_that_destroys_the_ranking() -> None:
    rows = table(n=120)
    given: dict = {
        "what": "model, dial", "columns": ["y_score"], "modalities": ["ct", "pet"], "temperatures": [1.0] * 3,
        "limits": [0.5] * 3, "warnings": [],
    }  # fmt: skip
    same = step_of(0.0, [rows], rows, **given)
    assert same.change.estimate == 0.0
    assert same.calls_changed == 0.0
    assert same.gate_weights == {"ct": pytest.approx(rows["gate_ct"].median())}
    shuffled = rows.assign(y_score=RNG.permutation(rows["y_score"].to_numpy()))
    broken = step_of(1.0, [shuffled], rows, **given)
    assert broken.change.ci_high < 0
    assert broken.change.estimate == pytest.approx(broken.auroc.estimate - same.auroc.estimate, abs=1e-12)
    assert broken.calls_changed > 0.2
    both = step_of(1.0, [rows, shuffled], rows, **given)
    assert both.auroc.estimate == pytest.approx((same.auroc.estimate + broken.auroc.estimate) / 2)
    assert both.auroc.method.startswith("mean_of_2_draws_")
