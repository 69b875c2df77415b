"""Macro AUROC of several classes: other people's software, the binary functions, a bootstrap, and invariances."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kruskal
from sklearn.metrics import accuracy_score, confusion_matrix, recall_score, roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from dgccl import stats
from dgccl.errors import StatsError
from dgccl.stats.macro_parts import macro_parts, macro_variance

SHARES = np.array([0.5, 0.3, 0.2])


def sample(
    seed: int, *, patients: int = 150, most: int = 1, folds: int = 1, strength: float = 1.0, classes: int = 3
) -> dict[str, np.ndarray]:
    """Cases of patients who share a part of their scores; each fold has a scale of its own."""
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), rng.integers(1, most + 1, patients))
    n = len(patient)
    shares = SHARES if classes == 3 else np.full(classes, 1 / classes)
    y = rng.choice(classes, size=n, p=shares)
    own = rng.normal(size=(patients, classes))
    stratum = patient % folds
    noise = 0.6 * own[patient] + 0.8 * rng.normal(size=(n, classes))
    a = noise + strength * np.eye(classes)[y] + 2.0 * stratum[:, None]
    b = 0.7 * noise + 0.7 * rng.normal(size=(n, classes)) + 0.6 * strength * np.eye(classes)[y]
    return {"y": y, "a": a, "b": b + stratum[:, None], "patient": patient, "stratum": stratum}


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(2, 5), st.sampled_from([None, 1, 4]))
def test_area_is_sklearns(seed: int, classes: int, levels: int | None) -> None:
    case = sample(seed, patients=60, classes=classes)
    probability = softmax(case["a"])
    if len(np.unique(case["y"])) < classes:
        return
    if levels is not None:  # few values, so that scores tie; rows must still sum to 1 for scikit-learn
        rounded = np.round(probability * levels) + 1.0
        probability = rounded / rounded.sum(axis=1, keepdims=True)
    found = stats.auroc_macro(case["y"], probability)
    if classes == 2:
        expected = (
            roc_auc_score(case["y"], probability[:, 1]) + roc_auc_score(1 - case["y"], probability[:, 0])
        ) / 2
    else:
        expected = roc_auc_score(case["y"], probability, multi_class="ovr", average="macro")
    assert found == pytest.approx(expected, abs=1e-12)
    assert stats.auroc_macro_delong(case["y"], probability).estimate == found


@pytest.mark.parametrize("method", ["delong", "logit"])
@pytest.mark.parametrize("grouped", [(), ("patient",), ("stratum",), ("patient", "stratum")])
def test_two_classes_are_the_binary_functions(grouped: tuple[str, ...], method: Any) -> None:
    case = sample(4, patients=50, most=3, folds=3, classes=2)
    groups = {name: case[name] for name in grouped}
    y, a, b = case["y"], case["a"][:, 1] - case["a"][:, 0], case["b"][:, 1]
    pair_a, pair_b = np.stack([-a, a], axis=1), np.stack([-b, b], axis=1)
    plain = stats.auroc_delong(y, a, method=method, **groups)
    macro = stats.auroc_macro_delong(y, pair_a, method=method, **groups)
    for name in ("estimate", "ci_low", "ci_high"):
        assert getattr(macro, name) == pytest.approx(getattr(plain, name), abs=1e-12)
    assert (macro.n, macro.method.replace("macro_", "")) == (plain.n, plain.method)
    test, of_macro = (
        stats.delong_paired(y, a, b, **groups),
        stats.delong_paired_macro(y, pair_a, pair_b, **groups),
    )
    for name in ("difference", "ci_low", "ci_high", "z", "p"):
        assert getattr(of_macro, name) == pytest.approx(getattr(test, name), abs=1e-12)
    assert of_macro.method.replace("macro_", "") == test.method


@pytest.mark.parametrize("score", [[0.0, 0.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0], [0.5] * 4])
def test_two_classes_without_variance_are_the_binary_function(score: list[float]) -> None:
    y, column = np.array([0, 0, 1, 1]), np.array(score)
    assert stats.auroc_macro_delong(y, np.stack([-column, column], axis=1)) == stats.auroc_delong(y, column)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_the_variance_of_one_class_alone_is_that_of_its_auroc(index: int) -> None:
    """Zero the other classes' parts: what is left, undone by C squared, is the one-versus-rest variance."""
    case = sample(8, patients=60, most=3, folds=4)
    parts = macro_parts(case["y"], case["a"], patients=case["patient"], strata=case["stratum"])
    alone = np.zeros_like(parts.sums)
    alone[2 * index : 2 * index + 2] = parts.sums[2 * index : 2 * index + 2]
    deviation = np.sqrt(9 * macro_variance(alone, parts.member))
    rest = stats.auroc_delong(
        (case["y"] == index).astype(int),
        case["a"][:, index],
        patient=case["patient"],
        stratum=case["stratum"],
    )
    assert parts.auroc[index] == rest.estimate
    assert (rest.ci_high - rest.ci_low) / 2 / 1.959963984540054 == pytest.approx(deviation, rel=1e-10)


