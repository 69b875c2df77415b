"""Measures of a binary test against R, statsmodels, scikit-learn and published examples; what is not defined."""

import csv
import math
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from dgccl.errors import StatsError
from dgccl.stats.class_measures import diagnostic_measures_by_class, f1_macro, mcc_multiclass
from dgccl.stats.estimate import Estimate
from dgccl.stats.measures import DiagnosticMeasures, diagnostic_measures, measures_of_counts
from dgccl.stats.proportion import clopper_pearson_interval, wilson_interval
from dgccl.stats.ratio import koopman_interval
from dgccl.stats.threshold import sensitivity_specificity_at

from ..r_script import run_r

sm = pytest.importorskip("statsmodels.stats.proportion", reason="statsmodels is not installed")

Method = Literal["wilson", "clopper_pearson"]
METHODS: tuple[Method, ...] = ("wilson", "clopper_pearson")
HERE = Path(__file__).parent / "reference"
THRESHOLDS = {"first": 0.4, "second": 0.25, "ordinal": 2.5, "reverse": -0.85}
Z = 1.959963984540054
CLOSE = 1e-8


def read_values(path: Path) -> dict[str, float]:
    with path.open(encoding="utf-8", newline="") as file:
        return {row["quantity"]: float(row["value"]) for row in csv.DictReader(file)}


CASES = np.genfromtxt(HERE / "cases.csv", delimiter=",", names=True)
R = read_values(HERE / "measures.csv")
Y = CASES["y_true"].astype(int)


def table(tp: int, fp: int, fn: int, tn: int) -> tuple[np.ndarray, np.ndarray]:
    return np.repeat([1, 0, 1, 0], [tp, fp, fn, tn]), np.repeat([1.0, 1.0, 0.0, 0.0], [tp, fp, fn, tn])


def ends(found: Estimate | None) -> tuple[float, float]:
    assert found is not None
    return found.ci_low, found.ci_high


def value(found: Estimate | None) -> float:
    assert found is not None
    return found.estimate


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("score", THRESHOLDS)
def test_r_gives_the_same(score: str, method: Method) -> None:
    found = diagnostic_measures(Y, CASES[score], threshold=THRESHOLDS[score], method=method)
    for name in ("tp", "fp", "fn", "tn"):
        assert getattr(found, name) == R[f"{name}.{score}"]
    for name in ("sensitivity", "specificity", "ppv", "npv", "accuracy", "prevalence"):
        figure = getattr(found, name)
        assert figure.method == method
        if name != "prevalence":
            assert figure.estimate == pytest.approx(R[f"{name}.{score}"], abs=CLOSE)
        r_ends = [R[f"{name}_{method}_{end}.{score}"] for end in ("low", "high")]
        assert ends(figure) == pytest.approx(r_ends, abs=CLOSE)
    assert value(found.mcc) == pytest.approx(R[f"mcc.{score}"], abs=CLOSE)
    low, high = (R[f"jaccard_{method}_{end}.{score}"] for end in ("low", "high"))
    assert ends(found.f1) == pytest.approx([2 * low / (1 + low), 2 * high / (1 + high)], abs=CLOSE)
    assert found.f1.method == f"indirect_{method}"


def test_stored_values_are_what_r_computes(tmp_path: Path) -> None:
    arguments = [str(HERE / "measures.R"), str(HERE / "cases.csv"), str(tmp_path / "again.csv")]
    run_r(*arguments)
    again = read_values(tmp_path / "again.csv")
    assert again.keys() == R.keys()
    for name, stored in R.items():
        assert again[name] == pytest.approx(stored, rel=1e-12, abs=1e-14), name


@pytest.mark.parametrize("score", THRESHOLDS)
def test_scikit_learn_gives_the_same(score: str) -> None:
    called = CASES[score] >= THRESHOLDS[score]
    found = diagnostic_measures(Y, CASES[score], threshold=THRESHOLDS[score])
    assert found.f1.estimate == pytest.approx(metrics.f1_score(Y, called), abs=1e-12)
    assert value(found.mcc) == pytest.approx(metrics.matthews_corrcoef(Y, called), abs=1e-12)
    theirs = metrics.balanced_accuracy_score(Y, called)
    assert found.balanced_accuracy.estimate == pytest.approx(theirs, abs=1e-12)
    ratios = metrics.class_likelihood_ratios(Y, called)
    assert (value(found.lr_positive), value(found.lr_negative)) == pytest.approx(ratios, abs=1e-12)


