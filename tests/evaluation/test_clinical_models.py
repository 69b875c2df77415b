"""Published nodule models beside the run's own, on the lesions that have the values; what is lacking is said."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dgccl import stats
from dgccl.clinical import mayo_probability
from dgccl.errors import CohortError
from dgccl.evaluation import evaluate, load_results
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
    assert mayo.auroc.estimate == pytest.approx(stats.auroc(y, chance))
    test = stats.delong_paired(y, both["y_score"].to_numpy(), chance, stratum=fold)
    assert (mayo.difference.difference, mayo.difference.p) == pytest.approx((test.difference, test.p))
    assert mayo.calibration.brier.estimate == pytest.approx(stats.brier_score(y, chance).estimate)
    assert results.clinical.decision is not None
    assert set(results.clinical.decision.models) == {"dgccl", "mayo"}
    assert results.clinical.decision.n == 113
    benefit = stats.net_benefit(y, chance, threshold=0.4)
    assert results.clinical.decision.models["mayo"].estimate[39] == pytest.approx(benefit.estimate)
    assert load_results(run) == results


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
    assert any("Mayo" in warning and "not of both classes" in warning for warning in results.warnings)
    with pytest.raises(CohortError) as caught:
        evaluate(run, lesions=lesions.assign(lobe="heart"))
    assert caught.value.code == "predictor_unknown"


def test_a_run_of_three_classes_has_none(make_run: MakeRun) -> None:
    def three_classes(lesions: pd.DataFrame) -> None:
        lesions["y_true"] = lesions.index % 3

    run = make_run(edit=three_classes, scores={"dgccl": 2.0}, class_names=("a", "b", "c"))
    assert evaluate(run, lesions=clinical_table(run)).clinical is None
