"""Published nodule models beside the run's own, on the lesions that have the values; what is lacking is said."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

from dgccl import stats
from dgccl.clinical import COMPARATORS, comparator_probabilities, mayo_probability
from dgccl.errors import CohortError
from dgccl.evaluation import evaluate, load_results
from dgccl.evaluation.clinical_models import published_chances
from dgccl.evaluation.recalibrated import recalibrate
from dgccl.evaluation.run_tables import read_tables

MakeRun = Callable[..., Path]


def clinical_table(run: Path) -> pd.DataFrame:
    """A cohort's lesions with Mayo's columns, some of them empty, in another order than the run's."""
    rows = read_tables(run).cohort
    rng = np.random.default_rng(9)
    n = len(rows)
    table = pd.DataFrame({"lesion_id": rows["lesion_id"], "patient_id": rows["patient_id"]})
    table["age_years"] = rng.uniform(45, 80, n)
    table["diameter_mm"] = rng.uniform(6, 28, n) + 4 * rows["y_true"]
    table["smoking"] = rng.choice(["never", "former", "current"], n)
    table["cancer_history"] = "no"
    table["spiculation"] = np.where(rng.random(n) < 0.3 + 0.3 * rows["y_true"], "yes", "no")
    table["lobe"] = rng.choice(["RUL", "RLL", "LUL", "LLL"], n)
    table.loc[:6, "smoking"] = ""
    return table.sample(frac=1.0, random_state=1)


def test_figures_are_those_of_the_formula(make_run: MakeRun) -> None:
    run = make_run(malignant=60, benign=60)
    lesions = clinical_table(run)
    results = evaluate(run, lesions=lesions)
    assert results.clinical is not None
    assert results.clinical.beside == "dgccl"
    models = {model.name: model for model in results.clinical.models}
    assert models["herder"].lacking == ["fdg_uptake|suv_blood_pool"]
    assert set(models["brock"].lacking) == {
        "sex",
        "family_history",
        "emphysema",
        "nodule_type",
        "nodule_count",
    }
    assert models["herder"].auroc is None
    rows = read_tables(run).rows("dgccl", split="test", pattern="ct+pet")
    both = rows.merge(lesions[lesions["smoking"] != ""].drop(columns="patient_id"), on="lesion_id")
    chance = mayo_probability(
        age_years=both["age_years"].to_numpy(),
        ever_smoker=(both["smoking"] != "never").to_numpy(),
        cancer_history=np.zeros(len(both), bool),
        diameter_mm=both["diameter_mm"].to_numpy(),
        spiculation=(both["spiculation"] == "yes").to_numpy(),
        upper_lobe=both["lobe"].str.contains("U").to_numpy(),
    )
    y, fold = both["y_true"].to_numpy(), both["fold"].to_numpy()
    mayo = models["mayo"]
    assert mayo.auroc is not None
    assert mayo.difference is not None
    assert mayo.calibration is not None
    assert mayo.auroc.n == 113
    assert mayo.auroc.estimate == pytest.approx(stats.auroc_delong(y, chance, stratum=fold).estimate)
    test = stats.delong_paired(y, both["y_score"].to_numpy(), chance, stratum=fold)
    assert (mayo.difference.difference, mayo.difference.p) == pytest.approx((test.difference, test.p))
    # Against late fusion and against Mayo: one family.
    assert mayo.difference in results.delong
    corrected = multipletests([test.p for test in results.delong], method="holm")[1]
    assert [test.p_holm for test in results.delong] == pytest.approx(list(corrected))
    assert mayo.calibration.brier.estimate == pytest.approx(stats.brier_score(y, chance).estimate)
    assert results.clinical.decision is not None
    assert set(results.clinical.decision.models) == {"dgccl", "mayo"}
    assert results.clinical.decision.n == 113
    benefit = stats.net_benefit(y, chance, threshold=0.4)
    assert results.clinical.decision.models["mayo"].estimate[39] == pytest.approx(benefit.estimate)
    assert load_results(run) == results


def whole_table(run: Path) -> pd.DataFrame:
    """The columns of all three models; those of Herder and Brock lack entries of other lesions than Mayo's."""
    table = clinical_table(run).sort_values("lesion_id").reset_index(drop=True)
    rng = np.random.default_rng(10)
    n = len(table)
    table["fdg_uptake"] = rng.choice(["none", "faint", "moderate", "intense"], n)
    table["sex"] = rng.choice(["F", "M"], n)
    table["family_history"] = rng.choice(["yes", "no"], n)
    table["emphysema"] = rng.choice(["yes", "no"], n)
    table["nodule_type"] = rng.choice(["solid", "part-solid", "ground glass"], n)
    table["nodule_count"] = rng.integers(1, 6, n)
    table.loc[10:29, "fdg_uptake"] = ""
    table.loc[40:44, "emphysema"] = ""
    return table


