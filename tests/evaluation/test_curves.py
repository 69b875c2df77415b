"""Bands of ROC curves, precision against recall, and distances between classes, against plain computations."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve

from dgccl.evaluation import evaluate, load_results
from dgccl.evaluation.recalibrated import recalibrate
from dgccl.evaluation.run_tables import read_tables

MakeRun = Callable[..., Path]


def test_the_band_holds_the_curve(make_run: MakeRun) -> None:
    run = make_run(malignant=60, benign=60)
    curve = evaluate(run).models["dgccl"].roc
    assert curve is not None
    assert curve.band is not None
    band = curve.band
    inside = np.array(band.fpr)[1:-1] + 1e-6  # between the corners, where the curve has one height
    height = np.interp(inside, curve.fpr, curve.tpr)
    assert (np.array(band.low)[1:-1] <= height + 0.02).all()
    assert (height <= np.array(band.high)[1:-1] + 0.02).all()
    assert np.mean(np.array(band.high) - np.array(band.low)) > 0.05
    assert load_results(run).models["dgccl"].roc == curve


def test_precision_and_recall_are_sklearns(make_run: MakeRun) -> None:
    run = make_run(malignant=40, benign=60)
    found = evaluate(run).models["dgccl"].precision_recall
    assert found is not None
    probabilities = recalibrate(read_tables(run), "dgccl", "ct+pet", warnings=[])
    y_true, chance = probabilities.rows["y_true"].to_numpy(), probabilities.calibrated[:, 1]
    assert found.auprc.estimate == pytest.approx(average_precision_score(y_true, chance), abs=1e-12)
    precision, recall, _ = precision_recall_curve(y_true, chance)
    theirs = set(zip(recall.round(9), precision.round(9), strict=True))
    assert set(zip(np.round(found.recall, 9), np.round(found.precision, 9), strict=True)) <= theirs
    assert found.baseline == pytest.approx(0.4)
    assert found.auprc.ci_low is not None
    assert found.auprc.ci_high is not None
    assert 0.4 < found.auprc.ci_low < found.auprc.estimate < found.auprc.ci_high <= 1.0


def test_a_perfect_model_has_no_band_and_says_so(make_run: MakeRun) -> None:
    def perfect(lesions: pd.DataFrame, pattern: str) -> np.ndarray:
        return 0.1 + 0.8 * lesions["y_true"].to_numpy().astype(float)

    results = evaluate(make_run(scores={"dgccl": perfect}))
    model = results.models["dgccl"]
    assert model.roc is not None
    assert model.roc.band is None
    assert any("band of the ROC curve of dgccl" in warning for warning in results.warnings)
    assert model.precision_recall is not None
    assert model.precision_recall.auprc.method == "wilson"


def test_more_than_two_classes_have_a_band_each_and_no_precision_curve(make_run: MakeRun) -> None:
    run = make_run(scores={"dgccl": 2.0}, class_names=("benign", "primary", "metastasis"), edit=third_class)
    model = evaluate(run).models["dgccl"]
    assert model.precision_recall is None
    assert model.multiclass is not None
    assert all(
        part.roc is not None and part.roc.band is not None for part in model.multiclass.by_class.values()
    )


def third_class(lesions: pd.DataFrame) -> None:
    lesions.loc[(lesions["y_true"] == 1) & (lesions.index % 2 == 0), "y_true"] = 2


def test_distances_between_classes_by_brute_force(make_run: MakeRun) -> None:
    rng, made = np.random.default_rng(8), {}

    def embeddings(lesions: pd.DataFrame) -> dict[str, np.ndarray]:
        for name in ("ct", "pet", "fused"):
            made[name] = rng.normal(size=(len(lesions), 5)).astype(np.float32)
        made["fused"][:, 0] += 4.0 * (2 * lesions["y_true"].to_numpy() - 1)
        made["ct"][7] = 0.0  # a lesion without CT, in none of the pairs
        tensors = {f"dgccl/{name}": vectors for name, vectors in made.items()}
        return tensors | {"dgccl/row": np.arange(len(lesions), dtype=np.int64)}

    run = make_run(per_patient=2, embeddings=embeddings)
    found = {entry.kind: entry for entry in evaluate(run).models["dgccl"].class_distances}
    assert list(found) == ["ct", "pet", "fused"]
    lesions = pd.read_csv(run / "embeddings.csv")
    for kind, entry in found.items():
        unit = made[kind].astype(float) / np.maximum(np.linalg.norm(made[kind], axis=1, keepdims=True), 1e-12)
        values: dict[bool, list[float]] = {True: [], False: []}
        for i in range(len(lesions)):
            for j in range(i):
                one, other = lesions.iloc[i], lesions.iloc[j]
                if 7 in (i, j) or one["fold"] != other["fold"] or one["patient_id"] == other["patient_id"]:
                    continue
                values[bool(one["y_true"] == other["y_true"])].append(1.0 - float(unit[i] @ unit[j]))
        for spread, expected in ((entry.between, values[False]), (entry.within, values[True])):
            assert spread is not None
            assert (spread.mean, spread.sd, spread.n) == pytest.approx(
                (np.mean(expected), np.std(expected, ddof=1), len(expected))
            )
    assert found["fused"].between.mean > found["fused"].within.mean + 0.5  # type: ignore[union-attr]


def test_a_run_without_fused_embeddings_has_no_distances(make_run: MakeRun) -> None:
    assert evaluate(make_run()).models["dgccl"].class_distances == []