def test_operating_point_is_that_of_its_own_function() -> None:
    limits = np.where(np.arange(len(Y)) % 2 == 0, 0.4, 1.1)
    for method in METHODS:
        point = sensitivity_specificity_at(Y, CASES["first"], threshold=limits, confidence=0.9, method=method)
        found = diagnostic_measures(Y, CASES["first"], threshold=limits, confidence=0.9, method=method)
        for name in ("tp", "fp", "fn", "tn", "sensitivity", "specificity"):
            assert getattr(found, name) == getattr(point, name)
        counts = {name: getattr(found, name) for name in ("tp", "fp", "fn", "tn")}
        assert measures_of_counts(**counts, confidence=0.9, method=method) == found
        figures = [one for one in vars(found).values() if isinstance(one, Estimate)]
        assert len(figures) == 11
        assert {one.confidence for one in figures} == {0.9}


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 60), st.integers(1, 60), st.data(), st.sampled_from([0.8, 0.95, 0.99]))
def test_balanced_accuracy_is_newcombes_hybrid(n: int, m: int, data: st.DataObject, level: float) -> None:
    tp, fp = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))
    found = measures_of_counts(tp=tp, fp=fp, fn=n - tp, tn=m - fp, confidence=level).balanced_accuracy
    theirs = sm.confint_proportions_2indep(tp, n, fp, m, method="newcomb", compare="diff", alpha=1 - level)
    assert ends(found) == pytest.approx([(1 + end) / 2 for end in theirs], abs=1e-12)
    assert 0.0 <= found.ci_low <= found.estimate <= found.ci_high <= 1.0


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 200), st.integers(1, 200), st.data(), st.sampled_from([0.8, 0.95, 0.999]))
def test_koopman_ends_have_the_score_statistic(n: int, m: int, data: st.DataObject, level: float) -> None:
    a, b = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))
    if a == b == 0:
        return
    found = koopman_interval((a, b), (n, m), confidence=level)
    assert found.estimate == (pytest.approx(a / n / (b / m)) if b else math.inf)
    assert 0.0 <= found.ci_low <= found.estimate <= found.ci_high
    assert (found.ci_low == 0.0, math.isinf(found.ci_high)) == (a == 0, b == 0)
    assert math.isfinite(found.ci_low)
    for end, sign in ((found.ci_low, 1.0), (found.ci_high, -1.0)):
        if 0.0 < end < math.inf:
            statistic, p = sm.score_test_proportions_2indep(
                a, n, b, m, value=end, compare="ratio", correction=False, return_results=False
            )
            assert p == pytest.approx(1 - level, rel=1e-6)
            assert statistic * sign > 0
    inverse = koopman_interval((b, a), (m, n), confidence=level)
    assert inverse.ci_low == pytest.approx(1 / found.ci_high if b else 0.0, rel=1e-12)


@pytest.mark.parametrize("counts", [(5, 10, 3, 20), (1, 31, 7, 9), (120, 300, 17, 900), (5, 10, 0, 20)])
def test_koopman_is_statsmodels(counts: tuple[int, int, int, int]) -> None:
    a, n, b, m = counts
    with np.errstate(divide="ignore"):
        theirs = sm.confint_proportions_2indep(*counts, compare="ratio", method="score", correction=False)
    assert ends(koopman_interval((a, b), (n, m))) == pytest.approx(theirs, rel=1e-9)


def test_koopmans_own_example() -> None:
    found = koopman_interval((36, 16), (40, 80))
    assert (found.estimate, *ends(found)) == pytest.approx((4.5, 2.94, 7.15), abs=0.01)


@pytest.mark.parametrize("n", [1, 12, 100_000])
def test_koopman_where_all_succeed(n: int) -> None:
    """The score statistic then is sqrt(n (1 - ratio) / ratio), solved by hand."""
    assert koopman_interval((n, 7), (n, 7)).ci_low == pytest.approx(n / (n + Z**2), rel=1e-12)
    assert koopman_interval((7, n), (7, n)).ci_high == pytest.approx(1 + Z**2 / n, rel=1e-12)


@pytest.mark.parametrize(
    ("successes", "trials", "code"),
    [
        ((0, 0), (3, 4), "ratio_not_defined"),
        ((1, 0), (1, 0), "no_trials"),
        ((3, 0), (2, 4), "counts_invalid"),
    ],
)
def test_ratios_that_are_not(successes: tuple[int, int], trials: tuple[int, int], code: str) -> None:
    with pytest.raises(StatsError) as caught:
        koopman_interval(successes, trials)
    assert caught.value.code == code


