"""Bootstrap: scipy's interval from the same draws, the fast path against the plain one, and what is not defined."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats as scipy_stats

from dgccl.errors import StatsError
from dgccl.stats import Estimate, auroc, auroc_delong
from dgccl.stats import resample as resample_module
from dgccl.stats.bootstrap import BootstrapEstimate, BootstrapMethod, bca_ends, bootstrap_interval
from dgccl.stats.bootstrap_auroc import auroc_bootstrap, auroc_difference_bootstrap
from dgccl.stats.newcombe import newcombe_interval
from dgccl.stats.roc import in_mixed_strata, stratified_residuals

RNG = np.random.default_rng(77)
N = 60
Y = (RNG.random(N) < 0.4).astype(int)
A = np.round(RNG.normal(size=N) + Y, 1)  # one decimal: ties within and between the classes
B = np.round(RNG.normal(size=N) + 0.5 * Y, 1)
PATIENT = np.arange(N) % 25  # of two or three lesions, most of both classes
STRATUM = PATIENT % 3
METHODS: tuple[BootstrapMethod, ...] = ("percentile", "bca")
SCIPY = {"percentile": "percentile", "bca": "BCa"}


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(StatsError) as caught:
        call()
    return caught.value.code


def ends(found: Estimate) -> tuple[float, float]:
    return found.ci_low, found.ci_high


def scipy_ends(samples: tuple, statistic: Callable, method: str, *, seed: int, paired: bool = False) -> tuple:
    """One resample at a time, so that scipy takes the numbers from the generator in our order."""
    interval = scipy_stats.bootstrap(
        samples,
        statistic,
        paired=paired,
        vectorized=False,
        n_resamples=99,
        batch=1,
        method=SCIPY[method],
        confidence_level=0.8,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return interval.low, interval.high


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "statistic", [np.mean, np.std, lambda v: np.quantile(v, 0.8)], ids=["mean", "sd", "q"]
)
def test_one_sample_is_scipys(method: BootstrapMethod, statistic: Callable) -> None:
    values = np.random.default_rng(3).gamma(1.5, size=31)
    found = bootstrap_interval(statistic, [values], method=method, confidence=0.8, replicates=99, seed=5)
    expected = scipy_ends((np.sort(values),), statistic, method, seed=5)
    assert ends(found) == pytest.approx(expected, abs=1e-12)
    assert found.estimate == pytest.approx(float(statistic(values)), abs=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_independent_cases_are_scipys(method: BootstrapMethod) -> None:
    order = np.lexsort((A, Y))
    expected = scipy_ends((Y[order], A[order]), auroc, method, seed=8, paired=True)
    found = auroc_bootstrap(Y, A, method=method, confidence=0.8, replicates=99, seed=8)
    assert ends(found) == pytest.approx(expected, abs=1e-12)
    assert (found.replicates, found.failed, found.seed, found.n) == (99, 0, 8, N)


@pytest.mark.parametrize("method", METHODS)
def test_within_classes_is_scipys_of_two_samples(method: BootstrapMethod) -> None:
    def area(negative: np.ndarray, positive: np.ndarray) -> float:
        labels = np.repeat([0, 1], [len(negative), len(positive)])
        return auroc(labels, np.concatenate([negative, positive]))

    expected = scipy_ends((np.sort(A[Y == 0]), np.sort(A[Y == 1])), area, method, seed=9)
    found = auroc_bootstrap(Y, A, method=method, confidence=0.8, replicates=99, seed=9, by_class=True)
    assert ends(found) == pytest.approx(expected, abs=1e-12)
    assert found.method == f"within_class_{method}_bootstrap"


@pytest.mark.parametrize("method", METHODS)
def test_patients_are_scipys_with_patients_as_cases(method: BootstrapMethod) -> None:
    lists = [np.flatnonzero(one == PATIENT) for one in range(25)]

    def difference(drawn: np.ndarray) -> float:
        cases = np.concatenate([lists[one] for one in drawn])
        return auroc(Y[cases], A[cases]) - auroc(Y[cases], B[cases])

    expected = scipy_ends((np.arange(len(lists)),), difference, method, seed=10)
    found = auroc_difference_bootstrap(
        Y, A, B, patient=PATIENT, method=method, confidence=0.8, replicates=99, seed=10
    )
    assert ends(found) == pytest.approx(expected, abs=1e-12)
    assert found.method == f"clustered_paired_{method}_bootstrap"


def stratified_area(y: np.ndarray, score: np.ndarray, stratum: np.ndarray) -> float:
    used = in_mixed_strata(y == 1, stratum)
    return stratified_residuals(y[used] == 1, score[used], stratum[used]).auroc


DESIGNS: dict[str, dict[str, Any]] = {
    "cases": {},
    "within_class": {"by_class": True},
    "patients": {"patient": PATIENT},
    "strata": {"stratum": STRATUM},
    "strata_within_class": {"stratum": STRATUM, "by_class": True},
    "patients_strata": {"patient": PATIENT, "stratum": STRATUM},
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("design", DESIGNS)
def test_fast_path_is_the_plain_one_on_the_same_draws(design: str, method: BootstrapMethod) -> None:
    options = {**DESIGNS[design], "method": method, "confidence": 0.8, "replicates": 60, "seed": 4}
    stratum = options.get("stratum", np.zeros(N, dtype=np.int64))
    one = auroc_bootstrap(Y, A, **options)
    plain = bootstrap_interval(stratified_area, [Y, A, stratum], **options)
    assert (one.estimate, *ends(one)) == pytest.approx((plain.estimate, *ends(plain)), abs=1e-12)
    assert (one.failed, one.method, one.n) == (plain.failed, plain.method, plain.n)

    def drop(y: np.ndarray, a: np.ndarray, b: np.ndarray, g: np.ndarray) -> float:
        return stratified_area(y, a, g) - stratified_area(y, b, g)

    two = auroc_difference_bootstrap(Y, A, B, **options)
    plain = bootstrap_interval(drop, [Y, A, B, stratum], **options)
    assert (two.estimate, *ends(two)) == pytest.approx((plain.estimate, *ends(plain)), abs=1e-12)
    assert two.estimate == pytest.approx(one.estimate - stratified_area(Y, B, stratum), abs=1e-12)


def test_strata_of_one_class_are_left_out() -> None:
    stratum = np.where(np.arange(N) < 5, 9, STRATUM)
    labels = np.where(stratum == 9, 0, Y)
    used = stratum != 9
    found = auroc_bootstrap(labels, A, stratum=stratum, seed=1)
    expected = auroc_bootstrap(labels[used], A[used], stratum=stratum[used], seed=1)
    assert found == expected
    assert found.n == int(used.sum())


def test_undefined_replicates_are_counted_and_left_out() -> None:
    labels = np.repeat([0, 1], [45, 5])  # no positive case is drawn in 0.5 % of the replicates
    found = auroc_bootstrap(labels, np.arange(50) % 17, replicates=300, seed=2)
    plain = bootstrap_interval(auroc, [labels, np.arange(50.0) % 17], replicates=300, seed=2)
    assert found == plain
    assert 0 < found.failed <= 3
    few = np.repeat([0, 1], [47, 3])
    assert code_of(lambda: auroc_bootstrap(few, np.arange(50) % 17, seed=2)) == "too_many_failed_replicates"
    assert auroc_bootstrap(few, np.arange(50) % 17, seed=2, by_class=True).failed == 0


@pytest.mark.parametrize("design", DESIGNS)
def test_order_of_cases_and_scale_of_scores_do_not_matter(design: str) -> None:
    options = DESIGNS[design]
    order = np.random.default_rng(1).permutation(N)
    moved = {k: v[order] if isinstance(v, np.ndarray) else v for k, v in options.items()}
    for method in METHODS:
        one = auroc_bootstrap(Y, A, method=method, replicates=200, seed=3, **options)
        again = auroc_bootstrap(Y[order], np.exp(A[order]), method=method, replicates=200, seed=3, **moved)
        assert again == one
        two = auroc_difference_bootstrap(Y, A, B, method=method, replicates=200, seed=3, **options)
        again = auroc_difference_bootstrap(
            Y[order], A[order] ** 3, B[order] - 7, method=method, replicates=200, seed=3, **moved
        )
        assert again == two


def test_patients_of_one_case_are_no_patients() -> None:
    ids = np.random.default_rng(5).permutation(N)
    assert auroc_bootstrap(Y, A, patient=ids, method="bca", seed=3) == auroc_bootstrap(
        Y, A, method="bca", seed=3
    )


@pytest.mark.parametrize("method", METHODS)
def test_repeating_every_case_of_a_patient_changes_nothing(method: BootstrapMethod) -> None:
    one = auroc_difference_bootstrap(Y, A, B, patient=PATIENT, method=method, seed=3)
    y, a, b, patient = (np.tile(values, 2) for values in (Y, A, B, PATIENT))
    two = auroc_difference_bootstrap(y, a, b, patient=patient, method=method, seed=3)
    assert replace(two, n=N) == one


@pytest.mark.parametrize("method", METHODS)
def test_swapping_labels_and_sign_with_patients(method: BootstrapMethod) -> None:
    one = auroc_bootstrap(Y, A, patient=PATIENT, method=method, seed=3)
    assert auroc_bootstrap(1 - Y, -A, patient=PATIENT, method=method, seed=3) == one


def test_draws_do_not_depend_on_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    one = [auroc_bootstrap(Y, A, replicates=300, seed=3, **design) for design in DESIGNS.values()]
    monkeypatch.setattr(resample_module, "CELLS", 7 * N)
    assert [auroc_bootstrap(Y, A, replicates=300, seed=3, **design) for design in DESIGNS.values()] == one


@pytest.mark.parametrize("clustered", [False, True])
def test_width_is_delongs_in_large_samples(clustered: bool) -> None:
    """Each patient's scores share an effect, so that drawing cases would give two thirds of the width."""
    rng = np.random.default_rng(6)
    patient = np.repeat(np.arange(500), 4)
    y = np.repeat((rng.random(500) < 0.4).astype(int), 4)
    score = rng.normal(size=500)[patient] + rng.normal(size=2000) + y
    ids = patient if clustered else None
    found = auroc_bootstrap(y, score, patient=ids, replicates=4000, seed=1)
    expected = auroc_delong(y, score, patient=ids)
    # The width of 4,000 replicates has a standard error of 1.7 %.
    assert found.ci_high - found.ci_low == pytest.approx(expected.ci_high - expected.ci_low, rel=0.06)


