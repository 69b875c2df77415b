"""What NumPy, SciPy or pandas would answer in their own way is a StatsError with a code, or a right number."""

from collections.abc import Callable
from typing import Any

import jaxtyping
import numpy as np
import pandas as pd
import pytest

from dgccl import stats
from dgccl.errors import StatsError
from dgccl.stats.partial_bootstrap import partial_auroc_bootstrap

Y = np.resize([0, 1, 1, 0, 0], 30)
S = np.round(np.random.default_rng(3).normal(size=30) + Y, 1)
T = np.round(np.random.default_rng(4).normal(size=30) + Y, 1)
P = 1 / (1 + np.exp(-S))
MATRIX = np.column_stack([1 - P, P])


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(StatsError) as caught:
        call()
    return caught.value.code


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the check of types while the tests run, as for those who use the package."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


SEEDED: dict[str, Callable[[Any], object]] = {
    "auroc_bootstrap": lambda seed: stats.auroc_bootstrap(Y, S, seed=seed, replicates=50),
    "auroc_difference_bootstrap": lambda seed: stats.auroc_difference_bootstrap(
        Y, S, T, seed=seed, replicates=50
    ),
    "average_roc_band": lambda seed: stats.average_roc_band(Y, S, seed=seed, replicates=50),
    "bootstrap_interval": lambda seed: stats.bootstrap_interval(np.mean, [S], seed=seed, replicates=50),
    "expected_calibration_error": lambda seed: stats.expected_calibration_error(
        Y, P, seed=seed, bins=3, draws=9
    ),
    "partial_auroc_bootstrap": lambda seed: partial_auroc_bootstrap(
        Y, S, specificity=(0.5, 1.0), seed=seed, replicates=50
    ),
    "permutation_test_paired": lambda seed: stats.permutation_test_paired(Y, S, T, seed=seed),
    "permutation_test_unpaired": lambda seed: stats.permutation_test_unpaired(
        Y, S, group=np.arange(30) % 2, seed=seed, replicates=50
    ),
}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", SEEDED)
@pytest.mark.parametrize("seed", [-1, 1.5, None, "1", np.array([1, 2])])
def test_a_seed_is_a_whole_number(name: str, seed: object) -> None:
    assert code_of(lambda: SEEDED[name](seed)) == "seed_invalid"


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", SEEDED)
def test_seeds_of_numpy_are_seeds(name: str) -> None:
    assert repr(SEEDED[name](np.int64(3))).replace("np.int64(3)", "3") == repr(SEEDED[name](3))


@pytest.mark.usefixtures("unchecked")
def test_other_counts_are_whole_numbers() -> None:
    assert code_of(lambda: stats.auroc_bootstrap(Y, S, seed=1, replicates=99.5)) == "replicates_invalid"  # type: ignore[arg-type]
    assert (
        code_of(lambda: stats.permutation_test_paired(Y, S, T, seed=1, replicates=-1)) == "replicates_invalid"
    )
    assert code_of(lambda: stats.expected_calibration_error(Y, P, seed=1, draws=0)) == "draws_invalid"
    assert code_of(lambda: stats.expected_calibration_error(Y, P, seed=1, draws=2.5)) == "draws_invalid"  # type: ignore[arg-type]
    assert code_of(lambda: stats.calibration_curve(Y, P, bins=2.5)) == "bins_invalid"  # type: ignore[arg-type]


