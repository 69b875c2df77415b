"""Intervals of partial areas and of means over classes: pROC's within chance, and the plain bootstrap to the digit."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dgccl import stats
from dgccl.errors import StatsError
from dgccl.stats.partial_bootstrap import partial_auroc_bootstrap

from ..r_script import run_r

HERE = Path(__file__).parent / "reference"
CASES = np.genfromtxt(HERE / "cases.csv", delimiter=",", names=True)
Y = CASES["y_true"].astype(int)
N = len(Y)
PATIENT = np.arange(N) // 2


def read_values(path: Path) -> dict[str, float]:
    with path.open(encoding="utf-8", newline="") as file:
        return {row["quantity"]: float(row["value"]) for row in csv.DictReader(file)}


R = read_values(HERE / "bootstrap.csv")


@pytest.mark.parametrize("score", ["first", "second", "ordinal"])
@pytest.mark.parametrize("focus", ["specificity", "sensitivity"])
@pytest.mark.parametrize("standardized", [False, True])
@pytest.mark.parametrize("by_class", [True, False])
def test_intervals_are_procs_within_chance(
    score: str, focus: str, standardized: bool, by_class: bool
) -> None:
    ranges: dict[str, Any] = {focus: (0.7, 1.0)}
    found = partial_auroc_bootstrap(
        Y, CASES[score], **ranges, standardized=standardized, by_class=by_class, replicates=3000, seed=1
    )
    kind, drawn = "standardized" if standardized else "plain", "within_class" if by_class else "all"
    name = f"{score}.{focus}.{kind}.{drawn}"
    low, high = R[f"partial_low.{name}"], R[f"partial_high.{name}"]
    # An end of 3,000 replicates has a standard error of about 1.2 % of the width, and pROC's of 10,000 of 0.7 %.
    assert found.ci_low == pytest.approx(low, abs=0.06 * (high - low))
    assert found.ci_high == pytest.approx(high, abs=0.06 * (high - low))
    assert found.estimate == stats.partial_auroc(Y, CASES[score], **ranges, standardized=standardized)


def test_the_whole_area_is_that_of_auroc_bootstrap() -> None:
    for options in ({}, {"patient": PATIENT}, {"by_class": True}, {"method": "bca"}):
        found = partial_auroc_bootstrap(
            Y, CASES["first"], specificity=(0.0, 1.0), seed=4, replicates=199, **options
        )
        expected = stats.auroc_bootstrap(Y, CASES["first"], seed=4, replicates=199, **options)
        assert (found.estimate, found.ci_low, found.ci_high) == pytest.approx(
            (expected.estimate, expected.ci_low, expected.ci_high), abs=1e-12
        )
        assert found.method == expected.method


def test_order_of_cases_and_scale_of_scores_do_not_matter() -> None:
    order, score = np.random.default_rng(1).permutation(N), CASES["second"]
    options: dict[str, Any] = {"sensitivity": (0.8, 1.0), "seed": 2, "replicates": 99}
    found = partial_auroc_bootstrap(Y, score, patient=PATIENT, **options)
    moved = partial_auroc_bootstrap(Y[order], np.exp(score[order]), patient=PATIENT[order], **options)
    assert moved == found


BAD: dict[str, dict[str, Any]] = {
    "range_invalid": {"specificity": (1.0, 0.9)},
    "one_class": {"y_true": np.ones(N, dtype=int)},
    "labels_not_binary": {"y_true": Y + 1},
    "lengths_differ": {"y_score": CASES["first"][1:]},
    "scores_nan": {"y_score": np.where(Y == 1, np.nan, 1.0)},
    "seed_invalid": {"seed": -1},
    "too_few_replicates": {"replicates": 10},
    "mixed_clusters": {"patient": PATIENT, "by_class": True},
    "no_variance": {"y_score": Y * 1.0},
    "area_below_chance": {"y_score": -CASES["first"], "standardized": True},
}


@pytest.mark.parametrize("code", BAD)
def test_what_is_not_defined_is_an_error(code: str) -> None:
    given = {
        "y_true": Y,
        "y_score": CASES["first"],
        "specificity": (0.9, 1.0),
        "seed": 1,
        "replicates": 99,
        **BAD[code],
    }
    with pytest.raises(StatsError) as caught:
        partial_auroc_bootstrap(given.pop("y_true"), given.pop("y_score"), **given)
    assert caught.value.code == code


@pytest.mark.parametrize("statistic", [stats.auprc_macro, stats.f1_macro, stats.mcc_multiclass])
def test_intervals_of_means_over_classes_hold_their_truth(statistic: Callable[..., float]) -> None:
    """A large sample stands for the population; of 50 samples out of it at least 38 intervals hold its value."""

    def draw(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        y = np.arange(n) % 3
        return y, rng.normal(size=(n, 3)) + 1.5 * np.eye(3)[y]

    truth, held = statistic(*draw(30_000, 1)), 0
    for seed in range(2, 52):
        found = stats.bootstrap_interval(
            statistic, list(draw(150, seed)), by_class=True, confidence=0.9, replicates=59, seed=1
        )
        held += found.ci_low <= truth <= found.ci_high
    assert held >= 38  # with a coverage of 88 % fewer have a chance of 1 in 100


def test_stored_values_are_what_r_computes(tmp_path: Path) -> None:
    """The script draws by a seed, so that fewer draws of one score can be run again and still agree within chance."""
    script = (HERE / "bootstrap.R").read_text("utf-8")
    short = script.replace("draws <- 10000", "draws <- 400").replace(
        'c("first", "second", "ordinal")', 'c("first")'
    )
    assert short.count("draws <- 400") == short.count('c("first")') == 1
    (tmp_path / "short.R").write_text(short, encoding="utf-8")
    run_r(str(tmp_path / "short.R"), str(HERE / "cases.csv"), str(tmp_path / "again.csv"))
    again = read_values(tmp_path / "again.csv")
    assert again.keys() == {name for name in R if ".first." in name}
    for name, value in again.items():
        assert value == pytest.approx(R[name], abs=0.06), name