@pytest.mark.parametrize(("most", "folds"), [(1, 1), (1, 3), (3, 1), (3, 3)])
def test_standard_errors_are_those_of_a_bootstrap_by_patient(most: int, folds: int) -> None:
    case = sample(21, patients=160, most=most, folds=folds)
    groups = {"patient": case["patient"], "stratum": case["stratum"]}
    z = 1.959963984540054
    found = stats.auroc_macro_delong(case["y"], case["a"], **groups)
    pair = stats.delong_paired_macro(case["y"], case["a"], case["b"], **groups)
    prefix = "clustered_" * (most > 1) + "stratified_" * (folds > 1)
    assert (found.method, pair.method) == (f"{prefix}macro_delong", f"{prefix}macro_paired_delong")
    assert found.n == len(case["y"])
    rng = np.random.default_rng(2)
    rows = [np.flatnonzero(case["patient"] == one) for one in range(160)]
    single, paired = [], []
    for _ in range(1000):
        drawn = np.concatenate([rows[one] for one in rng.integers(0, 160, 160)])
        y, strata = case["y"][drawn], case["stratum"][drawn]
        a, b = (
            macro_parts(y, case[name][drawn], patients=np.arange(len(drawn)), strata=strata).value
            for name in "ab"
        )
        single.append(a)
        paired.append(a - b)
    assert (found.ci_high - found.ci_low) / 2 / z == pytest.approx(np.std(single), rel=0.08)
    assert (pair.ci_high - pair.ci_low) / 2 / z == pytest.approx(np.std(paired), rel=0.08)


def test_classes_share_their_cases_so_that_the_mean_is_surer_than_each() -> None:
    case = sample(3, patients=300)
    macro = stats.auroc_macro_delong(case["y"], case["a"])
    each = [stats.auroc_delong((case["y"] == index).astype(int), case["a"][:, index]) for index in range(3)]
    assert macro.estimate == pytest.approx(np.mean([one.estimate for one in each]), abs=1e-12)
    assert macro.ci_high - macro.ci_low < np.mean([one.ci_high - one.ci_low for one in each])


def figures(case: dict[str, np.ndarray]) -> tuple[float, ...]:
    groups = {"patient": case["patient"], "stratum": case["stratum"]}
    one = stats.auroc_macro_delong(case["y"], case["a"], method="logit", **groups)
    two = stats.delong_paired_macro(case["y"], case["a"], case["b"], **groups)
    return one.estimate, one.ci_low, one.ci_high, two.difference, two.ci_low, two.p


CASE = sample(13, patients=60, most=3, folds=3)


def _shuffled(case: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    order = np.random.default_rng(0).permutation(len(case["y"]))
    return {name: values[order] for name, values in case.items()}


@pytest.mark.parametrize(
    "change",
    [
        _shuffled,
        lambda case: case | {"a": np.exp(case["a"] / 3), "b": np.arctan(case["b"])},
        lambda case: case | {"a": case["a"] * np.array([1.0, 5.0, 0.1])},
        lambda case: case | {"y": 2 - case["y"], "a": case["a"][:, ::-1], "b": case["b"][:, ::-1]},
        lambda case: case | {"patient": np.array([f"P{one}" for one in case["patient"]])},
        lambda case: case | {"y": case["y"].astype(float)},
    ],
    ids=["order", "monotone", "scale_by_class", "names_of_classes", "names_of_patients", "type_of_labels"],
)
def test_what_must_not_matter_does_not(
    change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]],
) -> None:
    assert figures(change(CASE)) == pytest.approx(figures(CASE), abs=1e-12)


def test_swapping_two_models_turns_the_difference() -> None:
    there = stats.delong_paired_macro(CASE["y"], CASE["a"], CASE["b"])
    back = stats.delong_paired_macro(CASE["y"], CASE["b"], CASE["a"])
    assert (back.difference, back.p) == pytest.approx((-there.difference, there.p), abs=1e-12)
    same = stats.delong_paired_macro(CASE["y"], CASE["a"], 2 * CASE["a"] + 1)
    assert (same.difference, same.ci_low, same.ci_high, same.p) == (0.0, 0.0, 0.0, 1.0)


def test_a_stratum_that_lacks_a_class_counts_for_the_others() -> None:
    case = sample(5, patients=90, folds=3)
    lacking = (case["stratum"] == 2) & (case["y"] == 2)
    kept = {name: values[~lacking] for name, values in case.items()}
    found = stats.auroc_macro_delong(kept["y"], kept["a"], stratum=kept["stratum"])
    each = []
    for index in range(3):
        inside = kept["stratum"] < 2 if index == 2 else np.ones(len(kept["y"]), bool)
        each.append(
            stats.auroc_delong(
                (kept["y"][inside] == index).astype(int),
                kept["a"][inside, index],
                stratum=kept["stratum"][inside],
            ).estimate
        )
    assert found.estimate == pytest.approx(np.mean(each), abs=1e-12)
    assert found.n == len(kept["y"])


