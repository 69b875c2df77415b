"""Gates of the headline figures, on scores whose separation, drop and calibration are known."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.special import logit

from dgccl import stats
from dgccl.cohort import open_cohort
from dgccl.evaluation import evaluate

from .conftest import MakeRun, judged, separated


def scored(run: Path, model: str, pattern: str) -> pd.DataFrame:
    rows = pd.read_parquet(run / "predictions.parquet")
    chosen = (rows["model"] == model) & (rows["split"] == "test") & (rows["pattern"] == pattern)
    return rows.loc[chosen].sort_values("lesion_id")


def test_figures_are_within_folds_and_by_patient(make_run: MakeRun) -> None:
    """Two lesions a patient, scores of other scales in every fold: as the evaluation takes them."""
    shifts = {"ct+pet": 2.0, "ct": 1.3, "pet": 1.98}

    def scales(rows: pd.DataFrame) -> None:
        rows["y_score"] = rows["y_score"] ** (1.0 + rows["fold"])

    scores = {"new": separated(shifts, seed=1), "old": separated(1.4, seed=1)}
    run = make_run(scores=scores, predictions=scales, per_patient=2)
    rows, ct, old = (scored(run, *which) for which in (("new", "ct+pet"), ("new", "ct"), ("old", "ct+pet")))
    design = {"patient": rows["patient_id"].to_numpy().astype(str), "stratum": rows["fold"].to_numpy()}
    y_true, score = rows["y_true"].to_numpy(), rows["y_score"].to_numpy()
    area = stats.auroc_delong(y_true, score, method="logit", **design)
    found = judged(run, "auroc_floor", floor=0.5)
    assert (found.figure, found.ci_low, found.ci_high) == (area.estimate, area.ci_low, area.ci_high)
    assert (found.method, found.n) == ("clustered_stratified_logit_delong", 144)
    drop = stats.delong_paired(y_true, score, ct["y_score"].to_numpy(), **design)
    part = judged(run, "missing_modality_drop").parts[1]
    assert (part.figure, part.ci_low, part.ci_high) == (drop.difference, drop.ci_low, drop.ci_high)
    other = stats.delong_paired(y_true, score, old["y_score"].to_numpy(), **design)
    compared = judged(run, "non_inferiority", comparator="old", margin=0.1)
    assert (compared.figure, compared.ci_low, compared.ci_high) == (
        other.difference,
        other.ci_low,
        other.ci_high,
    )


def test_the_floor_is_held_against_the_lower_end(make_run: MakeRun) -> None:
    run = make_run()
    found = judged(run, "auroc_floor", floor=0.7)
    assert (found.method, found.n, found.passed, found.assessed) == (
        "stratified_logit_delong",
        144,
        True,
        True,
    )
    assert found.ci_low is not None
    assert found.figure is not None
    assert judged(run, "auroc_floor", floor=found.ci_low).passed
    # The estimate is above this floor, and the interval is not.
    above = judged(run, "auroc_floor", floor=(found.ci_low + found.figure) / 2)
    assert not above.passed
    assert "does not reach" in above.reason


def test_the_model_is_chosen(make_run: MakeRun) -> None:
    run = make_run()
    first, old = (judged(run, "auroc_floor", floor=0.5, model=model).figure for model in (None, "old"))
    assert first == judged(run, "auroc_floor", floor=0.5, model="new").figure != old
    unknown = judged(run, "auroc_floor", floor=0.0, model="newer")
    assert (unknown.passed, unknown.assessed, unknown.figure) == (False, False, None)
    assert "[unknown_model]" in unknown.reason


def test_an_area_that_is_not_defined_fails(make_run: MakeRun) -> None:
    def one_class_a_fold(lesions: pd.DataFrame) -> None:
        lesions["fold"] = 2 * (lesions["fold"] % 2) + lesions["y_true"]

    found = judged(make_run(lesions=one_class_a_fold), "auroc_floor", floor=0.0)
    assert (found.passed, found.assessed) == (False, False)
    assert "both classes" in found.reason


def test_lesions_that_no_area_is_about_are_told(make_run: MakeRun) -> None:
    def one_fold_of_one_class(lesions: pd.DataFrame) -> pd.DataFrame:
        return lesions.loc[(lesions["fold"] != 0) | (lesions["y_true"] == 1)].reset_index(drop=True)

    found = judged(make_run(lesions=one_fold_of_one_class), "auroc_floor", floor=0.5)
    assert found.n == 108
    assert "on 108 of 126 test lesions" in found.reason


def test_a_drop_is_judged_for_every_pattern_by_its_upper_end(make_run: MakeRun) -> None:
    shifts = {"ct+pet": 2.0, "ct": 1.3, "pet": 1.98}
    run = make_run(scores={"new": separated(shifts, seed=1)})
    found = judged(run, "missing_modality_drop", max_drop=0.05)
    assert [part.name for part in found.parts] == ["pet alone", "ct alone"]
    for part in found.parts:
        assert part.ci_high is not None
        assert part.passed == (part.ci_high <= 0.05)
    assert [part.passed for part in found.parts] == [True, False]
    assert (found.passed, found.figure) == (False, found.parts[1].figure)
    # Without CT, PET alone is left, which is nearly as good.
    assert judged(run, "missing_modality_drop", missing=["ct"]).passed
    assert not judged(run, "missing_modality_drop", missing=["pet"]).passed
    assert judged(run, "missing_modality_drop", max_drop=0.4).passed


@pytest.mark.parametrize("asked", [{"missing": ["mr"]}, {"missing": ["ct", "mr"]}])
def test_a_modality_that_is_not_there_cannot_be_missing(make_run: MakeRun, asked: dict) -> None:
    found = judged(make_run(), "missing_modality_drop", **asked)
    assert (found.passed, found.assessed) == (False, False)
    assert "[unknown_modality]" in found.reason


def test_a_model_that_says_nothing_without_a_modality_fails(make_run: MakeRun) -> None:
    found = judged(make_run(scores={"single_pet": separated(2.0, seed=1)}), "missing_modality_drop")
    assert not found.passed
    assert [part.passed for part in found.parts] == [True, False]
    assert "says nothing of ct alone" in found.reason


def test_a_drop_on_chosen_lesions_is_none(make_run: MakeRun) -> None:
    def without_the_hard_ones(rows: pd.DataFrame) -> pd.DataFrame:
        wrong = (rows["pattern"] == "ct") & ((rows["y_score"] > 0.5) != (rows["y_true"] == 1))
        return rows.loc[~wrong]

    found = judged(make_run(predictions=without_the_hard_ones), "missing_modality_drop", max_drop=0.5)
    assert not found.passed
    assert "were not scored so" in found.reason


def test_patterns_of_three_modalities() -> None:
    from dgccl.acceptance.performance import _patterns_without

    names = ["ct", "pet", "mr"]
    assert _patterns_without(names, {"pet"}) == ["ct+mr"]
    assert sorted(_patterns_without(names, {"pet", "mr"})) == ["ct", "ct+mr", "ct+pet"]
    assert sorted(_patterns_without(names, set(names))) == ["ct", "ct+mr", "ct+pet", "mr", "pet", "pet+mr"]


def test_non_inferiority_is_held_against_the_margin(make_run: MakeRun) -> None:
    run = make_run(scores={"old": separated(1.9, seed=1), "dgccl": separated(1.4, seed=1)})
    found = judged(run, "non_inferiority", comparator="dgccl", margin=0.02)
    assert (found.passed, found.details["verdict"]) == (True, "superior")
    worse = judged(run, "non_inferiority", model="dgccl", comparator="old", margin=0.02)
    assert (worse.passed, worse.details["verdict"]) == (False, "inferior")
    wide = judged(run, "non_inferiority", model="dgccl", comparator="old", margin=0.3)
    assert (wide.passed, wide.details["verdict"]) == (True, "non_inferior")


@pytest.mark.parametrize("comparator", ["new", "absent"])
def test_a_comparator_must_be_another_model_of_the_run(make_run: MakeRun, comparator: str) -> None:
    found = judged(make_run(), "non_inferiority", comparator=comparator, margin=0.1)
    assert (found.passed, found.assessed) == (False, False)
    assert "[unknown_model]" in found.reason


@pytest.mark.parametrize(("sharpness", "passes"), [(1.0, True), (3.0, False), (0.3, False)])
def test_the_whole_interval_of_the_slope_must_lie_within(
    make_run: MakeRun, sharpness: float, passes: bool
) -> None:
    run = make_run(scores={"new": separated(2.0, seed=1, sharpness=sharpness)}, malignant=200, benign=200)
    found = judged(run, "calibration_slope", low=0.6, high=1.6)
    assert found.passed == passes
    rows = scored(run, "new", "ct+pet")
    odds = logit(np.clip(rows["y_score"].to_numpy(), 1e-6, 1 - 1e-6))
    fit = sm.Logit(rows["y_true"].to_numpy(), sm.add_constant(odds)).fit(disp=0, cov_type="HC0")
    assert found.figure == pytest.approx(fit.params[1], rel=1e-6)
    half = 1.959964 * fit.bse[1] * (400 / 398) ** 0.5
    assert (found.ci_low, found.ci_high) == pytest.approx(
        (fit.params[1] - half, fit.params[1] + half), rel=1e-4
    )
    assert found.details["clip"] == 1e-6
    if passes:
        assert found.ci_low is not None
        # The estimate lies within these limits, and the interval does not.
        assert not judged(run, "calibration_slope", low=found.ci_low + 0.01, high=1.6).passed


def test_recalibrated_probabilities_are_judged_where_it_is_asked_for(make_run: MakeRun) -> None:
    """Networks that are three times too sure, and a temperature that validation lesions tell."""
    run = make_run(scores={"new": separated(2.0, seed=1, sharpness=3.0)}, malignant=200, benign=200)
    limits = {"low": 0.6, "high": 1.6}
    assert not judged(run, "calibration_slope", **limits).passed
    found = judged(run, "calibration_slope", probabilities="recalibrated", **limits)
    assert found.passed, found.reason
    assert found.settings["probabilities"] == "recalibrated"


def test_a_fold_that_cannot_be_recalibrated_is_told(make_run: MakeRun) -> None:
    def one_class(rows: pd.DataFrame) -> pd.DataFrame:
        return rows.loc[(rows["split"] == "test") | (rows["fold"] != 1) | (rows["y_true"] == 0)]

    def fits(folds: pd.DataFrame) -> None:
        chosen = (folds["split"] == "validation") & (folds["fold"] == 1)
        malignant = folds["lesion_id"].str[1:].astype(int) < 72
        folds.loc[chosen & malignant, "split"] = "train"

    run = make_run(predictions=one_class, fold_table=fits)
    found = judged(run, "calibration_slope", low=0.1, high=3.0, probabilities="recalibrated")
    assert found.assessed
    assert "of fold 1 allow no temperature" in found.reason


def test_probabilities_that_separate_the_classes_have_no_slope(make_run: MakeRun) -> None:
    found = judged(make_run(scores={"new": separated(40.0, seed=1)}), "calibration_slope", low=0.5, high=2.0)
    assert (found.passed, found.assessed) == (False, False)


def test_more_than_two_classes(make_run: MakeRun) -> None:
    def three(lesions: pd.DataFrame) -> None:
        lesions["y_true"] = np.arange(len(lesions)) % 3
        lesions["fold"] = np.random.default_rng(0).integers(4, size=len(lesions))

    run = make_run(lesions=three, class_names=("a", "b", "c"))
    found = judged(run, "auroc_floor", floor=0.6)
    assert (found.method, found.passed) == ("stratified_macro_logit_delong", True)
    assert judged(run, "missing_modality_drop", max_drop=0.5).passed
    slope = judged(run, "calibration_slope", low=0.1, high=9.0)
    assert "[not_two_classes]" in slope.reason
    sexes = judged(run, "subgroup_floor", by="sex", floor=0.5)
    assert sexes.passed, sexes.reason


def nodules(table: pd.DataFrame) -> pd.DataFrame:
    """What Mayo's and Herder's models need, with entries that are lacking."""
    rng = np.random.default_rng(12)
    n = len(table)
    malignant = table["label"].to_numpy() == 1
    return table.assign(
        smoking=np.where(np.arange(n) % 9 == 0, "", rng.choice(["never", "current"], n)),
        cancer_history="no",
        spiculation=np.where(rng.random(n) < 0.3 + 0.4 * malignant, "yes", "no"),
        lobe=rng.choice(["upper", "lower"], n),
        suv_blood_pool=1.5,
        suv_max=np.where(malignant, rng.uniform(1.0, 6.0, n), rng.uniform(0.5, 4.0, n)).round(3),
    )


@pytest.mark.parametrize("comparator", ["mayo", "herder"])
def test_a_published_model_is_a_comparator(make_run: MakeRun, comparator: str) -> None:
    """The test that evaluation writes for the same two models, on the lesions that both judge."""
    run = make_run(scores={"dgccl": separated(2.0, seed=1)}, cohort=nodules, per_patient=2)
    found = judged(run, "non_inferiority", comparator=comparator, margin=0.05)
    assert (found.assessed, found.passed) == (True, True), found.reason
    results = evaluate(run, lesions=open_cohort(run.parent / "cohort").lesions)
    assert results.clinical is not None
    test = next(m.difference for m in results.clinical.models if m.name == comparator)
    assert test is not None
    assert (found.figure, found.ci_low, found.ci_high, found.n) == (
        test.difference,
        test.ci_low,
        test.ci_high,
        128,
    )
    assert "on 128 of 144 test lesions" in found.reason
    assert found.title == f"non_inferiority to {comparator}"


def test_a_published_model_can_be_better(make_run: MakeRun) -> None:
    run = make_run(scores={"dgccl": separated(0.0, seed=1)}, cohort=nodules)
    found = judged(run, "non_inferiority", comparator="herder", margin=0.05)
    assert (found.assessed, found.passed) == (True, False), found.reason
    assert found.details["verdict"] == "inferior"


def test_a_model_of_the_run_goes_before_a_published_one_of_its_name(make_run: MakeRun) -> None:
    run = make_run(scores={"new": separated(2.0, seed=1), "mayo": separated(1.6, seed=2)}, cohort=nodules)
    assert judged(run, "non_inferiority", comparator="mayo", margin=0.1).n == 144


def test_columns_that_a_published_model_lacks_are_named(make_run: MakeRun) -> None:
    found = judged(make_run(cohort=nodules), "non_inferiority", comparator="brock", margin=0.1)
    assert (found.passed, found.assessed) == (False, False)
    assert "[comparator_columns_missing]" in found.reason
    assert "family_history, emphysema, nodule_type" in found.reason
    assert "--clinical" in found.reason


def test_a_published_model_without_one_whole_lesion_judges_none(make_run: MakeRun) -> None:
    run = make_run(cohort=lambda table: nodules(table).assign(lobe=""))
    found = judged(run, "non_inferiority", comparator="mayo", margin=0.1)
    assert (found.passed, found.assessed) == (False, False)
    assert "[no_cases]" in found.reason


def test_a_published_model_knows_two_classes(make_run: MakeRun) -> None:
    def three(lesions: pd.DataFrame) -> None:
        lesions["y_true"] = np.arange(len(lesions)) % 3
        lesions["fold"] = np.random.default_rng(0).integers(4, size=len(lesions))

    run = make_run(lesions=three, class_names=("a", "b", "c"), cohort=nodules)
    found = judged(run, "non_inferiority", comparator="mayo", margin=0.1)
    assert "[not_two_classes]" in found.reason


@pytest.mark.parametrize("kind", ["constant", "perfect"])
def test_scores_that_nothing_varies_do_not_pass_by_an_interval_without_width(
    make_run: MakeRun, kind: str
) -> None:
    def level(rows: pd.DataFrame) -> None:
        rows["y_score"] = 0.5 if kind == "constant" else 0.1 + 0.8 * rows["y_true"]

    run = make_run(predictions=level)
    for rule, settings in (
        ("missing_modality_drop", {}),
        ("non_inferiority", {"comparator": "old", "margin": 0.1}),
    ):
        found = judged(run, rule, **settings)
        assert not found.passed, rule
