"""Evaluation on run folders whose right answers are known."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from dgccl import stats
from dgccl.errors import DgcclError, StatsError, TrainingError
from dgccl.evaluation import evaluate, load_results
from dgccl.evaluation.cohort_facts import SMALL_CLASS, SMALL_COHORT


def predictions(run: Path, **chosen: object) -> pd.DataFrame:
    table = pd.read_parquet(run / "predictions.parquet")
    for column, value in chosen.items():
        table = table.loc[table[column] == value]
    return table.sort_values("lesion_id", ignore_index=True)


def rewrite(run: Path, table: pd.DataFrame) -> None:
    table.to_parquet(run / "predictions.parquet", index=False)


def test_headline_figures(make_run: Any) -> None:
    run = make_run()
    results = evaluate(run)
    for name in ("dgccl", "late_fusion"):
        rows = predictions(run, model=name, split="test", pattern="ct+pet")
        model = results.models[name]
        y, score = rows["y_true"].to_numpy(), rows["y_score"].to_numpy()
        assert model.auroc_pooled.estimate == pytest.approx(roc_auc_score(y, score), abs=1e-12)
        assert (model.auroc_pooled.method, model.auroc_pooled.n) == ("delong", 80)
        assert model.auroc.estimate == pytest.approx(np.mean(np.array(model.auroc_by_fold, float)), abs=1e-12)
        assert (model.auroc.method, model.auroc.n) == ("stratified_logit_delong", 80)
        for fold, value in enumerate(model.auroc_by_fold):
            part = rows.loc[rows["fold"] == fold]
            assert value == pytest.approx(roc_auc_score(part["y_true"], part["y_score"]), abs=1e-12)
        assert np.trapezoid(model.roc.tpr, model.roc.fpr) == pytest.approx(model.auroc.estimate, abs=1e-12)
    assert (results.meta.n_lesions, results.meta.n_by_class) == (80, {"benign": 40, "malignant": 40})
    assert (results.meta.folds, results.meta.run, results.meta.seed) == (4, "run", 3)


def test_thresholds_come_from_the_validation_lesions_of_the_fold(make_run: Any) -> None:
    run = make_run()
    table = pd.read_parquet(run / "predictions.parquet")
    # Validation scores of fold k lie around k / 10; test scores must play no part.
    validation = (table["split"] == "validation") & (table["pattern"] == "ct+pet")
    table.loc[validation, "y_score"] = 0.1 * table["fold"] + np.where(table["y_true"] == 1, 0.06, 0.04)
    rewrite(run, table)
    model = evaluate(run).models["dgccl"]
    assert model.threshold_by_fold == pytest.approx([0.05, 0.15, 0.25, 0.35], abs=1e-12)
    rows = predictions(run, model="dgccl", split="test", pattern="ct+pet")
    called = rows["y_score"] >= 0.05 + 0.1 * rows["fold"]
    counts = [
        int((called == c).to_numpy()[(rows["y_true"] == t).to_numpy()].sum()) for c in (1, 0) for t in (1, 0)
    ]
    confusion = model.confusion
    assert [confusion.tp, confusion.fp, confusion.fn, confusion.tn] == counts
    expected = stats.wilson_interval(confusion.tp, 40)
    assert (model.sensitivity.estimate, model.sensitivity.ci_low) == (expected.estimate, expected.ci_low)
    assert model.specificity.estimate == confusion.tn / 40


def test_patterns_and_drop(make_run: Any) -> None:
    run = make_run()
    pattern = evaluate(run).models["dgccl"].patterns
    assert list(pattern) == ["ct", "pet"]
    full = predictions(run, model="dgccl", split="test", pattern="ct+pet")
    shown = predictions(run, model="dgccl", split="test", pattern="pet")
    expected = stats.delong_paired(
        full["y_true"].to_numpy(),
        full["y_score"].to_numpy(),
        shown["y_score"].to_numpy(),
        stratum=full["fold"].to_numpy(),
    )
    drop = pattern["pet"].drop
    assert (drop.estimate, drop.ci_low, drop.ci_high, drop.p) == (
        *(expected.difference, expected.ci_low, expected.ci_high),
        expected.p,
    )
    assert expected.difference > 0.03
    areas = [roc_auc_score(part["y_true"], part["y_score"]) for _, part in shown.groupby("fold")]
    assert pattern["pet"].auroc.estimate == pytest.approx(np.mean(areas), abs=1e-12)


def test_the_first_model_of_the_configuration_leads(make_run: Any) -> None:
    """Also where DG-CCL as published is trained beside it, as in configs/recommended.toml."""
    run = make_run(scores={"gated_residual": 2.0, "dgccl": 1.5, "late_fusion": 1.0})
    results = evaluate(run)
    assert list(results.models) == ["gated_residual", "dgccl", "late_fusion"]
    assert [(test.a, test.b) for test in results.delong] == [
        ("gated_residual", "dgccl"), ("gated_residual", "late_fusion"),
    ]  # fmt: skip


def test_comparisons_carry_holms_correction(make_run: Any) -> None:
    run = make_run(scores={"dgccl": 2.0, "late_fusion": 1.4, "ct_only": 0.3, "pet_only": 1.9})
    found = evaluate(run).delong
    assert [(test.a, test.b) for test in found] == [
        ("dgccl", other) for other in ("late_fusion", "ct_only", "pet_only")
    ]
    np.testing.assert_allclose(
        [test.p_holm for test in found], stats.holm(np.array([test.p for test in found]))
    )
    assert found[1].difference > 0.2
    assert found[1].p_holm < 0.01


def test_the_same_scores_under_two_names_do_not_differ(make_run: Any) -> None:
    score = lambda lesions, pattern: 0.2 + 0.6 * (np.arange(len(lesions)) * 37 % 80) / 80  # noqa: E731
    (test,) = evaluate(make_run(scores={"dgccl": score, "late_fusion": score})).delong
    assert (test.difference, test.p, test.p_holm) == (0.0, 1.0, 1.0)


def test_several_lesions_of_a_patient_make_intervals_go_by_patient(make_run: Any) -> None:
    run = make_run(per_patient=2)
    results = evaluate(run)
    rows = predictions(run, model="dgccl", split="test", pattern="ct+pet")
    y, score, patient = (rows[name].to_numpy() for name in ("y_true", "y_score", "patient_id"))
    expected = stats.auroc_delong(
        y, score, patient=patient.astype(str), stratum=rows["fold"].to_numpy(), method="logit"
    )
    auroc = results.models["dgccl"].auroc
    assert (auroc.method, auroc.ci_low) == ("clustered_stratified_logit_delong", expected.ci_low)
    assert results.delong[0].method == "clustered_stratified_paired_delong"
    assert results.meta.n_patients == 40
    assert any("40 patients" in warning and "Wilson" in warning for warning in results.warnings)


def test_folds_on_different_scales_keep_their_area(make_run: Any) -> None:
    run = make_run()
    before = evaluate(run)
    table = pd.read_parquet(run / "predictions.parquet")
    rewrite(run, table.assign(y_score=0.25 * table["fold"] + 0.25 * table["y_score"]))
    after = evaluate(run)
    model, same = after.models["dgccl"], before.models["dgccl"]
    assert (model.auroc, model.roc, after.delong) == (same.auroc, same.roc, before.delong)
    assert model.auroc_pooled.estimate is not None
    assert model.auroc_pooled.estimate < 0.7
    assert sum("different scales" in warning for warning in after.warnings) == 2
    assert not any("different scales" in warning for warning in before.warnings)


def test_gate_weights_by_class(make_run: Any) -> None:
    results = evaluate(make_run())
    gate = results.models["dgccl"].gate
    assert gate is not None
    malignant = gate.by_class["malignant"]["pet"]
    weights = 0.7 + 0.001 * np.arange(40)  # as the fixture gives them: malignant lesions come first
    assert (malignant.q1, malignant.median, malignant.q3) == pytest.approx(
        tuple(np.percentile(weights, [25, 50, 75]))
    )
    assert gate.by_class["benign"]["ct"].median == pytest.approx(
        1 - np.median(0.3 + 0.001 * np.arange(40, 80))
    )
    assert (gate.ks.statistic, gate.ks.n, gate.ks.modality) == (1.0, 80, "pet")
    assert gate.ks.p is not None
    assert gate.ks.p < 1e-20
    assert results.models["late_fusion"].gate is None


def test_lesions_that_lack_a_modality(make_run: Any) -> None:
    def drop_pet(lesions: pd.DataFrame) -> None:
        lesions.loc[lesions.index[::10], "has_pet"] = False

    results = evaluate(make_run(edit=drop_pet))
    model = results.models["dgccl"]
    assert model.gate is not None
    assert (model.auroc.n, model.gate.ks.n) == (80, 72)
    assert (model.patterns["ct"].auroc.n, model.patterns["ct"].drop.n) == (80, 72)
    assert (model.patterns["pet"].auroc.n, model.patterns["pet"].drop.n) == (72, 72)
    assert any(warning.startswith("8 of 80 lesions lack a modality") for warning in results.warnings)


def test_cosine_by_brute_force(make_run: Any) -> None:
    rng = np.random.default_rng(5)
    made: dict[str, np.ndarray] = {}

    def embeddings(lesions: pd.DataFrame) -> dict[str, np.ndarray]:
        n = len(lesions)
        for name in ("ct", "pet", "ct_untrained", "pet_untrained"):
            made[f"dgccl/{name}"] = rng.normal(size=(n, 6)).astype(np.float32)
        made["dgccl/pet"] += 2 * made["dgccl/ct"]
        made["dgccl/pet"][4] = 0.0  # a lesion without PET
        made["dgccl/row"] = np.arange(n, dtype=np.int64)
        made["lesions"] = lesions[["fold"]].to_numpy()
        return {key: value for key, value in made.items() if key != "lesions"}

    run = make_run(per_patient=2, embeddings=embeddings)
    cosine = evaluate(run).models["dgccl"].cosine
    lesions = pd.read_csv(run / "embeddings.csv")
    unit = {}
    for key in ("ct", "pet", "ct_untrained", "pet_untrained"):
        vectors = made[f"dgccl/{key}"].astype(float)
        unit[key] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    both = np.array([index for index in range(80) if index != 4])
    matrix = unit["ct"] @ unit["pet"].T
    other = [
        matrix[i, j]
        for i in both
        for j in both
        if lesions["fold"][i] == lesions["fold"][j] and lesions["patient_id"][i] != lesions["patient_id"][j]
    ]
    paired, untrained = matrix[both, both], (unit["ct_untrained"] * unit["pet_untrained"]).sum(axis=1)[both]
    assert cosine is not None
    for found, values in (
        (cosine.paired, paired),
        (cosine.mismatched, other),
        (cosine.paired_untrained, untrained),
    ):
        assert found is not None
        assert (found.mean, found.sd, found.n) == pytest.approx(
            (np.mean(values), np.std(values, ddof=1), len(values))
        )
    assert cosine.paired.mean > 0.7


def test_a_run_without_untrained_embeddings_says_so_by_null(make_run: Any) -> None:
    def embeddings(lesions: pd.DataFrame) -> dict[str, np.ndarray]:
        vectors = np.random.default_rng(0).normal(size=(len(lesions), 4)).astype(np.float32)
        return {
            "dgccl/ct": vectors,
            "dgccl/pet": vectors,
            "dgccl/row": np.arange(len(lesions), dtype=np.int64),
        }

    models = evaluate(make_run(embeddings=embeddings)).models
    cosine = models["dgccl"].cosine
    assert cosine is not None
    assert cosine.paired_untrained is None
    assert (cosine.paired.mean, cosine.paired.n) == pytest.approx((1.0, 80))
    assert models["late_fusion"].cosine is None


@pytest.mark.parametrize(
    ("malignant", "benign", "small"),
    [(50, 50, False), (SMALL_CLASS, 70, False), (SMALL_CLASS - 1, 90, True), (49, SMALL_COHORT - 50, True)],
)
def test_small_cohort_rule(make_run: Any, malignant: int, benign: int, small: bool) -> None:
    results = evaluate(make_run(malignant=malignant, benign=benign, data_kind="real"))
    assert (results.meta.bands == ["small_cohort"]) is small
    assert any("cannot rank methods" in warning for warning in results.warnings) is small
    assert not any("phantom" in warning for warning in results.warnings)


def test_phantom_is_said(make_run: Any) -> None:
    results = evaluate(make_run(malignant=60, benign=60))
    assert results.meta.bands == ["phantom"]
    assert "phantom" in results.warnings[0]


def test_a_fold_with_one_class(make_run: Any) -> None:
    def gather(lesions: pd.DataFrame) -> None:
        malignant = lesions["y_true"] == 1
        lesions.loc[malignant & (lesions["fold"] == 2), "fold"] = 0

    results = evaluate(make_run(edit=gather))
    model = results.models["dgccl"]
    assert model.auroc_by_fold[2] is None
    # The fixture validates fold 3 on the lesions that fold 2 tests.
    assert [value is None for value in model.threshold_by_fold] == [False, False, False, True]
    assert model.sensitivity.n + model.specificity.n == 60
    assert any(warning.startswith("Test fold 2") for warning in results.warnings)
    assert any(warning.startswith("Fold 3, dgccl") for warning in results.warnings)


def test_a_perfect_model_has_an_interval_and_no_defined_test(make_run: Any) -> None:
    perfect = lambda lesions, pattern: 0.1 + 0.8 * lesions["y_true"].to_numpy()  # noqa: E731
    constant = lambda lesions, pattern: np.full(len(lesions), 0.5)  # noqa: E731
    results = evaluate(make_run(scores={"dgccl": perfect, "constant": constant}))
    auroc = results.models["dgccl"].auroc
    assert (auroc.estimate, auroc.ci_high, auroc.method) == (1.0, 1.0, "newcombe_score")
    assert auroc.ci_low == pytest.approx(0.9506, abs=1e-3)
    assert results.models["dgccl"].patterns["ct"].drop.method == "not_defined"
    assert results.delong == []
    assert any("dgccl with constant" in warning for warning in results.warnings)


def test_results_come_back_from_their_file(make_run: Any) -> None:
    run = make_run()
    results = evaluate(run)
    assert load_results(run) == results
    assert load_results(run / "results.json") == results
    assert results.models["dgccl"].multiclass is None
    content = json.loads((run / "results.json").read_text(encoding="utf-8"))
    assert content["published"]["auroc"] == {
        "value": 0.916,
        "text": "AUC of DG-CCL",
        "ci_low": 0.902,
        "ci_high": 0.93,
    }
    assert set(content["published"]["cosine_after"]) == {"value", "text"}
    assert "another data set" in content["published_note"]
    assert [path.name for path in run.glob(".*")] == []


def test_results_of_the_first_version_can_still_be_read(make_run: Any) -> None:
    run = make_run()
    results = evaluate(run)
    content = json.loads((run / "results.json").read_text(encoding="utf-8"))
    meta = content["meta"]
    counts = meta.pop("n_by_class")
    meta |= {"n_benign": counts["benign"], "n_malignant": counts["malignant"]}
    for model in content["models"].values():
        del model["multiclass"]
        if model["gate"]:
            del model["gate"]["kruskal_wallis"]
    (run / "results.json").write_text(json.dumps(content), encoding="utf-8")
    assert load_results(run) == results


def test_order_of_rows_does_not_matter(make_run: Any) -> None:
    run = make_run(per_patient=2)
    before = evaluate(run)
    rewrite(run, pd.read_parquet(run / "predictions.parquet").sort_values(["model", "y_score"]))
    after = evaluate(run)
    assert after.models["dgccl"].auroc == before.models["dgccl"].auroc
    assert after.delong == before.delong


def test_no_torch() -> None:
    code = "import sys, dgccl.evaluation; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def _drop_column(run: Path) -> None:
    rewrite(run, pd.read_parquet(run / "predictions.parquet").drop(columns="y_score"))


def _nan_score(run: Path) -> None:
    table = pd.read_parquet(run / "predictions.parquet")
    table.loc[3, "y_score"] = np.nan
    rewrite(run, table)


def _third_class(run: Path) -> None:
    table = pd.read_parquet(run / "predictions.parquet")
    rewrite(run, table.assign(y_true=table["y_true"].where(table.index != 3, 2)))


def _one_lesion_less(run: Path) -> None:
    table = pd.read_parquet(run / "predictions.parquet")
    rewrite(run, table.loc[(table["lesion_id"] != "L003") | (table["model"] != "late_fusion")])


def _twice(run: Path) -> None:
    table = pd.read_parquet(run / "predictions.parquet")
    rewrite(run, pd.concat([table, table.iloc[:1]]))


def _two_truths(run: Path) -> None:
    table = pd.read_parquet(run / "predictions.parquet")
    rewrite(run, table.assign(y_true=table["y_true"].where(table.index != 0, 1 - table["y_true"])))


def _unknown_pattern(run: Path) -> None:
    table = pd.read_parquet(run / "predictions.parquet")
    rewrite(run, table.assign(pattern=table["pattern"].replace("ct", "mr")))


def _leak(run: Path) -> None:
    folds = pd.read_csv(run / "folds.csv")
    test = folds.loc[(folds["fold"] == 0) & (folds["split"] == "test"), "patient_id"].iloc[0]
    row = (folds["fold"] == 0) & (folds["split"] == "train")
    folds.loc[folds.index[row][0], "patient_id"] = test
    folds.to_csv(run / "folds.csv", index=False)


def _bad_embeddings(run: Path) -> None:
    (run / "embeddings.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00garbage")


FAULTS = {
    "no_predictions": (lambda run: (run / "predictions.parquet").unlink(), "run_file_missing"),
    "no_run": (lambda run: (run / "run.json").unlink(), "run_file_missing"),
    "no_folds": (lambda run: (run / "folds.csv").unlink(), "run_file_missing"),
    "text_as_parquet": (lambda run: (run / "predictions.parquet").write_text("no"), "run_file_damaged"),
    "truncated_json": (lambda run: (run / "config.json").write_text('{"a'), "run_file_damaged"),
    "run_without_seed": (lambda run: (run / "run.json").write_text("{}"), "run_file_damaged"),
    "list_as_config": (lambda run: (run / "config.json").write_text("[]"), "run_file_damaged"),
    "column": (_drop_column, "run_file_damaged"),
    "empty": (
        lambda run: rewrite(run, pd.read_parquet(run / "predictions.parquet").iloc[:0]),
        "run_file_damaged",
    ),
    "nan_score": (_nan_score, "run_file_damaged"),
    "third_class": (_third_class, "run_file_damaged"),
    "unknown_pattern": (_unknown_pattern, "run_file_damaged"),
    "bad_embeddings": (_bad_embeddings, "run_file_damaged"),
    "one_lesion_less": (_one_lesion_less, "predictions_inconsistent"),
    "twice": (_twice, "predictions_inconsistent"),
    "two_truths": (_two_truths, "predictions_inconsistent"),
    "leak": (_leak, "patient_in_two_splits"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_run_is_refused_and_earlier_results_stay(make_run: Any, fault: str) -> None:
    run = make_run()
    (run / "results.json").write_text("earlier")
    spoil, code = FAULTS[fault]
    spoil(run)
    with pytest.raises(TrainingError) as caught:
        evaluate(run)
    assert caught.value.code == code
    assert caught.value.remedy
    assert not any(f"P{index:03d}" in str(caught.value) for index in range(80))
    assert (run / "results.json").read_text() == "earlier"


def test_one_class_only_is_an_error(make_run: Any) -> None:
    with pytest.raises(StatsError) as caught:
        evaluate(make_run(malignant=0, benign=20))
    assert caught.value.code == "one_class"


@pytest.mark.parametrize(
    ("content", "code"),
    [(None, "run_file_missing"), ("{", "run_file_damaged"), ('{"meta": {}}', "run_file_damaged")],
)
def test_results_that_cannot_be_read(tmp_path: Path, content: str | None, code: str) -> None:
    if content is not None:
        (tmp_path / "results.json").write_text(content)
    with pytest.raises(DgcclError) as caught:
        load_results(tmp_path)
    assert caught.value.code == code
