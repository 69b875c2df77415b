"""Agreement with R: pROC for the areas, base R for proportions, Holm and Kolmogorov-Smirnov."""

import csv
from pathlib import Path

import numpy as np
import pytest

from dgccl import stats
from dgccl.stats.roc import clustered_variance

from ..r_script import run_r

HERE = Path(__file__).parent / "reference"
SCORES = ("first", "second", "ordinal", "reverse")
PAIRS = [(a, b) for i, a in enumerate(SCORES) for b in SCORES[i + 1 :]]
COUNTS = ((0, 7), (3, 10), (23, 24), (50, 50), (441, 500))
CLOSE = 1e-8


def read_cases(path: Path) -> dict[str, np.ndarray]:
    table = np.genfromtxt(path, delimiter=",", names=True)
    return {name: np.array(table[name]) for name in table.dtype.names or ()}


def read_values(path: Path) -> dict[str, float]:
    with path.open(encoding="utf-8", newline="") as file:
        return {row["quantity"]: float(row["value"]) for row in csv.DictReader(file)}


CASES = read_cases(HERE / "cases.csv")
R = read_values(HERE / "reference.csv")
Y = CASES["y_true"].astype(int)


@pytest.mark.parametrize("score", SCORES)
def test_auroc_and_interval(score: str) -> None:
    for level in (0.90, 0.95):
        found = stats.auroc_delong(Y, CASES[score], confidence=level)
        percent = round(100 * level)
        assert found.estimate == pytest.approx(R[f"auroc.{score}"], abs=CLOSE)
        assert found.ci_low == pytest.approx(R[f"low{percent}.{score}"], abs=CLOSE)
        assert found.ci_high == pytest.approx(R[f"high{percent}.{score}"], abs=CLOSE)
        assert found.method == "delong"


@pytest.mark.parametrize("score", SCORES)
def test_variance(score: str) -> None:
    parts = stats.placements(Y == 1, CASES[score])
    variance = clustered_variance(Y == 1, parts.positive, parts.negative, np.arange(len(Y)))
    assert variance == pytest.approx(R[f"variance.{score}"], rel=CLOSE)


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_paired_delong(a: str, b: str) -> None:
    found = stats.delong_paired(Y, CASES[a], CASES[b])
    assert found.z == pytest.approx(R[f"z.{a}.{b}"], abs=CLOSE)
    assert found.p == pytest.approx(R[f"p.{a}.{b}"], rel=1e-7, abs=0.0)
    assert found.ci_low == pytest.approx(R[f"paired_low.{a}.{b}"], abs=CLOSE)
    assert found.ci_high == pytest.approx(R[f"paired_high.{a}.{b}"], abs=CLOSE)


@pytest.mark.parametrize("score", SCORES)
def test_curve_and_threshold(score: str) -> None:
    assert len(stats.roc_curve(Y, CASES[score]).fpr) == R[f"corners.{score}"]
    threshold = stats.youden_threshold(Y, CASES[score])
    point = stats.sensitivity_specificity_at(Y, CASES[score], threshold=threshold)
    if np.isinf(
        R[f"youden.{score}"]
    ):  # everything positive: ours is the lowest score, so that it stays finite
        assert threshold == CASES[score].min()
    else:
        assert threshold == pytest.approx(R[f"youden.{score}"], abs=CLOSE)
    assert point.sensitivity.estimate == pytest.approx(R[f"youden_sensitivity.{score}"], abs=CLOSE)
    assert point.specificity.estimate == pytest.approx(R[f"youden_specificity.{score}"], abs=CLOSE)


@pytest.mark.parametrize("score", SCORES)
def test_kolmogorov_smirnov(score: str) -> None:
    found = stats.kolmogorov_smirnov(CASES[score][Y == 1], CASES[score][Y == 0])
    assert found.statistic == pytest.approx(R[f"ks.{score}"], abs=CLOSE)
    if f"ks_p.{score}" in R:
        assert found.p == pytest.approx(R[f"ks_p.{score}"], rel=1e-6)
    assert (found.n_a, found.n_b) == (int(Y.sum()), int((Y == 0).sum()))


@pytest.mark.parametrize(("successes", "trials"), COUNTS)
@pytest.mark.parametrize("name", ["wilson", "clopper_pearson"])
def test_proportions(name: str, successes: int, trials: int) -> None:
    interval = {"wilson": stats.wilson_interval, "clopper_pearson": stats.clopper_pearson_interval}[name]
    found = interval(successes, trials)
    assert found.ci_low == pytest.approx(R[f"{name}_low.{successes}.{trials}"], abs=CLOSE)
    assert found.ci_high == pytest.approx(R[f"{name}_high.{successes}.{trials}"], abs=CLOSE)


def test_holm() -> None:
    adjusted = stats.holm(np.array([0.011, 0.04, 0.0007, 0.04, 0.6, 0.012]))
    np.testing.assert_allclose(adjusted, [R[f"holm.{i}"] for i in range(1, 7)], atol=CLOSE)


def test_stored_values_are_what_r_computes(tmp_path: Path) -> None:
    run_r(str(HERE / "reference.R"), str(HERE / "cases.csv"), str(tmp_path / "again.csv"))
    again = read_values(tmp_path / "again.csv")
    assert again.keys() == R.keys()
    for name, value in R.items():
        assert again[name] == pytest.approx(value, rel=1e-12, abs=1e-15), name


def test_procs_own_example(tmp_path: Path) -> None:
    """Subarachnoid hemorrhage (aSAH), which pROC ships; its values are read from R, not stored here."""
    script = (
        "library(pROC); data(aSAH); a <- aSAH; y <- as.integer(a$outcome == 'Poor');"
        f"write.csv(data.frame(y, s = a$s100b, n = a$ndka), '{tmp_path}/asah.csv', row.names = FALSE);"
        "r <- roc(y, a$s100b, levels = 0:1, direction = '<'); q <- roc(y, a$ndka, levels = 0:1, direction = '<');"
        "t <- roc.test(r, q, method = 'delong', paired = TRUE);"
        "v <- c(ci.auc(r), t$statistic, t$p.value);"
        f"writeLines(c('quantity,value', sprintf('%d,%.17g', 1:5, v)), '{tmp_path}/values.csv')"
    )
    run_r("-e", script)
    cases, values = read_cases(tmp_path / "asah.csv"), read_values(tmp_path / "values.csv")
    one = stats.auroc_delong(cases["y"], cases["s"])
    pair = stats.delong_paired(cases["y"], cases["s"], cases["n"])
    ours = [one.ci_low, one.estimate, one.ci_high, pair.z, pair.p]
    np.testing.assert_allclose(ours, [values[str(i)] for i in range(1, 6)], atol=CLOSE)
