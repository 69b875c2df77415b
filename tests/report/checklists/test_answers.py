"""What the answers say, held against the run's own files, and what becomes of them where the files say otherwise."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dgccl.report import text
from dgccl.report.checklists import of_cohort, of_groups, of_inputs, of_results, of_training
from dgccl.report.checklists.answers import ANSWERS


def changed(pair: Any, table: str, **settings: Any) -> Any:
    """The run with other settings in one table of its configuration; None takes a setting away."""
    found = pair.run.config[table] | settings
    found = {name: value for name, value in found.items() if value is not None}
    return replace(pair.run, config=pair.run.config | {table: found})


def said(answer: str | None) -> str:
    assert answer is not None
    return answer


@pytest.mark.parametrize("key", sorted(ANSWERS))
def test_an_answer_is_whole_sentences_or_none(pair: Any, key: str) -> None:
    answer = ANSWERS[key](pair.run, pair.cohort)
    assert answer is None or (
        answer == answer.strip() and answer.endswith((".", "”.")) and "  " not in answer
    )


def test_cohort(phantom: Any) -> None:
    lesions = phantom.cohort.lesions
    size = said(of_cohort.size(phantom.run, phantom.cohort))
    assert size.startswith("60 lesions of 60 patients: 30 benign and 30 malignant.")
    ages = text.quartiles(lesions["age_years"].to_numpy(float), digits=0)
    counts = lesions["sex"].value_counts()
    characteristics = said(of_cohort.characteristics(phantom.run, phantom.cohort))
    assert f"Age over lesions, median [quartiles]: {ages} years." in characteristics
    assert f"Lesions by sex: F {counts['F']}, M {counts['M']}." in characteristics
    flow = said(of_cohort.flow_numbers(phantom.run, phantom.cohort))
    assert "Found 63 patients, refused 3, taken 60 patients with 60 lesions, tested 60 lesions." in flow
    assert (
        of_cohort.sites(phantom.run, phantom.cohort) == "Named in the lesion table: 2 sites and 2 scanners."
    )


def test_what_is_not_recorded_is_not_answered(phantom: Any) -> None:
    lesions = phantom.cohort.lesions.assign(site="", scanner="", sex="", age_years=np.nan)
    bare = replace(phantom.cohort, lesions=lesions)
    assert of_cohort.sites(phantom.run, bare) is None
    assert of_cohort.characteristics(phantom.run, bare) is None
    partly = replace(phantom.cohort, lesions=lesions.assign(sex=["F", *[""] * (len(lesions) - 1)]))
    assert "Lesions without a recorded sex: 59." in said(of_cohort.characteristics(phantom.run, partly))


def test_parts_of_a_fold(phantom: Any) -> None:
    """12 of 60 lesions test a fold, 12 validate it; who was never scored cannot be counted."""
    sizes = "Lesions of a fold: 36 train, 12 validate, 12 are tested."
    assert sizes in said(of_cohort.partition(phantom.run, phantom.cohort))
    predictions = phantom.run.predictions
    fewer = replace(phantom.run, predictions=predictions.loc[predictions["lesion_id"] != "P003-L1"])
    assert "Lesions of a fold" not in said(of_cohort.partition(fewer, phantom.cohort))
    assert of_cohort.each_tested_once(fewer, phantom.cohort) is None
    assert of_cohort.each_tested_once(phantom.run, phantom.cohort)


def test_partition_by_site(whole: Any, judged: Any) -> None:
    by_patient, by_site = (said(of_cohort.partition(p.run, p.cohort)) for p in (whole, judged))
    assert "Cross-validation with 5 folds, by patient and stratified by class, seed 3." in by_patient
    assert "25% validate" in by_patient
    assert "each testing one whole site, seed 3." in by_site
    assert "Folds keep the classes in proportion." in said(of_training.imbalance(whole.run, whole.cohort))
    assert "Folds keep" not in said(of_training.imbalance(judged.run, judged.cohort))
    assert of_groups.other_sites(whole.run, whole.cohort) is None
    assert of_groups.other_sites(judged.run, judged.cohort)


def test_ingestion(whole: Any, phantom: Any, tables: Any) -> None:
    eligibility = said(of_cohort.eligibility(whole.run, whole.cohort))
    assert "Patients who lack some of the images were taken." in eligibility
    assert "`^GTV`" in eligibility
    assert "Ingestion refused 3 patients (3 reasons)." in eligibility
    strict = whole.cohort.manifest | {
        "settings": whole.cohort.manifest["settings"] | {"allow_missing_modality": False}
    }
    other = replace(whole.cohort, manifest=strict)
    assert "Every patient had to have CT and PET." in said(of_cohort.eligibility(whole.run, other))
    unknown = said(of_cohort.eligibility(phantom.run, phantom.cohort))
    assert "had to have" not in unknown
    assert "were taken" not in unknown
    assert "nothing was ingested" in said(of_cohort.eligibility(tables.run, tables.cohort))


def test_inputs(whole: Any, tables: Any) -> None:
    scaling = said(of_inputs.scaling(whole.run, whole.cohort))
    assert "CT: HU from −1000 to 1000 become 0 to 1" in scaling
    preparation = said(of_inputs.preparation(whole.run, whole.cohort))
    assert "a box of 64 mm, resampled to 1 mm (CT) and 4 mm (PET)." in preparation
    assert "rigid registration in 1 of 3 patients." in preparation
    definitions = said(of_inputs.input_definitions(whole.run, whole.cohort))
    assert "PET is read as SUL." in definitions  # as the run settled it, not as the configuration left it
    assert "CT is a table of 2 columns: volume_ml, cea." in said(of_inputs.inputs(tables.run, tables.cohort))
    scaling = said(of_inputs.scaling(tables.run, tables.cohort))
    assert "CT: categories are read as flags" in scaling
    assert "PET: categories" not in scaling
    assert of_inputs.crops(tables.run, tables.cohort) is None


def test_missing_modalities(whole: Any, several: Any) -> None:
    missing = said(of_inputs.missing_data(whole.run, whole.cohort))
    assert "scored from what they have: 2 of 60." in missing
    assert "30% of the lesions with several modalities lose one" in missing
    alone = "A model of one modality judges only the lesions that have it."
    assert alone not in missing
    assert alone in said(of_inputs.missing_data(several.run, several.cohort))
    never = changed(whole, "augmentation", modality_dropout=0.0)
    assert "lose one" not in said(of_inputs.missing_data(never, whole.cohort))


def test_missing_values_of_a_table(tables: Any) -> None:
    """Lesion 0 of the made cohort has no SUVmax."""
    missing = said(of_inputs.missing_data(tables.run, tables.cohort))
    assert "Values of CT that are missing: 0 of 120." in missing
    assert "Values of PET that are missing: 1 of 60." in missing
    assert "Augmentation" not in said(of_training.training(tables.run, tables.cohort))


def test_beginning_of_the_weights(phantom: Any, whole: Any, tables: Any) -> None:
    """A run that does not say whether it was pre-trained has no answer; it is not taken for one that was not."""
    assert of_training.initialization(phantom.run, phantom.cohort) is None
    assert f"SHA-256 {'a1' * 32}" in said(of_training.initialization(whole.run, whole.cohort))
    assert "Nothing was pre-trained." in said(of_training.initialization(tables.run, tables.cohort))


def test_models_and_training(whole: Any, several: Any) -> None:
    architecture = said(of_training.architecture(whole.run, whole.cohort))
    assert "Models: DG-CCL and late fusion." in architecture
    assert "DG-CCL fuses embeddings 64 wide: cross-attention of 4 heads, a gate of each case." in architecture
    without = changed(whole, "model", cross_attention=False, gate="equal")
    assert "no cross-attention, equal weights." in said(of_training.architecture(without, whole.cohort))
    training = said(of_training.training(whole.run, whole.cohort))
    assert "Trained: 10 networks, one for each model and fold, for 20 epochs each." in training
    assert "learning rate 1e-05, weight decay 0.01 and batches of 16." in training
    assert "mirrored" in training
    assert "mirrored" not in said(
        of_training.training(changed(whole, "augmentation", flip=False), whole.cohort)
    )
    assert "Trained: 15 networks" in said(of_training.training(several.run, several.cohort))
    assert "stops after 15 epochs" in said(of_training.selection(whole.run, whole.cohort))
    assert "stops" not in said(of_training.selection(changed(whole, "training", patience=None), whole.cohort))
    assert "means over 4 poses" in said(of_training.predictions_made(whole.run, whole.cohort))
    assert "poses" not in said(of_training.predictions_made(several.run, several.cohort))


def test_software(phantom: Any) -> None:
    version = phantom.run.results["meta"]["dgccl_version"]
    software = said(of_training.software(phantom.run, phantom.cohort))
    assert software.startswith(
        f"Software: DG-CCL {version}, Python 3.11.2, torch 2.13.0, numpy 2.4.6. Device: cpu."
    )


def test_performance(phantom: Any, several: Any) -> None:
    model = phantom.run.results["models"]["dgccl"]
    performance = said(of_results.performance(phantom.run, phantom.cohort))
    assert f"DG-CCL: AUC {text.estimate(model['auroc'])} on 60 test lesions." in performance
    assert f"sensitivity {text.estimate(model['sensitivity'])}" in performance
    thresholds = [text.number(value) for value in sorted(model["threshold_by_fold"])]
    output = said(of_results.output(phantom.run, phantom.cohort))
    assert f"Thresholds of DG-CCL by fold: {thresholds[0]} to {thresholds[-1]}." in output
    assert "no threshold is chosen" in said(of_results.output(several.run, several.cohort))
    assert "DG-CCL: macro AUC" in said(of_results.performance(several.run, several.cohort))
    table = np.array(several.run.results["models"]["dgccl"]["multiclass"]["confusion"])
    wrong = int(table.sum() - np.trace(table))
    assert (
        of_results.failures(several.run, several.cohort)
        == f"Wrong calls of DG-CCL: {wrong} of {table.sum()} lesions."
    )


def with_results(pair: Any, **figures: Any) -> Any:
    """The run with other figures of its first model."""
    results, name = pair.run.results, pair.run.models[0]
    models = results["models"] | {name: results["models"][name] | figures}
    return replace(pair.run, results=results | {"models": models})


def test_figures_that_the_data_leave_undefined_fill_nothing(phantom: Any) -> None:
    undefined = {"estimate": None, "ci_low": None, "ci_high": None, "method": "not_defined", "n": 0}
    run = with_results(phantom, sensitivity=undefined, specificity=undefined, confusion=None)
    assert of_results.accuracy(run, phantom.cohort) is None
    assert of_results.failures(run, phantom.cohort) is None
    assert "rates" not in said(of_results.uncertainty(run, phantom.cohort))
    lacking = with_results(phantom, threshold_by_fold=[0.5, None, 0.4, None, 0.6])
    output = said(of_results.output(lacking, phantom.cohort))
    assert "by fold: 0.400 to 0.600." in output
    assert "Folds without a threshold, which their validation lesions do not allow: 2 of 5." in output
    found = phantom.run.results["models"]["dgccl"]["calibration"]
    none_fitted = {name: part | {"temperature_by_fold": [None] * 5} for name, part in found.items()}
    assert of_results.recalibration(with_results(phantom, calibration=none_fitted), phantom.cohort) is None
    bare = with_results(phantom, calibration={}, patterns={}, gate=None)
    assert of_results.recalibration(bare, phantom.cohort) is None
    assert of_results.recalibrated_performance(bare, phantom.cohort) is None
    assert of_results.robustness(bare, phantom.cohort) is None
    assert of_results.explanations(replace(bare, fused={}), phantom.cohort) is None


def test_stress_is_told_only_where_it_was_done(whole: Any, phantom: Any) -> None:
    assert "Stress test on worse images: 2 kinds" in said(of_results.robustness(whole.run, whole.cohort))
    assert "Stress" not in said(of_results.robustness(phantom.run, phantom.cohort))


def test_groups_and_gates(judged: Any, whole: Any) -> None:
    assert of_groups.fairness(whole.run, whole.cohort) is None
    fairness = said(of_groups.fairness(judged.run, judged.cohort))
    assert "DG-CCL in subgroups by patient sex: 1 judged, 1 too small." in fairness
    assert "on subgroups: 1 of 2 passed." in fairness
    assert "`dgccl accept`: 2 of 3 passed." in said(of_results.internal_testing(judged.run, judged.cohort))
    clusters = said(of_groups.clusters(judged.run, judged.cohort))
    assert "AUC of DG-CCL by scanner: 0.800 in 1 group." in clusters
    assert "by site" not in clusters  # which the folds are
    by_fold = judged.run.results["models"]["dgccl"]["auroc_by_fold"]
    assert f"by test site: {text.number(min(by_fold))} to {text.number(max(by_fold))}." in clusters
    assert of_groups.clusters(whole.run, whole.cohort) is None