def test_likelihood_ratios_are_of_the_two_rates() -> None:
    found = measures_of_counts(tp=8, fp=3, fn=2, tn=17)
    assert found.lr_positive == koopman_interval((8, 3), (10, 20))
    assert found.lr_negative == koopman_interval((2, 17), (10, 20))
    perfect = measures_of_counts(tp=10, fp=0, fn=0, tn=20)
    assert (value(perfect.lr_positive), value(perfect.lr_negative)) == (math.inf, 0.0)
    assert 1.0 < ends(perfect.lr_positive)[0] < math.inf
    assert 0.0 < ends(perfect.lr_negative)[1] < 1.0


def test_predictive_values_at_a_prevalence() -> None:
    """Breast cancer signature of van de Vijver et al. (2002), a case-control study, as CIfinder's page gives it."""
    found = measures_of_counts(tp=31, fp=12, fn=3, tn=32, prevalence=0.07)
    assert value(found.ppv) == pytest.approx(0.2010444, abs=1e-7)
    assert value(found.npv) == pytest.approx(0.9909508, abs=1e-7)
    # Mercaldo's logit interval there; the score interval is another one, close by.
    assert ends(found.ppv) == pytest.approx((0.1331384, 0.2919216), abs=0.01)
    assert ends(found.npv) == pytest.approx((0.9734141, 0.9969560), abs=0.003)
    assert found.assumed_prevalence == 0.07
    cohort = measures_of_counts(tp=31, fp=12, fn=3, tn=32)
    assert (cohort.assumed_prevalence, cohort.prevalence) == (None, found.prevalence)
    assert (cohort.accuracy, cohort.f1, cohort.mcc) == (found.accuracy, found.f1, found.mcc)
    same = measures_of_counts(tp=31, fp=12, fn=3, tn=32, prevalence=34 / 78)
    assert value(same.ppv) == pytest.approx(value(cohort.ppv), abs=1e-12)
    assert value(same.npv) == pytest.approx(value(cohort.npv), abs=1e-12)


def test_predictive_values_approach_mercaldos_logit_interval() -> None:
    k, p = 100_000, 0.07
    se, sp, n1, n0 = 31 / 34, 32 / 44, 34 * k, 44 * k
    found = measures_of_counts(tp=31 * k, fp=12 * k, fn=3 * k, tn=32 * k, prevalence=p)
    logits = {
        "ppv": (math.log(se * p / ((1 - sp) * (1 - p))), (1 - se) / se / n1 + sp / (1 - sp) / n0),
        "npv": (math.log(sp * (1 - p) / ((1 - se) * p)), se / (1 - se) / n1 + (1 - sp) / sp / n0),
    }
    for name, (center, variance) in logits.items():
        figure = getattr(found, name)
        width = figure.ci_high - figure.ci_low
        for end, sign in ((figure.ci_low, -1), (figure.ci_high, 1)):
            theirs = 1 / (1 + math.exp(-center - sign * Z * math.sqrt(variance)))
            assert end == pytest.approx(theirs, abs=0.005 * width)


@pytest.mark.parametrize("prevalence", [0.0, 1.0, 10.0, -0.1, float("nan")])
def test_prevalence_out_of_range(prevalence: float) -> None:
    with pytest.raises(StatsError) as caught:
        diagnostic_measures(Y, CASES["first"], threshold=0.4, prevalence=prevalence)
    assert caught.value.code == "prevalence_out_of_range"


def mcc_of(shares: np.ndarray) -> float:
    tp, fp, fn, tn = shares
    return float((tp * tn - fp * fn) / np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)))


