"""Evaluation of more than two classes, of models that judge by one modality, and of models without gate or vectors."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, roc_auc_score

from dgccl import stats
from dgccl.errors import TrainingError
from dgccl.evaluation import evaluate, load_results
from dgccl.report.text import method_name

NAMES = ("adenocarcinoma", "squamous", "benign")
SCORES = ["y_score_0", "y_score_1", "y_score_2"]


def three_classes(lesions: pd.DataFrame) -> None:
    """Of the malignant half every third patient becomes class 2: 40, 26 and 14 lesions of the classes."""
    number = lesions["patient_id"].str[1:].astype(int)
    lesions.loc[(lesions["y_true"] == 1) & (number % 3 == 0), "y_true"] = 2


def three(make_run: Any, **more: Any) -> Path:
    return make_run(edit=three_classes, class_names=NAMES, **more)


def scored(run: Path, model: str = "dgccl", pattern: str = "ct+pet") -> pd.DataFrame:
    table = pd.read_parquet(run / "predictions.parquet")
    chosen = (table["model"] == model) & (table["split"] == "test") & (table["pattern"] == pattern)
    return table.loc[chosen].sort_values("lesion_id", ignore_index=True)


def test_headline_is_the_macro_area_within_folds(make_run: Any) -> None:
    run = three(make_run)
    results = evaluate(run)
    model, rows = results.models["dgccl"], scored(run)
    y, scores, fold = rows["y_true"].to_numpy(), rows[SCORES].to_numpy(), rows["fold"].to_numpy()
    expected = stats.auroc_macro_delong(y, scores, stratum=fold, method="logit")
    assert (model.auroc.estimate, model.auroc.ci_low) == (expected.estimate, expected.ci_low)
    assert (model.auroc.method, model.auroc.n) == ("stratified_macro_logit_delong", 80)
    assert method_name(model.auroc.method) == "stratified macro logit DeLong"
    assert model.auroc_pooled.estimate == pytest.approx(
        roc_auc_score(y, scores, multi_class="ovr", average="macro"), abs=1e-12
    )
    for number, value in enumerate(model.auroc_by_fold):
        part = rows.loc[fold == number]
        wanted = roc_auc_score(part["y_true"], part[SCORES].to_numpy(), multi_class="ovr", average="macro")
        assert value == pytest.approx(wanted, abs=1e-12)
    assert results.meta.n_by_class == {"adenocarcinoma": 40, "squamous": 26, "benign": 14}
    assert (model.threshold_by_fold, model.sensitivity, model.specificity) == ([], None, None)
    assert (model.confusion, model.roc) == (None, None)
    assert results.published == {}
    assert "two classes" in results.published_note
    assert load_results(run) == results


def test_every_class_against_the_rest_and_calls_of_the_highest_probability(make_run: Any) -> None:
    run = three(make_run)
    multiclass, rows = evaluate(run).models["dgccl"].multiclass, scored(run)
    assert multiclass is not None
    y, called = rows["y_true"].to_numpy(), rows[SCORES].to_numpy().argmax(axis=1)
    assert multiclass.confusion == confusion_matrix(y, called).tolist()
    assert multiclass.accuracy.estimate == accuracy_score(y, called)
    assert list(multiclass.by_class) == list(NAMES)
    for index, result in enumerate(multiclass.by_class.values()):
        one = (y == index).astype(int)
        expected = stats.auroc_delong(
            one, rows[SCORES[index]].to_numpy(), stratum=rows["fold"].to_numpy(), method="logit"
        )
        assert (result.auroc.estimate, result.auroc.ci_low) == (expected.estimate, expected.ci_low)
        assert result.roc is not None
        assert np.trapezoid(result.roc.tpr, result.roc.fpr) == pytest.approx(expected.estimate, abs=1e-12)
        rate = stats.wilson_interval(int((called[y == index] == index).sum()), int(one.sum()))
        assert (result.sensitivity.estimate, result.sensitivity.ci_low) == (rate.estimate, rate.ci_low)
        assert result.specificity.estimate == pytest.approx((called[y != index] != index).mean())


def test_drops_and_comparisons_are_of_the_macro_area(make_run: Any) -> None:
    run = three(make_run, scores={"dgccl": 2.0, "late_fusion": 1.0}, per_patient=2)
    results = evaluate(run)
    full, shown, other = scored(run), scored(run, pattern="pet"), scored(run, "late_fusion")
    groups = {"patient": full["patient_id"].to_numpy().astype(str), "stratum": full["fold"].to_numpy()}
    y, a = full["y_true"].to_numpy(), full[SCORES].to_numpy()
    drop = stats.delong_paired_macro(y, a, shown[SCORES].to_numpy(), **groups)
    found = results.models["dgccl"].patterns["pet"].drop
    assert (found.estimate, found.ci_low, found.p) == (drop.difference, drop.ci_low, drop.p)
    (test,) = results.delong
    pair = stats.delong_paired_macro(y, a, other[SCORES].to_numpy(), **groups)
    assert (test.difference, test.p, test.method) == (
        pair.difference,
        pair.p,
        "clustered_stratified_macro_paired_delong",
    )
    assert any("Kruskal-Wallis" in warning for warning in results.warnings)


def test_gate_weights_of_three_classes_are_tested_by_kruskal_wallis(make_run: Any) -> None:
    run = three(make_run)
    gate, rows = evaluate(run).models["dgccl"].gate, scored(run)
    assert gate is not None
    assert gate.ks is None
    assert gate.kruskal_wallis is not None
    samples = [rows.loc[rows["y_true"] == index, "gate_pet"].to_numpy() for index in range(3)]
    expected = stats.kruskal_wallis(samples)
    assert (gate.kruskal_wallis.statistic, gate.kruskal_wallis.p) == (expected.statistic, expected.p)
    assert gate.by_class["squamous"]["pet"].median == pytest.approx(np.median(samples[1]))


def test_a_fold_that_lacks_a_class_has_no_area_and_says_so(make_run: Any) -> None:
    def gather(lesions: pd.DataFrame) -> None:
        three_classes(lesions)
        lesions.loc[(lesions["y_true"] == 2) & (lesions["fold"] == 1), "fold"] = 0

    results = evaluate(make_run(edit=gather, class_names=NAMES))
    model = results.models["dgccl"]
    assert [value is None for value in model.auroc_by_fold] == [False, True, False, False]
    assert model.auroc.estimate is not None
    assert "Test fold 1 lacks benign and has no macro AUC of its own." in results.warnings


def test_a_class_that_is_nowhere_leaves_the_macro_area_undefined(make_run: Any) -> None:
    results = evaluate(make_run(class_names=NAMES))
    model = results.models["dgccl"]
    assert (model.auroc.estimate, model.auroc.method) == (None, "not_defined")
    assert model.multiclass is not None
    assert model.multiclass.by_class["squamous"].auroc.estimate is not None
    assert model.multiclass.by_class["benign"].sensitivity.n == 0
    assert any("Class 2 has 0 of 80 cases" in warning for warning in results.warnings)


def _sum(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(y_score_0=table["y_score_0"] / 2)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_sum, "differ from 1"),
        (lambda table: table.drop(columns="y_score_2"), "y_score_2"),
        (lambda table: table.assign(y_true=table["y_true"].replace(2, 3)), "0 to 2"),
        (lambda table: table.assign(y_score_1=np.nan), "no probabilities"),
    ],
)
def test_tables_that_do_not_fit_the_classes_are_refused(make_run: Any, spoil: Any, words: str) -> None:
    run = three(make_run)
    spoil(pd.read_parquet(run / "predictions.parquet")).to_parquet(run / "predictions.parquet")
    with pytest.raises(TrainingError, match=words) as caught:
        evaluate(run)
    assert caught.value.code == "run_file_damaged"


def test_names_that_do_not_fit_the_number_of_classes_are_refused(make_run: Any) -> None:
    run = three(make_run)
    config = (run / "config.json").read_text(encoding="utf-8")
    (run / "config.json").write_text(config.replace('"classes": 3', '"classes": 4'), encoding="utf-8")
    with pytest.raises(TrainingError, match="4 classes and the names adenocarcinoma") as caught:
        evaluate(run)
    assert caught.value.code == "run_file_damaged"


def without_pet(lesions: pd.DataFrame) -> None:
    lesions.loc[lesions.index[::10], "has_pet"] = False


def test_a_model_of_one_modality_is_judged_on_the_lesions_that_have_it(make_run: Any) -> None:
    run = make_run(edit=without_pet, scores={"dgccl": 2.0, "single_pet": 1.0, "single_ct": 1.5})
    results = evaluate(run)
    pet, ct = results.models["single_pet"], results.models["single_ct"]
    assert (results.meta.n_lesions, pet.auroc.n, ct.auroc.n) == (80, 72, 80)
    assert (list(pet.patterns), list(ct.patterns)) == (["pet"], ["ct"])
    assert pet.sensitivity is not None
    assert pet.specificity is not None
    assert pet.sensitivity.n + pet.specificity.n == 72
    assert [(test.b, test.n) for test in results.delong] == [("single_pet", 72), ("single_ct", 80)]
    merged = scored(run).merge(scored(run, "single_pet"), on="lesion_id")
    expected = stats.delong_paired(
        merged["y_true_x"].to_numpy(),
        merged["y_score_x"].to_numpy(),
        merged["y_score_y"].to_numpy(),
        stratum=merged["fold_x"].to_numpy(),
    )
    assert results.delong[0].difference == expected.difference
    assert any(warning.startswith("single_pet judges 72 of 80 lesions") for warning in results.warnings)
    assert not any("single_ct" in warning for warning in results.warnings)


def test_what_a_model_of_one_modality_owes_is_checked(make_run: Any) -> None:
    run = make_run(edit=without_pet, scores={"dgccl": 2.0, "single_pet": 1.0})
    table = pd.read_parquet(run / "predictions.parquet")
    table.loc[(table["model"] != "single_pet") | (table["lesion_id"] != "L003")].to_parquet(
        run / "predictions.parquet"
    )
    with pytest.raises(
        TrainingError, match=r"model single_pet scored 71 validation lesions, .* 72 with pet"
    ) as caught:
        evaluate(run)
    assert caught.value.code == "predictions_inconsistent"


def test_two_models_without_a_lesion_in_common_are_not_compared(make_run: Any) -> None:
    def split(lesions: pd.DataFrame) -> None:
        lesions["has_ct"] = lesions.index % 2 == 0
        lesions["has_pet"] = lesions.index % 2 == 1

    results = evaluate(make_run(edit=split, scores={"single_ct": 1.0, "single_pet": 1.0}))
    assert results.delong == []
    assert (results.meta.n_lesions, results.models["single_ct"].auroc.n) == (80, 40)
    assert any("no test lesion in common" in warning for warning in results.warnings)


def test_a_model_that_keeps_only_fused_vectors_has_no_cosine(make_run: Any) -> None:
    def embeddings(lesions: pd.DataFrame) -> dict[str, np.ndarray]:
        vectors = np.random.default_rng(0).normal(size=(len(lesions), 4)).astype(np.float32)
        rows = np.arange(len(lesions), dtype=np.int64)
        return {"early_fusion/fused": vectors, "early_fusion/row": rows, "summed_logits/row": rows}

    results = evaluate(make_run(scores={"early_fusion": 1.0, "summed_logits": 1.0}, embeddings=embeddings))
    for model in results.models.values():
        assert model.cosine is None
        assert model.gate is None
    assert [test.a for test in results.delong] == ["early_fusion"]