def test_the_model_stands_beside_each_on_its_lesions(make_run: MakeRun) -> None:
    run = make_run(malignant=60, benign=60)
    lesions = whole_table(run)
    results = evaluate(run, lesions=lesions)
    assert results.clinical is not None
    recalibrated = recalibrate(read_tables(run), "dgccl", "ct+pet", warnings=[])
    rows = recalibrated.rows.assign(own=recalibrated.calibrated[:, 1])
    complete = {
        "mayo": lesions["smoking"] != "",
        "herder": (lesions["smoking"] != "") & (lesions["fdg_uptake"] != ""),
        "brock": lesions["emphysema"] != "",
    }
    for model in results.clinical.models:
        known = rows.loc[rows["lesion_id"].isin(lesions.loc[complete[model.name], "lesion_id"])]
        y, fold = known["y_true"].to_numpy(), known["fold"].to_numpy()
        assert model.auroc is not None
        assert model.auroc.estimate is not None
        assert model.beside_auroc is not None
        assert model.beside_auroc.estimate is not None
        assert model.difference is not None
        assert model.beside_calibration is not None
        assert model.auroc.n == model.beside_auroc.n == len(known) == model.difference.n
        own = stats.auroc_delong(y, known["y_score"].to_numpy(), stratum=fold)
        assert model.beside_auroc.estimate == pytest.approx(own.estimate)
        difference = model.beside_auroc.estimate - model.auroc.estimate
        assert model.difference.difference == pytest.approx(difference)
        brier = stats.brier_score(y, known["own"].to_numpy()).estimate
        assert model.beside_calibration.brier.estimate == pytest.approx(brier)
        for calls in model.calls:
            called = (known["own"] >= calls.threshold).to_numpy()
            assert calls.beside_sensitivity.estimate == pytest.approx(called[y == 1].mean())
            assert calls.beside_specificity.estimate == pytest.approx((~called[y == 0]).mean())
    thresholds = {model.name: [at.threshold for at in model.calls] for model in results.clinical.models}
    assert thresholds == {"mayo": [0.05, 0.65], "herder": [0.1, 0.7], "brock": [0.1]}
    assert [model.difference for model in results.clinical.models] == results.delong[-3:]
    assert load_results(run) == results


def test_a_published_model_is_measured_as_the_own_ones(make_run: MakeRun) -> None:
    """By itself, on all that it judges: area, the threshold of validation lesions, calibration as published."""
    run = make_run(malignant=60, benign=60)
    lesions = whole_table(run)
    results = evaluate(run, lesions=lesions)
    assert list(results.comparators) == ["mayo", "herder", "brock"]
    assert set(results.models) == set(read_tables(run).models)
    table = read_tables(run).predictions.query("model == 'dgccl' and pattern == 'ct+pet'")
    chance = published_chances(table, lesions, next(c for c in COMPARATORS if c.name == "herder"))
    assert isinstance(chance, np.ndarray)
    rows = table.assign(chance=chance)[np.isfinite(chance)]
    test, found = rows.query("split == 'test'"), results.comparators["herder"]
    y, p = test["y_true"].to_numpy(), test["chance"].to_numpy()
    area = stats.auroc_delong(y, p, stratum=test["fold"].to_numpy()).estimate
    assert found.auroc.estimate == pytest.approx(area)
    assert results.clinical is not None
    assert found.auroc == results.clinical.models[1].auroc
    called = np.zeros(len(test), bool)
    for fold, limit in enumerate(found.threshold_by_fold):
        own = rows.query(f"split == 'validation' and fold == {fold}")
        assert limit == stats.youden_threshold(own["y_true"].to_numpy(), own["chance"].to_numpy())
        called |= (test["fold"] == fold).to_numpy() & (p >= limit)
    assert found.confusion is not None
    assert (found.confusion.tp, found.confusion.fp) == (
        int((called & (y == 1)).sum()),
        int((called & (y == 0)).sum()),
    )
    calibration = found.calibration["ct+pet"]
    assert calibration.before == calibration.after
    assert calibration.after.brier.estimate == pytest.approx(stats.brier_score(y, p).estimate)
    assert (found.patterns, found.gate, found.cosine, found.acquisition) == ({}, None, None, [])
    assert found.roc is not None
    assert found.precision_recall is not None
    assert not any("no temperature" in said or "different scales" in said for said in results.warnings)


