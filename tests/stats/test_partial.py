"""Partial areas against pROC (values of reference/measures.R), scikit-learn and definitions."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from dgccl.errors import StatsError
from dgccl.stats.partial import partial_auroc
from dgccl.stats.roc import auroc

HERE = Path(__file__).parent / "reference"
CASES = np.genfromtxt(HERE / "cases.csv", delimiter=",", names=True)
Y = CASES["y_true"].astype(int)
with (HERE / "measures.csv").open(encoding="utf-8", newline="") as file:
    R = {row["quantity"]: float(row["value"]) for row in csv.DictReader(file)}
SCORES = ("first", "second", "ordinal", "reverse")
RANGES = {
    "0.9.1": (0.9, 1.0),
    "0.8.1": (0.8, 1.0),
    "0.333.0.777": (0.333, 0.777),
    "0.0.25": (0.0, 0.25),
    "0.501.0.507": (0.501, 0.507),
    "0.1": (0.0, 1.0),
}


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("score", SCORES)
def test_area_is_procs(score: str, name: str) -> None:
    ours = partial_auroc(Y, CASES[score], specificity=RANGES[name])
    assert ours == pytest.approx(R[f"partial.specificity.{score}.{name}"], abs=1e-12)
    ours = partial_auroc(Y, CASES[score], sensitivity=RANGES[name])
    assert ours == pytest.approx(R[f"partial.sensitivity.{score}.{name}"], abs=1e-12)


@pytest.mark.parametrize("focus", ["specificity", "sensitivity"])
@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("score", SCORES)
def test_standardized_area_is_procs(score: str, name: str, focus: str) -> None:
    ranges = {"specificity": None, "sensitivity": None} | {focus: RANGES[name]}
    theirs = R[f"standardized.{focus}.{score}.{name}"]
    if theirs == -1.0:  # not defined
        with pytest.raises(StatsError) as caught:
            partial_auroc(Y, CASES[score], **ranges, standardized=True)
        assert caught.value.code == "area_below_chance"
    else:
        assert partial_auroc(Y, CASES[score], **ranges, standardized=True) == pytest.approx(theirs, abs=1e-10)


def test_reference_has_both_kinds() -> None:
    standardized = [value for name, value in R.items() if name.startswith("standardized")]
    assert 0 < sum(value == -1.0 for value in standardized) < len(standardized) == 48


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("max_fpr", [0.05, 0.1, 0.37])
def test_standardized_area_is_sklearns(score: str, max_fpr: float) -> None:
    theirs = roc_auc_score(Y, CASES[score], max_fpr=max_fpr)
    if theirs >= 0.5:
        ours = partial_auroc(Y, CASES[score], specificity=(1 - max_fpr, 1.0), standardized=True)
        assert ours == pytest.approx(theirs, abs=1e-12)
    else:
        with pytest.raises(StatsError):
            partial_auroc(Y, CASES[score], specificity=(1 - max_fpr, 1.0), standardized=True)


few_cases = st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=2, max_size=30)


@settings(deadline=None, max_examples=40)
@given(few_cases, st.floats(0.01, 0.99))
def test_parts_make_the_whole(cases: list[tuple[bool, int]], cut: float) -> None:
    y, score = np.array([int(c[0]) for c in cases]), np.array([float(c[1]) for c in cases])
    if y.min() == y.max():
        return
    for name in ("specificity", "sensitivity"):
        low, high = (partial_auroc(y, score, **{name: part}) for part in ((0.0, cut), (cut, 1.0)))
        assert low + high == pytest.approx(auroc(y, score), abs=1e-12)
        assert 0.0 <= high <= 1.0 - cut + 1e-12
    # Swapping the classes swaps sensitivity and specificity.
    swapped = partial_auroc(1 - y, -score, sensitivity=(0.0, cut))
    assert swapped == pytest.approx(partial_auroc(y, score, specificity=(0.0, cut)), abs=1e-12)


def test_interpolation_inside_a_tie() -> None:
    """The curve of one tie is the diagonal, over which the area is known."""
    y, score = np.array([0, 1, 0]), np.ones(3)
    assert partial_auroc(y, score, specificity=(0.3, 0.7)) == pytest.approx(0.4 * 0.5)
    assert partial_auroc(y, score, sensitivity=(0.8, 1.0)) == pytest.approx(0.2 * 0.1)


@pytest.mark.parametrize("focus", ["specificity", "sensitivity"])
def test_standardized_scale(focus: str) -> None:
    y = np.repeat([0, 1], [13, 7])
    for low, high in ((0.9, 1.0), (0.0, 0.3), (0.123, 0.456)):
        constant = partial_auroc(y, np.zeros(20), **{focus: (low, high)}, standardized=True)
        assert constant == pytest.approx(0.5, abs=1e-10)
        assert constant >= 0.5
        perfect = partial_auroc(y, y * 1.0, **{focus: (low, high)}, standardized=True)
        assert perfect == pytest.approx(1.0, abs=1e-12)
        assert partial_auroc(y, y * 1.0, **{focus: (low, high)}) == pytest.approx(high - low, abs=1e-12)


@pytest.mark.parametrize("focus", ["specificity", "sensitivity"])
def test_the_diagonal_in_many_steps_is_chance(focus: str) -> None:
    """Rounding takes the area below that of chance by a last digit in some of these ranges."""
    y, score = np.tile([0, 1], 7), np.repeat(np.arange(7.0), 2)
    for low, high in ((0.15, 0.95), (0.2, 0.75), (0.2, 0.95), (0.2, 1.0)):
        found = partial_auroc(y, score, **{focus: (low, high)}, standardized=True)
        assert found == pytest.approx(0.5, abs=1e-12)


def test_what_does_not_matter() -> None:
    score = CASES["ordinal"]
    expected = partial_auroc(Y, score, specificity=(0.8, 1.0))
    order = np.random.default_rng(0).permutation(len(Y))
    assert partial_auroc(Y[order], score[order], specificity=(0.8, 1.0)) == expected
    assert partial_auroc(Y, np.exp(score), specificity=(0.8, 1.0)) == expected
    repeated = partial_auroc(np.tile(Y, 3), np.tile(score, 3), specificity=(0.8, 1.0))
    assert repeated == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    "ranges",
    [
        {},
        {"specificity": (0.8, 1.0), "sensitivity": (0.8, 1.0)},
        {"specificity": (1.0, 0.8)},
        {"specificity": (0.8, 0.8)},
        {"sensitivity": (-0.1, 0.8)},
        {"sensitivity": (0.8, 1.1)},
        {"sensitivity": (80.0, 100.0)},
        {"specificity": (float("nan"), 1.0)},
    ],
)
def test_ranges_that_are_not(ranges: dict[str, tuple[float, float]]) -> None:
    with pytest.raises(StatsError) as caught:
        partial_auroc(Y, CASES["first"], **ranges)
    assert caught.value.code == "range_invalid"


BAD = {
    "one_class": (np.zeros(6, int), np.arange(6.0)),
    "no_cases": (np.array([], int), np.array([])),
    "labels_not_binary": (np.array([0, 1, 2]), np.arange(3.0)),
    "scores_nan": (np.array([0, 1, 1]), np.array([0.1, np.nan, 0.2])),
    "lengths_differ": (np.array([0, 1, 1]), np.array([0.1, 0.2])),
    "not_one_dimensional": (np.array([[0], [1]]), np.array([0.1, 0.2])),
    "scores_not_numbers": (np.array([0, 1]), np.array(["a", "b"])),
}


@pytest.mark.parametrize("code", BAD)
def test_bad_input_is_an_error(code: str) -> None:
    with pytest.raises(StatsError) as caught:
        partial_auroc(*BAD[code], specificity=(0.9, 1.0))
    assert caught.value.code == code