MISSING = {
    "pandas string": pd.array([*map(str, range(29)), None], dtype="string"),
    "pandas integer": pd.array([*range(29), None], dtype="Int64"),
    "objects": np.array([*range(29), None], dtype=object),
    "NA among objects": np.array([*range(29), pd.NA], dtype=object),
    "dates": np.array(["2020-01-01"] * 29 + ["NaT"], dtype="datetime64[D]"),
    "timestamps": np.array([*pd.date_range("2020", periods=29), pd.NaT], dtype=object),
}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("kind", MISSING)
def test_a_patient_that_is_missing(kind: str) -> None:
    ids: Any = MISSING[kind]
    assert code_of(lambda: stats.auroc_delong(Y, S, patient=ids)) == "patient_missing"
    assert code_of(lambda: stats.auroc_bootstrap(Y, S, patient=ids, seed=1)) == "patient_missing"
    assert code_of(lambda: stats.auroc_delong(Y, S, stratum=ids)) == "stratum_missing"


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("kind", ["string", "Int64"])
def test_patients_of_pandas_are_patients(kind: str) -> None:
    ids: Any = pd.array(np.arange(30) // 2, dtype="Int64").astype(kind)
    assert stats.auroc_delong(Y, S, patient=ids) == stats.auroc_delong(Y, S, patient=np.arange(30) // 2)


@pytest.mark.usefixtures("unchecked")
def test_labels_and_scores_that_are_na() -> None:
    labels: Any = pd.array([*Y[:-1], None], dtype="Int64")
    scores: Any = pd.array([*S[:-1], None], dtype="Float64")
    assert code_of(lambda: stats.auroc(labels, S)) == "labels_not_binary"
    assert code_of(lambda: stats.auroc(Y, scores)) in ("scores_nan", "scores_not_numbers")


@pytest.mark.parametrize("size", [1e300, 8e307, 1e-300])
def test_temperature_of_huge_and_tiny_logits(size: float) -> None:
    y, logits = np.array([0, 1, 1, 0]), np.array([-1.0, 0.5, -0.5, -2.0])
    plain, found = stats.fit_temperature(y, logits), stats.fit_temperature(y, logits * size)
    assert found.temperature / size == pytest.approx(plain.temperature, rel=1e-12)
    np.testing.assert_allclose(found.apply(logits * size), plain.apply(logits), rtol=1e-12)


def test_temperature_of_logits_of_very_different_sizes() -> None:
    """Only the second case is undecided: at the best temperature its logits are next to nothing."""
    y, logits = np.array([0, 1, 0, 1]), np.array([-1e300, -1.0, -1e300, 1e300])
    assert code_of(lambda: stats.fit_temperature(y, np.array([-5e-324] * 3 + [-5e-324]))) in (
        "no_positive_temperature",
        "temperature_out_of_range",
    )
    assert np.isfinite(stats.fit_temperature(y, logits).temperature)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([-1e308, -0.9e308, 0.9e308, 1e308], 0.0),
        ([1e308, 1.2e308, 1.6e308, 1.7e308], 1.4e308),
        ([-1.7e308, -1.6e308, -1.2e308, -1e308], -1.4e308),
        ([0.0, 0.0, 5e-324, 5e-324], 5e-324),
        ([5e-324, 5e-324, 1e-323, 1e-323], 1e-323),
        ([-5e-324, -5e-324, 0.0, 0.0], 0.0),
    ],
)
def test_thresholds_between_scores_at_the_ends_of_floats(scores: list[float], expected: float) -> None:
    y, values = np.array([0, 0, 1, 1]), np.array(scores)
    found = stats.youden_threshold(y, values)
    assert found == pytest.approx(expected, rel=1e-15)
    np.testing.assert_array_equal(values >= found, y == 1)


MASK = np.arange(30) == 4
MASKED = np.ma.masked_array(S, MASK)
TABLE = np.ma.masked_array(MATRIX, np.column_stack([MASK, MASK]))
CALLS: dict[str, Callable[[], object]] = {
    "label": lambda: stats.auroc(np.ma.masked_array(Y, MASK), S),
    "score": lambda: stats.auroc_delong(Y, MASKED),
    "second score": lambda: stats.delong_paired(Y, S, MASKED),
    "patient": lambda: stats.auroc_delong(Y, S, patient=np.ma.masked_array(np.arange(30), MASK)),
    "stratum": lambda: stats.auroc_delong(Y, S, stratum=np.ma.masked_array(np.arange(30) % 3, MASK)),
    "class label": lambda: stats.auroc_macro(np.ma.masked_array(Y, MASK), MATRIX),
    "matrix": lambda: stats.auroc_macro(Y, TABLE),
    "probability": lambda: stats.brier_score(Y, np.ma.masked_array(P, MASK)),
    "probabilities": lambda: stats.brier_score(Y, TABLE),
    "logits": lambda: stats.fit_temperature(Y, MASKED),
    "threshold": lambda: stats.sensitivity_specificity_at(Y, S, threshold=MASKED),
    "thresholds": lambda: stats.decision_curve(
        Y, P, thresholds=np.ma.masked_array([0.1, 0.2], [True, False])
    ),
    "sample": lambda: stats.kolmogorov_smirnov(MASKED, T),
    "array": lambda: stats.bootstrap_interval(np.mean, [MASKED], seed=1, replicates=50),
    "group": lambda: stats.permutation_test_unpaired(
        Y, S, group=np.ma.masked_array(np.arange(30) % 2, MASK), seed=1, replicates=50
    ),
    "conformal": lambda: stats.fit_conformal(Y, np.ma.masked_array(P, MASK), alpha=0.2),
    "conformal group": lambda: stats.fit_conformal(
        Y, P, alpha=0.2, group=np.ma.masked_array(np.arange(30) % 2, MASK)
    ),
    "sets": lambda: stats.measured_coverage(Y, TABLE > 0.4),
    "p values": lambda: stats.holm(np.ma.masked_array([0.1, 0.2], [True, False])),
}


@pytest.mark.parametrize("name", CALLS)
def test_masked_values_are_not_read(name: str) -> None:
    assert code_of(CALLS[name]) == "values_masked"


def test_a_mask_that_hides_nothing_is_no_mask() -> None:
    bare = np.ma.masked_array(S, np.zeros(30, dtype=bool))
    assert stats.auroc_delong(Y, bare) == stats.auroc_delong(Y, S)
