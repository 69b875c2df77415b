"""A difference without variance passes as 0 only for scores of one order that get some pairs wrong."""

from collections.abc import Callable

import numpy as np
import pytest

from dgccl import stats
from dgccl.errors import StatsError
from dgccl.stats.estimate import Estimate

Y = np.repeat([0, 1], [12, 9])
RNG = np.random.default_rng(4)
SCORE = RNG.normal(size=21) + Y
PERFECT, OTHER_PERFECT = Y * 10 + RNG.random(21), Y * 10 + RNG.random(21)
CONSTANT = np.zeros(21)
PATIENT = np.arange(21)
THREE = np.repeat([0, 1, 2], 7)
MATRIX = 2 * RNG.random((21, 3)) + np.eye(3)[THREE]

Paired = Callable[[np.ndarray, np.ndarray], stats.PairedComparison | stats.BootstrapEstimate]
COMPARE: dict[str, Paired] = {
    "delong_paired": lambda a, b: stats.delong_paired(Y, a, b),
    "delong_paired_patients": lambda a, b: stats.delong_paired(Y, a, b, patient=PATIENT // 2 * 2),
    "delong_paired_strata": lambda a, b: stats.delong_paired(Y, a, b, stratum=PATIENT % 2),
    "delong_contrast": lambda a, b: stats.delong_contrast(Y, [a, b], [1, -1]),
    "delong_contrast_of_four": lambda a, b: stats.delong_contrast(Y, [a, b, b, a], [1, -1, -1, 1]),
    "auroc_difference_bootstrap": lambda a, b: stats.auroc_difference_bootstrap(
        Y, a, b, seed=1, by_class=True, replicates=99
    ),
    "delong_paired_macro": lambda a, b: stats.delong_paired_macro(
        Y, np.column_stack([-a, a]), np.column_stack([-b, b])
    ),
}


def value_of(found: stats.PairedComparison | stats.BootstrapEstimate) -> tuple[float, float, float]:
    value = found.estimate if isinstance(found, stats.BootstrapEstimate) else found.difference
    return value, found.ci_low, found.ci_high


@pytest.mark.parametrize("name", COMPARE)
@pytest.mark.parametrize(
    ("a", "b"),
    [
        (PERFECT, OTHER_PERFECT),
        (PERFECT, PERFECT),
        (-PERFECT, -OTHER_PERFECT),
        (CONSTANT, CONSTANT),
        (PERFECT, CONSTANT),
    ],
    ids=["perfect", "same_perfect", "perfectly_wrong", "constant", "perfect_and_constant"],
)
def test_nothing_is_said_of_areas_that_no_case_moves(name: str, a: np.ndarray, b: np.ndarray) -> None:
    with pytest.raises(StatsError) as caught:
        COMPARE[name](a, b)
    assert caught.value.code == "no_variance"
    assert caught.value.remedy


@pytest.mark.parametrize("name", COMPARE)
@pytest.mark.parametrize("transform", [lambda s: s, lambda s: 2 * s + 1, np.exp], ids=["same", "line", "exp"])
def test_scores_of_one_order_differ_by_zero(name: str, transform: Callable) -> None:
    assert value_of(COMPARE[name](SCORE, transform(SCORE))) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("name", [name for name in COMPARE if name != "delong_contrast_of_four"])
def test_a_perfect_score_beside_another_has_a_width(name: str) -> None:
    value, low, high = value_of(COMPARE[name](PERFECT, SCORE))
    assert low < high
    assert low <= value <= high


def test_a_weighted_sum_that_cancels_is_zero_only_where_it_must_be() -> None:
    """Of four scores, a - a - b + b is 0 in every sample; a perfect pair among them says nothing of other samples."""
    other = RNG.normal(size=21)
    found = stats.delong_contrast(Y, [SCORE, SCORE, other, other], [1, -1, -1, 1])
    assert (found.difference, found.ci_low, found.ci_high, found.z, found.p) == (0.0, 0.0, 0.0, 0.0, 1.0)
    with pytest.raises(StatsError) as caught:
        stats.delong_contrast(Y, [SCORE, SCORE, PERFECT, OTHER_PERFECT], [1, -1, -1, 1])
    assert caught.value.code == "no_variance"


def test_patients_whose_lesions_change_places_are_not_of_one_order() -> None:
    """Every patient has two lesions of each class; the second score exchanges them, so that sums by patient agree."""
    patient, y = np.repeat(np.arange(8), 4), np.tile([0, 0, 1, 1], 8)
    a = np.random.default_rng(5).normal(size=32) + y
    b = a.reshape(8, 2, 2)[:, :, ::-1].ravel()
    with pytest.raises(StatsError) as caught:
        stats.delong_paired(y, a, b, patient=patient)
    assert caught.value.code == "no_variance"
    assert "rank some pairs otherwise" in caught.value.message
    plain = stats.delong_paired(y, a, b)
    assert plain.difference == pytest.approx(0.0, abs=1e-12)
    assert plain.ci_low < plain.ci_high


def test_classes_of_which_one_is_perfect() -> None:
    """A macro area varies as long as one class does; the order of that class may not differ."""
    found = stats.delong_paired_macro(THREE, MATRIX, np.exp(MATRIX))
    assert (found.difference, found.ci_low, found.ci_high, found.p) == (0.0, 0.0, 0.0, 1.0)
    sure = np.eye(3)[THREE] + 0.1 * RNG.random((21, 3))
    with pytest.raises(StatsError) as caught:
        stats.delong_paired_macro(THREE, sure, np.eye(3)[THREE])
    assert caught.value.code == "no_variance"


@pytest.mark.parametrize("test", [stats.non_inferiority, stats.equivalence])
@pytest.mark.parametrize("value", [0.0, 0.02, -0.2])
def test_an_interval_without_width_shows_nothing(test: Callable, value: float) -> None:
    with pytest.raises(StatsError) as caught:
        test(Estimate(value, value, value, "x", 30), 0.05)
    assert caught.value.code == "interval_without_width"
    paired = stats.PairedComparison(value, value, value, 0.0, 1.0, "paired_delong", 30)
    if value:
        with pytest.raises(StatsError) as caught:
            test(paired, 0.05)
        assert caught.value.code == "interval_without_width"
    else:
        assert test(paired, 0.05).verdict in ("non_inferior", "equivalent")


def test_perfect_models_are_not_shown_to_be_non_inferior() -> None:
    with pytest.raises(StatsError) as caught:
        stats.non_inferiority(stats.delong_paired(Y, PERFECT, OTHER_PERFECT), 0.05)
    assert caught.value.code == "no_variance"
