"""Calibration, prediction sets and decision curves of a run: fitted on validation lesions, measured on test lesions."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dgccl.evaluation import evaluate, load_results
from dgccl.evaluation.recalibrated import recalibrate
from dgccl.evaluation.run_tables import read_tables
from dgccl.stats import calibration_slope_intercept, fit_conformal, measured_coverage, net_benefit

MakeRun = Callable[..., Path]


def true_chance(lesions: pd.DataFrame, *, sharpness: float) -> np.ndarray:
    """Log odds that are right, of normal scores 2 apart with as many lesions of each class, made too extreme."""
    noise = np.random.default_rng(4).normal(size=len(lesions))
    score = noise + 2.0 * lesions["y_true"].to_numpy()
    return 1.0 / (1.0 + np.exp(-sharpness * 2.0 * (score - 1.0)))


@pytest.fixture
def sharp_run(make_run: MakeRun) -> Path:
    """A model whose log odds are three times what they should be, and one that is right."""
    return make_run(
        malignant=400,
        benign=400,
        scores={
            "dgccl": lambda lesions, pattern: true_chance(lesions, sharpness=3.0),
            "late_fusion": lambda lesions, pattern: true_chance(lesions, sharpness=1.0),
        },
    )


def test_a_temperature_from_validation_mends_probabilities_that_are_too_extreme(sharp_run: Path) -> None:
    found = evaluate(sharp_run).models["dgccl"].calibration["ct+pet"]
    assert found.temperature_by_fold == pytest.approx([3.0] * 4, rel=0.3)
    assert found.before.slope.estimate == pytest.approx(1 / 3, abs=0.07)
    assert found.after.slope.estimate == pytest.approx(1.0, abs=0.2)
    assert found.after.brier.estimate is not None
    assert found.before.brier.estimate is not None
    assert found.after.brier.estimate < found.before.brier.estimate - 0.01
    assert found.before.ece is not None
    assert found.after.ece is not None
    assert found.after.ece < 0.03 < found.before.ece


def test_no_test_lesion_has_a_part_in_its_own_recalibration(sharp_run: Path) -> None:
    path = sharp_run / "predictions.parquet"
    whole = recalibrate(read_tables(sharp_run), "dgccl", "ct+pet", warnings=[])
    table = pd.read_parquet(path)
    test = table["split"] == "test"
    table.loc[test, "y_score"] = table.loc[test, "y_score"].to_numpy()[::-1]
    table.to_parquet(path)
    turned = recalibrate(read_tables(sharp_run), "dgccl", "ct+pet", warnings=[])
    assert turned.temperature_by_fold == whole.temperature_by_fold
    validation = ~test & (table["model"] == "dgccl")
    table.loc[validation, "y_score"] = 1.0 - table.loc[validation, "y_score"]
    table.to_parquet(path)
    warnings: list[str] = []
    assert (
        recalibrate(read_tables(sharp_run), "dgccl", "ct+pet", warnings=warnings).temperature_by_fold
        == [None] * 4
    )
    assert "fold 0, 1, 2, 3" in warnings[0]


def test_figures_are_those_of_the_statistics(sharp_run: Path) -> None:
    results = evaluate(sharp_run)
    tables = read_tables(sharp_run)
    one = recalibrate(tables, "dgccl", "ct", warnings=[])
    y, patient = one.rows["y_true"].to_numpy(), one.rows["patient_id"].to_numpy().astype(str)
    slope = calibration_slope_intercept(y, one.calibrated[:, 1], patient=patient).slope
    figure = results.models["dgccl"].calibration["ct"].after.slope
    assert (figure.ci_low, figure.ci_high) == pytest.approx((slope.ci_low, slope.ci_high))
    known = recalibrate(tables, "dgccl", "ct", split="validation", warnings=[])
    sets = np.zeros((len(y), 2), bool)
    for fold in range(4):
        own, tested = (part.rows["fold"].to_numpy() == fold for part in (known, one))
        fitted = fit_conformal(known.rows["y_true"].to_numpy()[own], known.calibrated[own], alpha=0.1)
        sets[tested] = fitted.predict_sets(one.calibrated[tested])
    expected = measured_coverage(y, sets)
    conformal = results.models["dgccl"].conformal
    assert conformal is not None
    assert conformal.by_pattern["ct"]["coverage"].estimate == pytest.approx(expected.coverage.estimate)
    assert conformal.by_pattern["ct"]["abstained"].estimate == pytest.approx(expected.abstained.estimate)
    assert conformal.by_pattern["ct+pet"]["coverage"].ci_high > 0.9  # type: ignore[operator]
    full = recalibrate(tables, "dgccl", "ct+pet", warnings=[])
    benefit = net_benefit(full.rows["y_true"].to_numpy(), full.calibrated[:, 1], threshold=0.3)
    assert results.decision is not None
    assert results.decision.models["dgccl"].estimate[29] == pytest.approx(benefit.estimate)
    assert results.decision.n == 800


def test_results_are_read_back_and_older_ones_too(sharp_run: Path) -> None:
    results = evaluate(sharp_run)
    assert load_results(sharp_run) == results
    content = pd.read_json(sharp_run / "results.json", typ="series").to_dict()
    del content["decision"]
    for model in content["models"].values():
        del model["calibration"], model["conformal"]
    pd.Series(content).to_json(sharp_run / "results.json")
    old = load_results(sharp_run)
    assert (old.decision, old.models["dgccl"].calibration) == (None, {})


def test_a_model_of_one_modality_is_calibrated_on_what_it_judges(make_run: MakeRun) -> None:
    def without_ct(lesions: pd.DataFrame) -> None:
        lesions["has_ct"] = lesions.index % 3 > 0

    run = make_run(malignant=60, benign=60, edit=without_ct, scores={"dgccl": 2.0, "single_ct": 1.0})
    results = evaluate(run)
    assert set(results.models["single_ct"].calibration) == {"ct+pet", "ct"}
    assert results.models["single_ct"].calibration["ct+pet"].after.brier.n == 80
    assert results.decision is not None
    assert results.decision.n == 80


def test_more_classes_are_judged_by_the_called_class(make_run: MakeRun) -> None:
    def three_classes(lesions: pd.DataFrame) -> None:
        lesions["y_true"] = lesions.index % 3

    run = make_run(
        malignant=150, benign=150, edit=three_classes, scores={"dgccl": 2.0}, class_names=("a", "b", "c")
    )
    results = evaluate(run)
    found = results.models["dgccl"].calibration["ct+pet"].after
    assert found.brier.estimate is not None
    assert found.slope.estimate is not None
    assert 0.0 < found.brier.estimate < 2 / 3
    assert results.decision is None
    conformal = results.models["dgccl"].conformal
    assert conformal is not None
    assert conformal.by_pattern["ct+pet"]["coverage"].ci_high > 0.9  # type: ignore[operator]
