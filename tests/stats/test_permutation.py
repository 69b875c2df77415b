"""Permutation tests: scipy's p over all arrangements, samples of arrangements, invariances, and what is not defined."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import permutation_test, rankdata

from dgccl.errors import StatsError
from dgccl.stats import auroc, delong_paired
from dgccl.stats import permutation as permutation_module
from dgccl.stats.permutation import permutation_test_paired, sign_flip_p
from dgccl.stats.permutation_groups import permutation_test_unpaired
from dgccl.stats.roc import in_mixed_strata, stratified_residuals

RNG = np.random.default_rng(77)
N = 60
Y = (RNG.random(N) < 0.4).astype(int)
A = np.round(RNG.normal(size=N) + Y, 1)  # one decimal: ties within and between the classes
B = np.round(RNG.normal(size=N) + 0.5 * Y, 1)
PATIENT = np.arange(N) // 2
STRATUM = PATIENT % 3
GROUP = np.where(PATIENT % 5 < 2, "one", "two")


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(StatsError) as caught:
        call()
    return caught.value.code


def pair_share(y: np.ndarray, score: np.ndarray) -> float:
    """The area by its definition, pair by pair."""
    gaps = score[y == 1][:, None] - score[y == 0]
    return float(np.mean((np.sign(gaps) + 1) / 2))


def small(seed: int, n: int = 7) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.append([0, 1], rng.integers(0, 2, n - 2))
    a, b = np.round(rng.normal(size=n) + y, 1), rng.integers(0, 4, n).astype(float)
    return y, a, b


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("ranks", [True, False])
def test_paired_is_scipys_over_all_arrangements(seed: int, ranks: bool) -> None:
    y, a, b = small(seed)
    both = (rankdata(a), rankdata(b)) if ranks else (a, b)

    def drop(u: np.ndarray, v: np.ndarray) -> float:
        return pair_share(y, u) - pair_share(y, v)

    expected = permutation_test(both, drop, permutation_type="samples", n_resamples=np.inf)
    found = permutation_test_paired(y, a, b, seed=0, ranks=ranks)
    assert found.difference == pytest.approx(expected.statistic, abs=1e-12)
    assert found.p == pytest.approx(expected.pvalue, abs=1e-12)
    assert (found.method, found.replicates, found.seed) == ("exact_paired_permutation", None, None)


@pytest.mark.parametrize("seed", range(4))
def test_paired_by_patient_is_scipys_with_patients_exchanged(seed: int) -> None:
    y, a, b = small(seed, n=18)
    patient = np.arange(18) % 6
    both = np.stack([rankdata(a), rankdata(b)])

    def drop(u: np.ndarray, v: np.ndarray) -> float:
        """u and v say for each patient which of both scores is in the place of the first and of the second."""
        cases = np.arange(18)
        return pair_share(y, both[u[patient], cases]) - pair_share(y, both[v[patient], cases])

    choice = (np.zeros(6, dtype=int), np.ones(6, dtype=int))
    expected = permutation_test(choice, drop, permutation_type="samples", n_resamples=np.inf)
    found = permutation_test_paired(y, a, b, seed=0, patient=patient)
    assert found.p == pytest.approx(expected.pvalue, abs=1e-12)
    assert found.method == "exact_clustered_paired_permutation"


def stratified_area(y: np.ndarray, score: np.ndarray, stratum: np.ndarray) -> float:
    used = in_mixed_strata(y == 1, stratum)
    return stratified_residuals(y[used] == 1, score[used], stratum[used]).auroc


DESIGNS: dict[str, dict[str, Any]] = {
    "cases": {},
    "patients": {"patient": np.arange(10) % 7},
    "strata": {"stratum": np.repeat([0, 1], [4, 6])},
    "patients_strata": {"patient": np.arange(10) // 2, "stratum": np.repeat([0, 1], [4, 6])},
}


@pytest.mark.parametrize("design", DESIGNS)
def test_sum_of_terms_is_the_area_computed_anew(design: str) -> None:
    y, a, b = small(11, n=10)
    options = {**DESIGNS[design], "seed": 0, "replicates": 2**9}
    found = permutation_test_paired(y, a, b, **options)
    plain = permutation_test_paired(
        y, a, b, statistic=stratified_area if "stratum" in options else auroc, **options
    )
    assert found.difference == pytest.approx(plain.difference, abs=1e-12)
    assert found.p == pytest.approx(plain.p, abs=1e-12)
    assert found.method == plain.method
    assert found.method.startswith("exact_")


@pytest.mark.parametrize("seed", range(5))
def test_distribution_of_random_signs(seed: int) -> None:
    steps = np.random.default_rng(seed).integers(1, 9, size=9)
    sums = np.array([abs(np.dot(signs, steps)) for signs in itertools.product((-1, 1), repeat=9)])
    for distance in np.unique(sums).tolist():
        assert sign_flip_p(steps, distance) == pytest.approx(float(np.mean(sums >= distance)), abs=1e-12)


def test_chance_is_never_zero() -> None:
    assert 0.0 < sign_flip_p(np.ones(2000, dtype=np.int64), 2000) < 1e-300


def test_sample_of_arrangements(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = permutation_test_paired(Y, A, B, patient=PATIENT, stratum=STRATUM, seed=0).p
    monkeypatch.setattr(permutation_module, "EXACT_STEPS", 0)
    found = permutation_test_paired(Y, A, B, patient=PATIENT, stratum=STRATUM, seed=0, replicates=9999)
    assert found.method == "clustered_stratified_paired_permutation"
    assert (found.replicates, found.seed) == (9999, 0)
    assert found.p == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 9999))
    assert found.p * 10000 == pytest.approx(round(found.p * 10000), abs=1e-9)
    # The arrangement that was found counts as one of them, so that p is never 0.
    clear = permutation_test_paired(Y, Y + A / 100, 1 - Y + B / 100, seed=0, replicates=99)
    assert clear.p == 0.01


def test_any_statistic_on_a_sample_of_arrangements() -> None:
    def mean_gap(y: np.ndarray, score: np.ndarray) -> float:
        return float(score[y == 1].mean() - score[y == 0].mean())

    # On ranks the gap of means is the area up to a factor; so are the differences, and the p.
    exact = permutation_test_paired(Y, A, B, seed=0).p
    found = permutation_test_paired(Y, A, B, statistic=mean_gap, seed=0, replicates=999)
    assert found.method == "paired_permutation"
    assert found.p == pytest.approx(exact, abs=0.1)
    order = np.random.default_rng(1).permutation(N)
    again = permutation_test_paired(Y[order], A[order], B[order], statistic=mean_gap, seed=0, replicates=999)
    assert again == found


def test_large_sample_is_near_paired_delong() -> None:
    rng = np.random.default_rng(4)
    y = (rng.random(3000) < 0.3).astype(int)
    patient = rng.integers(0, 1000, 3000)
    a = rng.normal(size=3000) + y
    b = a + rng.normal(size=3000)
    b = np.where(y == 1, b + 0.45, b)
    for ids in (None, patient):
        found = permutation_test_paired(y, a, b, patient=ids, seed=1, replicates=9999)
        expected = delong_paired(y, a, b, patient=ids).p
        assert 0.01 < expected < 0.9
        assert found.p == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("options", [{}, {"patient": PATIENT}, {"stratum": STRATUM}])
def test_paired_invariances(options: dict) -> None:
    one = permutation_test_paired(Y, A, B, seed=0, **options)
    assert one.method.startswith("exact_")
    order = np.random.default_rng(1).permutation(N)
    moved = {name: values[order] for name, values in options.items()}
    assert permutation_test_paired(Y[order], A[order], B[order], seed=5, **moved) == one
    assert permutation_test_paired(Y, np.exp(A), 3 * B - 7, seed=5, **options) == one
    mirrored = permutation_test_paired(1 - Y, -A, -B, seed=5, **options)
    assert (mirrored.difference, mirrored.p) == pytest.approx((one.difference, one.p), abs=1e-12)
    swapped = permutation_test_paired(Y, B, A, seed=5, **options)
    assert (swapped.difference, swapped.p) == pytest.approx((-one.difference, one.p), abs=1e-12)
    same = permutation_test_paired(Y, A, 2 * A, seed=5, **options)
    assert (same.difference, same.p) == (0.0, 1.0)


def test_strata_of_one_class_are_left_out() -> None:
    stratum = np.where(np.arange(N) < 5, 9, STRATUM)
    labels = np.where(stratum == 9, 0, Y)
    used = stratum != 9
    found = permutation_test_paired(labels, A, B, stratum=stratum, seed=1)
    assert found == permutation_test_paired(labels[used], A[used], B[used], stratum=stratum[used], seed=1)
    assert found.n == int(used.sum())


def test_repeating_every_case_of_a_patient_changes_nothing() -> None:
    one = permutation_test_paired(Y, A, B, patient=PATIENT, seed=0)
    y, a, b, patient = (np.tile(values, 2) for values in (Y, A, B, PATIENT))
    two = permutation_test_paired(y, a, b, patient=patient, seed=0)
    assert (two.difference, two.p) == pytest.approx((one.difference, one.p), abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_unpaired_within_classes_over_all_arrangements(seed: int) -> None:
    y, score, _ = small(seed, n=9)
    y[:4], group = [0, 1, 0, 1], np.append([0, 0, 1, 1], np.arange(5) % 3 // 2)

    def gap(member: np.ndarray) -> float:
        return pair_share(y[member], score[member]) - pair_share(y[~member], score[~member])

    parts = [np.flatnonzero(y == one) for one in (0, 1)]
    chosen = [itertools.combinations(part, int((group[part] == 0).sum())) for part in parts]
    gaps = [gap(np.isin(np.arange(9), [*one, *two])) for one, two in itertools.product(*chosen)]
    found = permutation_test_unpaired(y, score, group=group, seed=0)
    assert found.difference == pytest.approx(gap(group == 0), abs=1e-12)
    assert found.p == pytest.approx(np.mean(np.abs(gaps) >= abs(gap(group == 0)) - 1e-12), abs=1e-12)
    assert found.method == "exact_within_class_unpaired_permutation"
    plain = permutation_test_unpaired(y, score, group=group, seed=0, statistic=auroc)
    assert (plain.difference, plain.p) == pytest.approx((found.difference, found.p), abs=1e-12)


def test_unpaired_by_patient_is_scipys_with_patients_as_cases() -> None:
    rng = np.random.default_rng(12)
    y, patient = np.tile([0, 1, 1, 0], 8)[:27], np.repeat(np.arange(9), 3)  # every patient has both classes
    score, group = np.round(rng.normal(size=27) + y, 1), np.where(patient < 4, "a", "b")

    def area(patients: np.ndarray) -> float:
        cases = np.isin(patient, patients)
        return pair_share(y[cases], score[cases])

    expected = permutation_test(
        (np.arange(4), np.arange(4, 9)),
        lambda u, v: abs(area(u) - area(v)),
        permutation_type="independent",
        alternative="greater",
        n_resamples=np.inf,
    )
    found = permutation_test_unpaired(y, score, group=group, patient=patient, seed=0)
    assert found.p == pytest.approx(expected.pvalue, abs=1e-12)
    assert abs(found.difference) == pytest.approx(expected.statistic, abs=1e-12)
    assert (found.method, found.failed) == ("exact_clustered_unpaired_permutation", 0)


def test_unpaired_leaves_out_what_is_not_defined() -> None:
    """Only two of six patients have positive cases: an arrangement needs one in either group."""
    y = np.array([1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    patient, group = np.repeat(np.arange(6), 2), np.repeat([0, 1, 0, 1], [2, 2, 4, 4])
    score = np.random.default_rng(3).normal(size=12)
    found = permutation_test_unpaired(y, score, group=group, patient=patient, seed=0)
    assert found.failed == 8  # of the 20 choices of 3 patients, 4 have both and 4 have none
    plain = permutation_test_unpaired(y, score, group=group, patient=patient, seed=0, statistic=auroc)
    assert (plain.p, plain.failed) == (pytest.approx(found.p, abs=1e-12), 8)
    assert 12 * found.p == pytest.approx(round(12 * found.p), abs=1e-9)


@pytest.mark.parametrize("patient", [None, PATIENT])
def test_unpaired_sample_of_arrangements(patient: np.ndarray | None) -> None:
    found = permutation_test_unpaired(Y, A, group=GROUP, patient=patient, seed=2, replicates=199)
    assert found.method == ("within_class_" if patient is None else "clustered_") + "unpaired_permutation"
    plain = permutation_test_unpaired(
        Y, A, group=GROUP, patient=patient, seed=2, replicates=199, statistic=auroc
    )
    assert plain.p == found.p
    order = np.random.default_rng(1).permutation(N)
    moved = None if patient is None else patient[order]
    again = permutation_test_unpaired(
        Y[order], np.exp(A[order]), group=GROUP[order], patient=moved, seed=2, replicates=199
    )
    assert again == found
    expected = auroc(Y[GROUP == "one"], A[GROUP == "one"]) - auroc(Y[GROUP == "two"], A[GROUP == "two"])
    assert found.difference == pytest.approx(expected, abs=1e-12)


def test_unpaired_clear_difference() -> None:
    score = np.where(GROUP == "one", Y, 1 - Y) + A / 100
    found = permutation_test_unpaired(Y, score, group=GROUP, seed=0, replicates=199)
    assert (found.difference, found.p) == (2.0 - 1.0, 0.005)


def test_patients_of_one_class_are_exchanged_within_it() -> None:
    y = np.repeat(np.arange(20) % 2, 2)
    found = permutation_test_unpaired(
        y, A[:40], group=np.repeat(np.arange(20) // 2 % 2, 2), patient=np.repeat(np.arange(20), 2), seed=0
    )
    assert found.method == "clustered_within_class_unpaired_permutation"


def test_bad_designs_are_errors() -> None:
    assert code_of(lambda: permutation_test_paired(Y, A, B, seed=-1)) == "seed_invalid"
    assert code_of(lambda: permutation_test_paired(Y, A, B, seed=1, replicates=0)) == "too_few_replicates"
    assert code_of(lambda: permutation_test_paired(Y, A, B, seed=1, patient=PATIENT[1:])) == "lengths_differ"
    crossed = np.arange(N) % 2
    assert (
        code_of(lambda: permutation_test_paired(Y, A, B, seed=1, patient=PATIENT, stratum=crossed))
        == "mixed_clusters"
    )
    not_finite = {"statistic": lambda y, s: float("inf"), "seed": 1}
    assert code_of(lambda: permutation_test_paired(Y, A, B, **not_finite)) == "statistic_not_finite"
    assert (
        code_of(lambda: permutation_test_unpaired(Y, A, group=GROUP, **not_finite)) == "statistic_not_finite"
    )

    def unpaired(group: np.ndarray, **options: Any) -> str:
        return code_of(lambda: permutation_test_unpaired(Y, A, group=group, seed=1, **options))

    assert unpaired(PATIENT % 3) == "not_two_groups"
    assert unpaired(np.zeros(N)) == "not_two_groups"
    assert unpaired(Y) == "one_class"
    assert unpaired(crossed, patient=PATIENT) == "mixed_clusters"
    assert unpaired(GROUP[1:]) == "lengths_differ"
    assert unpaired(np.where(PATIENT == 2, np.nan, PATIENT)) == "group_missing"


NAN = np.where(np.arange(N) == 3, np.nan, A)
BAD = {
    "one_class": (np.ones(N, int), A),
    "no_cases": (np.array([], int), np.array([])),
    "labels_not_binary": (Y + 1, A),
    "scores_nan": (Y, NAN),
    "lengths_differ": (Y, A[:-1]),
    "not_one_dimensional": (Y[:, None], A),
    "scores_not_numbers": (Y, A.astype(str)),
}


@pytest.mark.parametrize("code", BAD)
def test_bad_cases_are_errors(code: str) -> None:
    y, score = BAD[code]
    assert code_of(lambda: permutation_test_paired(y, score, np.zeros(len(y)), seed=1)) == code
    assert code_of(lambda: permutation_test_paired(y, np.zeros(len(y)), score, seed=1)) == code
    assert code_of(lambda: permutation_test_unpaired(y, score, group=GROUP[: len(y)], seed=1)) == code
