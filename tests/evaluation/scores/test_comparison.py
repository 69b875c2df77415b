"""What `dgccl compare` says: its figures are those of the statistics, and the real command gives pROC's own."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dgccl import cli, stats
from dgccl.evaluation.scores.comparison import DRAWN_POINTS, compare_scores
from dgccl.evaluation.scores.table import read_score_table
from dgccl.report.score_comparison import write_comparison
from dgccl.stats import calibration_slope_intercept, diagnostic_measures, mcnemar_calls, net_benefit

from ...r_script import run_r


def simulated(cases: int = 160) -> pd.DataFrame:
    rng = np.random.default_rng(11)
    patient = rng.integers(0, cases // 2, cases)
    site = np.array(["east", "north", "west"])[patient % 3]
    y = (rng.random(cases) < np.where(site == "east", 0.75, 0.3)).astype(int)
    y[site == "west"] = 0
    good, poor = rng.normal(size=cases) + 1.5 * y, rng.normal(size=cases) + 0.2 * y
    return pd.DataFrame({"y": y, "good": good, "poor": poor, "copy": good, "patient": patient, "site": site})


def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object
) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["dgccl", *map(str, words)])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return int(left.value.code or 0), capsys.readouterr().out


def test_figures_are_those_of_the_statistics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = simulated()
    table.to_parquet(tmp_path / "t.parquet")
    words = ["compare", tmp_path / "t.parquet", "--label", "y", "--out", tmp_path / "out", "--json"]
    words += [word for name in ("good", "poor", "copy") for word in ("--score", name)]
    status, out = call(monkeypatch, capsys, *words, "--cluster", "patient", "--site", "site")
    assert status == 0
    found = json.loads(out)
    assert json.loads((tmp_path / "out" / "comparison.json").read_text()) == found
    y, patient, site = table["y"].to_numpy(), table["patient"].to_numpy(), table["site"].to_numpy(str)
    score = {name: table[name].to_numpy() for name in ("good", "poor")}
    for name in ("good", "poor"):
        area = stats.auroc_delong(y, score[name], patient=patient)
        assert found["auroc"][name]["ci_low"] == pytest.approx(area.ci_low, abs=1e-15)
        within = stats.auroc_delong(y, score[name], patient=patient, stratum=site)
        assert found["auroc_within_site"][name]["estimate"] == pytest.approx(within.estimate, abs=1e-15)
    pairs = {(test["a"], test["b"]): test for test in found["delong"]}
    assert set(pairs) == {("good", "poor"), ("good", "copy"), ("poor", "copy")}
    test = stats.delong_paired(y, score["good"], score["poor"], patient=patient)
    assert pairs["good", "poor"]["z"] == pytest.approx(test.z, abs=1e-12)
    holm = stats.holm(np.array([pairs[pair]["p"] for pair in pairs]))
    assert [pairs[pair]["p_holm"] for pair in pairs] == pytest.approx(holm.tolist())
    assert (pairs["good", "copy"]["difference"], pairs["good", "copy"]["p"]) == (0.0, 1.0)
    rows = {row["site"]: row for row in found["by_site"]}
    assert rows["west"]["auroc"] == {"good": None, "poor": None, "copy": None}
    assert rows["east"]["n"] == int((site == "east").sum())
    assert rows["east"]["auroc"]["good"]["method"] == "clustered_logit_delong"


def test_page_and_files(tmp_path: Path) -> None:
    simulated().to_csv(tmp_path / "t.csv", index=False)
    table = read_score_table(tmp_path / "t.csv", label="y", scores=["good", "poor"], site="site")
    page = write_comparison(
        compare_scores(table, command="dgccl compare t.csv"), tmp_path / "out"
    ).read_text()
    for words in (
        "Paired differences",
        "Within sites",
        "dgccl compare t.csv",
        table.sha256,
        "good ranks better than poor",
    ):
        assert words in page
    for name in ("roc", "differences", "sites"):
        assert (tmp_path / "out" / f"{name}.svg").read_text().startswith("<svg")
        assert len(pd.read_csv(tmp_path / "out" / f"{name}.csv"))
    drawn = pd.read_csv(tmp_path / "out" / "roc.csv")
    curve = stats.roc_curve(table.y_true, table.scores["good"], corners_only=True)
    np.testing.assert_allclose(drawn.loc[drawn["score"] == "good", "fpr"], curve.fpr)


def probabilities(cases: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(17)
    y = (rng.random(cases) < 0.4).astype(int)
    common = rng.normal(size=cases)
    a, b = (1.0 / (1.0 + np.exp(-s * (common + rng.normal(size=cases) + 1.5 * y - 1.0))) for s in (1.0, 3.0))
    b[:3] = 0.0, 1.0, 1.0
    return pd.DataFrame(
        {"y": y, "a": a, "b": b, "raw": 10.0 * common, "call": (a > 0.5) * 1.0, "id": np.arange(cases) // 2}
    )


def test_calls_and_calibration_are_those_of_the_statistics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = probabilities()
    table.to_csv(tmp_path / "t.csv", index=False)
    words = [
        "compare",
        tmp_path / "t.csv",
        "--label",
        "y",
        "--out",
        tmp_path / "out",
        "--json",
        "--cluster",
        "id",
    ]
    words += [word for name in ("a", "b", "raw", "call") for word in ("--score", name)]
    words += ["--threshold", "a=0.6", "--threshold", "0.5", "--prevalence", "0.1"]
    status, out = call(monkeypatch, capsys, *words)
    assert status == 0
    found = json.loads(out)
    y, patient = table["y"].to_numpy(), table["id"].to_numpy()
    a, b = table["a"].to_numpy(), table["b"].to_numpy()
    assert found["calls"]["thresholds"] == {"a": 0.6, "b": 0.5, "raw": 0.5, "call": 0.5}
    measures = diagnostic_measures(y, a, threshold=0.6, prevalence=0.1)
    assert found["calls"]["measures"]["a"]["tp"] == measures.tp
    assert measures.ppv is not None
    assert found["calls"]["measures"]["a"]["ppv"]["ci_low"] == pytest.approx(measures.ppv.ci_low)
    pair = found["calls"]["pairs"][0]
    whole = mcnemar_calls(y, (a >= 0.6).astype(int), (b >= 0.5).astype(int))
    assert (pair["a"], pair["b"], pair["accuracy"]["test"]["p"]) == ("a", "b", pytest.approx(whole.test.p))
    sick = y == 1
    part = mcnemar_calls(y[sick], (a[sick] >= 0.6).astype(int), (b[sick] >= 0.5).astype(int))
    assert pair["sensitivity"]["only_a"] == part.only_a
    assert len(found["calls"]["pairs"]) == 6
    assert set(found["probabilities"]["scores"]) == {"a", "b"}  # neither what leaves [0, 1] nor a call
    logistic = calibration_slope_intercept(y, a, patient=patient)
    assert found["probabilities"]["scores"]["a"]["logistic"]["slope"]["ci_low"] == pytest.approx(
        logistic.slope.ci_low
    )
    benefit = net_benefit(y, a, threshold=0.2, patient=patient, prevalence=0.1)
    curve = found["probabilities"]["decision"]
    assert curve["thresholds"][19] == pytest.approx(0.2)
    assert curve["models"]["a"]["net_benefit"]["estimate"][19] == pytest.approx(benefit.estimate)
    assert any("b is 0 or 1" in warning and "3 of 300" in warning for warning in found["warnings"])
    page = (tmp_path / "out" / "comparison.html").read_text()
    for words_shown in (
        "Calls at a threshold",
        "Calls compared",
        "Can the probabilities be believed?",
        "where 10%",
    ):
        assert words_shown in page
    for name in ("calibration", "decision"):
        assert len(pd.read_csv(tmp_path / "out" / f"{name}.csv")) > 50


@pytest.mark.parametrize("word", ["c=0.5", "high", "a=", "nan", "a=inf"])
def test_a_wrong_threshold_is_a_wrong_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], word: str
) -> None:
    probabilities().to_csv(tmp_path / "t.csv", index=False)
    words = ["compare", tmp_path / "t.csv", "--label", "y", "--score", "a", "--out", tmp_path / "o", "--json"]
    status, out = call(monkeypatch, capsys, *words, "--threshold", word)
    assert status == 2
    assert json.loads(out)["error"]["code"] == "wrong_command_line"
    assert not (tmp_path / "o").exists()


def test_a_curve_of_very_many_cases_is_drawn_by_few_points_and_keeps_its_area(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    y = (rng.random(20_000) < 0.4).astype(int)
    table = pd.DataFrame({"y": y, "s": rng.normal(size=20_000) + y})
    table.to_parquet(tmp_path / "t.parquet")
    found = compare_scores(read_score_table(tmp_path / "t.parquet", label="y", scores=["s"]), command="")
    curve = found.roc["s"]
    assert 100 < len(curve["fpr"]) <= DRAWN_POINTS
    assert (curve["fpr"][0], curve["tpr"][0], curve["fpr"][-1], curve["tpr"][-1]) == (0.0, 0.0, 1.0, 1.0)
    assert np.trapezoid(curve["tpr"], curve["fpr"]) == pytest.approx(found.auroc["s"].estimate, abs=2e-3)
    assert found.delong == []


def test_what_a_reader_must_know_is_said(tmp_path: Path) -> None:
    y = np.repeat([0, 1], [20, 6])
    table = pd.DataFrame({"y": y, "perfect": y * 1.0, "turned": -y + np.linspace(0, 0.1, 26), "same": 1.0})
    table.loc[0, "perfect"] = np.nan
    table.to_csv(tmp_path / "t.csv", index=False)
    scores = ["perfect", "turned", "same"]
    cases = read_score_table(tmp_path / "t.csv", label="y", scores=scores, drop_missing=True)
    found = compare_scores(cases, command="")
    said = " ".join(found.warnings)
    for words in (
        "1 of 26 cases",
        "Only 6 cases are of class 1",
        "turned ranks",
        "perfect has no DeLong",
        "same is the same",
    ):
        assert words in said, words
    assert (
        "perfect against same" in said
    )  # areas differ, the difference has no variance: no test, and it is told
    assert ("perfect", "same") not in {(test.a, test.b) for test in found.delong}


def test_models_that_nothing_tells_apart_are_not_called_equal(tmp_path: Path) -> None:
    y = np.repeat([0, 1], 20)
    table = pd.DataFrame(
        {"y": y, "perfect": y * 1.0, "also": 0.2 + 0.5 * y + 0.001 * np.arange(40), "copy": y * 3.0}
    )
    table.to_csv(tmp_path / "t.csv", index=False)
    names = ["perfect", "also", "copy"]
    found = compare_scores(read_score_table(tmp_path / "t.csv", label="y", scores=names), command="")
    assert found.delong == []
    assert any(
        "perfect against also: the areas are equal and have no variance" in said.lower()
        for said in found.warnings
    )
    page = write_comparison(found, tmp_path / "out").read_text()
    assert "perfect and copy put these cases in one and the same order" in page


def test_few_clusters_and_infinite_scores_are_told(tmp_path: Path) -> None:
    table = probabilities().assign(few=lambda t: t["id"] % 4)
    table.loc[5, "a"] = np.inf
    table.to_csv(tmp_path / "t.csv", index=False)
    cases = read_score_table(tmp_path / "t.csv", label="y", scores=["a", "b", "call"], cluster="few")
    said = " ".join(compare_scores(cases, command="").warnings)
    for words in (
        "only 4 clusters",
        "a is infinite in 1 cases",
        "call takes 2 values only",
        "take cases as independent",
    ):
        assert words in said, words


def test_long_names_leave_room_for_the_figures(tmp_path: Path) -> None:
    names = [f"model_{'very_' * 30}{end}" for end in ("one", "two")]
    table = probabilities().rename(columns=dict(zip(("a", "b"), names, strict=True)))
    table.to_csv(tmp_path / "t.csv", index=False)
    found = compare_scores(read_score_table(tmp_path / "t.csv", label="y", scores=names), command="")
    write_comparison(found, tmp_path / "out")
    drawn = (tmp_path / "out" / "roc.svg").read_text().split("aria-label=")[1].partition(">")[2]
    assert names[0] not in drawn
    assert "y_very_one" in drawn
    assert set(pd.read_csv(tmp_path / "out" / "roc.csv")["score"]) == set(names)


def test_sites_of_one_class_each_are_told(tmp_path: Path) -> None:
    table = simulated().assign(site=lambda t: np.where(t["y"] == 1, "one", "other"))
    table.to_csv(tmp_path / "t.csv", index=False)
    found = compare_scores(
        read_score_table(tmp_path / "t.csv", label="y", scores=["good", "poor"], site="site"), command=""
    )
    assert found.auroc_within_site == {}
    assert any("within sites" in warning for warning in found.warnings)
    write_comparison(found, tmp_path / "out")
    assert not (tmp_path / "out" / "sites.svg").exists()


def test_a_prevalence_out_of_range_is_an_error_whatever_it_is_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    probabilities().to_csv(tmp_path / "t.csv", index=False)
    words = [
        "compare",
        tmp_path / "t.csv",
        "--label",
        "y",
        "--score",
        "raw",
        "--out",
        tmp_path / "o",
        "--json",
    ]
    for word in ("10", "0", "1", "nan"):
        status, out = call(monkeypatch, capsys, *words, "--prevalence", word)
        assert (status, json.loads(out)["error"]["code"]) == (1, "prevalence_out_of_range")
        assert not (tmp_path / "o").exists()


def test_a_prevalence_without_an_effect_is_told(tmp_path: Path) -> None:
    probabilities().to_csv(tmp_path / "t.csv", index=False)

    def warned(score: str, **options: dict[str, float]) -> bool:
        cases = read_score_table(tmp_path / "t.csv", label="y", scores=[score])
        found = compare_scores(cases, command="", prevalence=0.1, **options)  # type: ignore[arg-type]
        return any("prevalence of 0.1 has no effect" in said for said in found.warnings)

    assert warned("raw")
    assert not warned("raw", thresholds={"raw": 0.0})
    assert not warned("a")


def test_the_decision_curve_says_whose_share_it_holds_for(tmp_path: Path) -> None:
    table = probabilities()
    table.to_csv(tmp_path / "t.csv", index=False)
    cases = read_score_table(tmp_path / "t.csv", label="y", scores=["a"])
    share = f"{table['y'].mean():.3f}"
    for prevalence, words in (
        (None, f"at a share of class 1 of {share}, of the cases"),
        (0.1, f"at an assumed share of class 1 of 0.100; of these cases it is {share}"),
    ):
        found = compare_scores(cases, command="", prevalence=prevalence)
        assert words in write_comparison(found, tmp_path / "out").read_text()


def test_the_legend_tells_the_coverage_that_was_asked_for(tmp_path: Path) -> None:
    probabilities().to_csv(tmp_path / "t.csv", index=False)
    cases = read_score_table(tmp_path / "t.csv", label="y", scores=["a"])
    write_comparison(compare_scores(cases, command="", confidence=0.9), tmp_path / "out")
    drawn = (tmp_path / "out" / "roc.svg").read_text()
    assert "90% interval" in drawn
    assert "95%" not in drawn


def test_one_class_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    simulated().assign(y=1).to_csv(tmp_path / "t.csv", index=False)
    words = [
        "compare",
        tmp_path / "t.csv",
        "--label",
        "y",
        "--score",
        "good",
        "--out",
        tmp_path / "o",
        "--json",
    ]
    status, out = call(monkeypatch, capsys, *words)
    assert status == 1
    assert json.loads(out)["error"]["code"] == "one_class"


def test_the_command_gives_what_proc_gives_on_procs_own_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Subarachnoid hemorrhage (aSAH) ships with pROC; its cases and pROC's figures are read from R."""
    script = (
        "library(pROC); data(aSAH); a <- aSAH; a$wfns <- as.integer(a$wfns);"
        f"write.csv(a, '{tmp_path}/asah.csv', row.names = FALSE);"
        "r <- lapply(c('s100b', 'ndka', 'wfns'), function(s) roc(a$outcome, a[[s]], levels = c('Good', 'Poor'), "
        "direction = '<')); out <- unlist(lapply(r, ci.auc));"
        "for (p in list(c(1, 2), c(1, 3), c(2, 3))) { t <- roc.test(r[[p[1]]], r[[p[2]]], method = 'delong');"
        "out <- c(out, t$statistic, t$p.value, t$conf.int) };"
        f"writeLines(c('value', sprintf('%.17g', out)), '{tmp_path}/values.csv')"
    )
    run_r("-e", script)
    words = [
        "compare",
        tmp_path / "asah.csv",
        "--label",
        "outcome",
        "--positive",
        "Poor",
        "--out",
        tmp_path / "o",
    ]
    words += [word for name in ("s100b", "ndka", "wfns") for word in ("--score", name)]
    status, out = call(monkeypatch, capsys, *words, "--json")
    assert status == 0
    found = json.loads(out)
    ours = [area[key] for area in found["auroc"].values() for key in ("ci_low", "estimate", "ci_high")]
    ours += [test[key] for test in found["delong"] for key in ("z", "p", "ci_low", "ci_high")]
    with (tmp_path / "values.csv").open(encoding="utf-8") as file:
        expected = [float(row["value"]) for row in csv.DictReader(file)]
    np.testing.assert_allclose(ours, expected, atol=1e-8)