def test_a_name_never_holds_the_scores_of_two(make_run: MakeRun) -> None:
    """An ablation of an earlier run may be named as a published model: its scores are not merged with that one's."""
    run = make_run(malignant=60, benign=60, scores={"dgccl": 2.0, "brock": 1.0})
    results = evaluate(run, lesions=whole_table(run))
    assert list(results.comparators) == ["mayo", "herder"]
    assert results.models["brock"].auroc.n == 120
    assert any("named `brock`" in said for said in results.warnings)


def test_decision_curves_hold_published_models_that_judge_every_lesion(make_run: MakeRun) -> None:
    run = make_run(malignant=60, benign=60)
    lesions = whole_table(run)
    decision = evaluate(run, lesions=lesions).decision
    assert decision is not None
    assert (set(decision.models), decision.n) == (set(read_tables(run).models), 120)
    lesions["smoking"] = lesions["smoking"].replace("", "never")
    decision = evaluate(run, lesions=lesions).decision
    assert decision is not None
    assert (set(decision.models), decision.n) == ({*read_tables(run).models, "mayo"}, 120)
    y = read_tables(run).cohort.set_index("lesion_id")["y_true"]
    chance = comparator_probabilities(lesions, COMPARATORS[0])
    assert isinstance(chance, np.ndarray)
    benefit = stats.net_benefit(y.loc[lesions["lesion_id"]].to_numpy(), chance, threshold=0.3)
    assert decision.models["mayo"].estimate[29] == pytest.approx(benefit.estimate)


def test_calls_of_a_published_model_by_hand(make_run: MakeRun) -> None:
    """A chance of 10 % is a call at 10 %, and one below it is none."""
    run = make_run(malignant=60, benign=60)
    lesions = whole_table(run)
    clinical = evaluate(run, lesions=lesions).clinical
    assert clinical is not None
    found = next(model for model in clinical.models if model.name == "brock")
    chance = comparator_probabilities(lesions, next(c for c in COMPARATORS if c.name == "brock"))
    assert isinstance(chance, np.ndarray)
    known = np.isfinite(chance)
    malignant = (
        lesions["lesion_id"].isin(read_tables(run).cohort.query("y_true == 1")["lesion_id"]).to_numpy()
    )
    assert found.calls[0].sensitivity.estimate == (chance[known & malignant] >= 0.1).mean()
    assert found.calls[0].specificity.estimate == (chance[known & ~malignant] < 0.1).mean()
    assert (found.calls[0].sensitivity.n, found.calls[0].specificity.n) == (
        int((known & malignant).sum()),
        int((known & ~malignant).sum()),
    )


def test_results_of_before_are_read(make_run: MakeRun) -> None:
    run = make_run(malignant=60, benign=60)
    evaluate(run, lesions=clinical_table(run))
    content = json.loads((run / "results.json").read_text(encoding="utf-8"))
    del content["comparators"]
    for model in content["clinical"]["models"]:
        for name in ("beside_auroc", "beside_calibration", "calls"):
            del model[name]
    (run / "results.json").write_text(json.dumps(content), encoding="utf-8")
    results = load_results(run)
    clinical = results.clinical
    assert clinical is not None
    assert results.comparators == {}
    assert all(model.beside_auroc is None and model.calls == [] for model in clinical.models)


def test_what_cannot_be_compared_is_said(make_run: MakeRun) -> None:
    run = make_run()
    lesions = clinical_table(run)
    assert evaluate(run).clinical is None
    healthy = set(read_tables(run).cohort.query("y_true == 0")["lesion_id"])
    results = evaluate(
        run, lesions=lesions.assign(lobe=lesions["lobe"].where(lesions["lesion_id"].isin(healthy), ""))
    )
    assert results.clinical is not None
    assert all(model.auroc is None for model in results.clinical.models)
    assert results.comparators == {}
    assert any("Mayo" in warning and "not of both classes" in warning for warning in results.warnings)
    with pytest.raises(CohortError) as caught:
        evaluate(run, lesions=lesions.assign(lobe="heart"))
    assert caught.value.code == "predictor_unknown"


def test_a_run_of_three_classes_has_none(make_run: MakeRun) -> None:
    def three_classes(lesions: pd.DataFrame) -> None:
        lesions["y_true"] = lesions.index % 3

    run = make_run(edit=three_classes, scores={"dgccl": 2.0}, class_names=("a", "b", "c"))
    assert evaluate(run, lesions=clinical_table(run)).clinical is None