def test_scores_without_variance() -> None:
    perfect, constant = Y.astype(float), np.zeros(N)
    found = auroc_bootstrap(Y, perfect, patient=PATIENT, seed=1)
    assert isinstance(found, BootstrapEstimate)
    assert (found.estimate, found.ci_high, found.method) == (1.0, 1.0, "newcombe_score")
    patients = [len(np.unique(PATIENT[one == Y])) for one in (1, 0)]
    assert ends(found) == newcombe_interval(1.0, positives=patients[0], negatives=patients[1])
    assert auroc_bootstrap(Y, constant, method="bca", seed=1).method == "newcombe_score"
    same = auroc_difference_bootstrap(Y, A, 2 * A, method="bca", seed=1)
    assert (same.estimate, *ends(same)) == (0.0, 0.0, 0.0)
    assert code_of(lambda: auroc_difference_bootstrap(Y, perfect, constant, seed=1)) == "no_variance"
    assert code_of(lambda: bootstrap_interval(auroc, [Y, perfect], seed=1, replicates=50)) == "no_variance"


def test_two_dimensional_arrays() -> None:
    table = np.column_stack([A, B])
    rows = bootstrap_interval(lambda y, t: auroc(y, t[:, 0] + t[:, 1]), [Y, table], seed=2, replicates=200)
    columns = bootstrap_interval(lambda y, a, b: auroc(y, a + b), [Y, A, B], seed=2, replicates=200)
    assert rows == columns


