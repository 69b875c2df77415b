"""Two independent cohorts against pROC; clustered variances against Obuchowski's equations written out in R."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dgccl import stats
from dgccl.errors import StatsError
from dgccl.stats._inputs import check_groups
from dgccl.stats.roc import clustered_variance
from dgccl.stats.unpaired import UnpairedComparison, delong_unpaired

from ..r_script import run_r

HERE = Path(__file__).parent / "reference"
SCORES = ("first", "second", "ordinal")
CLOSE = 1e-8


def read_values(path: Path) -> dict[str, float]:
    with path.open(encoding="utf-8", newline="") as file:
        return {row["quantity"]: float(row["value"]) for row in csv.DictReader(file)}


def read_cases() -> dict[str, np.ndarray]:
    table = np.genfromtxt(HERE / "cases.csv", delimiter=",", names=True)
    return {name: np.array(table[name]) for name in table.dtype.names or ()}


R, CASES = read_values(HERE / "comparisons.csv"), read_cases()
Y = CASES["y_true"].astype(int)
IN_A = np.arange(len(Y)) < 70  # as in comparisons.R
PATIENT = np.repeat(np.arange(53), np.resize([1, 2, 3, 4], 53))[: len(Y)]


def compare(a: str, b: str, *, clustered: bool = False, confidence: float = 0.95) -> UnpairedComparison:
    ids = {"patient_a": PATIENT[IN_A], "patient_b": PATIENT[~IN_A] + 100} if clustered else {}
    return delong_unpaired(Y[IN_A], CASES[a][IN_A], Y[~IN_A], CASES[b][~IN_A], confidence=confidence, **ids)


@pytest.mark.parametrize("a", SCORES)
@pytest.mark.parametrize("b", SCORES)
def test_independent_cohorts_as_proc(a: str, b: str) -> None:
    found = compare(a, b)
    assert found.t == pytest.approx(R[f"unpaired_t.{a}.{b}"], abs=CLOSE)
    assert found.df == pytest.approx(R[f"unpaired_df.{a}.{b}"], rel=CLOSE)
    assert found.p == pytest.approx(R[f"unpaired_p.{a}.{b}"], abs=CLOSE)
    assert found.ci_low == pytest.approx(R[f"unpaired_low.{a}.{b}"], abs=CLOSE)
    assert found.ci_high == pytest.approx(R[f"unpaired_high.{a}.{b}"], abs=CLOSE)
    assert (found.method, found.n_a, found.n_b) == ("unpaired_delong", 70, 61)


@pytest.mark.parametrize("a", SCORES)
@pytest.mark.parametrize("b", SCORES)
def test_independent_cohorts_of_patients(a: str, b: str) -> None:
    found = compare(a, b, clustered=True)
    assert found.t == pytest.approx(R[f"clustered_unpaired_t.{a}.{b}"], abs=CLOSE)
    assert found.df == pytest.approx(R[f"clustered_unpaired_df.{a}.{b}"], rel=CLOSE)
    assert found.p == pytest.approx(R[f"clustered_unpaired_p.{a}.{b}"], abs=CLOSE)
    assert found.method == "clustered_unpaired_delong"


@pytest.mark.parametrize("score", SCORES)
def test_clustered_variance_is_obuchowskis(score: str) -> None:
    parts = stats.placements(Y == 1, CASES[score])
    variance = clustered_variance(Y == 1, parts.positive, parts.negative, check_groups(PATIENT, cases=len(Y)))
    assert variance == pytest.approx(R[f"clustered_variance.{score}"], rel=CLOSE)
    found = stats.auroc_delong(Y, CASES[score], patient=PATIENT)
    z = 1.959963984540054
    assert ((found.estimate - found.ci_low) / z) ** 2 == pytest.approx(variance, rel=CLOSE)


@pytest.mark.parametrize(("a", "b"), [("first", "second"), ("first", "ordinal"), ("ordinal", "second")])
def test_clustered_variance_of_a_paired_difference_is_obuchowskis(a: str, b: str) -> None:
    found = stats.delong_paired(Y, CASES[a], CASES[b], patient=PATIENT)
    expected = R[f"clustered_difference_variance.{a}.{b}"]
    assert (found.difference / found.z) ** 2 == pytest.approx(expected, rel=CLOSE)
    # Were the patients left out, the variance would be another one.
    assert (found.difference / stats.delong_paired(Y, CASES[a], CASES[b]).z) ** 2 != pytest.approx(
        expected, rel=0.01
    )


def test_swapping_the_cohorts_turns_the_sign() -> None:
    found = compare("first", "second", clustered=True)
    turned = delong_unpaired(
        *(Y[~IN_A], CASES["second"][~IN_A], Y[IN_A], CASES["first"][IN_A]),
        patient_a=PATIENT[~IN_A] + 100,
        patient_b=PATIENT[IN_A],
    )
    assert turned.difference == -found.difference
    assert (turned.t, turned.df, turned.p) == pytest.approx((-found.t, found.df, found.p), abs=1e-12)
    assert (turned.ci_low, turned.ci_high) == pytest.approx((-found.ci_high, -found.ci_low), abs=1e-12)


def test_confidence_widens_the_interval_and_leaves_the_test() -> None:
    narrow, wide = compare("first", "ordinal", confidence=0.9), compare("first", "ordinal", confidence=0.99)
    assert wide.ci_low < narrow.ci_low < narrow.ci_high < wide.ci_high
    assert (wide.t, wide.p) == (narrow.t, narrow.p)


def test_distinct_patients_are_plain() -> None:
    ids = {"patient_a": np.arange(70), "patient_b": np.array([f"B{i}" for i in range(61)], dtype=object)}
    found = delong_unpaired(Y[IN_A], CASES["first"][IN_A], Y[~IN_A], CASES["second"][~IN_A], **ids)
    plain = compare("first", "second")
    assert (found.method, found.n_a, found.n_b) == (plain.method, plain.n_a, plain.n_b)
    assert (found.t, found.df, found.ci_low) == pytest.approx((plain.t, plain.df, plain.ci_low), rel=1e-12)


def test_repeating_every_case_of_a_patient_adds_no_information() -> None:
    def twice(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        return np.repeat(values[chosen], 2)

    ids = np.arange(len(Y))
    found = delong_unpaired(
        *(twice(Y, IN_A), twice(CASES["first"], IN_A), twice(Y, ~IN_A), twice(CASES["second"], ~IN_A)),
        patient_a=twice(ids, IN_A),
        patient_b=twice(ids, ~IN_A),
    )
    plain = compare("first", "second")
    assert (found.t, found.df, found.p) == pytest.approx((plain.t, plain.df, plain.p), rel=1e-9)


def test_two_perfect_cohorts_are_not_sure_to_be_equal() -> None:
    y, small = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1])
    found = delong_unpaired(y, y.astype(float), small, small.astype(float))
    assert (found.difference, found.t, found.p, found.method) == (0.0, 0.0, 1.0, "newcombe_hybrid")
    low_a, _ = stats.newcombe_interval(1.0, positives=2, negatives=3)
    low_b, _ = stats.newcombe_interval(1.0, positives=2, negatives=2)
    # A perfect area can only be too high, so each end comes from one cohort.
    assert (found.ci_low, found.ci_high) == pytest.approx((low_a - 1.0, 1.0 - low_b), abs=1e-12)
    one = delong_unpaired(y, y.astype(float), Y, CASES["first"])
    assert one.method == "unpaired_delong"
    assert one.ci_low < one.difference < one.ci_high


BAD: dict[str, Callable[[], object]] = {
    "one_class": lambda: delong_unpaired(Y[Y == 1], CASES["first"][Y == 1], Y, CASES["first"]),
    "labels_not_binary": lambda: delong_unpaired(Y, CASES["first"], Y + 1, CASES["first"]),
    "lengths_differ": lambda: delong_unpaired(Y, CASES["first"], Y, CASES["first"][1:]),
    "scores_nan": lambda: delong_unpaired(Y, np.where(Y == 1, np.nan, 1.0), Y, CASES["first"]),
    "no_cases": lambda: delong_unpaired(Y[:0], CASES["first"][:0], Y, CASES["first"]),
    "too_few_cases": lambda: delong_unpaired(np.array([0, 0, 1]), np.arange(3.0), Y, CASES["first"]),
    "patients_shared": lambda: delong_unpaired(
        Y, CASES["first"], Y, CASES["second"], patient_a=PATIENT, patient_b=PATIENT + 52
    ),
    "patient_missing": lambda: delong_unpaired(
        Y, CASES["first"], Y, CASES["second"], patient_b=np.where(PATIENT == 2, np.nan, PATIENT)
    ),
    "no_variance": lambda: delong_unpaired(
        np.array([0, 0, 1, 1]), np.arange(4.0), np.array([0, 0, 1, 1]), np.zeros(4)
    ),
    "confidence_out_of_range": lambda: compare("first", "second", confidence=95.0),
}


@pytest.mark.parametrize("code", BAD)
def test_what_is_not_defined_is_an_error(code: str) -> None:
    with pytest.raises(StatsError) as caught:
        BAD[code]()
    assert caught.value.code == code


@pytest.mark.parametrize("kind", [str, object, float])
def test_shared_patients_are_found_by_their_name(kind: type) -> None:
    with pytest.raises(StatsError) as caught:
        delong_unpaired(
            Y, CASES["first"], Y, CASES["second"], patient_a=PATIENT.astype(kind), patient_b=PATIENT
        )
    assert caught.value.code == "patients_shared"
    assert "53 patient ids" in str(caught.value)


def test_stored_values_are_what_r_computes(tmp_path: Path) -> None:
    run_r(str(HERE / "comparisons.R"), str(HERE / "cases.csv"), str(tmp_path / "again.csv"))
    again = read_values(tmp_path / "again.csv")
    assert again.keys() == R.keys()
    for name, value in R.items():
        assert again[name] == pytest.approx(value, rel=1e-10, abs=1e-13), name