@pytest.mark.parametrize(
    "counts", [(31, 12, 3, 32), (5, 40, 2, 300), (4, 6, 6, 9), (2, 30, 25, 3), (1, 1, 1, 90)]
)
def test_mcc_interval_is_the_delta_method(counts: tuple[int, int, int, int]) -> None:
    """Fisher's z of the correlation, its variance by numerical derivatives over the multinomial counts."""
    n = sum(counts)
    shares, step = np.array(counts) / n, 1e-6
    slopes = np.array([
        (np.arctanh(mcc_of(shares + step * one)) - np.arctanh(mcc_of(shares - step * one))) / (2 * step)
        for one in np.eye(4)
    ])  # fmt: skip
    variance = (slopes**2 @ shares - (slopes @ shares) ** 2) / n
    found = measures_of_counts(**dict(zip(("tp", "fp", "fn", "tn"), counts, strict=True))).mcc
    center = np.arctanh(mcc_of(shares))
    theirs = np.tanh([center - Z * np.sqrt(variance), center + Z * np.sqrt(variance)])
    assert found is not None
    assert found.method == "fisher_z_delta"
    np.testing.assert_allclose(ends(found), theirs, rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_mcc_of_perfect_calls_still_has_an_interval(method: Method) -> None:
    found = measures_of_counts(tp=10, fp=0, fn=0, tn=30, method=method).mcc
    wrong = measures_of_counts(tp=0, fp=10, fn=30, tn=0, method=method).mcc
    assert found is not None
    assert wrong is not None
    assert (found.estimate, found.ci_high, found.method) == (1.0, 1.0, f"mover_{method}")
    interval = wilson_interval if method == "wilson" else clopper_pearson_interval
    positive, negative = interval(10, 10).ci_low, interval(30, 30).ci_low
    # The correlations where one class alone is not all right, by their definition
    one = mcc_of(np.array([0.25 * positive, 0.0, 0.25 * (1 - positive), 0.75]))
    other = mcc_of(np.array([0.25, 0.75 * (1 - negative), 0.0, 0.75 * negative]))
    assert found.ci_low == pytest.approx(1 - math.hypot(1 - one, 1 - other), abs=1e-12)
    # Turning every call around turns the sign.
    turned = measures_of_counts(tp=30, fp=0, fn=0, tn=10, method=method).mcc
    assert turned is not None
    assert (wrong.estimate, *ends(wrong)) == pytest.approx((-1.0, -1.0, -turned.ci_low), abs=1e-12)


@pytest.mark.parametrize("prevalence", [None, 0.1])
def test_what_no_call_defines_is_none(prevalence: float | None) -> None:
    y, score = table(3, 2, 4, 5)
    nobody = diagnostic_measures(y, score, threshold=2.0, prevalence=prevalence)
    assert (nobody.ppv, nobody.lr_positive, nobody.mcc) == (None, None, None)
    assert value(nobody.npv) == pytest.approx(7 / 14 if prevalence is None else 0.9)
    assert (value(nobody.lr_negative), nobody.f1.estimate, nobody.sensitivity.estimate) == (1.0, 0.0, 0.0)
    everybody = diagnostic_measures(y, score, threshold=0.0, prevalence=prevalence)
    assert (everybody.npv, everybody.lr_negative, everybody.mcc) == (None, None, None)
    assert value(everybody.ppv) == pytest.approx(7 / 14 if prevalence is None else 0.1)
    assert (value(everybody.lr_positive), everybody.f1.estimate) == (1.0, pytest.approx(2 / 3))


def test_one_call_is_enough() -> None:
    found = measures_of_counts(tp=1, fp=0, fn=4, tn=6)
    assert found.ppv == wilson_interval(1, 1)
    assert measures_of_counts(tp=4, fp=6, fn=0, tn=1).npv == wilson_interval(1, 1)


@settings(deadline=None, max_examples=50)
@given(st.tuples(*[st.integers(0, 40)] * 4), st.sampled_from(METHODS), st.sampled_from([None, 0.02, 0.5]))
def test_every_interval_holds_its_estimate(
    counts: tuple[int, int, int, int], method: Method, prevalence: float | None
) -> None:
    tp, fp, fn, tn = counts
    if tp + fn == 0 or fp + tn == 0:
        with pytest.raises(StatsError) as caught:
            measures_of_counts(tp=tp, fp=fp, fn=fn, tn=tn)
        assert caught.value.code == "one_class"
        return
    found = measures_of_counts(tp=tp, fp=fp, fn=fn, tn=tn, method=method, prevalence=prevalence)
    for name, figure in vars(found).items():
        if isinstance(figure, Estimate):
            top = math.inf if name.startswith("lr") else 1.0
            bottom = -1.0 if name == "mcc" else 0.0
            assert bottom <= figure.ci_low <= figure.estimate <= figure.ci_high <= top, name
            assert figure.ci_low < figure.ci_high, name
    assert (found.ppv is None, found.npv is None) == (tp + fp == 0, tn + fn == 0)
    assert (found.lr_positive is None, found.lr_negative is None) == (tp + fp == 0, tn + fn == 0)
    assert (found.mcc is None) == (0 in (tp + fp, tn + fn))


def figures(found: DiagnosticMeasures) -> list[float]:
    kept = [one for one in vars(found).values() if isinstance(one, Estimate)]
    return [number for one in kept for number in (one.estimate, one.ci_low, one.ci_high)]


def test_what_does_not_matter() -> None:
    first = CASES["first"]
    expected = figures(diagnostic_measures(Y, first, threshold=0.4))
    order = np.random.default_rng(0).permutation(len(Y))
    assert figures(diagnostic_measures(Y[order], first[order], threshold=0.4)) == expected
    assert figures(diagnostic_measures(Y, np.exp(first), threshold=math.exp(0.4))) == expected
    found = diagnostic_measures(Y, first, threshold=0.4)
    mirrored = diagnostic_measures(1 - Y, -first, threshold=-0.4)
    for one, other in (("sensitivity", "specificity"), ("ppv", "npv"), ("accuracy", "accuracy")):
        assert getattr(mirrored, other) == getattr(found, one)
    for name in ("balanced_accuracy", "mcc"):
        assert ends(getattr(mirrored, name)) == pytest.approx(ends(getattr(found, name)), abs=1e-14)
    assert ends(mirrored.lr_negative) == pytest.approx([1 / end for end in ends(found.lr_positive)[::-1]])


BAD = {
    "one_class": (np.ones(6, int), np.arange(6.0)),
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
        diagnostic_measures(*BAD[code], threshold=0.5)
    assert caught.value.code == code


def test_bad_settings_are_errors() -> None:
    with pytest.raises(StatsError) as caught:
        diagnostic_measures(Y, CASES["first"], threshold=float("nan"))
    assert caught.value.code == "scores_nan"
    with pytest.raises(StatsError) as caught:
        diagnostic_measures(Y, CASES["first"], threshold=0.4, confidence=95.0)
    assert caught.value.code == "confidence_out_of_range"
    with pytest.raises(StatsError) as caught:
        measures_of_counts(tp=3, fp=1, fn=-1, tn=4)
    assert caught.value.code == "counts_invalid"


def three_classes(seed: int, n: int = 90) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    return y, rng.dirichlet([1.0, 1.5, 0.8], size=n) + 0.4 * np.eye(3)[y]


@pytest.mark.parametrize("seed", range(5))
def test_several_classes_are_scikit_learns(seed: int) -> None:
    y, score = three_classes(seed)
    called = score.argmax(axis=1)
    assert f1_macro(y, score) == pytest.approx(metrics.f1_score(y, called, average="macro"), abs=1e-12)
    assert mcc_multiclass(y, score) == pytest.approx(metrics.matthews_corrcoef(y, called), abs=1e-12)
    by_class = diagnostic_measures_by_class(y, score, confidence=0.9, method="clopper_pearson")
    for k, found in enumerate(by_class):
        binary = diagnostic_measures(
            y == k, (called == k).astype(float), threshold=0.5, confidence=0.9, method="clopper_pearson"
        )
        assert found == binary
    assert np.mean([one.f1.estimate for one in by_class]) == pytest.approx(f1_macro(y, score), abs=1e-12)


def test_two_classes_are_the_binary_measures() -> None:
    y, score = three_classes(9)
    y, score = (y > 0).astype(int), np.stack([score[:, 0], 1 - score[:, 0]], axis=1)
    found = diagnostic_measures_by_class(y, score)[1]
    assert mcc_multiclass(y, score) == pytest.approx(value(found.mcc), abs=1e-12)


def test_a_class_that_is_never_called_counts_as_zero() -> None:
    y, score = np.array([0, 1, 2, 2]), np.array([[1.0, 0, 0], [1, 0, 0], [0, 0, 1], [0, 0, 1]])
    assert f1_macro(y, score) == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert diagnostic_measures_by_class(y, score)[1].ppv is None


def test_several_classes_not_defined() -> None:
    y, score = three_classes(1)
    for function in (f1_macro, mcc_multiclass, diagnostic_measures_by_class):
        with pytest.raises(StatsError) as caught:
            function(np.minimum(y, 1), score)
        assert caught.value.code == "class_absent"
        with pytest.raises(StatsError) as caught:
            function(y, score[:-1])
        assert caught.value.code == "lengths_differ"
        with pytest.raises(StatsError) as caught:
            function(y + 1, score)
        assert caught.value.code == "labels_not_classes"
    with pytest.raises(StatsError) as caught:
        mcc_multiclass(y, score + 9.0 * np.eye(3)[0])
    assert caught.value.code == "calls_constant"