def test_bca_that_is_not_defined() -> None:
    draws, influence = np.linspace(0.2, 0.8, 2001), np.array([-0.1, 0.02, 0.08])
    assert code_of(lambda: bca_ends(draws, 0.9, influence, confidence=0.95)) == "bca_undefined"
    assert code_of(lambda: bca_ends(draws, 0.5, np.zeros(3), confidence=0.95)) == "bca_undefined"
    steep = np.array([10.0, *[-0.1] * 100])  # an acceleration near 1 / 6
    assert code_of(lambda: bca_ends(draws, 0.7999, steep, confidence=0.9999999)) == "bca_undefined"
    assert code_of(lambda: bca_ends(draws, 0.3, influence, confidence=0.999)) == "too_few_replicates"

    def all_needed(values: np.ndarray) -> float:
        if len(values) < N:
            raise StatsError("too_few_cases", "All cases are needed.")
        return float(np.mean(values))

    assert bootstrap_interval(all_needed, [A], seed=1).failed == 0
    assert code_of(lambda: bootstrap_interval(all_needed, [A], seed=1, method="bca")) == "bca_undefined"


def test_bad_designs_are_errors() -> None:
    plain: dict[str, Any] = {"seed": 1}
    assert code_of(lambda: auroc_bootstrap(Y, A, patient=PATIENT, by_class=True, **plain)) == "mixed_clusters"
    assert code_of(lambda: auroc_bootstrap(Y, A, patient=PATIENT, stratum=Y, **plain)) == "one_class"
    crossed = np.arange(N) % 2
    assert (
        code_of(lambda: auroc_bootstrap(Y, A, patient=PATIENT, stratum=crossed, **plain)) == "mixed_clusters"
    )
    assert code_of(lambda: auroc_bootstrap(Y, A, seed=-1)) == "seed_invalid"
    assert code_of(lambda: auroc_bootstrap(Y, A, seed=1, replicates=38)) == "too_few_replicates"
    assert auroc_bootstrap(Y, A, seed=1, replicates=39).replicates == 39
    assert code_of(lambda: auroc_bootstrap(Y, A, seed=1, confidence=1.0)) == "confidence_out_of_range"
    assert code_of(lambda: auroc_bootstrap(np.array([1, 0, 0]), np.arange(3.0), seed=1)) == "too_few_cases"
    one_patient = np.where(Y == 1, 99, np.arange(N))
    assert code_of(lambda: auroc_bootstrap(Y, A, patient=one_patient, seed=1)) == "too_few_cases"
    assert code_of(lambda: auroc_bootstrap(Y, A, patient=PATIENT[1:], seed=1)) == "lengths_differ"


def test_bad_arrays_and_statistics_are_errors() -> None:
    def call(arrays: list, statistic: Callable = np.mean, **options: Any) -> str:
        return code_of(lambda: bootstrap_interval(statistic, arrays, seed=1, **options))

    assert call([]) == "no_cases"
    assert call([np.array([])]) == "no_cases"
    assert call([A, B[1:]], auroc) == "lengths_differ"
    assert call([np.array([None] * N, dtype=object)]) == "arrays_not_plain"
    assert call([A[:1]]) == "too_few_cases"
    assert call([A], lambda v: float("nan")) == "statistic_not_finite"
    assert call([np.full(N, 0.1)]) == "no_variance"
    assert call([np.zeros(N, dtype=int), A], auroc) == "one_class"
    assert call([Y, A], auroc, stratum=PATIENT[1:]) == "lengths_differ"


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
    assert code_of(lambda: auroc_bootstrap(y, score, seed=1)) == code
    assert code_of(lambda: auroc_difference_bootstrap(y, score, np.zeros(len(y)), seed=1)) == code
    assert code_of(lambda: auroc_difference_bootstrap(y, np.zeros(len(y)), score, seed=1)) == code