def test_no_variance_gives_the_widest_of_the_classes_score_intervals() -> None:
    y = np.array([0] * 20 + [1] * 10 + [2] * 4)
    found = stats.auroc_macro_delong(y, np.eye(3)[y])
    low, high = stats.newcombe_interval(1.0, positives=4, negatives=30)
    assert (found.estimate, found.ci_low, found.ci_high, found.method) == (1.0, low, high, "newcombe_score")
    with pytest.raises(StatsError) as caught:
        stats.delong_paired_macro(y, np.eye(3)[y], np.full((34, 3), 0.5))
    assert caught.value.code == "no_variance"


BAD: dict[str, tuple[Any, Any]] = {
    "class_absent": (np.where(CASE["y"] == 1, 0, CASE["y"]), CASE["a"]),
    "no_cases": (np.array([], int), np.empty((0, 3))),
    "labels_not_classes": (CASE["y"] + 1, CASE["a"]),
    "scores_nan": (CASE["y"], np.where(CASE["a"] == CASE["a"][3, 1], np.nan, CASE["a"])),
    "lengths_differ": (CASE["y"], CASE["a"][:-1]),
    "not_one_dimensional": (CASE["y"][:, None], CASE["a"]),
    "not_two_dimensional": (CASE["y"], CASE["a"][:, 0]),
    "scores_not_numbers": (CASE["y"], CASE["a"].astype(str)),
}
FUNCTIONS: dict[str, Callable[[Any, Any], object]] = {
    "auroc_macro": stats.auroc_macro,
    "auroc_macro_delong": stats.auroc_macro_delong,
    "paired": lambda y, s: stats.delong_paired_macro(y, s, s),
    "call_highest": stats.call_highest,
}


CALLS = [
    (name, code) for name in FUNCTIONS for code in BAD if (name, code) != ("call_highest", "class_absent")
]


@pytest.mark.parametrize(("name", "code"), CALLS)
def test_bad_input_is_an_error(name: str, code: str) -> None:
    with pytest.raises(StatsError) as caught:
        FUNCTIONS[name](*BAD[code])
    assert caught.value.code == code


def test_too_few_patients_of_a_class_and_other_misfits() -> None:
    y = np.array([0, 0, 0, 1, 1, 2, 2])
    with pytest.raises(StatsError, match="Class 2 comes from 1 patients") as caught:
        stats.auroc_macro_delong(y, np.eye(3)[y], patient=np.array([0, 1, 2, 3, 4, 5, 5]))
    assert caught.value.code == "too_few_cases"
    with pytest.raises(StatsError) as caught:
        stats.delong_paired_macro(y, np.eye(3)[y], np.eye(4)[y])
    assert caught.value.code == "classes_differ"
    with pytest.raises(StatsError) as caught:
        stats.auroc_macro_delong(y, np.eye(3)[y], confidence=1.0)
    assert caught.value.code == "confidence_out_of_range"


def test_calls_are_sklearns() -> None:
    case = sample(9)
    y, probability = case["y"], softmax(case["a"])
    found, called = stats.call_highest(y, probability), probability.argmax(axis=1)
    np.testing.assert_array_equal(found.counts, confusion_matrix(y, called))
    assert found.accuracy.estimate == accuracy_score(y, called)
    sensitivity = [one.estimate for one in found.sensitivity if one is not None]
    assert sensitivity == pytest.approx(recall_score(y, called, average=None), abs=1e-15)
    for index, one in enumerate(found.specificity):
        assert one is not None
        rest, right = y != index, int(((y != index) & (called != index)).sum())
        assert one.estimate == right / rest.sum()
        assert (one.ci_low, one.ci_high) == pytest.approx(
            proportion_confint(right, rest.sum(), method="wilson"), abs=1e-12
        )


def test_of_equal_scores_the_lowest_class_is_called_and_an_absent_class_has_no_share() -> None:
    found = stats.call_highest(np.array([0, 1]), np.full((2, 3), 1 / 3))
    assert found.counts.tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 0]]
    assert found.sensitivity[2] is None
    assert found.specificity[2] is not None
    assert stats.call_highest(np.array([1, 1]), np.eye(2)).specificity[1] is None


def test_kruskal_wallis_is_scipys_and_defined_for_constants() -> None:
    rng = np.random.default_rng(0)
    samples = [np.round(rng.normal(shift, size=size), 1) for shift, size in ((0, 20), (0.5, 15), (0.2, 9))]
    found = stats.kruskal_wallis(samples)
    assert (found.statistic, found.p) == pytest.approx(tuple(kruskal(*samples)), abs=1e-12)
    assert (found.n, found.method) == ((20, 15, 9), "kruskal_wallis")
    constant = stats.kruskal_wallis([np.full(3, 0.5), np.full(4, 0.5)])
    assert (constant.statistic, constant.p) == (0.0, 1.0)
    for wrong, code in (([samples[0]], "too_few_samples"), ([samples[0], np.array([])], "no_cases")):
        with pytest.raises(StatsError) as caught:
            stats.kruskal_wallis(wrong)
        assert caught.value.code == code
